/* attention.c - every level against double precision, and bit equality over chunks, batches,
 * threads. */
#include "kernel/kernel_test.h"

#define ROWS_MAX 700

struct heads {
    enum math math;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t block_tokens;
};

/* One sequence: its q, k, v for all positions, and where its tokens live in the cache. */
struct sequence {
    uint32_t n_tokens;
    float *q; // [n_tokens][n_heads * head_dim]
    float *k; // [n_tokens][n_kv_heads * head_dim]
    float *v;
    uint32_t *blocks;
};

struct cache {
    struct heads h;
    struct kv_layer kv;
    uint32_t next_block;
};

static size_t cache_values(const struct cache *c)
{
    return (size_t)c->kv.n_blocks * c->kv.n_kv_heads * c->kv.block_tokens * c->kv.head_dim;
}

static void cache_poison(struct cache *c)
{
    memset(c->kv.k, 0xff, cache_values(c) * dtype_bytes(c->kv.dtype)); // NaN
    memset(c->kv.v, 0xff, cache_values(c) * dtype_bytes(c->kv.dtype));
}

static struct cache cache_open(struct heads h, uint32_t n_blocks)
{
    struct cache c = {
        .h = h,
        .kv =
            {
                .dtype = h.math == MATH_F32 ? DTYPE_F32 : DTYPE_BF16,
                .n_blocks = n_blocks,
                .block_tokens = h.block_tokens,
                .n_kv_heads = h.n_kv_heads,
                .head_dim = h.head_dim,
            },
    };
    size_t n_bytes = cache_values(&c) * dtype_bytes(c.kv.dtype);

    c.kv.k = guard_alloc(n_bytes, 4);
    c.kv.v = guard_alloc(n_bytes, 4);
    cache_poison(&c);
    return c;
}

static void cache_close(struct cache *c)
{
    size_t n_bytes = cache_values(c) * dtype_bytes(c->kv.dtype);

    guard_free(c->kv.k, n_bytes, 4);
    guard_free(c->kv.v, n_bytes, 4);
}

static struct sequence sequence_open(struct cache *c, uint32_t n_tokens, struct source *src,
                                     float size)
{
    struct sequence s = {.n_tokens = n_tokens};
    size_t q_cols = (size_t)c->h.n_heads * c->h.head_dim;
    size_t kv_cols = (size_t)c->h.n_kv_heads * c->h.head_dim;
    uint32_t n_blocks = (n_tokens + c->h.block_tokens - 1) / c->h.block_tokens;

    s.q = malloc(n_tokens * q_cols * sizeof(float));
    s.k = malloc(n_tokens * kv_cols * sizeof(float));
    s.v = malloc(n_tokens * kv_cols * sizeof(float));
    s.blocks = malloc(n_blocks * sizeof(uint32_t));
    for (size_t i = 0; i < n_tokens * q_cols; i++) {
        s.q[i] = source_uniform(src, size);
    }
    for (size_t i = 0; i < n_tokens * kv_cols; i++) {
        s.k[i] = source_uniform(src, size);
        s.v[i] = source_uniform(src, 1.0f);
    }
    CHECK(c->next_block + n_blocks <= c->kv.n_blocks);
    for (uint32_t i = 0; i < n_blocks; i++) { // back to front: nothing may rely on the order
        s.blocks[i] = c->kv.n_blocks - 1 - (c->next_block + i);
    }
    c->next_block += n_blocks;
    return s;
}

static void sequence_close(struct sequence *s)
{
    free(s->q);
    free(s->k);
    free(s->v);
    free(s->blocks);
}

/* One step of several sequences: seqs[i] computes tokens [begin[i], end[i]) into outs[i]. */
struct part {
    struct sequence *seq;
    uint32_t begin;
    uint32_t end;
    float *out; // [n_tokens][q_cols] of the sequence
};

static void run_step(struct compute *c, struct cache *cache, const struct part *parts,
                     uint32_t n_parts, float scale)
{
    uint32_t q_cols = cache->h.n_heads * cache->h.head_dim;
    uint32_t kv_cols = cache->h.n_kv_heads * cache->h.head_dim;
    struct batch_seq seqs[16];
    uint32_t slots[ROWS_MAX];
    uint32_t n = 0;
    struct rows q, k, v, y;

    for (uint32_t i = 0; i < n_parts; i++) {
        n += parts[i].end - parts[i].begin;
    }
    q = rows_alloc(n, q_cols, q_cols + 3);
    k = rows_alloc(n, kv_cols, kv_cols + 1);
    v = rows_alloc(n, kv_cols, kv_cols + 5);
    y = rows_alloc(n, q_cols, q_cols + 7);
    n = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        const struct part *p = &parts[i];

        seqs[i] = (struct batch_seq){n, p->end - p->begin, p->end, p->seq->blocks};
        for (uint32_t t = p->begin; t < p->end; t++, n++) {
            memcpy(rows_at(q, n), p->seq->q + (size_t)t * q_cols, q_cols * sizeof(float));
            memcpy(rows_at(k, n), p->seq->k + (size_t)t * kv_cols, kv_cols * sizeof(float));
            memcpy(rows_at(v, n), p->seq->v + (size_t)t * kv_cols, kv_cols * sizeof(float));
            slots[n] = p->seq->blocks[t / cache->h.block_tokens] * cache->h.block_tokens +
                       t % cache->h.block_tokens;
        }
    }
    compute_ops(c)->kv_write(c, &(struct kv_write_args){&cache->kv, k, v, slots});
    compute_ops(c)->attention(c, &(struct attention_args){
                                     .q = q,
                                     .kv = &cache->kv,
                                     .n_heads = cache->h.n_heads,
                                     .scale = scale,
                                     .seqs = seqs,
                                     .n_seqs = n_parts,
                                     .y = y,
                                 });
    expect_gaps_kept(y);
    n = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        for (uint32_t t = parts[i].begin; t < parts[i].end; t++, n++) {
            memcpy(parts[i].out + (size_t)t * q_cols, rows_at(y, n), q_cols * sizeof(float));
        }
    }
    rows_free(q);
    rows_free(k);
    rows_free(v);
    rows_free(y);
}

static double kept(const struct heads *h, float v)
{
    return (double)(h->math == MATH_BF16 ? stored_value(v, DTYPE_BF16) : v);
}

/*
 * One row of one head.  Errors of the scores: (head_dim + 2) roundings of partial sums bounded by
 * sum |q k| scale, and one of the score itself less the maximum.  They go through exp as a relative
 * error; exp adds EXP_ULP_MAX ulp, a merge up to 3 exps and products per piece; the weighted sum
 * adds a rounding per token.  Numerator and denominator both carry it, hence the 2.
 */
static void expect_row(const struct heads *h, const struct sequence *s, uint32_t token,
                       uint32_t head, const float *got, float scale)
{
    uint32_t kv_head = head / (h->n_heads / h->n_kv_heads);
    const float *q = s->q + ((size_t)token * h->n_heads + head) * h->head_dim;
    double *p = malloc((token + 1) * sizeof(double));
    double max = (double)-INFINITY;
    double sum = 0.0;
    double score_error = 0.0;
    uint32_t n_pieces = token / 256 + 1;

    for (uint32_t t = 0; t <= token; t++) {
        const float *k = s->k + ((size_t)t * h->n_kv_heads + kv_head) * h->head_dim;
        double dot = 0.0;
        double size = 0.0;

        for (uint32_t d = 0; d < h->head_dim; d++) {
            dot += kept(h, q[d]) * kept(h, k[d]);
            size += fabs(kept(h, q[d]) * kept(h, k[d]));
        }
        p[t] = dot * (double)scale;
        max = p[t] > max ? p[t] : max;
        score_error = fmax(score_error,
                           UNIT_F32 * ((h->head_dim + 2) * size * (double)scale + 2 * fabs(p[t])));
    }
    for (uint32_t t = 0; t <= token; t++) {
        p[t] = exp(p[t] - max);
        sum += p[t];
    }
    for (uint32_t d = 0; d < h->head_dim; d++) {
        double want = 0.0;
        double size = 0.0;
        double relative = 2 * (2 * score_error + UNIT_F32 * (2 * 2 + 12 * n_pieces + 256));

        for (uint32_t t = 0; t <= token; t++) {
            double v = kept(h, s->v[((size_t)t * h->n_kv_heads + kv_head) * h->head_dim + d]);

            want += p[t] / sum * v;
            size += p[t] / sum * fabs(v);
        }
        if (!(fabs((double)got[d] - want) <= relative * size + 0x1p-126)) {
            FAIL("math %d heads %u/%u x %u: token %u head %u dim %u is %.9g, not %.9g (+- %.3g)",
                 h->math, h->n_heads, h->n_kv_heads, h->head_dim, token, head, d, (double)got[d],
                 want, relative * size);
        }
    }
    free(p);
}

static const struct heads shapes[] = {
    {MATH_BF16, 16, 1, 128, 16}, {MATH_F32, 6, 2, 24, 16},    {MATH_BF16, 3, 3, 24, 16},
    {MATH_F32, 4, 1, 128, 8},    {MATH_BF16, 12, 2, 64, 256}, {MATH_BF16, 70, 1, 8, 3},
    {MATH_F32, 2, 2, 256, 64},   {MATH_BF16, 5, 1, 72, 1},
};

static void check_level(const char *level)
{
    static const uint32_t lengths[] = {1, 15, 31, 70, 255, 256, 257, 600};
    struct source src = {.seed = 3};

    skip_without(level);
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        const struct heads *h = &shapes[i];
        struct cache cache = cache_open(*h, 1300);
        struct compute *c = kernel_compute(h->math, level, 1 + source_u32(&src) % 3, ROWS_MAX, 64);
        float scale = 1.0f / sqrtf((float)h->head_dim);
        uint32_t n = lengths[i % ARRAY_COUNT(lengths)];
        struct sequence s = sequence_open(&cache, n, &src, i % 2 == 0 ? 1.0f : 4.0f);
        size_t q_cols = (size_t)h->n_heads * h->head_dim;
        float *out = malloc(n * q_cols * sizeof(float));
        struct part part = {&s, 0, n, out};

        run_step(c, &cache, &part, 1, scale);
        for (uint32_t t = 0; t < n; t += 1 + n / 40) {
            for (uint32_t head = 0; head < h->n_heads; head++) {
                expect_row(h, &s, t, head, out + t * q_cols + (size_t)head * h->head_dim, scale);
            }
        }
        free(out);
        sequence_close(&s);
        cache_close(&cache);
        compute_destroy(c);
    }
}

TEST(ref_is_exact_within_rounding)
{
    check_level("ref");
}

TEST(avx2_is_exact_within_rounding)
{
    check_level("avx2");
}

TEST(avx512_is_exact_within_rounding)
{
    check_level("avx512");
}

TEST(avx512bf16_is_exact_within_rounding)
{
    check_level("avx512bf16");
}

TEST(neon_is_exact_within_rounding)
{
    check_level("neon");
}

/* Next chunk of a sequence that has `done` tokens: often 1, sometimes all the rest. */
static uint32_t next_end(struct source *src, uint32_t done, uint32_t n_tokens)
{
    uint32_t pick = source_u32(src) % 8;
    uint32_t step = pick < 3 ? 1 : pick < 7 ? source_between(src, 2, 90) : n_tokens;

    return step < n_tokens - done ? done + step : n_tokens;
}

/* Each sequence whole and alone, then all together in random chunks. */
static void check_invariance(const char *level, const struct heads *h, uint32_t n_threads)
{
    static const uint32_t lengths[] = {300, 1, 257, 40};
    struct source src = {.seed = 17};
    struct cache cache = cache_open(*h, 700);
    struct compute *one = kernel_compute(h->math, level, 1, ROWS_MAX, 64);
    struct compute *many = kernel_compute(h->math, level, n_threads, ROWS_MAX, 64);
    size_t q_cols = (size_t)h->n_heads * h->head_dim;
    struct sequence seqs[ARRAY_COUNT(lengths)];
    float *want[ARRAY_COUNT(lengths)];
    float *got[ARRAY_COUNT(lengths)];
    uint32_t done[ARRAY_COUNT(lengths)] = {0};
    uint32_t n_parts;

    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        seqs[i] = sequence_open(&cache, lengths[i], &src, 3.0f);
        want[i] = malloc(lengths[i] * q_cols * sizeof(float));
        got[i] = malloc(lengths[i] * q_cols * sizeof(float));
        run_step(one, &cache, &(struct part){&seqs[i], 0, lengths[i], want[i]}, 1, 0.25f);
    }
    cache_poison(&cache);
    do {
        struct part parts[ARRAY_COUNT(lengths)];

        n_parts = 0;
        for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
            if (done[i] < lengths[i] && source_u32(&src) % 4 != 0) {
                uint32_t end = next_end(&src, done[i], lengths[i]);

                parts[n_parts++] = (struct part){&seqs[i], done[i], end, got[i]};
                done[i] = end;
            }
        }
        if (n_parts > 0) {
            run_step(many, &cache, parts, n_parts, 0.25f);
        }
    } while (memcmp(done, lengths, sizeof(done)) != 0);
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        for (uint32_t t = 0; t < lengths[i]; t++) {
            expect_bits_equal("chunked against whole", got[i] + t * q_cols, want[i] + t * q_cols, t,
                              (uint32_t)q_cols);
        }
        free(want[i]);
        free(got[i]);
        sequence_close(&seqs[i]);
    }
    cache_close(&cache);
    compute_destroy(one);
    compute_destroy(many);
}

TEST(bits_do_not_depend_on_chunks_batch_or_threads)
{
    for (size_t l = 0; l < ARRAY_COUNT(kernel_levels); l++) {
        struct compute *c = kernel_compute(MATH_F32, kernel_levels[l], 1, 1, 64);

        if (c == NULL) {
            continue;
        }
        compute_destroy(c);
        for (uint32_t i = 0; i < ARRAY_COUNT(shapes); i++) {
            check_invariance(kernel_levels[l], &shapes[i], 1 + i % 4);
        }
    }
}

/* A long decode takes more pieces than a small pool has states for: several waves. */
TEST(long_decode_in_waves_equals_whole)
{
    const struct heads h = {MATH_BF16, 4, 1, 32, 16};
    const uint32_t n = 6000;
    struct source src = {.seed = 29};

    for (size_t l = 0; l < ARRAY_COUNT(kernel_levels); l++) {
        struct compute *one = kernel_compute(h.math, kernel_levels[l], 1, ROWS_MAX, 64);
        struct compute *two = kernel_compute(h.math, kernel_levels[l], 2, ROWS_MAX, 64);
        struct cache cache;
        struct sequence s;
        float *want;
        float *got;

        if (one == NULL) {
            continue;
        }
        cache = cache_open(h, 400);
        s = sequence_open(&cache, n, &src, 1.0f);
        want = malloc((size_t)n * 128 * sizeof(float));
        got = malloc((size_t)n * 128 * sizeof(float));
        for (uint32_t t = 0; t < n; t += 600) {
            run_step(one, &cache, &(struct part){&s, t, t + 600, want}, 1, 0.2f);
        }
        run_step(two, &cache, &(struct part){&s, n - 1, n, got}, 1, 0.2f);
        expect_bits_equal("two threads", got + (size_t)(n - 1) * 128, want + (size_t)(n - 1) * 128,
                          n - 1, 128);
        run_step(two, &cache, &(struct part){&s, n - 30, n, got}, 1, 0.2f); // several items
        for (uint32_t t = n - 30; t < n; t++) {
            expect_bits_equal("30 rows", got + (size_t)t * 128, want + (size_t)t * 128, t, 128);
        }
        free(want);
        free(got);
        sequence_close(&s);
        cache_close(&cache);
        compute_destroy(one);
        compute_destroy(two);
    }
}

/* What a row may not see cannot reach it, not even as 0 x infinity. */
TEST(later_tokens_do_not_reach_earlier_rows)
{
    const struct heads h = {MATH_BF16, 2, 1, 16, 16};
    const uint32_t n = 50;

    for (size_t l = 0; l < ARRAY_COUNT(kernel_levels); l++) {
        struct source src = {.seed = 31};
        struct compute *c = kernel_compute(h.math, kernel_levels[l], 2, ROWS_MAX, 64);
        struct cache cache;
        struct sequence s;
        float *want;
        float *got;

        if (c == NULL) {
            continue;
        }
        cache = cache_open(h, 8);
        s = sequence_open(&cache, n, &src, 1.0f);
        want = malloc((size_t)n * 32 * sizeof(float));
        got = malloc((size_t)n * 32 * sizeof(float));
        run_step(c, &cache, &(struct part){&s, 0, n, want}, 1, 0.25f);
        for (uint32_t d = 0; d < 16; d++) {
            s.v[(size_t)(n - 1) * 16 + d] = INFINITY;
            s.k[(size_t)(n - 1) * 16 + d] = NAN;
        }
        run_step(c, &cache, &(struct part){&s, 0, n, got}, 1, 0.25f);
        for (uint32_t t = 0; t + 1 < n; t++) {
            expect_bits_equal("with a poisoned last token", got + (size_t)t * 32,
                              want + (size_t)t * 32, t, 32);
        }
        EXPECT_TRUE(isnan(got[(size_t)(n - 1) * 32]));
        free(want);
        free(got);
        sequence_close(&s);
        cache_close(&cache);
        compute_destroy(c);
    }
}
