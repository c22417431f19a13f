/* transport.h - the bytes of one connection: plain TCP, or TLS when a stream was put over it.
 *
 * Non-blocking.  With TLS either direction may have waited for either event: whoever remembers what
 * the socket can do asks transport_is_tls and then takes every event for both.  Loop-owned.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct tls_stream;

struct transport {
    int fd;                 // owned; -1 when closed
    bool empty;             // after a read: nothing more before the next event, but an end
    struct tls_stream *tls; // owned; NULL: plain
};

/** Speak TLS from now on; takes `tls`. */
void transport_secure(struct transport *t, struct tls_stream *tls);
bool transport_is_tls(const struct transport *t);
/** Errors: AGAIN, CLOSED, DENIED, UNSUPPORTED, IO: as tls_stream_handshake. */
MUST_USE enum status transport_handshake(struct transport *t);
/** Back to plain bytes, for a last word to a client that speaks no TLS. */
void transport_unsecure(struct transport *t);
/** Errors: AGAIN (nothing there), CLOSED (end of input), IO (reset and the like; with TLS also an
 *  end without announcement). */
MUST_USE enum status transport_read(struct transport *t, void *buf, size_t cap, size_t *ret_n);
/** Write what fits now.  After AGAIN the same bytes come again, more may follow.
 *  Errors: AGAIN (nothing fits), CLOSED (peer gone), IO. */
MUST_USE enum status transport_write(struct transport *t, const void *bytes, size_t n,
                                     size_t *ret_n);
/** As transport_write, for pieces one behind the other: one system call.  n_pieces 1 to
 *  IOV_MAX. */
MUST_USE enum status transport_writev(struct transport *t, struct iovec *pieces, size_t n_pieces,
                                      size_t *ret_n);
/** False once the peer has closed or reset its side and nothing of its input is left. */
bool transport_alive(const struct transport *t);
/** No more output will come; input stays open. */
void transport_finish(struct transport *t);
void transport_close(struct transport *t);

#endif
