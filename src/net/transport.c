#include "net/transport.h"
#include "base/check.h"
#include "net/tls_stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void transport_secure(struct transport *t, struct tls_stream *tls)
{
    CHECK(t->tls == NULL);
    t->tls = tls;
}

bool transport_is_tls(const struct transport *t)
{
    return t->tls != NULL;
}

enum status transport_handshake(struct transport *t)
{
    return tls_stream_handshake(t->tls);
}

void transport_unsecure(struct transport *t)
{
    tls_stream_destroy(t->tls);
    t->tls = NULL;
}

enum status transport_read(struct transport *t, void *buf, size_t cap, size_t *ret_n)
{
    ssize_t n;

    if (t->tls != NULL) {
        return tls_stream_read(t->tls, buf, cap, ret_n, &t->empty);
    }
    do {
        n = recv(t->fd, buf, cap, 0);
    } while (n < 0 && errno == EINTR);
    t->empty = (size_t)n < cap; // a short read has emptied the socket
    if (n > 0) {
        *ret_n = (size_t)n;
        return OK;
    }
    if (n == 0) {
        return E_CLOSED;
    }
    return errno == EAGAIN ? E_AGAIN : E_IO;
}

static enum status after_send(ssize_t sent, size_t *ret_n)
{
    if (sent >= 0) {
        *ret_n = (size_t)sent;
        return OK;
    }
    if (errno == EAGAIN) {
        return E_AGAIN;
    }
    return errno == EPIPE || errno == ECONNRESET ? E_CLOSED : E_IO;
}

enum status transport_write(struct transport *t, const void *bytes, size_t n, size_t *ret_n)
{
    ssize_t sent;

    if (t->tls != NULL) {
        return tls_stream_write(t->tls, bytes, n, ret_n);
    }
    do {
        sent = send(t->fd, bytes, n, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return after_send(sent, ret_n);
}

enum status transport_writev(struct transport *t, struct iovec *pieces, size_t n_pieces,
                             size_t *ret_n)
{
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n_pieces};
    ssize_t sent;

    if (t->tls != NULL) {
        return tls_stream_writev(t->tls, pieces, n_pieces, ret_n);
    }
    do {
        // writev would raise SIGPIPE.
        /* tidy-allow: banned-call because the socket is connected and the message has no address */
        sent = sendmsg(t->fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return after_send(sent, ret_n);
}

bool transport_alive(const struct transport *t)
{
    char byte;
    const ssize_t n = recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void transport_finish(struct transport *t)
{
    if (t->tls != NULL) {
        tls_stream_finish(t->tls);
    }
    shutdown(t->fd, SHUT_WR);
}

void transport_close(struct transport *t)
{
    if (t->tls != NULL) {
        transport_unsecure(t);
    }
    if (t->fd >= 0) {
        close(t->fd);
        t->fd = -1;
    }
}
