/* Sampling against plain double arithmetic, and the distribution of many draws. */
#include "base/hash.h"
#include "engine/sample.h"
#include "support/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VOCAB 2000

static float logits[VOCAB];

static void fill(uint64_t seed, double spread)
{
    for (uint32_t i = 0; i < VOCAB; i++) {
        logits[i] = (float)((double)(hash_u64(i, seed) % 100000) / 100000.0 * spread);
    }
}

static struct sampler *start(uint32_t n_named)
{
    struct sampler *s = NULL;

    EXPECT_OK(sample_create(VOCAB, n_named, &s));
    return s;
}

static struct sample_args args(double temperature)
{
    return (struct sample_args){.logits = logits,
                                .temperature = temperature,
                                .top_p = 1.0,
                                .want_logprob = true};
}

static int32_t draw(struct sampler *s, const struct sample_args *a)
{
    struct sample_result r;

    EXPECT_OK(sample_row(s, a, &r));
    return r.id;
}

TEST(greedy_takes_the_largest_and_the_lowest_id_among_equals)
{
    struct sampler *s = start(VOCAB);
    struct sample_args a = args(0.0);

    fill(1, 5);
    logits[1700] = 9;
    EXPECT_EQ_INT(draw(s, &a), 1700);
    logits[1701] = 9;
    logits[33] = 9;
    EXPECT_EQ_INT(draw(s, &a), 33);
    logits[0] = 9;
    EXPECT_EQ_INT(draw(s, &a), 0);
    logits[VOCAB - 1] = 10;
    EXPECT_EQ_INT(draw(s, &a), VOCAB - 1);
    sample_destroy(s);
}

TEST(rows_without_a_token_are_never_chosen)
{
    struct sampler *s = start(1990);
    struct sample_args a = args(0.0);

    fill(1, 5);
    for (uint32_t i = 1990; i < VOCAB; i++) {
        logits[i] = 50;
    }
    logits[7] = 6;
    EXPECT_EQ_INT(draw(s, &a), 7);
    a.temperature = 1.0;
    for (a.position = 0; a.position < 300; a.position++) {
        EXPECT_TRUE(draw(s, &a) < 1990);
    }
    sample_destroy(s);
}

TEST(logprob_is_the_log_softmax_of_the_untouched_row)
{
    struct sampler *s = start(1990);
    const double spreads[] = {0.001, 1, 20, 80, 300};

    for (size_t k = 0; k < sizeof(spreads) / sizeof(spreads[0]); k++) {
        struct sample_args a = args(1.3);
        const int32_t banned[] = {1, 2, 3};
        struct sample_result r;
        double sum = 0;
        double max;

        fill(k, spreads[k]);
        a.banned = banned;
        a.n_banned = 3;
        a.top_k = 40;
        a.top_p = 0.95;
        EXPECT_OK(sample_row(s, &a, &r));
        max = (double)logits[r.id];
        for (uint32_t i = 0; i < VOCAB; i++) {
            max = (double)logits[i] > max ? (double)logits[i] : max;
        }
        for (uint32_t i = 0; i < VOCAB; i++) {
            sum += exp((double)logits[i] - max);
        }
        EXPECT_NEAR((double)r.logprob, (double)logits[r.id] - max - log(sum),
                    2e-6 + 1e-7 * spreads[k]);
    }
    sample_destroy(s);
}

TEST(bans_hold_for_greedy_and_for_draws)
{
    struct sampler *s = start(VOCAB);
    struct sample_args a = args(0.0);
    const int32_t banned[] = {5, 6};

    fill(1, 1);
    logits[5] = 20;
    logits[6] = 19;
    logits[9] = 18;
    a.banned = banned;
    a.n_banned = 2;
    EXPECT_EQ_INT(draw(s, &a), 9);
    a.temperature = 1.0;
    for (a.position = 0; a.position < 300; a.position++) {
        int32_t id = draw(s, &a);

        EXPECT_TRUE(id != 5 && id != 6);
    }
    sample_destroy(s);
}

TEST(a_row_whose_tokens_are_all_banned_is_a_limit)
{
    struct sampler *s = start(2);
    struct sample_args a = args(1.0);
    const int32_t banned[] = {0, 1, 5};
    struct sample_result r;

    fill(1, 1);
    a.banned = banned;
    a.n_banned = 3;
    EXPECT_STATUS(sample_row(s, &a, &r), E_LIMIT);
    a.temperature = 0.0;
    EXPECT_STATUS(sample_row(s, &a, &r), E_LIMIT);
    sample_destroy(s);
}

TEST(nan_and_infinities_are_faults_wherever_they_stand)
{
    const float faults[] = {NAN, INFINITY, -INFINITY};
    const uint32_t places[] = {0, 17, 1989, 1995, VOCAB - 1};
    struct sampler *s = start(1990);
    struct sample_result r;

    for (size_t f = 0; f < 3; f++) {
        for (size_t p = 0; p < 5; p++) {
            struct sample_args a = args(p % 2 == 0 ? 0.0 : 1.0);

            fill(1, 5);
            logits[places[p]] = faults[f];
            EXPECT_STATUS(sample_row(s, &a, &r), E_INVALID);
        }
    }
    fill(1, 5);
    logits[3] = 3.4e38F; // large is no fault
    {
        struct sample_args a = args(1.0);

        EXPECT_EQ_INT(draw(s, &a), 3);
    }
    sample_destroy(s);
}

/* ---- filters ---- */

struct ranked {
    int32_t id;
    double weight;
};

static int by_weight(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;

    if (x->weight != y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return x->id < y->id ? -1 : 1;
}

/* The allowed set in doubles: min_p, top_k, top_p in this order.  Returns its size. */
static uint32_t allowed(const struct sample_args *a, struct ranked *list)
{
    double max = -1e30;
    double total = 0;
    double sum = 0;
    uint32_t n = VOCAB;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < VOCAB; i++) {
        max = (double)logits[i] > max ? (double)logits[i] : max;
    }
    for (uint32_t i = 0; i < VOCAB; i++) {
        list[i].id = (int32_t)i;
        list[i].weight = exp(((double)logits[i] - max) / a->temperature);
    }
    qsort(list, VOCAB, sizeof(*list), by_weight);
    while (n > 0 && list[n - 1].weight < a->min_p) {
        n--;
    }
    n = a->top_k > 0 && (uint32_t)a->top_k < n ? (uint32_t)a->top_k : n;
    for (uint32_t i = 0; i < n; i++) {
        total += list[i].weight;
    }
    while (kept < n && (kept == 0 || a->top_p >= 1.0 || sum < a->top_p * total)) {
        sum += list[kept++].weight;
    }
    return kept;
}

static void expect_frequencies(const struct sample_args *base, uint32_t n_draws)
{
    static struct ranked list[VOCAB];
    static uint32_t counts[VOCAB];
    struct sampler *s = start(VOCAB);
    struct sample_args a = *base;
    uint32_t n = allowed(base, list);
    double total = 0;
    uint32_t n_allowed_draws = 0;

    memset(counts, 0, sizeof(counts));
    for (a.position = 0; a.position < n_draws; a.position++) {
        counts[draw(s, &a)]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        total += list[i].weight;
        n_allowed_draws += counts[list[i].id];
    }
    EXPECT_EQ_U32(n_allowed_draws, n_draws); // nothing outside the set
    for (uint32_t i = 0; i < n && i < 20; i++) {
        double p = list[i].weight / total;
        double sigma = sqrt(p * (1 - p) / n_draws);

        EXPECT_NEAR(counts[list[i].id] / (double)n_draws, p, 5 * sigma + 1e-12);
    }
    sample_destroy(s);
}

TEST(draws_follow_the_distribution_without_filters)
{
    struct sample_args a = args(1.0);

    fill(3, 12);
    a.seed = 11;
    expect_frequencies(&a, 20000);
}

TEST(draws_follow_the_distribution_with_each_filter)
{
    struct sample_args a;

    fill(4, 12);
    a = args(0.7);
    a.seed = 12;
    a.top_k = 5;
    expect_frequencies(&a, 20000);
    a = args(1.5);
    a.top_p = 0.8;
    expect_frequencies(&a, 20000);
    a = args(1.0);
    a.min_p = 0.6;
    expect_frequencies(&a, 20000);
    a = args(2.0);
    a.top_k = 300;
    a.top_p = 0.5;
    a.min_p = 0.1;
    expect_frequencies(&a, 20000);
}

TEST(filters_cut_at_the_right_place_for_many_shapes)
{
    static struct ranked list[VOCAB];
    struct sampler *s = start(VOCAB);

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sample_args a = args(0.3 + 0.1 * (double)(seed % 15));
        uint32_t n;

        fill(seed, 1 + (double)(seed % 7) * 4);
        for (uint32_t i = 0; seed % 4 == 0 && i < VOCAB; i++) {
            logits[i] = floorf(logits[i]); // many equal weights
        }
        a.seed = seed;
        a.top_k = seed % 3 == 0 ? (int32_t)(1 + seed * 7 % 90) : 0;
        a.top_p = seed % 5 == 0 ? 1.0 : 0.05 * (double)(1 + seed % 19);
        a.min_p = seed % 2 == 0 ? 0.02 * (double)(seed % 11) : 0;
        n = allowed(&a, list);
        for (a.position = 0; a.position < 400; a.position++) {
            int32_t id = draw(s, &a);
            uint32_t rank = 0;

            while (rank < VOCAB && list[rank].id != id) {
                rank++;
            }
            /* One more may enter where float32 sums and doubles differ in the last bit. */
            EXPECT_TRUE(rank < n + (a.top_p < 1.0 ? 1 : 0));
        }
    }
    sample_destroy(s);
}

TEST(the_random_number_belongs_to_seed_stream_and_position)
{
    struct sampler *s = start(VOCAB);
    struct sample_args a = args(2.0);
    int32_t first[50];
    uint32_t n_stream = 0;
    uint32_t n_seed = 0;

    fill(5, 1);
    for (a.position = 0; a.position < 50; a.position++) {
        first[a.position] = draw(s, &a);
    }
    for (a.position = 0; a.position < 50; a.position++) {
        EXPECT_EQ_INT(draw(s, &a), first[a.position]);
        a.stream = 1;
        n_stream += draw(s, &a) == first[a.position] ? 1 : 0;
        a.stream = 0;
        a.seed = 1;
        n_seed += draw(s, &a) == first[a.position] ? 1 : 0;
        a.seed = 0;
    }
    EXPECT_TRUE(n_stream < 5 && n_seed < 5);
    sample_destroy(s);
}

TEST(small_temperatures_are_greedy_or_a_hundredth)
{
    struct sampler *s = start(VOCAB);
    struct sample_args a = args(1e-6);
    struct sample_args b = args(0.01);

    fill(6, 0.05);
    logits[90] = 1;
    EXPECT_EQ_INT(draw(s, &a), 90);
    logits[90] = 0;
    for (uint64_t i = 0; i < 100; i++) {
        a.temperature = 0.001;
        a.position = b.position = i;
        EXPECT_EQ_INT(draw(s, &a), draw(s, &b));
    }
    sample_destroy(s);
}
