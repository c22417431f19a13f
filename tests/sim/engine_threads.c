/* The engine with its own threads: many submitting threads, cancels at any moment, drain and
 * destroy.
 * Meant for the thread sanitizer as well. */
#include "base/check.h"
#include "base/hash.h"
#include "sim/sim.h"
#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

TEST(a_request_is_answered_by_the_engine_s_threads)
{
    struct sim *sim = sim_start(.threads = true);
    uint32_t i = sim_submit(sim, .prompt_tokens = 40, .max_tokens = 20);

    sim_wait(sim, i);
    EXPECT_EQ_U32(sim_record(sim, i)->n_ids, 20);
    sim_stop(sim);
}

TEST(destroy_while_requests_run_ends_them_all)
{
    struct sim *sim = sim_start(.threads = true, .max_model_len = 128);

    for (int i = 0; i < 30; i++) {
        sim_submit(sim, .prompt_tokens = 20);
    }
    sim_stop(sim); // fails unless each got exactly one last event
}

TEST(drain_then_destroy_lets_everything_finish)
{
    struct sim *sim = sim_start(.threads = true);
    struct engine_stats stats;

    for (int i = 0; i < 20; i++) {
        sim_submit(sim, .prompt_tokens = 10, .max_tokens = 10);
    }
    engine_drain(sim_engine(sim));
    for (uint32_t i = 0; i < 20; i++) {
        sim_wait(sim, i);
        EXPECT_EQ_U32(sim_record(sim, i)->n_ids, 10);
    }
    engine_stats(sim_engine(sim), &stats);
    EXPECT_EQ_U32(stats.n_running, 0);
    EXPECT_EQ_U32(stats.n_waiting, 0);
    EXPECT_EQ_U32(stats.kv_blocks_used, 0);
    sim_stop(sim);
}

/* ---- many callers ---- */

#define CALLERS 4
#define PER_CALLER 150

struct call {
    struct chat_request request;
    struct engine_ticket *ticket;
    int32_t prompt[40];
    atomic_uint n_lasts;
    atomic_uint n_tokens;
    enum chat_finish finish;
};

struct caller {
    struct engine *engine;
    uint64_t seed;
    uint32_t n_refused;
    struct call calls[PER_CALLER];
};

static void on_event(void *user, const struct chat_event *event)
{
    struct call *c = user;

    atomic_fetch_add(&c->n_tokens, event->n_tokens);
    if (event->kind == CHAT_EVENT_DONE || event->kind == CHAT_EVENT_ERROR) {
        c->finish = event->finish;
        atomic_fetch_add(&c->n_lasts, 1);
    }
}

static void submit(struct caller *a, struct call *c, uint64_t dice)
{
    struct engine_job job = {.request = &c->request, .on_event = on_event, .user = c};
    enum status rc;

    c->request.prompt_kind = CHAT_PROMPT_IDS;
    c->request.prompt_ids = c->prompt;
    c->request.n_prompt_ids = 1 + (uint32_t)(dice % 40);
    chat_sampling_default(&c->request.sampling);
    c->request.sampling.has_temperature = true;
    c->request.sampling.temperature = 0.0; // the model then never ends by itself
    c->request.sampling.max_tokens = 1 + (uint32_t)(dice / 64 % 12);
    do {
        rc = engine_submit(a->engine, &job, &c->ticket);
        a->n_refused += rc == E_LIMIT ? 1 : 0;
        if (rc == E_LIMIT) {
            usleep(100);
        }
    } while (rc == E_LIMIT);
    CHECK(rc == OK);
}

static void *call_many(void *user)
{
    struct caller *a = user;

    for (uint32_t i = 0; i < PER_CALLER; i++) {
        struct call *c = &a->calls[i];
        uint64_t dice = hash_u64(i, a->seed);
        struct engine_stats stats;

        submit(a, c, dice);
        if (dice / 1024 % 3 == 0) {
            engine_cancel(a->engine, c->ticket);
        }
        if (dice / 8192 % 2 == 0) { // before the last event as well as after
            engine_release(a->engine, c->ticket);
            c->ticket = NULL;
        }
        engine_stats(a->engine, &stats);
        CHECK(stats.kv_blocks_used <= stats.kv_blocks);
    }
    return NULL;
}

static void wait_for(const struct call *c)
{
    while (atomic_load(&c->n_lasts) == 0) {
        usleep(200);
    }
}

TEST(many_callers_submit_cancel_and_release)
{
    struct sim *sim = sim_start(.threads = true, .queue_max = 32, .max_num_seqs = 8,
                                .max_num_batched_tokens = 32);
    struct caller *callers = calloc(CALLERS, sizeof(*callers));
    pthread_t threads[CALLERS];
    struct engine_stats stats;

    CHECK(callers != NULL);
    for (uint32_t k = 0; k < CALLERS; k++) {
        callers[k].engine = sim_engine(sim);
        callers[k].seed = k + 1;
        CHECK(pthread_create(&threads[k], NULL, call_many, &callers[k]) == 0);
    }
    for (uint32_t k = 0; k < CALLERS; k++) {
        CHECK(pthread_join(threads[k], NULL) == 0);
        for (uint32_t i = 0; i < PER_CALLER; i++) {
            struct call *c = &callers[k].calls[i];

            wait_for(c);
            EXPECT_EQ_U32(atomic_load(&c->n_lasts), 1);
            if (c->finish != CHAT_FINISH_ABORT) {
                EXPECT_EQ_U32(atomic_load(&c->n_tokens), c->request.sampling.max_tokens);
            }
            if (c->ticket != NULL) {
                engine_release(sim_engine(sim), c->ticket);
            }
        }
    }
    engine_stats(sim_engine(sim), &stats);
    EXPECT_EQ_U32(stats.n_waiting, 0);
    EXPECT_EQ_U32(stats.kv_blocks_used, 0);
    sim_stop(sim);
    for (uint32_t k = 0; k < CALLERS; k++) {
        for (uint32_t i = 0; i < PER_CALLER; i++) {
            EXPECT_EQ_U32(atomic_load(&callers[k].calls[i].n_lasts), 1); // nor one more later
        }
    }
    free(callers);
}
