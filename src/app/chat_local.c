#include "app/chat_peer.h"
#include "app/engine_options.h"
#include "app/progress.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/json.h"
#include "engine/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_BYTES_MAX (16 << 20)
#define ARENA_BYTES_MAX (64 << 20)
#define POLL_MS 50

/* Shared between the engine thread (on_event) and the main thread (ask). */
struct local {
    struct engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buf text; // lock: arrived, not yet printed
    bool ended;      // lock
    enum chat_finish finish;
    bool failed; // lock
    char failure[ERROR_TEXT_MAX];
};

static void on_event(void *user, const struct chat_event *event)
{
    struct local *l = user;

    pthread_mutex_lock(&l->lock);
    buf_append_str(&l->text, event->text);
    if (event->kind == CHAT_EVENT_DONE) {
        l->finish = event->finish;
        l->ended = true;
    } else if (event->kind == CHAT_EVENT_ERROR) {
        snprintf(l->failure, sizeof(l->failure), "%s", event->failure->message);
        l->failed = true;
        l->ended = true;
    }
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void wait_a_moment(struct local *l)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLL_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&l->changed, &l->lock, &until);
}

/* Move what arrived to `piece`; true while more will come. */
static bool take_text(struct local *l, struct buf *piece)
{
    bool more;

    buf_reset(piece);
    pthread_mutex_lock(&l->lock);
    if (l->text.len == 0 && !l->ended) {
        wait_a_moment(l);
    }
    buf_append_str(piece, buf_str(&l->text));
    buf_reset(&l->text);
    more = !l->ended;
    pthread_mutex_unlock(&l->lock);
    return more;
}

static enum status follow(struct local *l, struct engine_ticket *ticket,
                          const struct chat_turn *turn, struct buf *answer)
{
    struct buf piece;
    bool more = true;
    bool stopped = false;

    buf_init(&piece, ANSWER_BYTES_MAX);
    while (more) {
        more = take_text(l, &piece);
        buf_append_str(answer, buf_str(&piece));
        if (!stopped) {
            turn->on_text(buf_str(&piece));
        }
        if (more && !stopped && turn->should_stop()) {
            stopped = true;
            engine_cancel(l->engine, ticket); // the last event still comes
        }
    }
    buf_done(&piece);
    return stopped ? E_CANCELLED : OK;
}

static enum status local_ask(void *self, const struct chat_turn *turn, struct buf *answer,
                             struct error *err)
{
    struct local *l = self;
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct chat_request request = {
        .id = STR("chat"),
        .prompt_kind = CHAT_PROMPT_MESSAGES,
        .add_generation_prompt = true,
    };
    struct engine_job job = {.request = &request, .on_event = on_event, .user = l};
    struct engine_ticket *ticket = NULL;
    enum status rc;

    CHECK(arena != NULL);
    request.sampling = engine_model(l->engine)->defaults;
    request.sampling.max_tokens = turn->max_tokens;
    if (turn->has_temperature) {
        request.sampling.temperature = turn->temperature;
        request.sampling.has_temperature = true;
    }
    l->ended = false;
    l->failed = false;
    rc = json_parse(arena, turn->messages, NULL, &request.messages, err);
    if (rc == OK) {
        rc = engine_submit(l->engine, &job, &ticket);
    }
    if (rc == OK) {
        rc = follow(l, ticket, turn, answer);
        engine_release(l->engine, ticket);
    }
    if (rc == OK && l->failed) {
        rc = error_set(err, E_INVALID, "%s", l->failure);
    }
    arena_destroy(arena);
    return rc;
}

static void local_close(void *self)
{
    struct local *l = self;

    engine_destroy(l->engine);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    buf_done(&l->text);
    free(l);
}

enum status chat_local_open(const struct engine_options *options, struct chat_peer *ret_peer,
                            struct error *err)
{
    struct engine_config config = options->config;
    struct local *l = calloc(1, sizeof(*l));
    struct progress progress;
    enum status rc;

    CHECK(l != NULL);
    progress_init(&progress);
    config.on_progress = progress_show;
    config.user = &progress;
    rc = engine_create(&config, &l->engine, err);
    progress_finish(&progress);
    if (rc != OK) {
        free(l);
        return rc;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    buf_init(&l->text, ANSWER_BYTES_MAX);
    *ret_peer = (struct chat_peer){.ask = local_ask, .close = local_close, .self = l};
    snprintf(ret_peer->name, sizeof(ret_peer->name), "%s", options->name);
    return OK;
}
