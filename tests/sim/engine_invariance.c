/* An answer does not depend on what runs beside it, on the chunks of its prompt, nor on where its
 * blocks lie: ids and bits of the logprobs are compared. */
#include "sim/sim.h"
#include "support/test.h"

#include <string.h>

#define N 8

struct answer {
    int32_t ids[64];
    float logprobs[64];
    uint32_t n;
};

static struct sim_request request(uint32_t i)
{
    static const char *const TEXTS[N] = {"What is a bond?",
                                         "Was ist ein Fonds?",
                                         "a",
                                         "Guten Tag",
                                         "Explain compound interest to a child of ten years.",
                                         "Risk",
                                         "0123456789012345678901234567890123456789",
                                         "zz"};

    return (struct sim_request){
        .text = TEXTS[i],
        .max_tokens = 10 + 2 * i,
        .sampling = {.logprobs = true,
                     .has_seed = true,
                     .seed = 40 + i,
                     .has_temperature = i % 4 != 0,
                     .temperature = 0.5 + 0.2 * (double)i,
                     .has_top_p = i % 3 == 1,
                     .top_p = 0.9,
                     .has_top_k = i % 3 == 2,
                     .top_k = 20,
                     .min_p = i == 7 ? 0.05 : 0.0,
                     .ignore_eos = true},
    };
}

static void keep(const struct sim_record *r, struct answer *ret)
{
    EXPECT_FALSE(r->failed);
    EXPECT_TRUE(r->n_ids > 0 && r->n_ids <= 64);
    memset(ret, 0, sizeof(*ret));
    ret->n = r->n_ids;
    memcpy(ret->ids, r->ids, r->n_ids * sizeof(*r->ids));
    memcpy(ret->logprobs, r->logprobs, r->n_ids * sizeof(*r->logprobs));
}

static void run_together(uint32_t n_budget, uint32_t block_tokens, struct answer answers[N])
{
    struct sim *sim = sim_start(.max_num_seqs = N, .max_num_batched_tokens = n_budget,
                                .block_tokens = block_tokens, .blocks = 1024 / block_tokens);
    struct sim_request r;

    for (uint32_t i = 0; i < N; i++) {
        r = request(i);
        sim_submit_with(sim, &r);
        if (i % 3 == 2) {
            sim_step(sim);
        }
    }
    sim_run(sim, 1000);
    for (uint32_t i = 0; i < N; i++) {
        keep(sim_record(sim, i), &answers[i]);
    }
    sim_stop(sim);
}

TEST(eight_together_equal_each_alone_bit_for_bit)
{
    struct answer alone[N];
    struct answer together[N];

    for (uint32_t i = 0; i < N; i++) {
        struct sim *sim = sim_start();
        struct sim_request r = request(i);

        sim_submit_with(sim, &r);
        sim_run(sim, 1000);
        keep(sim_record(sim, 0), &alone[i]);
        sim_stop(sim);
    }
    for (uint32_t n_budget = 8; n_budget <= 200; n_budget += 17) {
        run_together(n_budget, 1 + n_budget % 16, together);
        EXPECT_EQ_INT(memcmp(alone, together, sizeof(alone)), 0);
    }
}

TEST(a_seed_gives_the_same_answer_and_another_seed_another)
{
    struct sim *sim = sim_start();
    struct sim_request r = {.text = "hello",
                            .max_tokens = 30,
                            .sampling = {.has_temperature = true,
                                         .temperature = 2.0,
                                         .has_seed = true,
                                         .seed = 1,
                                         .ignore_eos = true}};
    uint32_t a = sim_submit_with(sim, &r);
    uint32_t b = sim_submit_with(sim, &r);
    uint32_t c;

    r.sampling.seed = 2;
    c = sim_submit_with(sim, &r);
    sim_run(sim, 200);
    EXPECT_EQ_INT(memcmp(sim_record(sim, a)->ids, sim_record(sim, b)->ids, 30 * 4), 0);
    EXPECT_TRUE(memcmp(sim_record(sim, a)->ids, sim_record(sim, c)->ids, 30 * 4) != 0);
    sim_stop(sim);
}

static void answers_without_seed(uint64_t engine_seed, int32_t ids[2][30])
{
    struct sim *sim = sim_start(.engine_seed = engine_seed);
    struct sim_request r = {.text = "hello",
                            .max_tokens = 30,
                            .sampling = {.has_temperature = true,
                                         .temperature = 2.0,
                                         .ignore_eos = true}};

    sim_submit_with(sim, &r);
    sim_submit_with(sim, &r);
    sim_run(sim, 200);
    memcpy(ids[0], sim_record(sim, 0)->ids, sizeof(ids[0]));
    memcpy(ids[1], sim_record(sim, 1)->ids, sizeof(ids[1]));
    sim_stop(sim);
}

TEST(without_a_seed_the_engine_s_seed_makes_runs_repeatable)
{
    int32_t first[2][30];
    int32_t again[2][30];
    int32_t other[2][30];

    answers_without_seed(5, first);
    answers_without_seed(5, again);
    answers_without_seed(6, other);
    EXPECT_EQ_INT(memcmp(first, again, sizeof(first)), 0);
    EXPECT_TRUE(memcmp(first[0], first[1], sizeof(first[0])) != 0);
    EXPECT_TRUE(memcmp(first, other, sizeof(first)) != 0);
}

/* A continuation that gets the ids so far as its prompt goes on as if nothing had happened. */
TEST(an_answer_continued_elsewhere_by_ids_goes_on_the_same)
{
    struct sim *sim = sim_start();
    struct sim_request whole = {.text = "hello",
                                .max_tokens = 30,
                                .sampling = {.has_temperature = true,
                                             .temperature = 1.5,
                                             .has_seed = true,
                                             .seed = 3,
                                             .ignore_eos = true,
                                             .logprobs = true}};
    struct sim_request rest = whole;
    int32_t ids[5 + 12] = {'h', 'e', 'l', 'l', 'o'};
    const struct sim_record *a = sim_record(sim, sim_submit_with(sim, &whole));
    const struct sim_record *b;

    sim_run(sim, 100);
    memcpy(ids + 5, a->ids, 12 * sizeof(*ids));
    rest.text = NULL;
    rest.ids = ids;
    rest.n_ids = 17;
    rest.max_tokens = 18;
    b = sim_record(sim, sim_submit_with(sim, &rest));
    sim_run(sim, 100);
    EXPECT_EQ_INT(memcmp(a->ids + 12, b->ids, 18 * sizeof(*ids)), 0);
    EXPECT_EQ_INT(memcmp(a->logprobs + 12, b->logprobs, 18 * sizeof(float)), 0);
    sim_stop(sim);
}

TEST(the_checkpoint_s_sampling_defaults_apply_to_what_the_request_left_out)
{
    struct sim *sim = sim_start(.defaults = {.temperature = 0.0, .top_p = 0.8});
    struct sim_request open = {.text = "hello", .max_tokens = 20, .unset_temperature = true};
    struct sim_request greedy = {.text = "hello", .max_tokens = 20};
    struct sim_request hot = {.text = "hello",
                              .max_tokens = 20,
                              .sampling = {.has_temperature = true, .temperature = 2.0}};
    uint32_t a = sim_submit_with(sim, &open);
    uint32_t b = sim_submit_with(sim, &greedy);
    uint32_t c = sim_submit_with(sim, &hot);

    sim_run(sim, 100);
    EXPECT_EQ_INT(memcmp(sim_record(sim, a)->ids, sim_record(sim, b)->ids, 20 * 4), 0);
    EXPECT_TRUE(memcmp(sim_record(sim, a)->ids, sim_record(sim, c)->ids, 20 * 4) != 0);
    sim_stop(sim);
}
