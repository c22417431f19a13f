/* egress.h - the one door through which this program opens connections and sends as a client.
 *
 * No other file may call connect().  Every call takes a permit (net/permit.h) and the label of what
 * is sent.  Here: one blocking HTTP/1.1 exchange, for `kontor chat --url` and `kontor health`, and
 * the connections of the gateway's pooled, non-blocking client (net/http_client.h).
 * Any thread; a call keeps no state.
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
#include <sys/socket.h>

struct permit;
struct tls_client;

struct egress_request {
    struct str method;               // "GET", "POST"
    struct str url;                  // "https://host[:port]/path?query", or http
    const struct tls_client *tls;    // for https; NULL: the system's authorities; borrowed
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
 * Errors: DENIED (label over the permit's ceiling), INVALID (URL, answer), IO (refused, reset,
 * name, certificate), TIMEOUT, CLOSED (cut off in mid-answer), LIMIT (answer too large),
 * CANCELLED.
 */
MUST_USE enum status egress_call(const struct permit *permit, const struct egress_request *request,
                                 int *ret_status, struct error *err);

/**
 * May something of this label go out with this permit?
 * Errors: DENIED (err has the sentence for the caller).  Any thread.
 */
MUST_USE enum status egress_admit(const struct permit *permit, enum label label, struct error *err);

/**
 * Begin a non-blocking TCP connection for what egress_admit let pass (checked again).
 *
 * ret_fd         the socket (close-on-exec, TCP_NODELAY); owned by the caller
 * ret_connected  false: wait until it is writable, then ask egress_connected
 *
 * Errors: DENIED, IO (errno says why).
 */
MUST_USE enum status egress_connect(const struct permit *permit, enum label label,
                                    const struct sockaddr *address, socklen_t address_bytes,
                                    int *ret_fd, bool *ret_connected);
/** How the attempt ended.  Errors: AGAIN (still under way), IO (errno says why). */
MUST_USE enum status egress_connected(int fd);

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
