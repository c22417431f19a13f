#include "support/client_bench.h"
#include "net/permit.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

static const struct permit permit = {LABEL_INTERNAL, "test"};
static const struct str hello[] = {{"hel", 3}, {"lo", 2}};

const struct http_call_options client_bench_get = {
    .permit = &permit,
    .method = {"GET", 3},
    .target = {"/x", 2},
};

const struct http_call_options client_bench_post = {
    .permit = &permit,
    .method = {"POST", 4},
    .target = {"/x", 2},
    .pieces = hello,
    .n_pieces = 2,
};

static void on_alarm(void *user)
{
    struct client_bench *b = user;

    loop_stop(b->loop);
}

void client_bench_start_in(struct client_bench *b, struct loop *loop, uint16_t port,
                           const struct http_origin_options *options)
{
    struct http_origin_options o = options != NULL ? *options : (struct http_origin_options){0};
    struct error err = {0};
    char url[64];

    *b = (struct client_bench){.loop = loop, .alarm = {.on_due = on_alarm, .user = b}};
    EXPECT_OK(http_client_create(b->loop, &b->client, &err));
    if (o.url.len == 0) {
        snprintf(url, sizeof(url), "http://127.0.0.1:%u", (unsigned)port);
        o.url = str_from_c(url);
    }
    EXPECT_OK(http_client_origin(b->client, &o, &b->origin, &err));
}

void client_bench_start(struct client_bench *b, uint16_t port,
                        const struct http_origin_options *options)
{
    struct loop *loop = NULL;
    struct error err = {0};

    EXPECT_OK(loop_create(&loop, &err));
    client_bench_start_in(b, loop, port, options);
}

void client_bench_leave(struct client_bench *b)
{
    EXPECT_EQ_U32(b->n_running, 0);
    http_client_release_origin(b->origin);
    http_client_destroy(b->client);
    loop_timer_stop(&b->alarm);
}

void client_bench_stop(struct client_bench *b)
{
    client_bench_leave(b);
    loop_destroy(b->loop);
}

static void over(struct answer *a)
{
    struct client_bench *b = a->bench;

    a->call = NULL;
    b->n_running--;
    if (b->n_running <= b->wanted) {
        loop_stop(b->loop);
    }
}

static void on_head(void *user, const struct http_head *head)
{
    struct answer *a = user;

    a->n_heads++;
    a->status = head->status;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        buf_printf(&a->text, "%.*s: %.*s\n", STR_ARG(head->fields[i].name),
                   STR_ARG(head->fields[i].value));
    }
    a->fields = buf_str(&a->text);
    a->encoded = head->encoded;
    if (a->cancel_at_head) {
        http_call_cancel(a->call);
        over(a);
    }
}

static void on_resume(void *user)
{
    struct answer *a = user;

    if (a->call != NULL) {
        http_call_resume(a->call);
    }
}

static void on_body(void *user, struct str piece)
{
    struct answer *a = user;

    buf_append_str(&a->body, piece);
    a->n_pieces++;
    if (a->cancel_at != 0 && a->body.len >= a->cancel_at) {
        http_call_cancel(a->call);
        over(a);
    } else if (a->pause_every != 0 && a->n_pieces % a->pause_every == 0) {
        http_call_pause(a->call);
        if (a->stay_paused) {
            loop_stop(a->bench->loop);
            return;
        }
        loop_timer_set(a->bench->loop, &a->resume, loop_now_ns(a->bench->loop) + NS_PER_MS);
    }
}

static void on_end(void *user, enum status rc, enum http_call_phase phase, const struct error *why)
{
    struct answer *a = user;

    EXPECT_FALSE(a->ended);
    a->ended = true;
    a->rc = rc;
    a->phase = phase;
    if (why != NULL) {
        snprintf(a->why, sizeof(a->why), "%s", why->text);
    }
    if (a->then != NULL) {
        client_bench_call(a->bench, a->then, &a->options);
    }
    over(a);
}

static const struct http_call_events events = {on_head, on_body, on_end};

void client_bench_call(struct client_bench *b, struct answer *a,
                       const struct http_call_options *options)
{
    struct http_call_options o = *options;
    struct error err = {0};

    a->bench = b;
    a->resume.on_due = on_resume;
    a->resume.user = a;
    buf_init(&a->body, SIZE_MAX);
    buf_init(&a->text, SIZE_MAX);
    o.events = &events;
    o.user = a;
    a->options = o;
    EXPECT_OK(http_call_start(b->origin, &o, &a->call, &err));
    EXPECT_FALSE(a->ended);
    b->n_running++;
}

void client_bench_run(struct client_bench *b, uint32_t left)
{
    b->wanted = left;
    if (b->n_running > left) {
        loop_timer_set(b->loop, &b->alarm, loop_now_ns(b->loop) + 20000 * NS_PER_MS);
        loop_run(b->loop);
        loop_timer_set(b->loop, &b->alarm, 0);
    }
    EXPECT_TRUE(b->n_running <= left);
}

void client_bench_pass(struct client_bench *b, uint32_t ms)
{
    loop_timer_set(b->loop, &b->alarm, loop_now_ns(b->loop) + ms * NS_PER_MS);
    loop_run(b->loop);
    loop_timer_set(b->loop, &b->alarm, 0);
}

void client_bench_done(struct answer *a)
{
    loop_timer_stop(&a->resume);
    buf_done(&a->body);
    buf_done(&a->text);
}

void client_bench_script(const struct script_step *steps, const struct http_call_options *options,
                         struct answer *ret)
{
    struct script_peer peer;
    struct client_bench b;

    script_peer_start(&peer, steps);
    client_bench_start(&b, peer.port, NULL);
    client_bench_call(&b, ret, options);
    client_bench_run(&b, 0);
    client_bench_stop(&b);
    script_peer_stop(&peer);
    buf_done(&peer.got);
}
