/* Names, addresses and connecting.  The lookup is the test's own. */
#include "net/http_client.h"
#include "support/client_bench.h"
#include "support/script_peer.h"
#include "support/test.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define OK_ABC "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"

/* What the next lookups say. */
static _Atomic uint16_t ports[4];
static atomic_uint n_ports;
static atomic_uint hang_ms;
static atomic_uint n_lookups;

static void lookup(const char *host, uint16_t port, struct http_resolved *ret)
{
    (void)port;
    atomic_fetch_add(&n_lookups, 1);
    if (hang_ms > 0) {
        usleep(hang_ms * 1000);
    }
    if (n_ports == 0) {
        ret->rc = E_IO;
        snprintf(ret->text, sizeof(ret->text), "no such name as %s", host);
        return;
    }
    for (uint32_t i = 0; i < n_ports; i++) {
        ret->addresses[i].len = sizeof(struct sockaddr_in);
        ret->addresses[i].to.v4.sin_family = AF_INET;
        ret->addresses[i].to.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ret->addresses[i].to.v4.sin_port = htons(ports[i]);
    }
    ret->n_addresses = n_ports;
}

static void start(struct client_bench *b, uint32_t interval_ms)
{
    const struct http_origin_options o = {.url = STR("http://upstream.test:80"),
                                          .resolve_interval_ms = interval_ms};

    atomic_store(&n_lookups, 0);
    hang_ms = 0;
    client_bench_start(b, 0, &o);
    http_client_set_lookup(b->client, lookup);
}

static const struct script_step answer_twice[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                                  {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_READ},
                                                  {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},
                                                  {.op = SCRIPT_END}};
static const struct script_step answer_once[] = {{.op = SCRIPT_ACCEPT},
                                                 {.op = SCRIPT_READ},
                                                 {SCRIPT_SEND, OK_ABC, 0},
                                                 {.op = SCRIPT_GONE},
                                                 {.op = SCRIPT_END}};

static void call(struct client_bench *b, enum status want)
{
    struct answer a = {0};

    client_bench_call(b, &a, &client_bench_get);
    client_bench_run(b, 0);
    EXPECT_STATUS(a.rc, want);
    client_bench_done(&a);
}

TEST(a_name_is_looked_up_once_for_many_calls)
{
    struct script_peer peer;
    struct client_bench b;

    script_peer_start(&peer, answer_twice);
    ports[0] = peer.port;
    n_ports = 1;
    start(&b, 0);
    call(&b, OK);
    call(&b, OK);
    EXPECT_EQ_U32(atomic_load(&n_lookups), 1);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(str_find(buf_str(&peer.got), STR("host: upstream.test:80\r\n"), 0) != SIZE_MAX);
    buf_done(&peer.got);
}

TEST(the_next_address_is_tried_and_the_failed_one_last)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_CLOSE},
                                               {.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_CLOSE},
                                               {.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;

    script_peer_start(&peer, steps);
    ports[0] = script_peer_dead_port();
    ports[1] = peer.port;
    ports[2] = script_peer_dead_port();
    n_ports = 3;
    start(&b, 0);
    for (int i = 0; i < 3; i++) {
        call(&b, OK);
        while (i < 2 && http_client_idle_count(b.origin) > 0) {
            client_bench_pass(&b, 1);
        }
    }
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    buf_done(&peer.got);
}

TEST(all_addresses_failing_is_said_once)
{
    struct client_bench b;
    struct answer a = {0};

    ports[0] = script_peer_dead_port();
    ports[1] = script_peer_dead_port();
    n_ports = 2;
    start(&b, 0);
    client_bench_call(&b, &a, &client_bench_get);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a.rc, E_IO);
    EXPECT_EQ_INT(a.phase, HTTP_CALL_CONNECT);
    EXPECT_CONTAINS(a.why, "upstream.test port 80");
    client_bench_done(&a);
    client_bench_stop(&b);
}

TEST(a_name_that_is_not_found_may_be_found_later)
{
    struct script_peer peer;
    struct client_bench b;
    struct answer a[2] = {0};

    n_ports = 0;
    start(&b, 0);
    client_bench_call(&b, &a[0], &client_bench_get);
    client_bench_call(&b, &a[1], &client_bench_get);
    client_bench_run(&b, 0);
    for (int i = 0; i < 2; i++) {
        EXPECT_STATUS(a[i].rc, E_IO);
        EXPECT_EQ_INT(a[i].phase, HTTP_CALL_RESOLVE);
        EXPECT_CONTAINS(a[i].why, "no such name as upstream.test");
        client_bench_done(&a[i]);
    }
    EXPECT_EQ_U32(atomic_load(&n_lookups), 1); // both waited for the same one
    script_peer_start(&peer, answer_once);
    ports[0] = peer.port;
    n_ports = 1;
    call(&b, OK);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    buf_done(&peer.got);
}

TEST(a_hanging_lookup_meets_the_deadline_and_can_be_cancelled)
{
    struct http_call_options q = client_bench_get;
    struct client_bench b;
    struct answer a[2] = {0};

    n_ports = 1;
    start(&b, 0);
    hang_ms = 150;
    q.connect_timeout_ms = 30;
    client_bench_call(&b, &a[0], &q);
    client_bench_call(&b, &a[1], &client_bench_get);
    client_bench_run(&b, 1);
    EXPECT_STATUS(a[0].rc, E_TIMEOUT);
    EXPECT_EQ_INT(a[0].phase, HTTP_CALL_RESOLVE);
    http_call_cancel(a[1].call);
    b.n_running--;
    client_bench_stop(&b); // while the thread still hangs
    client_bench_done(&a[0]);
    client_bench_done(&a[1]);
    usleep(200 * 1000); // its result finds nobody
}

TEST(a_name_is_looked_up_again_and_moved_servers_are_left)
{
    struct script_peer first;
    struct script_peer second;
    struct client_bench b;

    script_peer_start(&first, answer_twice);
    script_peer_start(&second, answer_once);
    ports[0] = first.port;
    n_ports = 1;
    start(&b, 20);
    call(&b, OK);
    client_bench_pass(&b, 40);
    ports[0] = second.port;
    call(&b, OK); // on the kept connection; asks for the name again
    for (int i = 0; i < 2000 && http_client_idle_count(b.origin) > 0; i++) {
        client_bench_pass(&b, 1);
    }
    EXPECT_EQ_U32(http_client_idle_count(b.origin), 0);
    call(&b, OK);
    client_bench_stop(&b);
    script_peer_stop(&first);
    script_peer_stop(&second);
    EXPECT_TRUE(script_peer_complete(&first));
    EXPECT_TRUE(script_peer_complete(&second));
    buf_done(&first.got);
    buf_done(&second.got);
}

TEST(a_process_without_descriptors_blames_nobody_else)
{
    struct script_peer peer;
    struct client_bench b;
    struct answer a = {0};
    struct rlimit before;
    struct rlimit none;
    int fd;

    script_peer_start(&peer, answer_once);
    ports[0] = peer.port;
    n_ports = 1;
    start(&b, 0);
    fd = dup(0); // the lowest free one
    close(fd);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)fd + 1, before.rlim_max}; // one for the lookup's eventfd
    client_bench_call(&b, &a, &client_bench_get);
    setrlimit(RLIMIT_NOFILE, &none);
    client_bench_run(&b, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_STATUS(a.rc, E_LIMIT);
    EXPECT_EQ_INT(a.phase, HTTP_CALL_CONNECT);
    EXPECT_CONTAINS(a.why, "ulimit");
    call(&b, OK);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    client_bench_done(&a);
    buf_done(&peer.got);
}

/* A listener whose queue is full lets connections hang. */
TEST(an_address_that_hangs_leaves_time_for_the_next)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct http_call_options q = client_bench_get;
    struct script_peer peer;
    struct client_bench b;
    struct answer a[2] = {0};
    uint16_t port;
    const int full = script_peer_listen(&port);
    int fillers[8];

    listen(full, 0);
    addr.sin_port = htons(port);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&addr, sizeof(addr));
    }
    script_peer_start(&peer, answer_once);
    ports[0] = port;
    ports[1] = peer.port;
    n_ports = 2;
    start(&b, 0);
    q.connect_timeout_ms = 100;
    client_bench_call(&b, &a[0], &q);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a[0].rc, OK);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    n_ports = 1;
    start(&b, 0);
    client_bench_call(&b, &a[1], &q);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a[1].rc, E_TIMEOUT);
    EXPECT_EQ_INT(a[1].phase, HTTP_CALL_CONNECT);
    client_bench_stop(&b);
    for (int i = 0; i < 8; i++) {
        close(fillers[i]);
    }
    close(full);
    client_bench_done(&a[0]);
    client_bench_done(&a[1]);
    buf_done(&peer.got);
}
