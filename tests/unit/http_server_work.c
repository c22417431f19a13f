/* How much the server moves about while it reads: counted, not timed.  Linked so that memmove
 * counts (tests/meson.build). */
#include "base/buf.h"
#include "net/http_server.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_CHUNKS 100000

static size_t n_moved;

void *__wrap_memmove(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);

void *__wrap_memmove(void *to, const void *from, size_t n)
{
    n_moved += n;
    return __real_memmove(to, from, n);
}

struct bench {
    struct loop *loop;
    size_t body_bytes;
    int status;
};

static void on_request(void *user, struct http_exchange *x)
{
    struct bench *b = user;

    b->body_bytes = http_exchange_body(x).len;
    b->status = 200;
    http_exchange_reply(x, &(struct http_reply){.status = 200}, STR("ok"));
    loop_stop(b->loop);
}

static void on_fault(void *user, struct http_exchange *x, const struct http_fault *fault)
{
    struct bench *b = user;

    b->status = fault->http_status;
    http_exchange_reply(x, &(struct http_reply){.status = fault->http_status}, STR(""));
    loop_stop(b->loop);
}

struct sender {
    uint16_t port;
    const char *bytes;
    size_t n;
};

static void *send_main(void *user)
{
    const struct sender *s = user;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t at = 0;
    char answer[256];

    addr.sin_port = htons(s->port);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
        while (at < s->n) {
            const ssize_t sent = send(fd, s->bytes + at, s->n - at, MSG_NOSIGNAL);

            if (sent <= 0) {
                break;
            }
            at += (size_t)sent;
        }
    }
    (void)!recv(fd, answer, sizeof(answer), 0);
    close(fd);
    return NULL;
}

TEST(a_body_of_tiny_chunks_is_moved_once)
{
    static const char head[] = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    const struct http_server_options options = {.host = "127.0.0.1",
                                                .server_name = "test",
                                                .events = {.on_request = on_request,
                                                           .on_fault = on_fault}};
    struct bench b = {0};
    struct http_server_options o = options;
    struct http_server *server = NULL;
    struct sender s = {0};
    struct error err = {0};
    pthread_t thread;
    struct buf bytes;

    buf_init(&bytes, SIZE_MAX);
    buf_append_str(&bytes, STR(head));
    for (int i = 0; i < N_CHUNKS; i++) {
        buf_append_str(&bytes, STR("1\r\nx\r\n"));
    }
    buf_append_str(&bytes, STR("0\r\n\r\n"));
    EXPECT_OK(loop_create(&b.loop, &err));
    o.user = &b;
    EXPECT_OK(http_server_create(b.loop, &o, &server, &err));
    s = (struct sender){http_server_port(server), bytes.ptr, bytes.len};
    n_moved = 0;
    EXPECT_TRUE(pthread_create(&thread, NULL, send_main, &s) == 0);
    loop_run(b.loop);
    EXPECT_EQ_INT(b.status, 200);
    EXPECT_EQ_SIZE(b.body_bytes, N_CHUNKS);
    EXPECT_TRUE(n_moved <= 2 * bytes.len);
    http_server_destroy(server);
    pthread_join(thread, NULL);
    loop_destroy(b.loop);
    buf_done(&bytes);
}
