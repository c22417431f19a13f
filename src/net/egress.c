#include "net/egress.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/permit.h"
#include "net/tls_stream.h"
#include "net/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
#define HOST_BYTES_MAX 255
#define LOOK_MS 100 // between two looks at should_stop
#define NS_PER_MS UINT64_C(1000000)

/* One exchange.  Lives on the stack of egress_call. */
struct exchange {
    const struct permit *permit;
    const struct egress_request *q;
    struct egress_url url;
    const struct tls_client *tls; // NULL: plain
    struct transport transport;
    struct buf in; // received, not used
    struct http_head head;
    struct http_field fields[HTTP_FIELDS_MAX];
    char head_bytes[HTTP_HEAD_BYTES_MAX]; // the head's strings point here
    struct http_chunked chunked;
    uint64_t body_bytes; // payload seen
    bool ended;          // the peer has closed its side
    struct error *err;
};

/* --- url --- */

static enum status parse_port(struct str text, uint16_t *ret_port)
{
    uint64_t port;

    if (str_to_u64(text, &port) != OK || port == 0 || port > UINT16_MAX) {
        return E_INVALID;
    }
    *ret_port = (uint16_t)port;
    return OK;
}

static enum status parse_authority(struct egress_url *u)
{
    const struct str a = u->authority;
    size_t colon;

    if (a.len == 0 || str_find_byte(a, '@', 0) != SIZE_MAX) {
        return E_INVALID; // credentials do not belong in a URL
    }
    if (a.ptr[0] == '[') {
        const size_t end = str_find_byte(a, ']', 0);

        if (end == SIZE_MAX) {
            return E_INVALID;
        }
        u->host = str_slice(a, 1, end);
        colon = end + 1;
    } else {
        colon = str_find_byte(a, ':', 0);
        colon = colon == SIZE_MAX ? a.len : colon;
        u->host = str_slice(a, 0, colon);
    }
    if (u->host.len == 0 || u->host.len > HOST_BYTES_MAX) {
        return E_INVALID;
    }
    if (colon == a.len) {
        return OK;
    }
    return a.ptr[colon] == ':' ? parse_port(str_slice(a, colon + 1, a.len), &u->port) : E_INVALID;
}

static bool all_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= ' ' || (unsigned char)s.ptr[i] >= 0x7F) {
            return false;
        }
    }
    return true;
}

enum status egress_parse_url(struct str url, struct egress_url *ret_url, struct error *err)
{
    struct egress_url u = {.port = 80};
    size_t at = 7;
    size_t end;

    if (str_eq_nocase(str_slice(url, 0, 8), STR("https://"))) {
        u.tls = true;
        u.port = 443;
        at = 8;
    } else if (!str_eq_nocase(str_slice(url, 0, 7), STR("http://"))) {
        return error_set(err, E_INVALID, "\"%.*s\" is no URL. Give one like http://127.0.0.1:8000.",
                         STR_ARG(url));
    }
    end = at;
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?' && url.ptr[end] != '#') {
        end++;
    }
    u.authority = str_slice(url, at, end);
    u.target = str_slice(url, end, str_find_byte(url, '#', end));
    if (parse_authority(&u) != OK || !all_visible(url) ||
        (u.target.len > 0 && u.target.ptr[0] == '?')) {
        return error_set(err, E_INVALID, "\"%.*s\" is no URL. Give one like http://127.0.0.1:8000.",
                         STR_ARG(url));
    }
    if (u.target.len == 0) {
        u.target = STR("/");
    }
    *ret_url = u;
    return OK;
}

/* --- waiting --- */

static uint64_t deadline_after(uint32_t timeout_ms, uint32_t fallback_ms)
{
    const uint64_t ms = timeout_ms == 0 ? fallback_ms : timeout_ms;

    return kontor_clock_now_ns(&kontor_clock_system) + ms * NS_PER_MS;
}

/* Errors: TIMEOUT, CANCELLED, IO. */
static enum status wait_for(const struct exchange *x, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd p = {.fd = x->transport.fd, .events = events};
        const uint64_t now_ns = kontor_clock_now_ns(&kontor_clock_system);
        uint64_t left_ms;
        int n;

        if (x->q->should_stop != NULL && x->q->should_stop(x->q->user)) {
            return E_CANCELLED;
        }
        if (now_ns >= deadline_ns) {
            return E_TIMEOUT;
        }
        left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
        n = poll(&p, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);
        if (n > 0) {
            return OK;
        }
        if (n < 0 && errno != EINTR) {
            return E_IO;
        }
    }
}

/* --- connecting --- */

enum status egress_admit(const struct permit *permit, enum label label, struct error *err)
{
    if (label > permit->ceiling) {
        return error_set(err, E_DENIED, "A %s request may not be sent for \"%s\": at most %s.",
                         label_name(label), permit->purpose, label_name(permit->ceiling));
    }
    return OK;
}

enum status egress_connect(const struct permit *permit, enum label label,
                           const struct sockaddr *address, socklen_t address_bytes, int *ret_fd,
                           bool *ret_connected)
{
    const int one = 1;
    bool connected;
    int fd;
    int saved;

    if (label > permit->ceiling) {
        return E_DENIED;
    }
    fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return E_IO;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connected = connect(fd, address, address_bytes) == 0;
    if (!connected && errno != EINPROGRESS) {
        saved = errno;
        close(fd);
        errno = saved;
        return E_IO;
    }
    *ret_fd = fd;
    *ret_connected = connected;
    return OK;
}

enum status egress_connected(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int fault = 0;
    socklen_t len = sizeof(fault);

    if (poll(&p, 1, 0) == 0) {
        return E_AGAIN;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 && fault == 0) {
        return OK;
    }
    errno = fault == 0 ? errno : fault;
    return E_IO;
}

static enum status connect_one(struct exchange *x, const struct addrinfo *ai, uint64_t deadline_ns)
{
    bool connected = false;
    enum status rc = egress_connect(x->permit, x->q->label, ai->ai_addr, ai->ai_addrlen,
                                    &x->transport.fd, &connected);

    if (rc != OK || connected) {
        return rc;
    }
    rc = wait_for(x, POLLOUT, deadline_ns);
    return rc == OK ? egress_connected(x->transport.fd) : rc;
}

static enum status refuse_connect(const struct exchange *x, enum status rc)
{
    if (rc == E_TIMEOUT) {
        return error_set(x->err, rc, "No answer from %.*s port %u in time.", STR_ARG(x->url.host),
                         (unsigned)x->url.port);
    }
    if (rc == E_CANCELLED) {
        return error_set(x->err, rc, "Stopped.");
    }
    return error_set(x->err, rc, "Cannot connect to %.*s port %u: %s. Is the server running?",
                     STR_ARG(x->url.host), (unsigned)x->url.port, strerror(errno));
}

static enum status open_connection(struct exchange *x)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const uint64_t deadline_ns = deadline_after(x->q->connect_timeout_ms, 5000);
    struct addrinfo *list = NULL;
    char host[HOST_BYTES_MAX + 1];
    char port[8];
    enum status rc = E_IO;
    int fault;

    snprintf(host, sizeof(host), "%.*s", STR_ARG(x->url.host));
    snprintf(port, sizeof(port), "%u", (unsigned)x->url.port);
    fault = getaddrinfo(host, port, &hints, &list);
    if (fault != 0) {
        return error_set(x->err, E_IO, "Cannot find host \"%s\": %s.", host, gai_strerror(fault));
    }
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        rc = connect_one(x, ai, deadline_ns);
        if (rc == OK || rc == E_CANCELLED) {
            break;
        }
        if (x->transport.fd >= 0 && ai->ai_next != NULL) {
            transport_close(&x->transport);
        }
    }
    freeaddrinfo(list);
    return rc == OK ? OK : refuse_connect(x, rc);
}

static enum status secure(struct exchange *x)
{
    struct tls_stream *tls = tls_stream_connect(x->tls, x->transport.fd, x->url.host, NULL);
    const uint64_t deadline_ns = deadline_after(x->q->connect_timeout_ms, 5000);
    enum status rc;

    if (tls == NULL) {
        return error_set(x->err, E_NO_MEMORY, "No memory for TLS.");
    }
    transport_secure(&x->transport, tls);
    for (;;) {
        rc = transport_handshake(&x->transport);
        if (rc == OK) {
            return OK;
        }
        if (rc != E_AGAIN) {
            return error_set(x->err, E_IO, "No TLS connection to %.*s port %u: %s.",
                             STR_ARG(x->url.host), (unsigned)x->url.port, tls_stream_why(tls));
        }
        rc = wait_for(x, tls_stream_wants_write(tls) ? POLLOUT : POLLIN, deadline_ns);
        if (rc != OK) {
            return refuse_connect(x, rc);
        }
    }
}

/* --- sending --- */

static void put_request(const struct exchange *x, struct buf *out)
{
    const struct egress_request *q = x->q;

    buf_printf(out, "%.*s %.*s HTTP/1.1\r\nhost: %.*s\r\nconnection: close\r\n", STR_ARG(q->method),
               STR_ARG(x->url.target), STR_ARG(x->url.authority));
    for (uint32_t i = 0; i < q->n_fields; i++) {
        buf_append_str(out, q->fields[i].name);
        buf_append_str(out, STR(": "));
        buf_append_str(out, q->fields[i].value);
        buf_append_str(out, STR("\r\n"));
    }
    if (q->body.len > 0 || str_eq(q->method, STR("POST"))) {
        buf_printf(out, "content-length: %zu\r\n", q->body.len);
    }
    buf_append_str(out, STR("\r\n"));
    buf_append_str(out, q->body);
}

static bool fields_are_clean(const struct egress_request *q)
{
    for (uint32_t i = 0; i < q->n_fields; i++) {
        if (!http_parse_is_token(q->fields[i].name)) {
            return false;
        }
        for (size_t k = 0; k < q->fields[i].value.len; k++) {
            const unsigned char c = (unsigned char)q->fields[i].value.ptr[k];

            if (c < ' ' || c == 0x7F) {
                return false;
            }
        }
    }
    return true;
}

static enum status lost(const struct exchange *x, enum status rc)
{
    if (rc == E_TIMEOUT) {
        return error_set(x->err, rc, "The server at %.*s did not answer in time.",
                         STR_ARG(x->url.authority));
    }
    if (rc == E_CANCELLED) {
        return error_set(x->err, rc, "Stopped.");
    }
    return error_set(x->err, E_CLOSED,
                     "The connection to %.*s was lost before the answer was complete.",
                     STR_ARG(x->url.authority));
}

static enum status send_all(struct exchange *x, struct str bytes)
{
    while (bytes.len > 0) {
        size_t n = 0;
        enum status rc = transport_write(&x->transport, bytes.ptr, bytes.len, &n);

        if (rc == E_AGAIN) {
            rc = wait_for(x, POLLOUT, deadline_after(x->q->idle_timeout_ms, 60000));
        }
        if (rc == E_CLOSED || rc == E_IO) {
            return OK; // a server may answer and close before it has read everything: read that
        }
        if (rc != OK) {
            return lost(x, rc);
        }
        bytes = str_slice(bytes, n, bytes.len);
    }
    return OK;
}

static enum status send_request(struct exchange *x)
{
    struct buf out;
    enum status rc;

    if (!fields_are_clean(x->q)) {
        return error_set(x->err, E_INVALID, "A header field has a control character.");
    }
    buf_init(&out, SIZE_MAX);
    put_request(x, &out);
    rc = buf_status(&out);
    rc =
        rc == OK ? send_all(x, buf_str(&out)) : error_set(x->err, rc, "No memory for the request.");
    buf_done(&out);
    return rc;
}

/* --- receiving --- */

/* More bytes into `in`.  Errors: CLOSED at the end of input, others as lost(). */
static enum status receive(struct exchange *x, uint64_t deadline_ns)
{
    for (;;) {
        char *room = buf_reserve(&x->in, READ_BYTES);
        size_t n;
        enum status rc;

        if (room == NULL) {
            return error_set(x->err, E_NO_MEMORY, "No memory for the answer.");
        }
        rc = transport_read(&x->transport, room, READ_BYTES, &n);
        if (rc == OK) {
            buf_commit(&x->in, n);
            return OK;
        }
        if (rc == E_CLOSED) {
            x->ended = true;
            return E_CLOSED;
        }
        if (rc == E_AGAIN) {
            rc = wait_for(x, POLLIN, deadline_ns);
        }
        if (rc != OK) {
            return lost(x, rc);
        }
    }
}

static enum status bad_answer(const struct exchange *x, const struct http_fault *f)
{
    return error_set(x->err, E_INVALID, "%.*s does not answer in HTTP/1.1: %s",
                     STR_ARG(x->url.authority), f->text);
}

/* The final head, interim ones (1xx) skipped. */
static enum status read_head(struct exchange *x)
{
    const uint64_t deadline_ns = deadline_after(x->q->first_byte_timeout_ms, 60000);
    struct http_fault fault = {502, ""};
    size_t seen = 0;
    size_t n;

    for (;;) {
        enum status rc = http_parse_end(buf_str(&x->in), seen, sizeof(x->head_bytes), &n, &fault);

        if (rc == E_AGAIN) {
            seen = x->in.len;
            rc = receive(x, deadline_ns);
            if (rc != OK) {
                return x->ended ? lost(x, E_CLOSED) : rc;
            }
            continue;
        }
        if (rc == OK) {
            memcpy(x->head_bytes, x->in.ptr, n);
            buf_consume(&x->in, n);
            rc = http_parse_response((struct str){x->head_bytes, n},
                                     str_eq(x->q->method, STR("HEAD")), &x->head, &fault);
        }
        if (rc != OK) {
            return bad_answer(x, &fault);
        }
        if (x->head.status >= 200) {
            return OK;
        }
        seen = 0;
    }
}

static enum status deliver(struct exchange *x, struct str piece)
{
    const uint64_t max = x->q->answer_bytes_max == 0 ? 67108864 : x->q->answer_bytes_max;

    x->body_bytes += piece.len;
    if (x->body_bytes > max) {
        return error_set(x->err, E_LIMIT, "The answer is longer than %llu bytes.",
                         (unsigned long long)max);
    }
    if (piece.len > 0 && x->q->on_body != NULL && !x->q->on_body(x->q->user, piece)) {
        return error_set(x->err, E_CANCELLED, "Stopped.");
    }
    return OK;
}

/* Use up what was received.  Returns CLOSED when the body is complete. */
static enum status take_body(struct exchange *x)
{
    struct str piece = buf_str(&x->in);
    struct http_fault fault = {502, ""};
    size_t used = piece.len;
    bool complete = false;
    enum status rc;

    if (x->head.body == HTTP_BODY_CHUNKED) {
        rc = http_chunked_next(&x->chunked, buf_str(&x->in), &used, &piece, &fault);
        if (rc != OK && rc != E_CLOSED) {
            return bad_answer(x, &fault);
        }
        complete = rc == E_CLOSED;
    } else if (x->head.body == HTTP_BODY_LENGTH) {
        const uint64_t left = x->head.content_length - x->body_bytes;

        used = left < piece.len ? (size_t)left : piece.len;
        piece = str_slice(piece, 0, used);
        complete = used == left;
    }
    rc = deliver(x, piece);
    if (rc != OK) {
        return rc;
    }
    buf_consume(&x->in, used);
    return complete ? E_CLOSED : OK;
}

static enum status read_body(struct exchange *x)
{
    if (x->head.body == HTTP_BODY_NONE) {
        return OK;
    }
    for (;;) {
        enum status rc = OK;

        while (x->in.len > 0 && rc == OK) {
            rc = take_body(x);
        }
        if (rc != OK) {
            return rc == E_CLOSED ? OK : rc;
        }
        rc = receive(x, deadline_after(x->q->idle_timeout_ms, 60000));
        if (rc != OK && x->ended) {
            return x->head.body == HTTP_BODY_UNTIL_EOF ? OK : lost(x, E_CLOSED);
        }
        if (rc != OK) {
            return rc;
        }
    }
}

static enum status run(struct exchange *x, int *ret_status)
{
    enum status rc = open_connection(x);

    if (rc == OK && x->url.tls) {
        rc = secure(x);
    }
    if (rc == OK) {
        rc = send_request(x);
    }
    if (rc == OK) {
        rc = read_head(x);
    }
    if (rc != OK) {
        return rc;
    }
    *ret_status = (int)x->head.status;
    if (x->q->on_head != NULL) {
        x->q->on_head(x->q->user, &x->head);
    }
    return read_body(x);
}

/* With the request's trust, or with the system's. */
static enum status run_tls(struct exchange *x, int *ret_status)
{
    const struct tls_client_options none = {0};
    struct tls_client *own = NULL;
    enum status rc = OK;

    x->tls = x->q->tls;
    if (x->tls == NULL) {
        rc = tls_client_create(&none, &own, x->err);
        x->tls = own;
    }
    if (rc == OK) {
        rc = run(x, ret_status);
    }
    transport_close(&x->transport);
    tls_client_destroy(own);
    return rc;
}

enum status egress_call(const struct permit *permit, const struct egress_request *request,
                        int *ret_status, struct error *err)
{
    struct exchange x = {.permit = permit, .q = request, .transport = {.fd = -1}, .err = err};
    enum status rc = egress_admit(permit, request->label, err);

    if (rc != OK) {
        return rc;
    }
    rc = egress_parse_url(request->url, &x.url, err);
    if (rc != OK) {
        return rc;
    }
    x.head.fields = x.fields;
    buf_init(&x.in, HTTP_HEAD_BYTES_MAX + 4 * (size_t)READ_BYTES);
    rc = x.url.tls ? run_tls(&x, ret_status) : run(&x, ret_status);
    transport_close(&x.transport);
    buf_done(&x.in);
    return rc;
}
