#include "net/egress.h"
#include "net/permit.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct permit permit = {LABEL_INTERNAL, "test"};

TEST(urls_are_taken_apart)
{
    static const struct {
        const char *url;
        const char *host; // NULL: refused
        unsigned port;
        const char *target;
    } list[] = {
        {"http://a", "a", 80, "/"},
        {"HTTP://a:8000/v1?x#frag", "a", 8000, "/v1?x"},
        {"https://a/", "a", 443, "/"},
        {"http://[::1]:9/x", "::1", 9, "/x"},
        {"a:8000", NULL, 0, NULL},
        {"http://", NULL, 0, NULL},
        {"http://:80/", NULL, 0, NULL},
        {"http://a:0/", NULL, 0, NULL},
        {"http://a:65536/", NULL, 0, NULL},
        {"http://a:x/", NULL, 0, NULL},
        {"http://user@a/", NULL, 0, NULL},
        {"http://[::1/", NULL, 0, NULL},
        {"http://[::1]x/", NULL, 0, NULL},
        {"http://a/ b", NULL, 0, NULL},
        {"http://a/\r\nX: y", NULL, 0, NULL},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct egress_url u = {0};
        struct error err = {0};
        const enum status rc = egress_parse_url(str_from_c(list[i].url), &u, &err);

        if (list[i].host == NULL) {
            EXPECT_STATUS(rc, E_INVALID);
            continue;
        }
        EXPECT_OK(rc);
        EXPECT_EQ_STR(u.host, str_from_c(list[i].host));
        EXPECT_EQ_U32(u.port, list[i].port);
        EXPECT_EQ_STR(u.target, str_from_c(list[i].target));
    }
}

TEST(a_label_over_the_ceiling_does_not_pass)
{
    const struct egress_request q = {.method = STR("GET"),
                                     .url = STR("http://127.0.0.1:1/"),
                                     .label = LABEL_CONFIDENTIAL};
    struct error err = {0};
    int status = 0;

    EXPECT_STATUS(egress_call(&permit, &q, &status, &err), E_DENIED);
    EXPECT_CONTAINS(err.text, "confidential");
}

/* A server for one connection: reads what comes, sends `answer`, closes. */
struct stub {
    int fd;
    uint16_t port;
    const char *answer;
    bool mute; // keeps the connection open and says nothing
    char got[1024];
    pthread_t thread;
};

static void *stub_main(void *user)
{
    struct stub *s = user;
    const int fd = accept(s->fd, NULL, NULL);
    const ssize_t n = recv(fd, s->got, sizeof(s->got) - 1, 0);

    s->got[n > 0 ? n : 0] = '\0';
    if (!s->mute) {
        (void)!write(fd, s->answer, strlen(s->answer));
        shutdown(fd, SHUT_WR);
    }
    while (recv(fd, (char[64]){0}, 64, 0) > 0) {
    }
    close(fd);
    return NULL;
}

static void stub_start(struct stub *s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);

    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_TRUE(bind(s->fd, (struct sockaddr *)&addr, len) == 0);
    EXPECT_TRUE(listen(s->fd, 1) == 0);
    EXPECT_TRUE(getsockname(s->fd, (struct sockaddr *)&addr, &len) == 0);
    s->port = ntohs(addr.sin_port);
    EXPECT_TRUE(pthread_create(&s->thread, NULL, stub_main, s) == 0);
}

static bool keep_body(void *user, struct str piece)
{
    buf_append_str(user, piece);
    return true;
}

/* One call against a stub. */
static enum status call(struct stub *s, struct buf *body, int *ret_status, struct error *err)
{
    char url[64];
    struct egress_request q = {
        .method = STR("POST"),
        .body = STR("hello"),
        .first_byte_timeout_ms = 200,
        .idle_timeout_ms = 200,
        .on_body = keep_body,
        .user = body,
    };
    enum status rc;

    stub_start(s);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", (unsigned)s->port);
    q.url = str_from_c(url);
    buf_init(body, 1 << 20);
    rc = egress_call(&permit, &q, ret_status, err);
    pthread_join(s->thread, NULL);
    close(s->fd);
    return rc;
}

TEST(answers_of_all_framings)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nabc",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct stub s = {.answer = answers[i]};
        struct error err = {0};
        struct buf body;
        int status = 0;

        EXPECT_OK(call(&s, &body, &status, &err));
        EXPECT_EQ_INT(status, 200);
        EXPECT_EQ_STR(buf_str(&body), STR("abc"));
        EXPECT_CONTAINS(s.got, "POST /x HTTP/1.1\r\nhost: 127.0.0.1:");
        EXPECT_CONTAINS(s.got, "content-length: 5\r\n\r\nhello");
        buf_done(&body);
    }
}

TEST(broken_answers_have_their_errors)
{
    static const struct {
        const char *answer;
        enum status want;
    } list[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", E_CLOSED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", E_CLOSED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", E_INVALID},
        {"SSH-2.0-x\r\n\r\n", E_INVALID},
        {"", E_CLOSED},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct stub s = {.answer = list[i].answer};
        struct error err = {0};
        struct buf body;
        int status = 0;

        EXPECT_STATUS(call(&s, &body, &status, &err), list[i].want);
        buf_done(&body);
    }
}

TEST(silence_is_a_timeout)
{
    struct stub s = {.mute = true};
    struct error err = {0};
    struct buf body;
    int status = 0;

    EXPECT_STATUS(call(&s, &body, &status, &err), E_TIMEOUT);
    EXPECT_CONTAINS(err.text, "in time");
    buf_done(&body);
}

TEST(nobody_listens)
{
    struct egress_request q = {.method = STR("GET")};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    const int fd = socket(AF_INET, SOCK_STREAM, 0); // bound, not listening
    struct error err = {0};
    char url[64];
    int status = 0;

    EXPECT_TRUE(bind(fd, (struct sockaddr *)&addr, len) == 0);
    EXPECT_TRUE(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned)ntohs(addr.sin_port));
    q.url = str_from_c(url);
    EXPECT_STATUS(egress_call(&permit, &q, &status, &err), E_IO);
    EXPECT_CONTAINS(err.text, "Is the server running?");
    close(fd);
}
