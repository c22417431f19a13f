/* egress.h - the one door through which this program opens connections and sends as a client.
 *
 * No other file may call connect().  Every call takes a permit (net/permit.h) and the label of what
 * is sent.  Here: one blocking HTTP/1.1 exchange, for `kontor chat --url` and `kontor health`; the
 * gateway's pooled, non-blocking client will stand beside it, behind the same permit.
 * http:// only until TLS is built in.  Any thread; a call keeps no state.
 */
#ifndef NET_EGRESS_H
#define NET_EGRESS_H

#include "base/buf.h"
#include "base/label.h"
#include "base/status.h"
#include "base/str.h"
#include "net/http_parse.h"

#include <stdbool.h>
#include <stdint.h>

struct permit;

struct egress_request {
    struct str method;               // "GET", "POST"
    struct str url;                  // "http://host[:port]/path?query"
    const struct http_field *fields; // [n_fields] beside host, content-length, connection
    uint32_t n_fields;
    struct str body;
    enum label label;               // of the body
    uint32_t connect_timeout_ms;    // 0: 5000
    uint32_t first_byte_timeout_ms; // from the sent request to the answer's head; 0: 60000
    uint32_t idle_timeout_ms;       // without a byte of the answer; 0: 60000
    uint64_t answer_bytes_max;      // of the body; 0: 64 MiB
    /** Head of the answer is here.  May be NULL. */
    void (*on_head)(void *user, const struct http_head *head);
    /** A piece of the body; false stops the exchange (E_CANCELLED).  May be NULL: dropped. */
    bool (*on_body)(void *user, struct str piece);
    /** Asked at least every 100 ms and after signals; true stops (E_CANCELLED).  May be NULL. */
    bool (*should_stop)(void *user);
    void *user;
};

/**
 * Send a request and read the whole answer.
 *
 * ret_status  the answer's status code
 *
 * Errors: DENIED (label over the permit's ceiling), INVALID (URL, answer), UNSUPPORTED (https), IO
 * (refused, reset, name), TIMEOUT, CLOSED (cut off in mid-answer), LIMIT (answer too large),
 * CANCELLED.
 */
MUST_USE enum status egress_call(const struct permit *permit, const struct egress_request *request,
                                 int *ret_status, struct error *err);

/* A URL taken apart; views into the text. */
struct egress_url {
    bool tls;
    struct str host;      // without brackets
    struct str authority; // as in the URL, for the Host field
    uint16_t port;
    struct str target; // path and query, "/" when empty
};

/** Errors: INVALID (text says what is expected). */
MUST_USE enum status egress_parse_url(struct str url, struct egress_url *ret_url,
                                      struct error *err);

#endif
