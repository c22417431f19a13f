/* gateway.h - the front door: HTTP in, a table of stages, an engine's answer out.
 *
 * `kontor serve` calls gateway_run with one local engine; `kontor gateway` with settings:
 * upstreams, pools, keys, policy, limits, ledger.  Both run the same pipeline.  One loop thread
 * (the caller's) and one worker thread.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/label.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/str.h"
#include "chat/chat_json.h"
#include "engine/engine.h"
#include "net/http_server.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stdint.h>

#define GATEWAY_UTILIZATION_MAX 64 // devices in the answer of /health

/* A running gateway: valid from on_listening until gateway_run returns, and for gateway_set_engine
 * and gateway_fail also beyond that while neither was called. */
struct gateway;
struct settings;

/* Zero means the default in brackets; everything is borrowed until gateway_run returns. */
struct gateway_options {
    const char *host;       // [all interfaces]
    uint16_t port;          // 0: any free one
    uint32_t n_port_tries;  // further ports to try when it is taken [0]
    struct tls_server *tls; // NULL: plain HTTP
    const char *version;    // "0.1.0"; required

    /* What the gateway proper is told; NULL: `kontor serve`, served_names on the engine alone.
     * Its listeners replace host, port and tls. */
    const struct settings *settings;
    const char *const *served_names; // [n_served_names], at least one; the first is reported
    uint32_t n_served_names;
    const char *const *api_keys; // [n_api_keys]; none: no key is asked for
    uint32_t n_api_keys;
    struct str auth_header; // in which they come ["authorization"]
    struct str auth_prefix; // word before them; with auth_header only ["Bearer"]

    struct engine *engine;   // or NULL: loading, and gateway_set_engine follows
    struct metrics *metrics; // required
    struct http_server_limits limits;
    uint32_t inflight_max; // requests inside at once [4096]
    uint32_t
        stream_queue_bytes;    // text waiting for one slow client before it is cancelled [1048576]
    uint32_t drain_timeout_ms; // running requests may finish after SIGTERM [25000]
    uint32_t request_timeout_ms; // a whole request's limit; 0: none
    enum chat_json_style error_style;
    struct str console_page; // HTML of `/`; empty: 404 there
    bool log_requests;       // one access line per request (without contents)

    /** Utilisation of the devices in percent.  Called in the loop thread: must be quick.  May be
     * NULL:
     *  no devices.  Writes at most `cap` values, returns how many. */
    uint32_t (*utilization)(void *user, double *ret_percent, uint32_t cap);
    /** Called once the port is open, before anything is served.  May be NULL. */
    void (*on_listening)(void *user, struct gateway *gw, uint16_t port);
    /** The loop has ended; behind this call the gateway is gone: stop the threads that may call
     * gateway_reload.  May be NULL. */
    void (*on_ended)(void *user);
    void *user;
};

/**
 * Serve until SIGTERM, SIGINT or gateway_stop.  The first signal drains: new requests get 503,
 * running ones may finish within drain_timeout_ms; the second cancels them.
 *
 * Returns OK after an orderly stop.  Errors: BUSY (port), INVALID (options), IO, and the status
 * given to gateway_fail; the text says what to do.  The engine is idle then; but TIMEOUT means that
 * it did not end its requests although it was told to: leave with _exit and free nothing.
 */
MUST_USE enum status gateway_run(const struct gateway_options *options, struct error *err);

/* The following may be called from any thread. */

/** The engine is ready.  Once. */
void gateway_set_engine(struct gateway *gw, struct engine *engine);
/** There will be no engine: gateway_run ends and returns this error. */
void gateway_fail(struct gateway *gw, const struct error *why);
/**
 * Put new settings in force: requests that come from now on are treated by them, running ones go on
 * with those they began with.  Listeners, state_dir and durability stay as they were at the start.
 * Waits for the loop; not from its thread.
 *
 * Takes the settings on OK: arena_destroy(settings->arena) when nobody needs them any more.
 * Errors (nothing has changed): INVALID (a certificate, a key file), NO_MEMORY, IO, CLOSED
 * (ending).
 */
MUST_USE enum status gateway_reload(struct gateway *gw, struct settings *settings,
                                    struct error *err);
/** As the first signal; as the second when `now`. */
void gateway_stop(struct gateway *gw, bool now);

#endif
