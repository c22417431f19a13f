/* http_client_internal.h - client, origin, connection ("link") and call as the four files of the
 * HTTP client see them.
 *
 * Who owns whom: the client lists its origins; an origin counts its links and lists those that wait
 * for its addresses and those that are idle; a call has exactly one link from start to end; a link
 * has a call except when idle.  Links are freed by their deferred call, origins with their last
 * link.  Loop-owned.
 *
 * States of a link and who moves it on (http_link.c unless said):
 *
 *   NAME -> CONNECT        addresses are known
 *   CONNECT -> CONNECT     attempt failed, next address
 *   CONNECT -> HANDSHAKE   connected, the origin speaks TLS
 *   CONNECT, HANDSHAKE -> BUSY    ready for the request
 *   BUSY -> IDLE           answer complete, connection is kept   (http_call.c)
 *   IDLE -> BUSY           next request                          (http_call.c)
 *   BUSY -> NAME           kept connection was closed unnoticed: once more, fresh (http_call.c)
 *   any -> DEAD            closed; freed by the deferred call
 */
#ifndef NET_HTTP_CLIENT_INTERNAL_H
#define NET_HTTP_CLIENT_INTERNAL_H

#include "base/buf.h"
#include "net/egress.h"
#include "net/http_client.h"
#include "net/http_resolve.h"
#include "net/tls_stream.h"
#include "net/transport.h"

#define HTTP_CLIENT_SCRATCH_BYTES 65536
#define HTTP_LINK_PEER_BYTES 64
#define HTTP_NS_PER_MS UINT64_C(1000000)

enum http_link_state {
    HTTP_LINK_NAME,
    HTTP_LINK_CONNECT,
    HTTP_LINK_HANDSHAKE,
    HTTP_LINK_BUSY,
    HTTP_LINK_IDLE,
    HTTP_LINK_DEAD,
};

struct http_link {
    struct http_origin *origin; // borrowed: outlives its links
    struct http_call *call;     // NULL when idle or dead
    struct http_link *prev;     // in the origin's list of its state (NAME, IDLE)
    struct http_link *next;
    struct transport transport;
    struct loop_watch watch;
    struct loop_timer timer;   // the one deadline, whatever the state
    struct loop_deferred work; // begin, go on, or free; the only deferred call of a link
    enum http_link_state state;
    bool listed;                  // in the origin's waiting list
    bool readable;                // the socket may have input
    bool writable;                // the socket may take output
    bool peer_closed;             // the server ended its side
    bool reused;                  // has carried an answer before
    bool starved;                 // `in` holds part of a head: more is needed
    bool unresolved;              // the name was not found: `why`
    uint32_t generation;          // of the origin's addresses that `tried` speaks of
    uint32_t tried;               // bit per address
    int last_errno;               // of the last failed attempt; 0: it took too long
    uint64_t attempt_deadline_ns; // of the current address
    uint64_t idle_ns;             // since when it is idle
    struct http_address address;  // connected to, or about to
    struct buf in;                // received, not yet used
    size_t in_at;                 // used up of `in`
    char peer[HTTP_LINK_PEER_BYTES];
    char why[HTTP_LINK_PEER_BYTES * 2];
};

struct http_call {
    struct http_call *next_free; // list of the client
    struct http_link *link;      // never NULL while the call lives
    struct http_call_options options;
    enum http_call_phase phase;
    bool begun;       // a byte of the answer came
    bool sent;        // the whole request
    bool send_failed; // the server takes no more; its answer may have come nevertheless
    bool to_head;     // a HEAD request
    bool paused;
    bool retried;       // on a fresh connection
    uint32_t n_interim; // 1xx answers
    uint32_t piece;     // being sent: 0 the head, 1.. the pieces
    size_t piece_at;
    size_t seen; // bytes that http_parse_end has looked at
    uint64_t begun_ns;
    uint64_t sent_ns;
    uint64_t moved_ns;   // last byte of the body, or resume
    uint64_t body_bytes; // of the answer
    struct buf out;      // head of the request
    struct buf store;    // head of the answer, then its fields
    struct http_head head;
    struct http_chunked chunked;
};

struct http_origin {
    struct http_client *client; // borrowed
    struct http_origin *next;   // list of the client
    uint64_t id;
    bool released;
    bool literal;     // the host is an address
    bool resolving;   // a lookup is under way
    uint32_t n_links; // of every state, dead ones that are not freed yet included
    uint32_t n_idle;
    struct http_link *idle_first; // the one used last
    struct http_link *idle_last;
    struct http_link *waiting; // for addresses, in no order
    struct http_origin_options options;
    const struct tls_client *tls; // borrowed; NULL: plain
    struct tls_session session;   // of the last connection
    uint16_t port;
    struct str host;      // in `text`
    struct str authority; // in `text`
    struct str prefix;    // in `text`: path in front of targets, without '/' at its end
    uint32_t n_addresses;
    uint32_t next_address; // where the next connection begins to look
    uint32_t generation;   // counts changes of the list
    uint64_t resolved_ns;
    struct http_address addresses[HTTP_ADDRESSES_MAX];
    uint64_t failed_ns[HTTP_ADDRESSES_MAX]; // 0: not failed lately
    char text[];                            // copy of the URL
};

struct http_client {
    struct loop *loop; // borrowed
    http_resolve_fn lookup;
    struct http_resolver *resolver; // NULL until a name is looked up
    struct tls_client *tls;         // of origins that bring none: the system's authorities; or NULL
    struct http_origin *origins;
    uint64_t n_origins_ever;
    struct http_call *free_calls; // for reuse, with their buffers
    uint32_t n_free_calls;
    struct http_field fields[HTTP_FIELDS_MAX]; // of the head being parsed
    char scratch[HTTP_CLIENT_SCRATCH_BYTES];   // what was read last; not across callbacks that read
};

/* --- http_client.c --- */

/** Trust in the system's authorities.  Errors: as tls_client_create. */
MUST_USE enum status http_client_default_tls(struct http_client *c, const struct tls_client **ret,
                                             struct error *err);

/* --- http_origin.c --- */

/** As http_client_origin. */
MUST_USE enum status http_origin_create(struct http_client *c,
                                        const struct http_origin_options *options,
                                        struct http_origin **ret_origin, struct error *err);
/** No more calls; idle links close. */
void http_origin_release(struct http_origin *o);
/** A link was freed: end the origin if that was the last one of a released one. */
void http_origin_drop(struct http_origin *o);
/** Look the name up again when that was long ago.  Calls go on with the old addresses. */
void http_origin_refresh(struct http_origin *o, uint64_t now_ns);
/** See to it that addresses are known or being looked up.  OK: known; AGAIN: those in the
 *  waiting list are told by http_link_resolved.  Errors: as http_resolve_start. */
MUST_USE enum status http_origin_resolve(struct http_origin *o);
void http_origin_on_resolved(struct http_origin *o, const struct http_resolved *r);
/** Next address that `l` has not tried, failed ones last.  False: none left. */
bool http_origin_pick(struct http_origin *o, struct http_link *l);
/** How many addresses `l` has not tried. */
uint32_t http_origin_untried(const struct http_origin *o, const struct http_link *l);
/** Remember how an attempt ended. */
void http_origin_note(struct http_origin *o, const struct http_address *a, bool failed);
/** The idle link that was used last, taken out of the pool; NULL: none. */
struct http_link *http_origin_take_idle(struct http_origin *o);
void http_origin_put_idle(struct http_origin *o, struct http_link *l);
/** Take `l` out of the list it is in, if any. */
void http_origin_unlist(struct http_origin *o, struct http_link *l);
void http_origin_list_waiting(struct http_origin *o, struct http_link *l);

/* --- http_link.c --- */

/** A link without connection, state NAME; it begins at the end of the batch.  NULL: no memory. */
struct http_link *http_link_create(struct http_origin *o, struct http_call *c);
/** Drop the connection and begin again at the end of the batch. */
void http_link_renew(struct http_link *l);
/** A lookup has ended: `why` NULL: addresses are there.  Goes on at the end of the batch. */
void http_link_resolved(struct http_link *l, const char *why);
/** Close at once, without telling the call.  Freed at the end of the batch. */
void http_link_close(struct http_link *l);
/** The answer is complete: into the pool. */
void http_link_keep(struct http_link *l);
/** Set the timer to what the state wants. */
void http_link_arm(struct http_link *l);
/** Received bytes that nobody has used yet. */
struct str http_link_buffered(const struct http_link *l);

/* --- http_call.c --- */

/** The link is ready for the request, or its socket may read or write again. */
void http_call_go_on(struct http_call *c);
/** End with an error; the link is closed. */
void http_call_fail(struct http_call *c, enum status rc, const struct error *why);
/** When the call must have got further: the next of its deadlines.  0: never. */
uint64_t http_call_deadline_ns(const struct http_call *c);
/** That moment has come. */
void http_call_overdue(struct http_call *c);
/** Free the calls kept for reuse. */
void http_call_free_all(struct http_client *client);

#endif
