/* Thousands of calls between our own client and server, each end doing at random what it may:
 * whole, streamed, cut-off and missing answers, pauses, cancels, deadlines, ends from inside
 * callbacks.
 * What is called complete must be complete, byte for byte; nothing may be left over. */
#include "base/rng.h"
#include "net/http_server.h"
#include "support/certificates.h"
#include "support/client_bench.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_CALLS 4000
#define N_PARALLEL 24
#define BODY_BYTES_MAX 200000
#define NS_PER_MS UINT64_C(1000000)

enum deed { REPLY, STREAM, STREAM_BROKEN, REPLY_CLOSE, SILENCE, N_DEEDS };

static char pattern[BODY_BYTES_MAX + 256];

struct world {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct http_origin *origin;
    uint64_t n_drawn;
    uint32_t n_begun;
    uint32_t n_running;
    uint32_t n_complete;
    uint32_t n_failed;
    uint32_t n_cancelled;
};

static uint32_t draw(struct world *w, uint32_t n)
{
    uint32_t words[4];

    rng_block(42, 7, w->n_drawn++, words);
    return words[0] % n;
}

/* --- the server's end --- */

struct stream {
    struct world *w;
    struct http_exchange *x;
    struct loop_timer timer;
    uint32_t at;
    uint32_t end;
    bool broken;
};

static void stream_over(struct stream *s)
{
    http_exchange_listen(s->x, NULL, NULL);
    http_exchange_release(s->x);
    loop_timer_stop(&s->timer);
    free(s);
}

static void on_gone(void *user)
{
    stream_over(user);
}

static void stream_some(void *user)
{
    struct stream *s = user;
    const uint32_t left = s->end - s->at;
    const uint32_t n = left < 3000 ? left : 1 + draw(s->w, left < 60000 ? left : 60000);

    if (left == 0) {
        if (s->broken) {
            http_exchange_break(s->x);
        } else {
            http_exchange_end(s->x);
        }
        stream_over(s);
        return;
    }
    (void)http_exchange_write(s->x, (struct str){pattern + s->at, n});
    s->at += n;
    loop_timer_set(s->w->loop, &s->timer, loop_now_ns(s->w->loop) + draw(s->w, 2) * 300000);
    if (s->timer.deadline_ns == 0) {
        stream_some(s);
    }
}

static const struct http_exchange_events gone_events = {.on_gone = on_gone};

static void hold(struct world *w, struct http_exchange *x, uint32_t n_bytes, enum deed deed)
{
    struct stream *s = calloc(1, sizeof(*s));

    *s = (struct stream){.w = w, .x = x, .end = n_bytes, .broken = deed == STREAM_BROKEN};
    s->timer.on_due = stream_some;
    s->timer.user = s;
    http_exchange_hold(x);
    http_exchange_listen(x, &gone_events, s);
    if (deed != SILENCE) {
        http_exchange_begin(x, &(struct http_reply){.status = 200});
        loop_timer_set(w->loop, &s->timer, loop_now_ns(w->loop) + 1);
    }
}

static void on_request(void *user, struct http_exchange *x)
{
    struct world *w = user;
    const struct str body = http_exchange_body(x);
    const uint32_t n_bytes = draw(w, 3) == 0 ? draw(w, BODY_BYTES_MAX) : draw(w, 500);
    // Silence costs the client its deadline: rarely.
    const uint32_t deed = draw(w, 60) == 0 ? (uint32_t)SILENCE : draw(w, SILENCE);

    EXPECT_EQ_STR(body, ((struct str){pattern, body.len}));
    if (deed == REPLY || deed == REPLY_CLOSE) {
        http_exchange_reply(x, &(struct http_reply){.status = 200, .close = deed == REPLY_CLOSE},
                            (struct str){pattern, n_bytes});
    } else {
        hold(w, x, n_bytes, (enum deed)deed);
    }
}

static void on_fault(void *user, struct http_exchange *x, const struct http_fault *fault)
{
    (void)user;
    http_exchange_reply(x, &(struct http_reply){.status = fault->http_status}, STR(""));
}

/* --- the client's end --- */

struct ask {
    struct world *w;
    struct http_call *call;
    struct loop_timer timer; // cancels or resumes
    struct str pieces[3];
    uint64_t content_length; // 0: not said
    uint64_t n_bytes;
    bool cancels;
    bool head;
    bool paused;
};

static void begin(struct world *w);

static void over(struct ask *a)
{
    struct world *w = a->w;

    loop_timer_stop(&a->timer);
    free(a);
    w->n_running--;
    begin(w);
    if (w->n_running == 0) {
        loop_stop(w->loop);
    }
}

static void cancel(struct ask *a)
{
    a->w->n_cancelled++;
    http_call_cancel(a->call);
    over(a);
}

static void on_timer(void *user)
{
    struct ask *a = user;

    if (a->cancels) {
        cancel(a);
    } else {
        a->paused = false;
        http_call_resume(a->call);
    }
}

static void on_head(void *user, const struct http_head *head)
{
    struct ask *a = user;

    EXPECT_EQ_U32(head->status, 200);
    EXPECT_FALSE(a->head);
    a->head = true;
    a->content_length = head->content_length;
    if (a->cancels && draw(a->w, 4) == 0) {
        cancel(a);
    }
}

static void on_body(void *user, struct str piece)
{
    struct ask *a = user;

    EXPECT_TRUE(a->head && !a->paused);
    EXPECT_TRUE(a->n_bytes + piece.len <= BODY_BYTES_MAX);
    EXPECT_TRUE(memcmp(piece.ptr, pattern + a->n_bytes, piece.len) == 0);
    a->n_bytes += piece.len;
    if (a->cancels && draw(a->w, 4) == 0) {
        cancel(a);
    } else if (!a->cancels && draw(a->w, 8) == 0) {
        a->paused = true;
        http_call_pause(a->call);
        loop_timer_set(a->w->loop, &a->timer, loop_now_ns(a->w->loop) + draw(a->w, 1000000) + 1);
    }
}

static void on_end(void *user, enum status rc, enum http_call_phase phase, const struct error *why)
{
    struct ask *a = user;

    EXPECT_TRUE((rc == OK) == (phase == HTTP_CALL_END));
    EXPECT_TRUE((rc == OK) == (why == NULL));
    if (rc == OK) {
        EXPECT_TRUE(a->head);
        EXPECT_TRUE(a->content_length == 0 || a->content_length == a->n_bytes);
        a->w->n_complete++;
    } else {
        EXPECT_TRUE(rc == E_CLOSED || rc == E_TIMEOUT || rc == E_IO);
        a->w->n_failed++;
    }
    over(a);
}

static void begin_one(struct world *w)
{
    static const struct http_call_events events = {on_head, on_body, on_end};
    struct ask *a = calloc(1, sizeof(*a));
    struct http_call_options q = client_bench_post;
    struct error err = {0};
    size_t at = 0;

    a->w = w;
    a->timer.on_due = on_timer;
    a->timer.user = a;
    a->cancels = draw(w, 5) == 0;
    for (int i = 0; i < 3; i++) {
        a->pieces[i] = (struct str){pattern + at, draw(w, i == 1 && draw(w, 4) == 0 ? 60000 : 300)};
        at += a->pieces[i].len;
    }
    q.pieces = a->pieces;
    q.n_pieces = 3;
    q.events = &events;
    q.user = a;
    q.first_byte_timeout_ms = 40;
    q.idle_timeout_ms = 2000;
    EXPECT_OK(http_call_start(w->origin, &q, &a->call, &err));
    if (a->cancels && draw(w, 2) == 0) {
        loop_timer_set(w->loop, &a->timer, loop_now_ns(w->loop) + draw(w, 2000000) + 1);
    }
    w->n_running++;
    w->n_begun++;
}

static void begin(struct world *w)
{
    while (w->n_running < N_PARALLEL && w->n_begun < N_CALLS) {
        begin_one(w);
    }
}

static void run(struct tls_server *tls, const struct tls_client *trust)
{
    struct world w = {0};
    struct http_server_options o = {.host = "127.0.0.1",
                                    .tls = tls,
                                    .server_name = "test",
                                    .events = {.on_request = on_request, .on_fault = on_fault}};
    struct http_origin_options origin = {.tls = trust, .idle_max = 8};
    struct error err = {0};
    char url[64];

    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i * 131 % 251);
    }
    o.user = &w;
    EXPECT_OK(loop_create(&w.loop, &err));
    EXPECT_OK(http_server_create(w.loop, &o, &w.server, &err));
    EXPECT_OK(http_client_create(w.loop, &w.client, &err));
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u", tls != NULL ? "https" : "http",
             (unsigned)http_server_port(w.server));
    origin.url = str_from_c(url);
    EXPECT_OK(http_client_origin(w.client, &origin, &w.origin, &err));
    begin(&w);
    loop_run(w.loop);
    EXPECT_EQ_U32(w.n_begun, N_CALLS);
    EXPECT_EQ_U32(w.n_complete + w.n_failed + w.n_cancelled, N_CALLS);
    EXPECT_TRUE(w.n_complete > N_CALLS / 4 && w.n_failed > N_CALLS / 20 &&
                w.n_cancelled > N_CALLS / 20);
    EXPECT_TRUE(http_client_idle_count(w.origin) <= 8);
    http_client_release_origin(w.origin);
    http_client_destroy(w.client);
    http_server_destroy(w.server);
    loop_destroy(w.loop);
}

TEST(random_calls_plain)
{
    run(NULL, NULL);
}

TEST(random_calls_over_tls)
{
    struct temp_folder folder;
    struct certificates certs;
    struct certificate_files f;
    struct tls_server *tls = NULL;
    struct tls_client *trust = NULL;
    struct error err = {0};

    temp_folder_open(&folder);
    certificates_init(&certs, folder.path);
    certificates_issue(&certs, "good", "IP:127.0.0.1", -1, 10, &f);
    EXPECT_OK(tls_server_create(&(struct tls_server_options){.certificate_file = f.certificate,
                                                             .key_file = f.key},
                                &tls, &err));
    EXPECT_OK(tls_client_create(&(struct tls_client_options){.ca_file = certs.ca}, &trust, &err));
    run(tls, trust);
    tls_client_destroy(trust);
    tls_server_destroy(tls);
    certificates_done(&certs);
    temp_folder_close(&folder);
}
