/* matmul.c - every level against double precision, and bit equality over batch and threads. */
#include "kernel/kernel_test.h"

#include <stdio.h>

#define ROWS_MAX 520

struct shape {
    enum math math;
    enum dtype dtype;
    uint32_t n_rows;
    uint32_t n_in;
    uint32_t n_out;
};

/* x, w, bias of one product, with the exact result beside. */
struct product {
    struct shape shape;
    struct compute *c;
    struct matrix m;
    struct rows x;
    struct rows y;
    float *w;    // [n_out][n_in] values the matrix holds
    float *bias; // [n_out] or NULL
};

static struct product product_open(const char *level, uint32_t n_threads, struct shape s,
                                   struct source *src, enum values values)
{
    struct product p = {.shape = s};
    size_t n_w = (size_t)s.n_out * s.n_in;
    void *narrow;
    uint32_t first = s.n_out > 64 ? 64 : s.n_out;

    p.c = kernel_compute(s.math, level, n_threads, ROWS_MAX, s.n_in);
    if (p.c == NULL) {
        return p;
    }
    p.w = malloc(n_w * sizeof(float));
    fill_values(src, values, p.w, n_w);
    if (s.dtype == DTYPE_F16) {
        for (size_t i = 0; i < n_w; i++) {
            p.w[i] = fminf(fmaxf(p.w[i], -60000.0f), 60000.0f);
        }
    }
    narrow = narrow_alloc(p.w, n_w, s.dtype);
    p.m = matrix_alloc(p.c, s.dtype, s.n_out, s.n_in);
    if (s.n_out > first) { // ranges in any order
        compute_ops(p.c)->matrix_pack(p.c, &p.m, first, s.n_out - first,
                                      (char *)narrow +
                                          (size_t)first * s.n_in * dtype_bytes(s.dtype),
                                      s.dtype);
    }
    compute_ops(p.c)->matrix_pack(p.c, &p.m, 0, first, narrow, s.dtype);
    narrow_free(narrow, n_w, s.dtype);
    for (size_t i = 0; i < n_w; i++) {
        p.w[i] = stored_value(p.w[i], s.dtype);
    }
    if (source_u32(src) % 2 == 0) {
        p.bias = guard_alloc(s.n_out * sizeof(float), sizeof(float));
        fill_values(src, VALUES_UNIFORM, p.bias, s.n_out);
    }
    p.x = rows_alloc(s.n_rows, s.n_in, s.n_in + source_between(src, 0, 9));
    p.y = rows_alloc(s.n_rows, s.n_out, s.n_out + source_between(src, 0, 9));
    rows_fill(p.x, src, values);
    return p;
}

static void product_close(struct product *p)
{
    if (p->c == NULL) {
        return;
    }
    rows_free(p->x);
    rows_free(p->y);
    matrix_free(p->c, &p->m);
    if (p->bias != NULL) {
        guard_free(p->bias, p->shape.n_out * sizeof(float), sizeof(float));
    }
    free(p->w);
    compute_destroy(p->c);
}

static void product_run(struct product *p)
{
    struct matmul_args a = {.x = p->x, .w = &p->m, .bias = p->bias, .y = p->y};

    compute_ops(p->c)->matmul(p->c, &a);
}

/*
 * |got - exact| <= gamma * sum |x w| (+ bias): each of the n_in products and sums of a segment and
 * the 4 last sums round once, relative to partial sums that are at most sum |x w| (Higham, 3.1).
 * The bf16 instruction and f32 flush to zero what is below 2^-126 per term.
 */
static void expect_exact(const struct product *p)
{
    const struct shape *s = &p->shape;

    for (uint32_t r = 0; r < s->n_rows; r++) {
        const float *x = rows_at(p->x, r);

        for (uint32_t o = 0; o < s->n_out; o++) {
            double sum = p->bias == NULL ? 0.0 : (double)p->bias[o];
            double size = fabs(sum);
            double flushed = 0.0;
            float got = rows_at(p->y, r)[o];
            double tolerance;

            for (uint32_t k = 0; k < s->n_in; k++) {
                double xv = (double)(s->math == MATH_BF16 ? stored_value(x[k], DTYPE_BF16) : x[k]);
                double wv = (double)p->w[(size_t)o * s->n_in + k];

                sum += xv * wv;
                size += fabs(xv * wv);
                flushed += 0x1p-125 * (fabs(xv) + fabs(wv) + 1.0);
            }
            tolerance = 1.01 * UNIT_F32 * (s->n_in + 5) * size + flushed;
            if (!(fabs((double)got - sum) <= tolerance)) {
                FAIL("%s math %d dtype %d, %u x %u x %u: y[%u][%u] is %.9g, not %.9g (+- %.3g)",
                     compute_level(p->c), s->math, s->dtype, s->n_rows, s->n_in, s->n_out, r, o,
                     (double)got, sum, tolerance);
            }
        }
    }
}

static void check_shape(const char *level, struct shape s, struct source *src, enum values values)
{
    struct product p = product_open(level, 1 + source_u32(src) % 3, s, src, values);

    if (p.c != NULL) {
        product_run(&p);
        expect_exact(&p);
        expect_gaps_kept(p.y);
    }
    product_close(&p);
}

static void check_level(const char *level)
{
    static const uint32_t ins[] = {2, 8, 24, 64, 72, 136, 256, 344};
    static const uint32_t outs[] = {1, 24, 31, 32, 33, 64, 100, 130};
    static const uint32_t counts[] = {1, 2, 3, 5, 8, 12, 13, 17, 40, 63};
    struct source src = {.seed = 11};

    skip_without(level);
    for (uint32_t i = 0; i < 160; i++) {
        struct shape s = {
            .math = i % 2 == 0 ? MATH_BF16 : MATH_F32,
            .dtype = (enum dtype)(i / 2 % 3),
            .n_rows = counts[source_u32(&src) % ARRAY_COUNT(counts)],
            .n_in = ins[source_u32(&src) % ARRAY_COUNT(ins)],
            .n_out = outs[source_u32(&src) % ARRAY_COUNT(outs)],
        };

        check_shape(level, s, &src, (enum values)(i / 6 % VALUES_COUNT));
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

/* Rows alone on one thread against the same rows in batches of all sizes, on 1 to 4 threads. */
static void check_invariance(const char *level, struct shape s)
{
    static const uint32_t counts[] = {1, 2, 3, 5, 8, 16, 17, 63, 64, 512};
    struct source src = {.seed = 23};
    struct product p;
    struct compute *alone;
    float *want;

    s.n_rows = 512;
    p = product_open(level, 1, s, &src, VALUES_WIDE);
    if (p.c == NULL) {
        return;
    }
    alone = p.c;
    want = malloc((size_t)s.n_rows * s.n_out * sizeof(float));
    for (uint32_t r = 0; r < s.n_rows; r++) {
        struct matmul_args a = {
            .x = {rows_at(p.x, r), 1, s.n_in, p.x.stride},
            .w = &p.m,
            .bias = p.bias,
            .y = {want + (size_t)r * s.n_out, 1, s.n_out, s.n_out},
        };

        compute_ops(alone)->matmul(alone, &a);
    }
    for (uint32_t n_threads = 1; n_threads <= 4; n_threads++) {
        p.c = kernel_compute(s.math, level, n_threads, ROWS_MAX, s.n_in);
        for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
            uint32_t n = counts[i];
            uint32_t at = source_between(&src, 0, s.n_rows - n); // another place in the batch
            struct matmul_args a = {
                .x = {rows_at(p.x, at), n, s.n_in, p.x.stride},
                .w = &p.m,
                .bias = p.bias,
                .y = {p.y.ptr, n, s.n_out, p.y.stride},
            };

            compute_ops(p.c)->matmul(p.c, &a);
            for (uint32_t r = 0; r < n; r++) {
                expect_bits_equal("batch against alone", rows_at(p.y, r),
                                  want + (size_t)(at + r) * s.n_out, at + r, s.n_out);
            }
        }
        compute_destroy(p.c);
    }
    p.c = alone;
    free(want);
    product_close(&p);
}

TEST(bits_do_not_depend_on_batch_or_threads)
{
    for (size_t i = 0; i < ARRAY_COUNT(kernel_levels); i++) {
        for (uint32_t d = 0; d < 6; d++) {
            struct shape s = {
                .math = d % 2 == 0 ? MATH_BF16 : MATH_F32,
                .dtype = (enum dtype)(d / 2),
                .n_in = d % 2 == 0 ? 1160 : 72,
                .n_out = d % 2 == 0 ? 72 : 300,
            };

            check_invariance(kernel_levels[i], s);
        }
    }
}

TEST(packing_keeps_every_value)
{
    struct source src = {.seed = 5};

    for (uint32_t i = 0; i < 18; i++) {
        enum dtype from = (enum dtype)(i % 3);
        enum dtype to = (enum dtype)(i / 3 % 3);
        uint32_t n_out = source_between(&src, 1, 150);
        uint32_t n_in = 2 * source_between(&src, 1, 300);
        size_t n = (size_t)n_out * n_in;
        struct compute *c = kernel_compute(MATH_BF16, i < 9 ? "ref" : NULL, 2, 1, n_in);
        struct matrix m = matrix_alloc(c, to, n_out, n_in);
        float *values = malloc(n * sizeof(float));
        float *row = guard_alloc(n_in * sizeof(float), sizeof(float));
        uint32_t cut = source_between(&src, 0, n_out - 1); // not only at multiples of 64
        char *narrow;

        fill_values(&src, VALUES_DENORMAL, values, n);
        narrow = narrow_alloc(values, n, from);
        compute_ops(c)->matrix_pack(c, &m, cut, n_out - cut,
                                    narrow + (size_t)cut * n_in * dtype_bytes(from), from);
        if (cut > 0) {
            compute_ops(c)->matrix_pack(c, &m, 0, cut, narrow, from);
        }
        for (uint32_t r = 0; r < n_out; r++) {
            compute_ops(c)->matrix_row(&m, r, row);
            for (uint32_t k = 0; k < n_in; k++) {
                float want = stored_value(stored_value(values[(size_t)r * n_in + k], from), to);

                if (halves_bits(want) != halves_bits(row[k])) {
                    FAIL("dtype %d to %d: row %u column %u is %a, not %a", from, to, r, k,
                         (double)row[k], (double)want);
                }
            }
        }
        narrow_free(narrow, n, from);
        guard_free(row, n_in * sizeof(float), sizeof(float));
        free(values);
        matrix_free(c, &m);
        compute_destroy(c);
    }
}
