/* A client that resets its connection right behind its request, before the server has looked. */
#include "net/http_server.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct bench {
    struct loop *loop;
    struct http_exchange *x;
    bool gone;
    struct loop_timer alarm;
};

static void on_gone(void *user)
{
    struct bench *b = user;

    b->gone = true;
    loop_stop(b->loop);
}

static void on_request(void *user, struct http_exchange *x)
{
    static const struct http_exchange_events events = {.on_gone = on_gone};
    struct bench *b = user;

    b->x = x;
    http_exchange_hold(x);
    http_exchange_listen(x, &events, b);
}

static void on_fault(void *user, struct http_exchange *x, const struct http_fault *fault)
{
    (void)user;
    http_exchange_reply(x, &(struct http_reply){.status = fault->http_status}, STR(""));
}

static void on_alarm(void *user)
{
    struct bench *b = user;

    loop_stop(b->loop);
}

static void pass(struct bench *b, uint64_t ms)
{
    loop_timer_set(b->loop, &b->alarm, loop_now_ns(b->loop) + ms * UINT64_C(1000000));
    loop_run(b->loop);
}

static int reach(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_port = htons(port);
    EXPECT_TRUE(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    return fd;
}

static void send_and_leave(int fd, bool reset)
{
    static const char request[] = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    const struct linger linger = {.l_onoff = 1};

    EXPECT_TRUE(send(fd, request, sizeof(request) - 1, 0) == (ssize_t)sizeof(request) - 1);
    if (reset) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    close(fd);
}

/* The server waits for a request already; then bytes and end come in one wake-up. */
TEST(a_client_that_leaves_behind_its_request_is_gone)
{
    for (int reset = 0; reset < 2; reset++) {
        struct bench b = {0};
        struct http_server_options o = {.host = "127.0.0.1",
                                        .server_name = "test",
                                        .events = {.on_request = on_request, .on_fault = on_fault},
                                        .user = &b};
        struct http_server *server = NULL;
        struct error err = {0};
        int fd;

        b.alarm.on_due = on_alarm;
        b.alarm.user = &b;
        EXPECT_OK(loop_create(&b.loop, &err));
        EXPECT_OK(http_server_create(b.loop, &o, &server, &err));
        fd = reach(http_server_port(server));
        for (int i = 0; i < 1000 && http_server_connection_count(server) == 0; i++) {
            pass(&b, 1);
        }
        pass(&b, 5);
        send_and_leave(fd, reset != 0);
        pass(&b, 1000);
        EXPECT_TRUE(b.gone || (b.x == NULL && http_server_connection_count(server) == 0));
        if (b.x != NULL) {
            http_exchange_release(b.x);
        }
        loop_timer_stop(&b.alarm);
        http_server_destroy(server);
        loop_destroy(b.loop);
    }
}
