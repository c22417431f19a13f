/* sample.c - one pass finds faults and the maximum; filters work on a sorted short list.
 *
 * Weights are exp((logit - max) / temperature), so the largest is 1 and min_p compares directly.
 * Sorting the whole vocabulary would cost more than a decode step of a small model, so candidates
 * are first cut by the exponent of their weight (128 buckets), then sorted by radix: stable, so
 * that equal weights stay in order of their ids.
 */
#include "engine/sample.h"
#include "base/check.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GREEDY_BELOW 1e-5 // vLLM: smaller temperatures mean greedy
#define TEMPERATURE_MIN 0.01
#define QUAD 4
#define BLOCK 256u    // weights that are added in float32
#define EXPONENTS 128 // of a float in (0, 1]
#define RADIX_BITS 11
#define RADIX (1u << RADIX_BITS)
#define RADIX_PASSES 3 // 33 bits hold a float's 32

struct candidate {
    float weight;
    int32_t id;
};

struct sampler {
    uint32_t vocab;
    uint32_t n_named;
    float *masked;            // [n_named] owned: logits with bans at -inf
    float *weights;           // [vocab] owned
    double *sums;             // [ceil(vocab / BLOCK)] owned: of the weights' blocks
    struct candidate *list;   // [n_named] owned
    struct candidate *sorted; // [n_named] owned
};

uint64_t sample_bytes(uint32_t vocab)
{
    return (uint64_t)vocab * (2 * sizeof(float) + 2 * sizeof(struct candidate));
}

enum status sample_create(uint32_t vocab, uint32_t n_named, struct sampler **ret_sampler)
{
    struct sampler *s = calloc(1, sizeof(*s));

    CHECK(vocab >= 1 && n_named >= 1 && n_named <= vocab);
    if (s == NULL) {
        return E_NO_MEMORY;
    }
    s->vocab = vocab;
    s->n_named = n_named;
    s->masked = calloc(n_named, sizeof(*s->masked));
    s->weights = calloc(vocab, sizeof(*s->weights));
    s->sums = calloc(vocab / BLOCK + 1, sizeof(*s->sums));
    s->list = calloc(n_named, sizeof(*s->list));
    s->sorted = calloc(n_named, sizeof(*s->sorted));
    if (s->masked == NULL || s->weights == NULL || s->sums == NULL || s->list == NULL ||
        s->sorted == NULL) {
        sample_destroy(s);
        return E_NO_MEMORY;
    }
    *ret_sampler = s;
    return OK;
}

void sample_destroy(struct sampler *s)
{
    if (s == NULL) {
        return;
    }
    free(s->masked);
    free(s->weights);
    free(s->sums);
    free(s->list);
    free(s->sorted);
    free(s);
}

static uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* ---- rows, four elements at a time ----
 *
 * Vectors of the compiler (gcc and clang, any machine), so that speed does not hang on what a loop
 * vectoriser makes of these loops. */

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_mask __attribute__((vector_size(16))); // of a comparison: 0 or -1

/* x[0, 4), with `pad` at and behind n.  The usual case is one instruction. */
static quad load(const float *x, uint32_t n, float pad)
{
    quad v = {pad, pad, pad, pad};

    if (n >= QUAD) {
        memcpy(&v, x, sizeof(v));
    } else {
        for (uint32_t i = 0; i < n; i++) {
            v[i] = x[i];
        }
    }
    return v;
}

static void store(float *x, uint32_t n, quad v)
{
    if (n >= QUAD) {
        memcpy(x, &v, sizeof(v));
    } else {
        for (uint32_t i = 0; i < n; i++) {
            x[i] = v[i];
        }
    }
}

static quad pick(quad_mask mask, quad yes, quad no)
{
    return (quad)(((quad_mask)yes & mask) | ((quad_mask)no & ~mask));
}

/* exp(x) for x <= 0, own polynomial: libm picks variants by CPU, this gives the same bits on all of
 * them.  Relative error below 2e-7; under -87 it is 0. */
static quad exp_negative(quad x)
{
    const float log2e = 1.44269504F;
    const float ln2_high = 0.693359375F; // few bits: n * ln2_high is exact
    const float ln2_low = -2.12194440e-4F;
    const float shift = 12582912.0F; // 1.5 * 2^23: adding rounds to an integer, in the low bits
    const int32_t shift_bits = 0x4B400000;
    const quad least = {-87.0F, -87.0F, -87.0F, -87.0F};
    quad_mask in_range = x >= least;
    quad clamped = pick(in_range, x, least);
    quad shifted = clamped * log2e + shift;
    quad n = shifted - shift;
    quad r = (clamped - n * ln2_high) - n * ln2_low;
    quad p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    quad scale = (quad)(((quad_mask)shifted - shift_bits + 127) << 23);

    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    return (quad)((quad_mask)(p * scale) & in_range);
}

/* NaN and infinities have all exponent bits set. */
static bool all_finite(const float *x, uint32_t n)
{
    const int32_t exponent = 0x7F800000;
    quad_mask bad = {0, 0, 0, 0};

    for (uint32_t i = 0; i < n; i += QUAD) {
        bad |= ((quad_mask)load(x + i, n - i, 0.0F) & exponent) == exponent;
    }
    return (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
}

static float maximum(const float *x, uint32_t n)
{
    quad best = load(x, n, x[0]);
    float max;

    for (uint32_t i = QUAD; i < n; i += QUAD) {
        quad v = load(x + i, n - i, x[0]);

        best = pick(v > best, v, best);
    }
    max = best[0];
    for (uint32_t j = 1; j < QUAD; j++) {
        max = best[j] > max ? best[j] : max;
    }
    return max;
}

static uint32_t first_equal(const float *x, uint32_t n, float value)
{
    uint32_t i = 0;

    while (i + 1 < n && x[i] != value) {
        i++;
    }
    return i;
}

/* weights[i] = exp((x[i] - max) * inverse) */
static void exp_row(const float *x, uint32_t n, float max, float inverse, float *weights)
{
    for (uint32_t i = 0; i < n; i += QUAD) {
        quad w = exp_negative((load(x + i, n - i, max) - max) * inverse);

        store(weights + i, n - i, w);
    }
}

/* Sum of n <= BLOCK weights: element i goes to lane i % 16, lanes are added as a tree. */
static double block_sum(const float *x, uint32_t n)
{
    quad lane[4] = {{0.0F}};

    for (uint32_t i = 0; i < n; i += QUAD) {
        lane[i / QUAD % 4] += load(x + i, n - i, 0.0F);
    }
    lane[0] = (lane[0] + lane[2]) + (lane[1] + lane[3]);
    return (double)((lane[0][0] + lane[0][2]) + (lane[0][1] + lane[0][3]));
}

/* Blocks are added in double, in order; their sums stay in s->sums for draw_all(). */
static double fixed_sum(struct sampler *s, uint32_t n)
{
    double total = 0;

    for (uint32_t begin = 0; begin < n; begin += BLOCK) {
        double sum = block_sum(s->weights + begin, n - begin < BLOCK ? n - begin : BLOCK);

        s->sums[begin / BLOCK] = sum;
        total += sum;
    }
    return total;
}

/* log_softmax of the whole untouched row at `id`; rows without a token count, as in the model. */
static float raw_logprob(struct sampler *s, const float *logits, int32_t id)
{
    float max = maximum(logits, s->vocab);

    exp_row(logits, s->vocab, max, 1.0F, s->weights);
    return (float)((double)logits[id] - (double)max - log(fixed_sum(s, s->vocab)));
}

/* The row to choose from: the caller's own, or a copy with the bans at -inf. */
static const float *with_bans(struct sampler *s, const struct sample_args *a)
{
    if (a->n_banned == 0) {
        return a->logits;
    }
    memcpy(s->masked, a->logits, s->n_named * sizeof(*s->masked));
    for (uint32_t i = 0; i < a->n_banned; i++) {
        CHECK(a->banned[i] >= 0 && (uint32_t)a->banned[i] < s->vocab);
        if ((uint32_t)a->banned[i] < s->n_named) {
            s->masked[a->banned[i]] = -INFINITY;
        }
    }
    return s->masked;
}

/* s->weights[0, n_named) and their sum, after temperature and min_p. */
static double fill_weights(struct sampler *s, const struct sample_args *a, const float *x,
                           float max)
{
    double t = a->temperature < TEMPERATURE_MIN ? TEMPERATURE_MIN : a->temperature;
    float least = (float)a->min_p;

    exp_row(x, s->n_named, max, (float)(1.0 / t), s->weights);
    for (uint32_t i = 0; least > 0.0F && i < s->n_named; i++) {
        s->weights[i] = s->weights[i] >= least ? s->weights[i] : 0.0F;
    }
    return fixed_sum(s, s->n_named);
}

/* First weight in [begin, end) at which the running sum passes `target`, else the last one above
 * 0. */
static uint32_t walk(const float *weights, uint32_t begin, uint32_t end, double target)
{
    double sum = 0;
    uint32_t last = begin;

    for (uint32_t i = begin; i < end; i++) {
        if (weights[i] > 0.0F) {
            sum += (double)weights[i];
            last = i;
            if (sum > target) {
                break;
            }
        }
    }
    return last;
}

/* Draw from all weights, in order of ids: first the block, then within it. */
static int32_t draw_all(const struct sampler *s, double target)
{
    uint32_t n_blocks = (s->n_named + BLOCK - 1) / BLOCK;
    uint32_t block = 0;
    uint32_t last = 0;
    uint32_t end;

    for (uint32_t b = 0; b < n_blocks; b++) {
        if (s->sums[b] > 0.0) {
            last = b;
        }
    }
    while (block < last && target >= s->sums[block]) {
        target -= s->sums[block];
        block++;
    }
    end = (block + 1) * BLOCK < s->n_named ? (block + 1) * BLOCK : s->n_named;
    return i32_from_u32(walk(s->weights, block * BLOCK, end, target));
}

/* Least exponent a candidate needs, so that the ones kept hold `k` tokens (k > 0) or else
 * `mass`. */
static uint32_t least_exponent(const struct sampler *s, uint32_t k, double mass)
{
    uint32_t counts[EXPONENTS] = {0};
    double masses[EXPONENTS] = {0};
    uint32_t n = 0;
    double sum = 0;

    for (uint32_t i = 0; i < s->n_named; i++) {
        uint32_t e = float_bits(s->weights[i]) >> 23;

        counts[e]++; // weights are in [0, 1]: e <= 127
        masses[e] += (double)s->weights[i];
    }
    for (uint32_t e = EXPONENTS; e > 1; e--) {
        n += counts[e - 1];
        sum += masses[e - 1];
        if (k > 0 ? n >= k : sum >= mass) {
            return e - 1;
        }
    }
    return 0;
}

/* Sort by weight, largest first, ids ascending among equals.  Result in s->list. */
static void sort_candidates(struct sampler *s, uint32_t n)
{
    struct candidate *from = s->list;
    struct candidate *to = s->sorted;

    for (uint32_t pass = 0; pass < RADIX_PASSES; pass++) {
        uint32_t starts[RADIX] = {0};
        uint32_t begin = 0;
        struct candidate *swap = from;

        for (uint32_t i = 0; i < n; i++) {
            starts[(~float_bits(from[i].weight) >> (pass * RADIX_BITS)) & (RADIX - 1)]++;
        }
        for (uint32_t b = 0; b < RADIX; b++) {
            uint32_t count = starts[b];

            starts[b] = begin;
            begin += count;
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t b = (~float_bits(from[i].weight) >> (pass * RADIX_BITS)) & (RADIX - 1);

            to[starts[b]++] = from[i];
        }
        from = to;
        to = swap;
    }
    if (from != s->list) {
        memcpy(s->list, from, n * sizeof(*from));
    }
}

/* Candidates after top_k and top_p in s->list, largest first; their sum goes to *ret_total. */
static uint32_t filter(struct sampler *s, const struct sample_args *a, double total,
                       double *ret_total)
{
    uint32_t k = a->top_k > 0 && (uint32_t)a->top_k < s->n_named ? (uint32_t)a->top_k : 0;
    uint32_t least = least_exponent(s, k, a->top_p * total);
    uint32_t n = 0;
    uint32_t n_kept = 0;
    double sum = 0;

    for (uint32_t i = 0; i < s->n_named; i++) {
        float w = s->weights[i];

        if (w > 0.0F && float_bits(w) >> 23 >= least) {
            s->list[n++] = (struct candidate){.weight = w, .id = (int32_t)i};
        }
    }
    sort_candidates(s, n);
    if (k > 0) {
        n = n < k ? n : k;
        total = 0;
        for (uint32_t i = 0; i < n; i++) {
            total += (double)s->list[i].weight;
        }
    }
    while (n_kept < n && (n_kept == 0 || a->top_p >= 1.0 || sum < a->top_p * total)) {
        sum += (double)s->list[n_kept].weight;
        n_kept++;
    }
    *ret_total = sum;
    return n_kept;
}

static int32_t draw_filtered(struct sampler *s, const struct sample_args *a, double total, double u)
{
    uint32_t n = filter(s, a, total, &total);
    double sum = 0;
    uint32_t i;

    CHECK(n > 0); // the largest weight is 1
    for (i = 0; i + 1 < n; i++) {
        sum += (double)s->list[i].weight;
        if (sum > u * total) {
            break;
        }
    }
    return s->list[i].id;
}

static int32_t choose(struct sampler *s, const struct sample_args *a, const float *x, float max)
{
    double u;
    double total;

    if (a->temperature < GREEDY_BELOW || a->top_k == 1) {
        return i32_from_u32(first_equal(x, s->n_named, max));
    }
    u = rng_uniform(a->seed, a->stream, a->position);
    total = fill_weights(s, a, x, max);
    if (a->top_k <= 0 && a->top_p >= 1.0) {
        return draw_all(s, u * total);
    }
    return draw_filtered(s, a, total, u);
}

enum status sample_row(struct sampler *s, const struct sample_args *a,
                       struct sample_result *ret_result)
{
    const float *x;
    float max;
    int32_t id;

    if (!all_finite(a->logits, s->vocab)) {
        return E_INVALID;
    }
    x = with_bans(s, a);
    max = maximum(x, s->n_named);
    if (max == -INFINITY) {
        return E_LIMIT;
    }
    id = choose(s, a, x, max);
    ret_result->id = id;
    ret_result->logprob = a->want_logprob ? raw_logprob(s, a->logits, id) : 0.0F;
    return OK;
}
