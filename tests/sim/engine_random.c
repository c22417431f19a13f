/* Properties that hold whatever arrives: random limits, requests, cancels.  Every failure names its
 * seed; run one alone by setting KONTOR_SIM_SEED. */
#include "base/hash.h"
#include "sim/sim.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 300
#define REQUESTS 60

struct dice {
    uint64_t seed;
    uint64_t n;
};

static uint32_t roll(struct dice *d, uint32_t below)
{
    return (uint32_t)(hash_u64(d->n++, d->seed) % below);
}

static struct sim *start(struct dice *d)
{
    uint32_t block_tokens = 1 + roll(d, 8);
    uint32_t blocks = 8 + roll(d, 60);
    uint32_t context = 2 + roll(d, blocks * block_tokens - 1);
    uint32_t seqs = 1 + roll(d, 8);

    return sim_start(.seed = d->seed, .blocks = blocks, .block_tokens = block_tokens,
                     .max_model_len = context, .max_num_seqs = seqs,
                     .max_num_batched_tokens = seqs + roll(d, 40));
}

static uint32_t submit(struct sim *sim, struct dice *d)
{
    uint32_t context = sim_engine(sim)->parts.max_model_len;

    return sim_submit(sim, .prompt_tokens = 1 + roll(d, context), // sometimes one too many
                      .max_tokens = roll(d, 30), .sampling.logprobs = roll(d, 2) == 1);
}

/* Everything a request that was not cancelled must show. */
static void check_answer(struct sim *sim, uint32_t idx)
{
    const struct sim_record *r = sim_record(sim, idx);
    uint32_t context = sim_engine(sim)->parts.max_model_len;
    uint32_t max_tokens = r->request.sampling.max_tokens;
    uint32_t n_left = context - r->n_prompt;
    int32_t want[1024];

    if (r->n_prompt >= context) {
        EXPECT_TRUE(r->failed);
        return;
    }
    EXPECT_FALSE(r->failed);
    EXPECT_EQ_INT(r->finish, CHAT_FINISH_LENGTH);
    EXPECT_EQ_U32(r->n_ids, max_tokens == 0 || max_tokens > n_left ? n_left : max_tokens);
    sim_expect(sim, r->prompt, r->n_prompt, r->n_ids, want);
    EXPECT_EQ_INT(memcmp(want, r->ids, r->n_ids * sizeof(*want)), 0);
}

/* The start of the answer is right even when it was cut short. */
static void check_cancelled(struct sim *sim, uint32_t idx)
{
    const struct sim_record *r = sim_record(sim, idx);
    int32_t want[1024];

    sim_expect(sim, r->prompt, r->n_prompt, r->n_ids, want);
    EXPECT_EQ_INT(memcmp(want, r->ids, r->n_ids * sizeof(*want)), 0);
}

static void check_order_of_admission(struct sim *sim, uint32_t n)
{
    uint64_t last = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct sim_record *r = sim_record(sim, i);

        if (r->n_starts == 1) {
            EXPECT_TRUE(r->start_order > last);
            last = r->start_order;
        }
    }
}

static void run(uint64_t seed)
{
    struct dice d = {.seed = seed};
    struct sim *sim = start(&d);
    bool cancelled[REQUESTS] = {false};
    uint32_t n = 0;
    uint32_t n_left;

    while (n < REQUESTS) {
        uint32_t what = roll(&d, 10);

        if (what < 4) {
            submit(sim, &d);
            n++;
        } else if (what == 4 && n > 0) {
            uint32_t idx = roll(&d, n);

            cancelled[idx] = true; // perhaps long after it ended
            sim_cancel(sim, idx);
        } else {
            sim_step(sim);
        }
    }
    /* No starvation: each step either computes a prompt token or makes a token. */
    n_left = REQUESTS * sim_engine(sim)->parts.max_model_len * 2;
    sim_run(sim, n_left);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), kv_capacity(sim_pool(sim)));
    EXPECT_EQ_U32(sim_engine(sim)->sched.n_running, 0);
    check_order_of_admission(sim, n);
    for (uint32_t i = 0; i < n; i++) {
        EXPECT_EQ_U32(sim_record(sim, i)->n_lasts, 1);
        if (cancelled[i]) {
            check_cancelled(sim, i);
        } else {
            check_answer(sim, i);
        }
    }
    sim_stop(sim);
}

TEST(random_requests_and_cancels_keep_every_invariant)
{
    const char *one = getenv("KONTOR_SIM_SEED");
    uint64_t seed = 0;

    if (one != NULL) {
        EXPECT_OK(str_to_u64(str_from_c(one), &seed));
        run(seed);
        return;
    }
    for (seed = 1; seed <= RUNS; seed++) {
        printf("# seed %llu\n", (unsigned long long)seed);
        run(seed);
    }
}

TEST(a_cancel_takes_effect_in_the_next_step_whatever_the_state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct dice d = {.seed = seed};
        struct sim *sim = sim_start(.seed = seed, .max_num_seqs = 2);
        uint32_t target;

        sim_submit(sim, .prompt_tokens = 50, .max_tokens = 20);
        target = sim_submit(sim, .prompt_tokens = 50, .max_tokens = 20);
        sim_submit(sim, .prompt_tokens = 50, .max_tokens = 20);
        for (uint32_t i = roll(&d, 30); i > 0; i--) {
            sim_step(sim);
        }
        sim_cancel(sim, target);
        sim_step(sim);
        EXPECT_EQ_U32(sim_record(sim, target)->n_lasts, 1);
        for (uint32_t i = 0; i < sim_engine(sim)->sched.n_running; i++) {
            EXPECT_TRUE(sim_engine(sim)->sched.running[i]->job.user != sim_record(sim, target));
        }
        sim_run(sim, 200);
        sim_stop(sim);
    }
}
