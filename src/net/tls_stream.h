/* tls_stream.h - one TLS connection over a non-blocking socket; used by transport.c alone, and
 * created by those who own sockets.
 *
 * Reads and sends on the descriptor itself (no signal on a broken pipe).  Owned by one thread.
 */
#ifndef NET_TLS_STREAM_H
#define NET_TLS_STREAM_H

#include "base/str.h"
#include "net/tls.h"

#include <stddef.h>
#include <sys/uio.h>

struct tls_stream;

/* What a client remembers of an earlier connection, to begin the next one faster.
 * Zero-initialise; must outlive the streams that use it. */
struct tls_session {
    void *session; // owned
};

/** The server's end.  `fd` is borrowed.  NULL: no memory. */
struct tls_stream *tls_stream_accept(struct tls_server *tls, int fd);
/** The client's end.  `host` is asked for and expected unless the options name another; `session`
 *  may be NULL.  NULL: no memory. */
struct tls_stream *tls_stream_connect(const struct tls_client *tls, int fd, struct str host,
                                      struct tls_session *session);
/** Forget without a word to the peer, who will see a cut-off. */
void tls_stream_destroy(struct tls_stream *s);
/**
 * Go on with the handshake.
 * Errors: AGAIN, CLOSED (peer gone), DENIED (certificate), UNSUPPORTED (plain HTTP came), IO;
 * tls_stream_why has a sentence.
 */
MUST_USE enum status tls_stream_handshake(struct tls_stream *s);
/** After AGAIN: it is output that does not get away. */
bool tls_stream_wants_write(const struct tls_stream *s);
/** Why the handshake failed: "its certificate has expired ...".  Never NULL. */
const char *tls_stream_why(const struct tls_stream *s);
/** The session was taken up again from an earlier one. */
bool tls_stream_resumed(const struct tls_stream *s);
/**
 * Read until `cap` bytes are there or the socket is empty.
 * ret_empty  nothing more before the next event of the socket
 * Errors: AGAIN, CLOSED (ended in order), IO (cut off, or an attack).
 */
MUST_USE enum status tls_stream_read(struct tls_stream *s, void *buf, size_t cap, size_t *ret_n,
                                     bool *ret_empty);
/** Send what fits.  After AGAIN the same bytes must come again, more of them may follow.
 *  Errors: AGAIN, CLOSED, IO. */
MUST_USE enum status tls_stream_write(struct tls_stream *s, const void *bytes, size_t n,
                                      size_t *ret_n);
/** As tls_stream_write; small pieces share a record. */
MUST_USE enum status tls_stream_writev(struct tls_stream *s, const struct iovec *pieces,
                                       size_t n_pieces, size_t *ret_n);
/** Say that no more output comes. */
void tls_stream_finish(struct tls_stream *s);
void tls_stream_forget(struct tls_session *session);

#endif
