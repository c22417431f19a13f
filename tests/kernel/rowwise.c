/* rowwise.c - the operations in which rows stand alone, on every level, against double
 * precision. */
#include "compute/cpu/exp_poly.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/rope.h"
#include "kernel/kernel_test.h"

#include <stdio.h>

#define ROWS_MAX 64

/* Runs `check` on every level this machine has. */
static void each_level(enum math math, void (*check)(struct compute *c, struct source *src))
{
    uint32_t n_levels = 0;

    for (uint32_t i = 0; i < ARRAY_COUNT(kernel_levels); i++) {
        struct compute *c = kernel_compute(math, kernel_levels[i], 1 + i % 3, ROWS_MAX, 64);
        struct source src = {.seed = 41};

        if (c != NULL) {
            check(c, &src);
            compute_destroy(c);
            n_levels++;
        }
    }
    EXPECT_TRUE(n_levels >= 1);
}

/* Few columns and many, around all vector widths. */
static uint32_t pick_cols(struct source *src)
{
    return source_u32(src) % 2 == 0 ? source_between(src, 1, 70) : source_between(src, 1000, 5000);
}

static void check_rmsnorm(struct compute *c, struct source *src)
{
    for (uint32_t i = 0; i < 24; i++) {
        uint32_t n = pick_cols(src);
        uint32_t n_rows = source_between(src, 1, 9);
        struct rows x = rows_alloc(n_rows, n, n + source_between(src, 0, 5));
        struct rows y = rows_alloc(n_rows, n, n + source_between(src, 0, 5));
        float *w = guard_alloc(n * sizeof(float), sizeof(float));
        bool add = i % 3 == 1;
        bool in_place = i % 3 == 2;
        float size = i % 4 == 0 ? 1e-3f : 3.0f;
        struct rmsnorm_args a = {.x = x, .weight = w, .eps = 1e-5f, .y = in_place ? x : y};
        float *before = malloc((size_t)n_rows * n * sizeof(float));
        float *added = malloc((size_t)n_rows * n * sizeof(float));

        fill_values(src, VALUES_UNIFORM, w, n);
        for (uint32_t r = 0; r < n_rows; r++) {
            for (uint32_t k = 0; k < n; k++) {
                rows_at(x, r)[k] = source_uniform(src, size);
                rows_at(y, r)[k] = source_uniform(src, 1.0f);
            }
            memcpy(before + (size_t)r * n, rows_at(x, r), n * sizeof(float));
            memcpy(added + (size_t)r * n, rows_at(y, r), n * sizeof(float));
        }
        if (add) {
            compute_ops(c)->rmsnorm_add(c, &a);
        } else {
            compute_ops(c)->rmsnorm(c, &a);
        }
        for (uint32_t r = 0; r < n_rows; r++) {
            const float *in = before + (size_t)r * n;
            double sum = 0.0;
            double factor;

            for (uint32_t k = 0; k < n; k++) {
                sum += (double)in[k] * (double)in[k];
            }
            factor = 1.0 / sqrt(sum / n + (double)a.eps);
            for (uint32_t k = 0; k < n; k++) {
                double v = (double)in[k] * factor * (double)w[k];
                double base = add ? (double)added[(size_t)r * n + k] : 0.0;
                // a sum of n / 8 squares per lane at worst, halved by the root; 6 more roundings
                double tolerance = UNIT_F32 * ((n / 8.0 + 5) / 2 + 6) * (fabs(v) + fabs(base));

                EXPECT_NEAR((double)rows_at(a.y, r)[k], base + v, tolerance);
            }
        }
        expect_gaps_kept(x);
        expect_gaps_kept(y);
        free(before);
        free(added);
        guard_free(w, n * sizeof(float), sizeof(float));
        rows_free(x);
        rows_free(y);
    }
}

TEST(rmsnorm_is_exact_within_rounding)
{
    each_level(MATH_F32, check_rmsnorm);
}

static void check_silu(struct compute *c, struct source *src)
{
    static const float corners[] = {0.0f,    -0.0f, 87.0f,  -87.0f, 88.5f,   -88.5f, -88.9f, 100.0f,
                                    -100.0f, 1e30f, -1e30f, 1e-30f, -1e-30f, 3e38f,  -3e38f};

    for (uint32_t i = 0; i < 24; i++) {
        uint32_t n = pick_cols(src);
        uint32_t n_rows = source_between(src, 1, 9);
        struct rows x = rows_alloc(n_rows, 2 * n, 2 * n + source_between(src, 0, 5));
        struct rows y = rows_alloc(n_rows, n, n + source_between(src, 0, 5));

        for (uint32_t r = 0; r < n_rows; r++) {
            for (uint32_t k = 0; k < n; k++) {
                rows_at(x, r)[k] =
                    k < ARRAY_COUNT(corners) && r == 0 ? corners[k] : source_uniform(src, 12.0f);
                rows_at(x, r)[n + k] = source_uniform(src, 1.0f);
            }
        }
        compute_ops(c)->silu_mul(c, x, y);
        for (uint32_t r = 0; r < n_rows; r++) {
            for (uint32_t k = 0; k < n; k++) {
                double g = (double)rows_at(x, r)[k];
                double want = g / (1.0 + exp(-g)) * (double)rows_at(x, r)[n + k];
                // exp, sum, quotient and product round; tiny results may be flushed
                double tolerance = UNIT_F32 * (2 * EXP_ULP_MAX + 4) * fabs(want) + 0x1p-119;

                EXPECT_NEAR((double)rows_at(y, r)[k], want, tolerance);
            }
        }
        expect_gaps_kept(y);
        rows_free(x);
        rows_free(y);
    }
}

TEST(silu_mul_is_exact_within_rounding)
{
    each_level(MATH_F32, check_silu);
}

TEST(silu_mul_passes_nan_on)
{
    for (size_t i = 0; i < ARRAY_COUNT(kernel_levels); i++) {
        struct compute *c = kernel_compute(MATH_F32, kernel_levels[i], 1, 1, 64);
        float x[40];
        float y[20];

        if (c == NULL) {
            continue;
        }
        for (size_t k = 0; k < 40; k++) {
            x[k] = k == 17 ? NAN : 1.0f;
        }
        compute_ops(c)->silu_mul(c, (struct rows){x, 1, 40, 40}, (struct rows){y, 1, 20, 20});
        EXPECT_TRUE(isnan(y[17]));
        EXPECT_FALSE(isnan(y[16]));
        compute_destroy(c);
    }
}

static double ulp_of(double v)
{
    int exponent;

    frexp(v, &exponent);
    return ldexp(1.0, exponent - 24);
}

/* e^x through softmax of {0, x}: every level's exponential, all over [-104, 0]. */
static void check_exp(struct compute *c, struct source *src)
{
    double worst = 0.0;
    struct kernels k;

    (void)src;
    kernels_ref_fill(&k);
#if defined(__x86_64__)
    if (strcmp(compute_level(c), "avx2") == 0) {
        kernels_avx2_fill(&k);
    } else if (strncmp(compute_level(c), "avx512", 6) == 0) {
        kernels_avx512_fill(&k);
    }
#elif defined(__aarch64__)
    if (strcmp(compute_level(c), "neon") == 0) {
        kernels_neon_fill(&k);
    }
#endif
    for (uint32_t i = 0; i < 300000; i += 15) {
        _Alignas(64) float s[16] = {0.0f};
        float x[16] = {0.0f};
        float max;
        float sum;
        double total = 0.0;

        for (uint32_t j = 1; j < 16; j++) {
            x[j] = s[j] = -104.0f * (float)(i + j) / 300000.0f;
        }
        k.softmax(s, 16, 1.0f, &max, &sum);
        EXPECT_TRUE(max == 0.0f && s[0] == 1.0f);
        for (uint32_t j = 0; j < 16; j++) {
            double want = exp((double)x[j]);

            total += (double)s[j];
            if (x[j] < EXP_LO) {
                EXPECT_TRUE(s[j] == 0.0f);
            } else {
                worst = fmax(worst, fabs((double)s[j] - want) / ulp_of(want));
            }
        }
        EXPECT_NEAR((double)sum, total, 16 * UNIT_F32 * total);
    }
    printf("# %s: exp is within %.3f ulp\n", compute_level(c), worst);
    EXPECT_TRUE(worst <= EXP_ULP_MAX);
}

TEST(exp_is_within_the_documented_ulp)
{
    each_level(MATH_F32, check_exp);
}

TEST(rope_turns_the_first_dims_of_each_head)
{
    struct source src = {.seed = 43};

    for (uint32_t i = 0; i < 40; i++) {
        uint32_t head_dim = 2 * source_between(&src, 1, 64);
        uint32_t rotated = 2 * source_between(&src, 0, head_dim / 2);
        uint32_t n_heads = source_between(&src, 1, 5);
        uint32_t n_rows = source_between(&src, 1, 20);
        uint32_t n = n_heads * head_dim;
        struct compute *c = kernel_compute(MATH_F32, NULL, 1 + i % 3, ROWS_MAX, 64);
        struct rows x = rows_alloc(n_rows, n, n + i % 4);
        float *before = malloc((size_t)n_rows * n * sizeof(float));
        float inv_freq[64];
        int32_t positions[20];
        struct rope_args a = {
            .x = x,
            .n_heads = n_heads,
            .head_dim = head_dim,
            .rotated = rotated,
            .interleaved = i % 2 == 0,
            .inv_freq = inv_freq,
            .scale = i % 3 == 0 ? 1.0f : 1.25f,
            .positions = positions,
        };

        rows_fill(x, &src, VALUES_UNIFORM);
        for (uint32_t f = 0; f < rotated / 2; f++) {
            inv_freq[f] = powf(10000.0f, -2.0f * (float)f / (float)rotated);
        }
        for (uint32_t r = 0; r < n_rows; r++) {
            positions[r] = (int32_t)source_between(&src, 0, i % 2 == 0 ? 100 : 1000000);
            memcpy(before + (size_t)r * n, rows_at(x, r), n * sizeof(float));
        }
        compute_ops(c)->rope(c, &a);
        for (uint32_t r = 0; r < n_rows; r++) {
            for (uint32_t d = 0; d < n; d++) {
                uint32_t within = d % head_dim;
                uint32_t half = rotated / 2;
                const float *in = before + (size_t)r * n + d - within;
                float got = rows_at(x, r)[d];
                uint32_t f = a.interleaved ? within / 2 : within % (half == 0 ? 1 : half);
                bool first = a.interleaved ? within % 2 == 0 : within < half;
                uint32_t partner = a.interleaved ? within ^ 1u
                                   : first       ? within + half
                                                 : within - half;
                float angle;
                double u, v, want;

                if (within >= rotated) {
                    EXPECT_TRUE(memcmp(&got, in + within, sizeof(got)) == 0);
                    continue;
                }
                angle = (float)positions[r] * inv_freq[f]; // float32, as the models were trained
                u = (double)in[within] * cos((double)angle);
                v = (double)in[partner] * sin((double)angle);
                want = (first ? u - v : u + v) * (double)a.scale;
                EXPECT_NEAR((double)got, want,
                            UNIT_F32 * 5 * (fabs(u) + fabs(v)) * (double)a.scale);
            }
        }
        expect_gaps_kept(x);
        free(before);
        rows_free(x);
        compute_destroy(c);
    }
}

TEST(sine_and_cosine_are_nearly_correctly_rounded)
{
    struct source src = {.seed = 47};

    for (uint32_t i = 0; i < 200000; i++) {
        float angle =
            i < 1000 ? (float)i * 0.785398163f : source_uniform(&src, i % 2 == 0 ? 10.0f : 0x1p20f);
        float s;
        float c;

        rope_sincos(angle, &s, &c);
        EXPECT_NEAR((double)s, sin((double)angle), 0.501 * ulp_of(sin((double)angle)));
        EXPECT_NEAR((double)c, cos((double)angle), 0.501 * ulp_of(cos((double)angle)));
    }
}

static void check_embed(struct compute *c, struct source *src)
{
    for (uint32_t i = 0; i < 12; i++) {
        enum dtype dtype = (enum dtype)(i % 3);
        uint32_t n = source_between(src, 1, 300);
        uint32_t vocab = source_between(src, 1, 50);
        float *values = malloc((size_t)vocab * n * sizeof(float));
        struct rows y = rows_alloc(17, n, n + i % 4);
        int32_t ids[17];
        void *table;

        fill_values(src, VALUES_DENORMAL, values, (size_t)vocab * n);
        table = narrow_alloc(values, (size_t)vocab * n, dtype);
        for (uint32_t r = 0; r < 17; r++) {
            ids[r] = (int32_t)(r == 0 ? vocab - 1 : source_between(src, 0, vocab - 1));
        }
        compute_ops(c)->embed(c, &(struct embed_args){table, dtype, vocab, ids, y});
        for (uint32_t r = 0; r < 17; r++) {
            for (uint32_t k = 0; k < n; k++) {
                float want = stored_value(values[(size_t)ids[r] * n + k], dtype);

                EXPECT_EQ_U32(halves_bits(rows_at(y, r)[k]), halves_bits(want));
            }
        }
        expect_gaps_kept(y);
        narrow_free(table, (size_t)vocab * n, dtype);
        free(values);
        rows_free(y);
    }
}

TEST(embed_copies_rows_exactly)
{
    each_level(MATH_BF16, check_embed);
}

static void check_add_and_gather(struct compute *c, struct source *src)
{
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t n = pick_cols(src);
        uint32_t n_rows = source_between(src, 1, 30);
        struct rows x = rows_alloc(n_rows, n, n + i % 4);
        struct rows y = rows_alloc(n_rows, n, n + i % 3);
        struct rows z = rows_alloc(7, n, n + 1);
        uint32_t idx[7];
        float *before = malloc((size_t)n_rows * n * sizeof(float));

        rows_fill(x, src, VALUES_WIDE);
        rows_fill(y, src, VALUES_WIDE);
        for (uint32_t r = 0; r < n_rows; r++) {
            memcpy(before + (size_t)r * n, rows_at(y, r), n * sizeof(float));
        }
        compute_ops(c)->add(c, x, y);
        for (uint32_t r = 0; r < n_rows; r++) {
            for (uint32_t k = 0; k < n; k++) {
                float want = before[(size_t)r * n + k] + rows_at(x, r)[k];

                EXPECT_EQ_U32(halves_bits(rows_at(y, r)[k]), halves_bits(want));
            }
        }
        for (uint32_t r = 0; r < 7; r++) {
            idx[r] = r == 0 ? n_rows - 1 : source_between(src, 0, n_rows - 1);
        }
        compute_ops(c)->gather_rows(c, x, idx, z);
        for (uint32_t r = 0; r < 7; r++) {
            expect_bits_equal("gather", rows_at(z, r), rows_at(x, idx[r]), r, n);
        }
        expect_gaps_kept(y);
        expect_gaps_kept(z);
        free(before);
        rows_free(x);
        rows_free(y);
        rows_free(z);
    }
}

TEST(add_and_gather_are_exact)
{
    each_level(MATH_F32, check_add_and_gather);
}

/* Denormals: the bf16 instructions flush them, the other levels keep them; both are within
 * 2^-126. */
static void check_to_bf16(struct compute *c, struct source *src)
{
    const uint32_t head_dim = 50;
    struct kv_layer kv = {.dtype = DTYPE_BF16,
                          .n_blocks = 3,
                          .block_tokens = 4,
                          .n_kv_heads = 2,
                          .head_dim = head_dim};
    size_t n_bytes = (size_t)3 * 4 * 2 * head_dim * 2;
    uint32_t slots[12];
    struct rows k = rows_alloc(12, 2 * head_dim, 2 * head_dim + 3);
    struct rows v = rows_alloc(12, 2 * head_dim, 2 * head_dim);

    kv.k = guard_alloc(n_bytes, 2);
    kv.v = guard_alloc(n_bytes, 2);
    rows_fill(k, src, VALUES_WIDE);
    rows_fill(v, src, VALUES_DENORMAL);
    rows_at(k, 3)[1] = 3.4e38f;   // rounds to infinity
    rows_at(k, 3)[2] = 0x1.01p0f; // ties: to even, down
    rows_at(k, 3)[3] = 0x1.03p0f; // and up
    rows_at(k, 3)[4] = -INFINITY;
    rows_at(k, 3)[5] = NAN;
    for (uint32_t i = 0; i < 12; i++) {
        slots[i] = (i * 5 + 2) % 12;
    }
    compute_ops(c)->kv_write(c, &(struct kv_write_args){&kv, k, v, slots});
    for (uint32_t t = 0; t < 12; t++) {
        for (uint32_t h = 0; h < 2; h++) {
            for (uint32_t d = 0; d < head_dim; d++) {
                size_t at = ((size_t)(slots[t] / 4 * 2 + h) * 4 + slots[t] % 4) * head_dim + d;
                float want_k = stored_value(rows_at(k, t)[h * head_dim + d], DTYPE_BF16);
                float want_v = stored_value(rows_at(v, t)[h * head_dim + d], DTYPE_BF16);
                float got_k = halves_from_bf16(((uint16_t *)kv.k)[at]);
                float got_v = halves_from_bf16(((uint16_t *)kv.v)[at]);

                EXPECT_TRUE(halves_bits(got_k) == halves_bits(want_k) ||
                            (isnan(got_k) && isnan(want_k)));
                EXPECT_TRUE(halves_bits(got_v) == halves_bits(want_v) ||
                            fabsf(got_v - want_v) < 0x1p-126f);
            }
        }
    }
    guard_free(kv.k, n_bytes, 2);
    guard_free(kv.v, n_bytes, 2);
    rows_free(k);
    rows_free(v);
}

TEST(kv_write_rounds_to_nearest_even)
{
    each_level(MATH_BF16, check_to_bf16);
}
