/* After start the engine allocates nothing per step: every allocation the test program makes goes
 * through these wrappers (linked with --wrap), and none may happen inside step_run(). */
#include "base/check.h"
#include "engine/prep.h"
#include "engine/step.h"
#include "sim/sim.h"
#include "support/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* volatile: the compiler takes malloc for a function that reads no variables of this file. */
static volatile bool counting;
static volatile uint64_t n_allocations;
static volatile uint64_t fail_at; // this allocation gives NULL; 0: none

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *ptr, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
int __real_posix_memalign(void **ret_ptr, size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *ptr, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
int __wrap_posix_memalign(void **ret_ptr, size_t alignment, size_t n);

/* True: this allocation shall fail. */
static bool count(void)
{
    if (counting) {
        n_allocations = n_allocations + 1;
    }
    return counting && n_allocations == fail_at;
}

void *__wrap_malloc(size_t n)
{
    return count() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return count() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *ptr, size_t n)
{
    return count() ? NULL : __real_realloc(ptr, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return count() ? NULL : __real_aligned_alloc(alignment, n);
}

int __wrap_posix_memalign(void **ret_ptr, size_t alignment, size_t n)
{
    return count() ? ENOMEM : __real_posix_memalign(ret_ptr, alignment, n);
}

TEST(the_wrappers_see_allocations)
{
    void *volatile p; // or the compiler drops the pair

    counting = true;
    p = malloc(10);
    counting = false;
    EXPECT_TRUE(p != NULL);
    free(p);
    EXPECT_TRUE(n_allocations > 0);
    n_allocations = 0;
}

static bool step_counted(struct sim *sim)
{
    bool any = false;

    while (prep_run_one(sim_engine(sim), false)) {
        any = true;
    }
    counting = true;
    any = step_run(sim_engine(sim)) || any;
    counting = false;
    return any;
}

TEST(no_step_allocates)
{
    struct sim *sim = sim_start(.blocks = 256, .max_num_seqs = 8, .max_num_batched_tokens = 24);

    n_allocations = 0;
    sim_script(sim, 0, "a STO\xE9\x93\xB6 b STOP c");
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t idx;

        sim_submit(sim, .script = 1, .stop = {"STOP", "never"}, .sampling.logprobs = true);
        sim_submit(sim, .prompt_tokens = 1 + 2 * i, .max_tokens = 20,
                   .sampling = {.logprobs = true,
                                .has_temperature = true,
                                .temperature = 1.5,
                                .has_top_p = true,
                                .top_p = 0.9,
                                .has_top_k = true,
                                .top_k = 50,
                                .min_p = 0.01});
        sim_submit(sim, .text = "hello", .max_tokens = 30,
                   .sampling = {.has_temperature = true, .temperature = 1.0, .min_tokens = 4});
        idx = sim_submit(sim, .prompt_tokens = 50);
        step_counted(sim);
        if (i % 2 == 0) {
            sim_cancel(sim, idx);
        }
        step_counted(sim);
    }
    while (step_counted(sim)) {
    }
    EXPECT_EQ_U64(n_allocations, 0);
    sim_stop(sim);
}

/* ---- the n-th allocation fails, then the n+1st, until none does ---- */

static const struct sim_request WANTS = {
    .messages = "[{\"role\":\"user\",\"content\":\"What is a bond, and what a share?\"}]",
    .max_tokens = 5,
    .sampling = {.logprobs = true, .min_tokens = 2, .stop_ids = {'x'}, .n_stop_ids = 1},
    .stop = {"STOP"},
};

/* Submit and prepare with allocation `n` failing.  True: it was reached. */
static bool try_with_failure(struct sim *sim, uint64_t n)
{
    uint32_t idx = sim_submit_with(sim, &WANTS);
    const struct sim_record *r = sim_record(sim, idx);
    bool reached;

    n_allocations = 0;
    fail_at = n;
    counting = true;
    EXPECT_TRUE(prep_run_one(sim_engine(sim), false));
    counting = false;
    fail_at = 0;
    reached = n_allocations >= n;
    sim_run(sim, 100);
    EXPECT_EQ_U32(r->n_lasts, 1);
    if (r->failed) {
        EXPECT_TRUE(reached);
        /* An arena cannot tell its ceiling from a machine without memory; the template says
         * limit. */
        if (strstr(r->failure.message, "memory limit") == NULL) {
            EXPECT_EQ_INT(r->failure.http_status, 503);
        }
    } else {
        EXPECT_EQ_U32(r->usage.completion_tokens, 5);
    }
    return reached;
}

TEST(prep_without_memory_is_told_and_the_next_request_is_served)
{
    struct sim *sim =
        sim_start(.chat_template = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}");
    uint64_t n = 1;

    while (try_with_failure(sim, n)) {
        n++;
        EXPECT_TRUE(n < 2000);
    }
    EXPECT_TRUE(n > 5); // some allocations did fail
    EXPECT_FALSE(sim_record(sim, (uint32_t)n - 1)->failed);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), kv_capacity(sim_pool(sim)));
    sim_stop(sim);
}
