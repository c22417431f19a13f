/* http_internal.h - server, connection and exchange as the three files of the HTTP server see them.
 *
 * Who owns whom: the server lists its connections; a connection has at most one exchange; an
 * exchange may outlive its connection (then conn is NULL) while somebody holds it.  Loop-owned.
 *
 * States of a connection and who moves it on (http_conn.c unless said):
 *
 *   SHAKE -> IDLE     TLS handshake complete (listeners with TLS begin here, others with IDLE)
 *   IDLE -> HEAD      first byte of a request
 *   HEAD -> BODY      head complete, a body follows
 *   HEAD, BODY -> RUNNING   request complete (or refused), the owner's callback was called
 *   RUNNING -> IDLE   answer complete, connection is kept   (http_conn_answered)
 *   RUNNING -> FLUSH  answer complete, connection ends      (http_conn_answered)
 *   FLUSH -> LINGER   all output sent; reading on so that the client sees it all
 *   any -> DEAD       closed; freed by the deferred call
 */
#ifndef NET_HTTP_INTERNAL_H
#define NET_HTTP_INTERNAL_H

#include "base/buf.h"
#include "net/http_server.h"
#include "net/transport.h"

#define HTTP_SCRATCH_BYTES 65536
#define HTTP_PEER_BYTES 64
#define HTTP_DATE_BYTES 32

enum http_conn_state {
    HTTP_CONN_SHAKE,
    HTTP_CONN_IDLE,
    HTTP_CONN_HEAD,
    HTTP_CONN_BODY,
    HTTP_CONN_RUNNING,
    HTTP_CONN_FLUSH,
    HTTP_CONN_LINGER,
    HTTP_CONN_DEAD,
};

struct http_conn {
    struct http_server *server; // borrowed
    struct http_conn *prev;     // list of the server
    struct http_conn *next;
    struct transport transport;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_deferred work; // flush, go on, or free; the only deferred call of a connection
    enum http_conn_state state;
    bool readable;       // the socket may have input
    bool writable;       // the socket may take output
    bool peer_closed;    // the client ended its side
    bool skipped_line;   // one empty line before a request was forgiven
    bool retiring;       // ends once no request is there
    bool unsure;         // the request was just handed over: has the client been reset meanwhile?
    bool overfull;       // over connections_max: gets a refusal and nothing else
    size_t seen;         // bytes of `in` that http_parse_end has looked at
    uint64_t since_ns;   // beginning of the state
    uint64_t stalled_ns; // since when output waits without progress; 0: it does not
    struct buf in;       // received, not yet used
    struct buf out;      // to be sent
    struct http_chunked chunked;
    struct http_exchange *exchange; // owned reference, NULL or reused
    char peer[HTTP_PEER_BYTES];
};

struct http_exchange {
    struct http_conn *conn; // NULL once the connection is gone
    uint32_t n_refs;
    struct arena *arena; // owned
    struct buf body;
    uint64_t counted_bytes;       // of body.cap, in the sum of all bodies
    const struct http_head *head; // in the arena, NULL before it was read
    struct str path;
    uint64_t begun_ns;
    const struct http_exchange_events *events; // borrowed, may be NULL
    void *user;
    int status;          // answered: the status sent
    bool open;           // begun, not ended
    bool chunked;        // answer in chunks
    bool no_body;        // HEAD request: the body is swallowed
    bool keep;           // connection may carry another request
    bool wants_room;     // a write returned AGAIN
    uint64_t sent_bytes; // of body
    char peer[HTTP_PEER_BYTES];
};

struct http_server {
    struct loop *loop; // borrowed
    struct http_server_options options;
    int fd; // owned listener
    uint16_t port;
    bool draining;
    uint32_t n_conns;
    struct http_conn *conns;
    struct loop_watch watch;
    struct loop_timer pause; // accepting again after the process ran out of descriptors
    struct loop_timer look;  // at the certificate's files
    int64_t date_s;          // second that `date` shows
    char date[HTTP_DATE_BYTES];
    struct http_field fields[HTTP_FIELDS_MAX]; // of the head being parsed
    char scratch[HTTP_SCRATCH_BYTES];
};

/** Take over an accepted socket.  Closes it and returns NULL without memory. */
struct http_conn *http_conn_open(struct http_server *s, int fd, const char *peer, bool overfull);
/** Close at once; tells the exchange's owner.  Freed at the end of the batch. */
void http_conn_die(struct http_conn *c);
/** At drain or for want of descriptors: end the connection if it waits for another request and none
 *  has come.  One that has not carried a request yet is left alone: its first one is probably on
 *  its way.  False: it is not one that waits. */
bool http_conn_retire(struct http_conn *c);
/** The answer of the current exchange is complete (its bytes are in `out`). */
void http_conn_answered(struct http_conn *c);
/** Output was added: send it at the end of the batch. */
void http_conn_touch(struct http_conn *c);

/** A fresh exchange, or the connection's old one emptied.  NULL without memory. */
struct http_exchange *http_exchange_renew(struct http_conn *c);
/** The body has grown or shrunk.  Memory of all request bodies of this process; any loop. */
uint64_t http_exchange_count(struct http_exchange *x);
/** The connection is gone: forget it and tell the owner. */
void http_exchange_cut(struct http_exchange *x);

/** "Tue, 25 Nov 2026 10:00:00 GMT", cached for a second. */
const char *http_server_date(struct http_server *s);

#endif
