/* http_client.h - HTTP/1.1 requests to other servers from inside a loop: pooled connections, TLS,
 * several addresses per name, deadlines.
 *
 * An origin is one scheme, host and port with its TLS settings and its idle connections.  A request
 * under way is a http_call.  Names are resolved off the loop.  Connections are opened by
 * net/egress.c alone, which wants the permit and the label of what is sent.  Loop-owned.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "base/label.h"
#include "base/status.h"
#include "base/str.h"
#include "net/http_parse.h"
#include "net/http_resolve.h"
#include "net/loop.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct permit;
struct http_client; // all origins of one loop
struct http_origin;
struct http_call;

/* Zero means the default in brackets. */
struct http_origin_options {
    struct str url;               // "https://host[:port]"; a path in front of targets is allowed
    const struct tls_client *tls; // NULL: system's certificate authorities; borrowed
    uint32_t idle_max;            // kept connections [64]
    uint32_t idle_timeout_ms;     // a kept connection ends after that [55000]
    uint32_t resolve_interval_ms; // names are looked up again after that [30000]
    size_t head_bytes_max;        // of an answer [65536]
};

/** Errors: NO_MEMORY, IO. */
MUST_USE enum status http_client_create(struct loop *loop, struct http_client **ret_client,
                                        struct error *err);
/** Where addresses come from instead of getaddrinfo, for tests.  Before the first call. */
void http_client_set_lookup(struct http_client *c, http_resolve_fn lookup);
/** Every call must have ended. */
void http_client_destroy(struct http_client *c);
/** Errors: INVALID (URL), NO_MEMORY.  The origin lives until http_client_release_origin and the end
 *  of its last call. */
MUST_USE enum status http_client_origin(struct http_client *c,
                                        const struct http_origin_options *options,
                                        struct http_origin **ret_origin, struct error *err);
/** No new calls; idle connections close. */
void http_client_release_origin(struct http_origin *o);
/** Kept connections that wait for a call. */
uint32_t http_client_idle_count(const struct http_origin *o);
/** Connections of every kind, being made and being freed included. */
uint32_t http_client_connection_count(const struct http_origin *o);

/* How far a call came when it failed: what may be tried again depends on it. */
enum http_call_phase {
    HTTP_CALL_RESOLVE, // name not found
    HTTP_CALL_CONNECT, // no connection (TLS handshake included): nothing was sent
    HTTP_CALL_SEND,    // not everything was sent, nothing came back
    HTTP_CALL_WAIT,    // sent; no byte of the answer's head came
    HTTP_CALL_HEAD,    // inside the head
    HTTP_CALL_BODY,    // inside the body
    HTTP_CALL_END,     // complete
};

struct http_call_events {
    /** The final head (no 1xx); its strings live until on_end.  Before any on_body. */
    void (*on_head)(void *user, const struct http_head *head);
    /** Payload, framing removed; valid during the call. */
    void (*on_body)(void *user, struct str piece);
    /** Once, last; not after http_call_cancel.  `rc` OK: complete.  Errors: IO (refused, reset),
     *  CLOSED (cut off), TIMEOUT, INVALID (no HTTP), LIMIT (head or body too large; in phase
     *  CONNECT: this process is out of descriptors, nobody else is to blame), NO_MEMORY.  The call
     *  is gone when this returns. */
    void (*on_end)(void *user, enum status rc, enum http_call_phase phase, const struct error *why);
};

struct http_call_options {
    const struct permit *permit; // borrowed
    enum label label;            // of fields and body
    struct str method;
    struct str target;               // behind the origin's path: "/chat/completions"
    const struct http_field *fields; // [n_fields] beside host, content-length, connection
    uint32_t n_fields;
    /* The body in pieces, sent one after the other without being copied (a rewritten body is the
     * client's bytes with replaced spans).  Borrowed, as everything here, until the end. */
    const struct str *pieces; // [n_pieces]
    uint32_t n_pieces;
    uint32_t connect_timeout_ms;           // [5000] name, TCP and TLS
    uint32_t first_byte_timeout_ms;        // [60000] from the start to the head
    uint32_t idle_timeout_ms;              // [60000] without a byte of the body
    uint32_t total_timeout_ms;             // 0: none
    uint64_t body_bytes_max;               // of the answer; 0: no limit
    const struct http_call_events *events; // borrowed
    void *user;
};

/**
 * Begin a request.  A kept connection that turns out to be closed before a byte of the answer came
 * is replaced by a fresh one silently, once; but not when it ended more than a second after the
 * request was sent: then the request itself may have done it.
 * Errors: DENIED, NO_MEMORY, INVALID (field with control characters); nothing follows then.  on_end
 * is never called from inside this function.
 */
MUST_USE enum status http_call_start(struct http_origin *o, const struct http_call_options *options,
                                     struct http_call **ret_call, struct error *err);
/** Give up: the connection is closed at once (not kept).  No further event.  Nothing happens when
 *  called from the call's own on_end. */
void http_call_cancel(struct http_call *c);
/** Stop and go on reading the answer (the reader downstream is slow).  While paused no on_body
 *  comes and no idle time runs; on_end may come.  From any callback too. */
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);
/** True once no byte of `pieces` is needed any more: all of them were handed to the kernel.  A
 *  server may answer before it has read the whole request. */
bool http_call_sent(const struct http_call *c);
/** "10.0.0.7:8000" that this call is connected to, or "".  In on_end too. */
struct str http_call_peer(const struct http_call *c);

#endif
