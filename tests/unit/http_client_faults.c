/* What can go wrong between client and server, and what the client makes of it. */
#include "net/http_client.h"
#include "support/client_bench.h"
#include "support/script_peer.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK_ABC "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
#define CHUNKED                                                                                    \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

TEST(an_answer_cut_in_two_packets_anywhere)
{
    char first[sizeof(CHUNKED)];

    for (size_t cut = 1; cut < strlen(CHUNKED); cut++) {
        const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                            {.op = SCRIPT_READ},
                                            {SCRIPT_SEND, first, 0},
                                            {.op = SCRIPT_SLEEP_MS, .n = 1},
                                            {SCRIPT_SEND, &CHUNKED[cut], 0},
                                            {.op = SCRIPT_GONE},
                                            {.op = SCRIPT_END}};
        struct answer a = {0};

        memcpy(first, CHUNKED, cut);
        first[cut] = '\0';
        client_bench_script(steps, &client_bench_get, &a);
        EXPECT_STATUS(a.rc, OK);
        EXPECT_EQ_STR(buf_str(&a.body), STR("abcdef"));
        client_bench_done(&a);
    }
}

/* No close, wherever it comes, may look like a complete answer. */
TEST(an_answer_closed_anywhere_is_cut_off)
{
    char first[sizeof(CHUNKED)];
    const size_t head = str_find(STR(CHUNKED), STR("\r\n\r\n"), 0) + 4;

    for (int how = 0; how < 2; how++) {
        for (size_t cut = 0; cut < strlen(CHUNKED); cut++) {
            const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                                {.op = SCRIPT_READ},
                                                {SCRIPT_SEND, first, 0},
                                                {.op = how == 0 ? SCRIPT_CLOSE : SCRIPT_RESET},
                                                {.op = SCRIPT_END}};
            struct answer a = {0};

            memcpy(first, CHUNKED, cut);
            first[cut] = '\0';
            client_bench_script(steps, &client_bench_get, &a);
            EXPECT_TRUE(a.rc == E_CLOSED || (how == 1 && a.rc == E_IO));
            EXPECT_TRUE(str_starts(STR("abcdef"), buf_str(&a.body)));
            if (how == 0) { // a reset may overtake what was sent
                EXPECT_EQ_INT(a.phase, cut == 0     ? HTTP_CALL_WAIT
                                       : cut < head ? HTTP_CALL_HEAD
                                                    : HTTP_CALL_BODY);
            }
            client_bench_done(&a);
        }
    }
}

TEST(hostile_answers_are_refused)
{
    static char long_head[80000] = "HTTP/1.1 200 OK\r\nx: ";
    static const struct {
        const char *bytes;
        enum status rc;
        enum http_call_phase phase;
        const char *why;
    } list[] = {
        {"220 mail.example ESMTP\r\n\r\n", E_INVALID, HTTP_CALL_HEAD, "HTTP/1.1"},
        {"HTTP/2 200\r\n\r\n", E_INVALID, HTTP_CALL_HEAD, "HTTP/1.1"},
        {"\x16\x03\x01\x02", E_INVALID, HTTP_CALL_HEAD, "control"},
        {"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", E_INVALID, HTTP_CALL_HEAD, "CR LF"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", E_INVALID,
         HTTP_CALL_HEAD, "once"},
        {"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", E_INVALID, HTTP_CALL_HEAD, "decimal"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", E_INVALID,
         HTTP_CALL_HEAD, "exclude"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", E_INVALID, HTTP_CALL_HEAD,
         "protocol"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", E_INVALID, HTTP_CALL_BODY,
         "hexadecimal"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", E_INVALID,
         HTTP_CALL_BODY, "longer"},
        {long_head, E_LIMIT, HTTP_CALL_HEAD, "too large"},
    };

    memset(long_head + 20, 'x', sizeof(long_head) - 21);
    for (size_t i = 0; i < COUNT(list); i++) {
        const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                            {.op = SCRIPT_READ},
                                            {SCRIPT_SEND, list[i].bytes, 0},
                                            {.op = SCRIPT_GONE},
                                            {.op = SCRIPT_END}};
        struct answer a = {0};

        client_bench_script(steps, &client_bench_get, &a);
        EXPECT_STATUS(a.rc, list[i].rc);
        EXPECT_EQ_INT(a.phase, list[i].phase);
        EXPECT_CONTAINS(a.why, list[i].why);
        client_bench_done(&a);
    }
}

TEST(interim_answers_without_end_are_refused)
{
    static char bytes[4096];
    const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                        {.op = SCRIPT_READ},
                                        {SCRIPT_SEND, bytes, 0},
                                        {.op = SCRIPT_GONE},
                                        {.op = SCRIPT_END}};
    struct answer a = {0};
    size_t n = 0;

    for (int i = 0; i < 20; i++) {
        n += (size_t)snprintf(bytes + n, sizeof(bytes) - n, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    client_bench_script(steps, &client_bench_get, &a);
    EXPECT_STATUS(a.rc, E_LIMIT);
    EXPECT_CONTAINS(a.why, "interim");
    client_bench_done(&a);
}

TEST(surplus_bytes_end_the_connection_but_not_the_answer)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC "HTTP/1.1 200 OK\r\n", 0},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    for (int i = 0; i < 2; i++) {
        struct answer a = {0};

        client_bench_call(&b, &a, &client_bench_get);
        client_bench_run(&b, 0);
        EXPECT_STATUS(a.rc, OK);
        EXPECT_EQ_STR(buf_str(&a.body), STR("abc"));
        EXPECT_EQ_U32(http_client_idle_count(b.origin), i == 0 ? 0 : 1);
        client_bench_done(&a);
    }
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    buf_done(&peer.got);
}

TEST(bytes_that_nobody_asked_for_end_an_idle_connection)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0},
                                               {.op = SCRIPT_SLEEP_MS, .n = 10},
                                               {SCRIPT_SEND, "HTTP/1.1 200 OK\r\n", 0},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;
    struct answer a = {0};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    client_bench_call(&b, &a, &client_bench_get);
    client_bench_run(&b, 0);
    for (int i = 0; i < 2000 && http_client_idle_count(b.origin) > 0; i++) {
        client_bench_pass(&b, 1);
    }
    EXPECT_EQ_U32(http_client_idle_count(b.origin), 0);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    client_bench_done(&a);
    buf_done(&peer.got);
}

TEST(every_deadline_names_its_phase)
{
    static const struct {
        const char *bytes;
        uint32_t first_ms, idle_ms, total_ms;
        enum http_call_phase phase;
        const char *why;
    } list[] = {
        {"", 40, 0, 0, HTTP_CALL_WAIT, "did not answer"},
        {"HTTP/1.1 200 OK\r\n", 40, 0, 0, HTTP_CALL_HEAD, "head"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 0, 40, 0, HTTP_CALL_BODY, "middle"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 0, 0, 40, HTTP_CALL_BODY, "complete"},
        {"", 0, 0, 40, HTTP_CALL_WAIT, "did not answer"},
    };

    for (size_t i = 0; i < COUNT(list); i++) {
        const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                            {.op = SCRIPT_READ},
                                            {SCRIPT_SEND, list[i].bytes, 0},
                                            {.op = SCRIPT_GONE},
                                            {.op = SCRIPT_END}};
        struct http_call_options q = client_bench_get;
        struct answer a = {0};

        q.first_byte_timeout_ms = list[i].first_ms;
        q.idle_timeout_ms = list[i].idle_ms;
        q.total_timeout_ms = list[i].total_ms;
        client_bench_script(steps, &q, &a);
        EXPECT_STATUS(a.rc, E_TIMEOUT);
        EXPECT_EQ_INT(a.phase, list[i].phase);
        EXPECT_CONTAINS(a.why, list[i].why);
        client_bench_done(&a);
    }
}

/* Bytes that keep coming move the idle deadline, but not the total one. */
TEST(a_dripping_answer_meets_the_total_deadline)
{
    static char bytes[4000] = "HTTP/1.1 200 OK\r\n\r\n";
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_DRIP, bytes, 0},
                                               {.op = SCRIPT_END}};
    struct http_call_options q = client_bench_get;
    struct answer a = {0};

    memset(bytes + 19, 'x', sizeof(bytes) - 20);
    q.idle_timeout_ms = 60;
    q.total_timeout_ms = 120;
    client_bench_script(steps, &q, &a);
    EXPECT_STATUS(a.rc, E_TIMEOUT);
    EXPECT_TRUE(a.body.len > 0);
    client_bench_done(&a);
}

TEST(paused_time_is_not_idle_time)
{
    static const struct script_step steps[] =
        {{.op = SCRIPT_ACCEPT},
         {.op = SCRIPT_READ},
         {SCRIPT_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0},
         {SCRIPT_SEND, "3\r\ndef\r\n0\r\n\r\n", 0},
         {.op = SCRIPT_GONE},
         {.op = SCRIPT_END}};
    struct http_call_options q = client_bench_get;
    struct script_peer peer;
    struct client_bench b;
    struct answer a = {.pause_every = 1, .stay_paused = true};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    q.idle_timeout_ms = 20;
    client_bench_call(&b, &a, &q);
    loop_run(b.loop); // until the pause
    EXPECT_EQ_STR(buf_str(&a.body), STR("abc"));
    client_bench_pass(&b, 60);
    EXPECT_FALSE(a.ended);
    EXPECT_EQ_STR(buf_str(&a.body), STR("abc"));
    http_call_resume(a.call);
    a.pause_every = 0;
    client_bench_run(&b, 0);
    EXPECT_STATUS(a.rc, OK);
    EXPECT_EQ_STR(buf_str(&a.body), STR("abcdef"));
    client_bench_stop(&b);
    script_peer_stop(&peer);
    client_bench_done(&a);
    buf_done(&peer.got);
}

TEST(a_body_over_the_limit_ends_the_call)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_SEND,
                                                "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n",
                                                0},
                                               {SCRIPT_FLOOD, NULL, 200000},
                                               {.op = SCRIPT_END}};
    struct http_call_options q = client_bench_get;
    struct answer a = {0};

    q.body_bytes_max = 100000;
    client_bench_script(steps, &q, &a);
    EXPECT_STATUS(a.rc, E_LIMIT);
    EXPECT_EQ_INT(a.phase, HTTP_CALL_BODY);
    EXPECT_TRUE(a.body.len <= 100000);
    client_bench_done(&a);
}

TEST(an_early_answer_to_a_large_body_arrives)
{
    static const char answer[] = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_SLEEP_MS, .n = 20},
                                               {SCRIPT_SEND, answer, 0},
                                               {.op = SCRIPT_FINISH},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct http_call_options q = client_bench_post;
    char *bytes = calloc(1, 30000000);
    const struct str piece = {bytes, 30000000};
    struct answer a = {0};

    q.pieces = &piece;
    q.n_pieces = 1;
    client_bench_script(steps, &q, &a);
    EXPECT_STATUS(a.rc, OK);
    EXPECT_EQ_U32(a.status, 413);
    EXPECT_EQ_STR(buf_str(&a.body), STR("no"));
    client_bench_done(&a);
    free(bytes);
}

TEST(many_pieces_arrive_as_one_body)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},
                                               {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0},
                                               {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    enum { N = 500 };
    static struct str pieces[N];
    static char bytes[N * 7000];
    struct http_call_options q = client_bench_post;
    struct script_peer peer;
    struct client_bench b;
    struct answer a = {0};
    size_t n = 0;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)('a' + i * 7 % 26);
    }
    for (size_t i = 0; i < N; i++) {
        const size_t len = i % 5 == 0 ? 0 : (i * 131) % 7000;

        pieces[i] = (struct str){bytes + n, len};
        n += len;
    }
    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    q.pieces = pieces;
    q.n_pieces = N;
    client_bench_call(&b, &a, &q);
    client_bench_run(&b, 0);
    EXPECT_STATUS(a.rc, OK);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_TRUE(str_ends(buf_str(&peer.got), (struct str){bytes, n}));
    client_bench_done(&a);
    buf_done(&peer.got);
}

TEST(cancel_in_every_state)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;
    struct answer a[3] = {{0}, {0}, {.cancel_at_head = true}};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    client_bench_call(&b, &a[0], &client_bench_get);
    http_call_cancel(a[0].call); // before anything was done
    b.n_running--;
    client_bench_pass(&b, 1);
    client_bench_call(&b, &a[1], &client_bench_get);
    client_bench_pass(&b, 20);
    http_call_cancel(a[1].call); // while it waits for the answer
    b.n_running--;
    client_bench_call(&b, &a[2], &client_bench_get);
    client_bench_run(&b, 0);
    EXPECT_EQ_U32(a[2].n_heads, 1);
    EXPECT_FALSE(a[0].ended || a[1].ended || a[2].ended);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    client_bench_stop(&b);
    for (int i = 0; i < 3; i++) {
        client_bench_done(&a[i]);
    }
    buf_done(&peer.got);
}

TEST(a_call_begun_from_the_end_of_another_uses_its_connection)
{
    static const struct script_step steps[] = {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_READ},
                                               {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},
                                               {.op = SCRIPT_END}};
    struct script_peer peer;
    struct client_bench b;
    struct answer a[3] = {{.then = &a[1]}, {.then = &a[2]}, {0}};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    client_bench_call(&b, &a[0], &client_bench_post);
    client_bench_run(&b, 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_STATUS(a[i].rc, OK);
        EXPECT_EQ_STR(buf_str(&a[i].body), STR("abc"));
        client_bench_done(&a[i]);
    }
    client_bench_stop(&b);
    script_peer_stop(&peer);
    EXPECT_EQ_U32(peer.n_conns, 1);
    buf_done(&peer.got);
}

TEST(idle_connections_end_by_time_and_number)
{
    static const struct script_step steps[] =
        {{.op = SCRIPT_ACCEPT},    {.op = SCRIPT_READ},      {.op = SCRIPT_ACCEPT},
         {.op = SCRIPT_READ},      {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_USE, .n = 0},
         {SCRIPT_SEND, OK_ABC, 0}, {.op = SCRIPT_GONE},      {.op = SCRIPT_USE, .n = 1},
         {.op = SCRIPT_GONE},      {.op = SCRIPT_END}};
    const struct http_origin_options o = {.idle_max = 1, .idle_timeout_ms = 30};
    struct script_peer peer;
    struct client_bench b;
    struct answer a[2] = {0};

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, &o);
    client_bench_call(&b, &a[0], &client_bench_get);
    client_bench_call(&b, &a[1], &client_bench_get);
    client_bench_run(&b, 0);
    EXPECT_EQ_U32(http_client_idle_count(b.origin), 1); // of two
    client_bench_pass(&b, 100);
    EXPECT_EQ_U32(http_client_idle_count(b.origin), 0);
    EXPECT_EQ_U32(http_client_connection_count(b.origin), 0);
    script_peer_stop(&peer);
    EXPECT_TRUE(script_peer_complete(&peer));
    client_bench_stop(&b);
    client_bench_done(&a[0]);
    client_bench_done(&a[1]);
    buf_done(&peer.got);
}

TEST(a_head_request_has_no_body_and_an_encoding_is_flagged)
{
    static const struct script_step steps[] =
        {{.op = SCRIPT_ACCEPT},
         {.op = SCRIPT_READ},
         {SCRIPT_SEND, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", 0},
         {.op = SCRIPT_GONE},
         {.op = SCRIPT_END}};
    struct http_call_options q = client_bench_get;
    struct answer a = {0};

    q.method = STR("HEAD");
    client_bench_script(steps, &q, &a);
    EXPECT_STATUS(a.rc, OK);
    EXPECT_TRUE(a.encoded);
    EXPECT_EQ_SIZE(a.body.len, 0);
    client_bench_done(&a);
}
