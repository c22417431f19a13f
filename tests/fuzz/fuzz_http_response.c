/* An answer as the client takes it from a socket, in random pieces, with pauses, against the same
 * answer read in one go with the codec alone: head, body and verdict must agree. */
#include "base/buf.h"
#include "base/check.h"
#include "net/http_client.h"
#include "net/permit.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX 100000
#define SPINS_MAX 10000 // batches for one answer
#define INTERIM_MAX 16  // as the client

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static const struct permit permit = {LABEL_PUBLIC, "fuzz"};

/* What reading came to. */
struct outcome {
    uint32_t status; // 0: no head
    enum status rc;
    struct buf body;
};

/* --- the reference --- */

static enum status read_chunks(struct str in, struct buf *body)
{
    struct http_chunked c = {0};
    struct http_fault fault = {0};
    enum status rc = OK;
    size_t at = 0;

    while (rc == OK && at < in.len) {
        struct str piece;
        size_t used = 0;

        rc = http_chunked_next(&c, str_slice(in, at, in.len), &used, &piece, &fault);
        at += used;
        if (rc == OK || rc == E_CLOSED) {
            buf_append_str(body, piece);
        }
    }
    return rc == E_CLOSED ? OK : rc == OK ? E_CLOSED : rc; // an end within chunks is a cut-off
}

static enum status read_body(const struct http_head *h, struct str in, struct buf *body)
{
    switch (h->body) {
    case HTTP_BODY_NONE:
        return OK;
    case HTTP_BODY_CHUNKED:
        return read_chunks(in, body);
    case HTTP_BODY_LENGTH:
        buf_append_str(body,
                       str_slice(in, 0,
                                 h->content_length < in.len ? (size_t)h->content_length : in.len));
        return in.len >= h->content_length ? OK : E_CLOSED;
    case HTTP_BODY_UNTIL_EOF:
        break;
    }
    buf_append_str(body, in);
    return OK;
}

static void read_whole(struct str in, bool to_head, struct outcome *ret)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head head = {.fields = fields};
    struct http_fault fault = {0};
    uint32_t n_interim = 0;
    size_t at = 0;

    for (;;) {
        size_t n = 0;
        const struct str rest = str_slice(in, at, in.len);
        enum status rc = http_parse_end(rest, 0, 0, &n, &fault);

        if (rc == OK) {
            rc = http_parse_response(str_slice(rest, 0, n), to_head, &head, &fault);
        }
        if (rc == OK && head.status == 101) {
            rc = E_INVALID;
        }
        if (rc == OK && head.status < 200) {
            n_interim++;
            rc = n_interim > INTERIM_MAX ? E_LIMIT : OK;
        }
        if (rc != OK) {
            ret->rc = rc == E_AGAIN ? E_CLOSED : rc;
            return;
        }
        at += n;
        if (head.status >= 200) {
            break;
        }
    }
    ret->status = head.status;
    ret->rc = read_body(&head, str_slice(in, at, in.len), &ret->body);
}

/* --- the client --- */

static struct loop *loop;
static struct http_client *client;
static struct http_origin *origin;
static int listener;

struct run {
    struct outcome *out;
    struct http_call *call;
    uint32_t pause_every; // pieces; 0: never
    uint32_t n_pieces;
    bool paused;
    bool ended;
};

static void on_head(void *user, const struct http_head *head)
{
    struct run *r = user;

    CHECK(r->out->status == 0);
    r->out->status = head->status;
}

static void on_body(void *user, struct str piece)
{
    struct run *r = user;

    CHECK(piece.len > 0 && !r->paused && r->out->status != 0);
    buf_append_str(&r->out->body, piece);
    r->n_pieces++;
    if (r->pause_every != 0 && r->n_pieces % r->pause_every == 0) {
        r->paused = true;
        http_call_pause(r->call);
    }
}

static void on_end(void *user, enum status rc, enum http_call_phase phase, const struct error *why)
{
    struct run *r = user;

    CHECK(!r->ended && (rc == OK) == (why == NULL));
    CHECK((rc == OK) == (phase == HTTP_CALL_END));
    r->ended = true;
    r->out->rc = rc;
}

static void stop(void *user)
{
    (void)user;
    loop_stop(loop);
}

/* One batch, without waiting. */
static void spin(struct run *r)
{
    static struct loop_deferred d = {.run = stop};

    if (r->paused && !r->ended) {
        r->paused = false;
        http_call_resume(r->call);
    }
    loop_defer(loop, &d);
    loop_run(loop);
}

static void start_once(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct http_origin_options o = {0};
    socklen_t len = sizeof(addr);
    struct error err;
    char url[64];

    if (loop != NULL) {
        return;
    }
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 4) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
    CHECK(loop_create(&loop, &err) == OK && http_client_create(loop, &client, &err) == OK);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)ntohs(addr.sin_port));
    o.url = str_from_c(url);
    CHECK(http_client_origin(client, &o, &origin, &err) == OK);
}

/* Send everything in pieces of `step`; stops when the client has hung up. */
static void feed(struct run *r, int fd, struct str in, size_t step)
{
    size_t at = 0;

    for (int i = 0; i < SPINS_MAX && at < in.len && !r->ended; i++) {
        const struct str piece = str_slice(in, at, at + step);
        const ssize_t n = send(fd, piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        at += n > 0 ? (size_t)n : 0;
        spin(r);
    }
    CHECK(at == in.len || r->ended);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < SPINS_MAX && !r->ended; i++) {
        spin(r);
    }
    CHECK(r->ended);
}

static void read_pieces(struct str in, bool to_head, uint32_t pause_every, size_t step,
                        struct outcome *ret)
{
    static const struct http_call_events events = {on_head, on_body, on_end};
    const struct linger reset = {.l_onoff = 1}; // leaves no waiting sockets behind
    const int one = 1;
    struct run r = {.out = ret, .pause_every = pause_every};
    const struct http_call_options q = {
        .permit = &permit,
        .method = to_head ? STR("HEAD") : STR("GET"),
        .target = STR("/"),
        .events = &events,
        .user = &r,
    };
    struct error err;
    int fd;

    CHECK(http_call_start(origin, &q, &r.call, &err) == OK);
    for (int i = 0; i < 3; i++) {
        spin(&r);
    }
    fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    feed(&r, fd, in, step);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    for (int i = 0; i < SPINS_MAX && http_client_connection_count(origin) > 0; i++) {
        spin(&r); // a kept connection sees the end
    }
    CHECK(http_client_connection_count(origin) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct outcome whole = {0};
    struct outcome pieces = {0};
    struct str in;

    if (n_bytes < 2 || n_bytes > ANSWER_BYTES_MAX) {
        return 0;
    }
    start_once();
    in = (struct str){(const char *)bytes + 2, n_bytes - 2};
    buf_init(&whole.body, SIZE_MAX);
    buf_init(&pieces.body, SIZE_MAX);
    read_whole(in, (bytes[1] & 1) != 0, &whole);
    read_pieces(in, (bytes[1] & 1) != 0, bytes[1] >> 1 & 3, in.len / 64 + bytes[0] % 64 + 1,
                &pieces);
    CHECK(pieces.status == whole.status);
    CHECK(pieces.rc == whole.rc);
    CHECK(str_eq(buf_str(&pieces.body), buf_str(&whole.body)));
    buf_done(&whole.body);
    buf_done(&pieces.body);
    return 0;
}
