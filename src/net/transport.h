/* transport.h - the bytes of one connection.  Plain TCP today; TLS takes its place behind these
 * calls.
 *
 * Non-blocking.  Loop-owned.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct transport {
    int fd; // owned; -1 when closed
};

/** Errors: AGAIN (nothing there), CLOSED (end of input), IO (reset and the like). */
MUST_USE enum status transport_read(struct transport *t, void *buf, size_t cap, size_t *ret_n);
/** Write what fits now.  Errors: AGAIN (nothing fits), CLOSED (peer gone), IO. */
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
