/* After start the engine allocates nothing per step: every allocation the test program makes goes
 * through these wrappers (linked with --wrap), and none may happen inside step_run(). */
#include "base/check.h"
#include "engine/prep.h"
#include "engine/step.h"
#include "sim/sim.h"
#include "support/test.h"

#include <stdlib.h>

/* volatile: the compiler takes malloc for a function that reads no variables of this file. */
static volatile bool counting;
static volatile uint64_t n_allocations;

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

static void count(void)
{
    if (counting) {
        n_allocations = n_allocations + 1;
    }
}

void *__wrap_malloc(size_t n)
{
    count();
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    count();
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *ptr, size_t n)
{
    count();
    return __real_realloc(ptr, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    count();
    return __real_aligned_alloc(alignment, n);
}

int __wrap_posix_memalign(void **ret_ptr, size_t alignment, size_t n)
{
    count();
    return __real_posix_memalign(ret_ptr, alignment, n);
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
