#include "net/http_client.h"
#include "net/permit.h"
#include "support/client_bench.h"
#include "support/script_peer.h"
#include "support/test.h"

#include <stdio.h>

#define OK_ABC "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"

TEST(request_as_written_and_answer_as_read)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    const struct http_field field = {STR("x-a"), STR("b c")};
    struct http_call_options q = client_bench_post;
    struct script_peer peer;
    struct client_bench b;
    struct answer a = {0};
    char want[256];

    script_peer_start(&peer, steps);
    snprintf(want, sizeof(want), "http://127.0.0.1:%u/base/", (unsigned)peer.port);
    client_bench_start(&b, 0, &(struct http_origin_options){.url = str_from_c(want)});
    q.fields = &field;
    q.n_fields = 1;
    client_bench_call(&b, &a, &q);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a.rc, OK);
    EXPECT_EQ_INT(a.phase, HTTP_CALL_END);
    EXPECT_EQ_U32(a.status, 200);
    EXPECT_EQ_STR(buf_str(&a.body), STR("abc"));
    EXPECT_EQ_STR(a.fields, STR("Content-Length: 3\n"));
    EXPECT_EQ_U32(http_client_idle_count(b.origin), 1);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    snprintf(want, sizeof(want),
             "POST /base/x HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nx-a: b c\r\ncontent-length: 5\r\n\r\n"
             "hello",
             (unsigned)peer.port);
    EXPECT_EQ_STR(buf_str(&peer.got), str_from_c(want));
    buf_done(&peer.got);
    client_bench_done(&a);
}

TEST(answers_of_every_framing)
{
    static const struct {
        const char *bytes;
        const char *body;
        bool close;
    } list[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
         "abc", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
         "abc", false},
        {"HTTP/1.1 200 OK\r\n\r\nabc", "abc", true},
        {"HTTP/1.0 200 OK\r\n\r\nabc", "abc", true},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "abc", true},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" OK_ABC, "abc",
         false},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        for (int how = 0; how < 2; how++) {
            const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                                {.op = SCRIPT_READ},
                                                {how == 0 ? SCRIPT_SEND : SCRIPT_DRIP,
                                                 list[i].bytes, 0},
                                                {.op = list[i].close ? SCRIPT_CLOSE : SCRIPT_GONE},
                                                {.op = SCRIPT_END}};
            struct answer a = {0};

            client_bench_script(steps, &client_bench_get, &a);
            EXPECT_STATUS(a.rc, OK);
            EXPECT_EQ_INT(a.phase, HTTP_CALL_END);
            EXPECT_EQ_U32(a.n_heads, 1);
            EXPECT_EQ_STR(buf_str(&a.body), str_from_c(list[i].body));
            client_bench_done(&a);
        }
    }
}

TEST(a_kept_connection_is_used_again)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    for (int i = 0; i < 2; i++) {
        struct answer a = {0};

        client_bench_call(&b, &a, &client_bench_post);
        client_bench_run(&b, 0);
        EXPECT_STATUS(a.rc, OK);
        EXPECT_EQ_STR(buf_str(&a.body), STR("abc"));
        client_bench_done(&a);
    }
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    EXPECT_EQ_U32(peer.n_conns, 1);
    buf_done(&peer.got);
}

TEST(a_connection_closed_at_the_moment_of_reuse_is_replaced_once)
{
    // The server reads the second request and closes: it was on its way out already.
    static const struct script_step once[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                              {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_READ},
                                              {.op = SCRIPT_CLOSE},     {.op = SCRIPT_ACCEPT},
                                              {.op = SCRIPT_READ},      {SCRIPT_SEND, OK_ABC, 0},
                                              {.op = SCRIPT_GONE},      {.op = SCRIPT_END}};
    static const struct script_step twice[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_READ},
                                               {.op = SCRIPT_RESET},     {.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},      {.op = SCRIPT_CLOSE},
                                               {.op = SCRIPT_END}};
    static const struct script_step half[] = {{.op = SCRIPT_ACCEPT},     {.op = SCRIPT_READ},
                                              {SCRIPT_SEND, OK_ABC, 0},  {.op = SCRIPT_READ},
                                              {SCRIPT_SEND, "HTTP/", 0}, {.op = SCRIPT_CLOSE},
                                              {.op = SCRIPT_END}};
    const struct {
        const struct script_step *steps;
        uint32_t n_conns;
        enum status rc;
        enum http_call_phase phase;
    } list[] = {
        {once, 2, OK, HTTP_CALL_END},
        {twice, 2, E_CLOSED, HTTP_CALL_WAIT},
        {half, 1, E_CLOSED, HTTP_CALL_HEAD},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct script_peer peer;
        struct client_bench b;
        struct answer a[2] = {0};

        script_peer_start(&peer, list[i].steps);
        client_bench_start(&b, peer.port, NULL);
        for (int k = 0; k < 2; k++) {
            client_bench_call(&b, &a[k], &client_bench_post);
            client_bench_run(&b, 0);
        }
        EXPECT_STATUS(a[1].rc, list[i].rc);
        EXPECT_EQ_INT(a[1].phase, list[i].phase);
        client_bench_stop(&b);
        script_peer_stop(&peer);
        EXPECT_TRUE(script_peer_complete(&peer));
        EXPECT_EQ_U32(peer.n_conns, list[i].n_conns);
        client_bench_done(&a[0]);
        client_bench_done(&a[1]);
        buf_done(&peer.got);
    }
}

TEST(what_the_server_closes_while_idle_is_not_used_again)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_CLOSE},
                                               {.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;
    struct answer a[2] = {0};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    client_bench_call(&b, &a[0], &client_bench_get);
    client_bench_run(&b, 0);
    while (http_client_idle_count(b.origin) > 0) {
        client_bench_pass(&b, 1);
    }
    client_bench_call(&b, &a[1], &client_bench_get);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a[1].rc, OK);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    client_bench_done(&a[0]);
    client_bench_done(&a[1]);
    buf_done(&peer.got);
}

TEST(no_connection_has_a_phase_and_a_reason)
{
    struct client_bench b;
    struct answer a = {0};

    client_bench_start(&b, script_peer_dead_port(), NULL);
    client_bench_call(&b, &a, &client_bench_get);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a.rc, E_IO);
    EXPECT_EQ_INT(a.phase, HTTP_CALL_CONNECT);
    EXPECT_CONTAINS(a.why, "refused");
    client_bench_stop(&b);
    client_bench_done(&a);
}

TEST(a_label_over_the_ceiling_is_denied)
{
    struct http_call_options q = client_bench_get;
    struct http_call *call = NULL;
    struct client_bench b;
    struct error err = {0};

    client_bench_start(&b, 1, NULL);
    q.label = LABEL_PRIVATE;
    EXPECT_STATUS(http_call_start(b.origin, &q, &call, &err), E_DENIED);
    EXPECT_CONTAINS(err.text, "private");
    client_bench_stop(&b);
}

TEST(fields_that_would_break_the_head_are_refused)
{
    const struct http_field list[] = {{STR("a"), STR("b\r\nx: y")},
                                      {STR("a b"), STR("c")},
                                      {STR(""), STR("c")},
                                      {STR("a"), {"\0", 1}}};
    struct http_call *call = NULL;
    struct client_bench b;
    struct error err = {0};

    client_bench_start(&b, 1, NULL);
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct http_call_options q = client_bench_get;

        q.fields = &list[i];
        q.n_fields = 1;
        EXPECT_STATUS(http_call_start(b.origin, &q, &call, &err), E_INVALID);
    }
    client_bench_stop(&b);
}

TEST(cancel_closes_at_once)
{
    static const struct script_step steps[] =
        {{.op = SCRIPT_ACCEPT},
         {.op = SCRIPT_READ},
         {SCRIPT_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0},
         {.op = SCRIPT_GONE},
         {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;
    struct answer a = {.cancel_at = 3};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    client_bench_call(&b, &a, &client_bench_get);
    client_bench_run(&b, 0);
    EXPECT_FALSE(a.ended);
    script_peer_stop(&peer); // while nothing runs the loop any more
    EXPECT_TRUE(script_peer_complete(&peer));
    EXPECT_EQ_U32(http_client_idle_count(b.origin), 0);
    client_bench_stop(&b);
    client_bench_done(&a);
    buf_done(&peer.got);
}

TEST(pause_stops_reading_and_loses_nothing)
{
    static const struct script_step steps[] =
        {{.op = SCRIPT_ACCEPT},
         {.op = SCRIPT_READ},
         {SCRIPT_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", 0},
         {SCRIPT_FLOOD, NULL, 3000000},
         {.op = SCRIPT_GONE},
         {.op = SCRIPT_END}};
    struct answer a = {.pause_every = 1};

    client_bench_script(steps, &client_bench_get, &a);
    EXPECT_STATUS(a.rc, OK);
    EXPECT_EQ_SIZE(a.body.len, 3000000);
    client_bench_done(&a);
}
