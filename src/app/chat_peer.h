/* chat_peer.h - whom `kontor chat` talks to: a server over HTTP or an engine in this process.
 *
 * Main thread only.
 */
#ifndef APP_CHAT_PEER_H
#define APP_CHAT_PEER_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define CHAT_PEER_NAME_MAX 256

struct chat_turn {
    struct str messages; // JSON array of the whole conversation
    bool has_temperature;
    double temperature;
    uint32_t max_tokens; // 0: the server's limit
    /** A piece of the answer, whole characters. */
    void (*on_text)(struct str text);
    /** The user asked to stop; polled at least every 100 ms. */
    bool (*should_stop)(void);
};

struct chat_peer {
    /**
     * Ask and wait for the end of the answer; the text is appended to `answer` as well.
     * Errors: CANCELLED (should_stop), and what the peer says (err).
     */
    enum status (*ask)(void *self, const struct chat_turn *turn, struct buf *answer,
                       struct error *err);
    void (*close)(void *self);
    void *self;                    // owned: close frees it
    char name[CHAT_PEER_NAME_MAX]; // model name, for the greeting
};

/**
 * A server.
 * url      "https://host:port" or http, with or without /v1
 * model    NULL: the first one it lists
 * key      NULL: none
 * ca_file  authorities to trust instead of the system's, or NULL
 * Errors: those of egress_call and tls_client_create; NOT_FOUND: it lists no model.
 */
MUST_USE enum status chat_remote_open(const char *url, const char *model, const char *key,
                                      const char *ca_file, struct chat_peer *ret_peer,
                                      struct error *err);

struct engine_options;

/** An engine on the options' model.  Blocks while it loads.  Errors: those of engine_create. */
MUST_USE enum status chat_local_open(const struct engine_options *options,
                                     struct chat_peer *ret_peer, struct error *err);

#endif
