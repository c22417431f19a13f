/* http_server.h - listens, reads whole requests, writes answers; knows nothing of their meaning.
 *
 * One connection carries one exchange after the other; pipelined requests wait in the socket until
 * the answer before them is complete.  Deadlines of head and body are absolute.  A client that
 * closes its side while its request runs counts as gone.  With TLS the certificate's files are
 * looked at every few seconds and loaded again when they changed.  Limits and their names: struct
 * http_server_limits and docs/http.md.  Loop-owned: everything here is for the loop's thread.
 */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "net/http_parse.h"
#include "net/loop.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_exchange; // one request and its answer

/* Zero means the default in brackets. */
struct http_server_limits {
    uint32_t connections_max;      // more are answered 503 and closed [10000]
    uint32_t head_bytes_max;       // request line and fields together [65536]
    uint64_t body_bytes_max;       // 413 above [33554432]
    uint64_t bodies_bytes_max;     // of all bodies in this process; 503 above [1073741824]
    size_t arena_bytes_max;        // memory of one request besides its body [268435456]
    uint32_t handshake_timeout_ms; // of TLS, from the connection on [10000]
    uint32_t head_timeout_ms;      // from the first byte of a head to its last [15000]
    uint32_t body_timeout_ms;      // from the end of the head to the end of the body [60000]
    uint32_t idle_timeout_ms;      // between requests [75000]
    uint32_t stall_timeout_ms;     // output waiting and the client takes nothing [60000]
    uint32_t linger_timeout_ms;    // reading on after an answer that ends the connection [2000]
    uint32_t out_high_bytes;       // unsent output above which a producer has to stop [262144]
    uint32_t out_low_bytes;        // ... and below which it is called again [65536]
};

struct http_server_events {
    /** A whole request is here.  Answer now, or keep it with http_exchange_hold and answer
     * later. */
    void (*on_request)(void *user, struct http_exchange *x);
    /** The head is here and its body is still on its way.  May answer at once: the body is not read
     *  then and on_request does not follow.  May be NULL. */
    void (*on_head)(void *user, struct http_exchange *x);
    /** The request cannot be read: answer with fault->http_status.  The connection closes behind
     * it.
     *  `x` has no head (http_exchange_head gives NULL) unless the body was at fault. */
    void (*on_fault)(void *user, struct http_exchange *x, const struct http_fault *fault);
    /** The files of the certificate have changed and are in use now (`why` NULL), or cannot be used
     *  (the old ones stay).  For the log.  May be NULL. */
    void (*on_certificate)(void *user, const struct error *why);
};

struct http_server_options {
    const char *host;        // NULL or "": all interfaces; a name or a literal, IPv6 too
    uint16_t port;           // 0: any free one
    uint32_t n_port_tries;   // further ports to try when `port` is taken
    struct tls_server *tls;  // borrowed until the end; NULL: plain HTTP
    const char *server_name; // `server` field of every answer; borrowed for ever
    struct http_server_limits limits;
    struct http_server_events events;
    void *user; // for the events
};

/**
 * Bind and listen.  Connections are served once the loop runs.
 * Errors: BUSY (port taken), INVALID (host), IO; the text says what to do.
 */
MUST_USE enum status http_server_create(struct loop *loop,
                                        const struct http_server_options *options,
                                        struct http_server **ret_server, struct error *err);
/** Close everything at once.  Not from a callback of the server.  Held exchanges stay valid. */
void http_server_destroy(struct http_server *s);
uint16_t http_server_port(const struct http_server *s);
/** From now on every answer ends its connection; idle connections are closed.  New ones are
 * served. */
void http_server_drain(struct http_server *s);
uint32_t http_server_connection_count(const struct http_server *s);
/** Connections whose answer is not completely sent. */
uint32_t http_server_busy_count(const struct http_server *s);

/* --- exchange: the request --- */

/** NULL when no head could be read. */
const struct http_head *http_exchange_head(const struct http_exchange *x);
/** Percent-decoded path. */
struct str http_exchange_path(const struct http_exchange *x);
/** Whole body, chunk framing removed.  Valid until the exchange is released. */
struct str http_exchange_body(const struct http_exchange *x);
/** Give the memory of the body, and of an empty input buffer, back before a long answer: the body
 *  is empty from now on. */
void http_exchange_drop_body(struct http_exchange *x);
/** Memory of this request; dies with it. */
struct arena *http_exchange_arena(struct http_exchange *x);
/** "127.0.0.1:51234" or "[::1]:51234", for the access log. */
struct str http_exchange_peer(const struct http_exchange *x);
/** When the first byte of the head arrived (loop_now_ns). */
uint64_t http_exchange_begun_ns(const struct http_exchange *x);

/** Keep the exchange beyond the callback; `release` once per hold. */
void http_exchange_hold(struct http_exchange *x);
void http_exchange_release(struct http_exchange *x);

struct http_exchange_events {
    /** The client is gone (or stalled): nothing can be sent any more.  Once, before the answer
     * ended. */
    void (*on_gone)(void *user);
    /** Output fell below the low mark after a write had returned AGAIN. */
    void (*on_room)(void *user);
};

/** Who wants to hear about this exchange; `events` is borrowed until its end.  NULL: nobody. */
void http_exchange_listen(struct http_exchange *x, const struct http_exchange_events *events,
                          void *user);

/* --- exchange: the answer ---------------------------------------------------------------------
 * Framing fields (content-length, transfer-encoding, connection, date, server) are written here;
 * the caller gives the others.  Writes after the client is gone are dropped and say CLOSED. */

struct http_reply {
    int status;
    const char *content_type;        // NULL: none
    const struct http_field *fields; // [n_fields], borrowed during the call
    uint32_t n_fields;
    bool close; // end the connection behind this answer
};

/** A whole answer. */
void http_exchange_reply(struct http_exchange *x, const struct http_reply *reply, struct str body);
/** Head of an answer of unknown length: chunked, or ended by closing for HTTP/1.0. */
void http_exchange_begin(struct http_exchange *x, const struct http_reply *reply);
/**
 * A piece of the body.  Sent with the other output of this batch in one go.
 * Returns OK; AGAIN: taken, but over the high mark: wait for on_room; CLOSED: the client is gone.
 */
enum status http_exchange_write(struct http_exchange *x, struct str bytes);
/** Complete the answer. */
void http_exchange_end(struct http_exchange *x);
/** Cut the answer off so that the client sees a broken transfer. */
void http_exchange_break(struct http_exchange *x);
/** True once reply or begin was called. */
bool http_exchange_answered(const struct http_exchange *x);
/** True once the whole answer was given, or the client is gone. */
bool http_exchange_complete(const struct http_exchange *x);
/** Status sent (0: none yet) and bytes of body written, for the access log. */
int http_exchange_status(const struct http_exchange *x);
uint64_t http_exchange_sent_bytes(const struct http_exchange *x);

#endif
