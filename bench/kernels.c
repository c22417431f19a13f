/* How close the CPU kernels come to what the machine can do, measured in the same run.
 *
 *   kernels [--busy] [level ...]       default: every level this machine has
 *
 * --busy, on a machine with other work: one thread, and its processor time instead of wall time.
 *
 * Limit of a step with few rows: reading the weights once.  Limit of one with many: the
 * multiply-add peak of the level in registers.  Rows show the larger of the two shares.  Rounds
 * alternate with the limits, because the machine may be busy; the best round of each counts.
 */
#include "base/check.h"
#include "base/rng.h"
#include "base/str.h"
#include "compute/cpus.h"
#include "compute/memory.h"
#include "compute/ops.h"
#include "compute/pool.h"
#include "limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OUT 27392u // gate and up of a 9B model
#define N_IN 4096u
#define ROWS_MAX 512u
#define MIN_ROUNDS 3
#define ROUNDS_S 0.7 // per row of the table

static uint32_t n_threads; // 0: all

struct bench {
    struct compute *c;
    const struct ops *ops;
    struct pool *pool;
    double flops;    // limit
    struct matrix w; // N_OUT x N_IN
    float *x;
    float *y;
};

static void fill_floats(float *ptr, size_t n)
{
    uint32_t words[4];

    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) {
            rng_block(7, 0, i / 4, words);
        }
        ptr[i] = (float)(words[i % 4] >> 8) * 0x1p-24f - 0.5f;
    }
}

/* As the program itself allocates: both the kernels and the limit read huge pages. */
static void *alloc_bytes(size_t n_bytes)
{
    void *ptr = memory_alloc(n_bytes);

    CHECK(ptr != NULL);
    return ptr;
}

/* Weights by packing 64 rows over and over: values do not matter for time, denormals would. */
static struct matrix make_weights(const struct bench *b, enum dtype dtype)
{
    struct matrix m = {.n_out = N_OUT, .n_in = N_IN, .dtype = dtype};
    float *rows = alloc_bytes((size_t)64 * N_IN * sizeof(float));

    m.packed = alloc_bytes(b->ops->matrix_bytes(dtype, N_OUT, N_IN));
    fill_floats(rows, (size_t)64 * N_IN);
    for (uint32_t row = 0; row < N_OUT; row += 64) {
        b->ops->matrix_pack(b->c, &m, row, 64, rows, DTYPE_F32);
    }
    memory_free(rows, (size_t)64 * N_IN * sizeof(float));
    return m;
}

static void print_head(void)
{
    printf("| level | operation | shape | best | GB/s | GFLOP/s | of reading | of peak |\n"
           "|---|---|---|---|---|---|---|---|\n");
}

// tidy-allow: parameters because a row of the table has eight cells
static void print_row(const char *level, const char *op, const char *shape, double s, double bytes,
                      double flops, double read_share, double peak_share)
{
    printf("| %s | %s | %s | %.3f ms | %.1f | %.0f | %.0f %% | %.0f %% |\n", level, op, shape,
           s * 1e3, bytes / s * 1e-9, flops / s * 1e-9, read_share * 100, peak_share * 100);
    fflush(stdout);
}

static void bench_matmul(struct bench *b, const char *op, uint32_t n_rows)
{
    struct matmul_args a = {
        .x = {b->x, n_rows, N_IN, N_IN},
        .w = &b->w,
        .y = {b->y, n_rows, N_OUT, N_OUT},
    };
    size_t bytes = b->ops->matrix_bytes(b->w.dtype, N_OUT, N_IN);
    double flops = 2.0 * n_rows * N_OUT * N_IN;
    double best = (double)INFINITY;
    double read = (double)INFINITY;
    double end = limits_now_s() + ROUNDS_S;
    char shape[64];

    for (int i = 0; i < MIN_ROUNDS || limits_now_s() < end; i++) {
        double begin = limits_now_s();

        b->ops->matmul(b->c, &a);
        best = fmin(best, limits_now_s() - begin);
        read = fmin(read, limits_read_s(b->pool, b->w.packed, bytes));
    }
    snprintf(shape, sizeof(shape), "%u x %u x %u", n_rows, N_IN, N_OUT);
    print_row(compute_level(b->c), op, shape, best, (double)bytes, flops, read / best,
              b->flops > 0 ? flops / best / b->flops : 0);
}

static void bench_matmuls(const char *level, enum math math, enum dtype dtype, const char *op)
{
    static const uint32_t counts[] = {1, 2, 4, 8, 12, 16, 32, 64, 128, 512};
    struct compute_options o = {
        .math = math,
        .level = level,
        .n_threads = n_threads,
        .rows_max = ROWS_MAX,
        .cols_max = N_IN,
    };
    struct bench b = {0};
    bool bf16 = math == MATH_BF16 && dtype == DTYPE_BF16;

    CHECK(compute_create(&o, &b.c, NULL) == OK);
    b.ops = compute_ops(b.c);
    CHECK(pool_create(compute_threads(b.c), cpus_usable(), &b.pool, NULL) == OK);
    for (int i = 0; i < MIN_ROUNDS; i++) {
        b.flops = fmax(b.flops, limits_flops(b.pool, level, bf16));
    }
    b.w = make_weights(&b, dtype);
    b.x = alloc_bytes((size_t)ROWS_MAX * N_IN * sizeof(float));
    b.y = alloc_bytes((size_t)ROWS_MAX * N_OUT * sizeof(float));
    fill_floats(b.x, (size_t)ROWS_MAX * N_IN);
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        if (counts[i] <= 16 || str_eq(str_from_c(level), STR("ref")) == false) {
            bench_matmul(&b, op, counts[i]);
        }
    }
    memory_free(b.w.packed, b.ops->matrix_bytes(dtype, N_OUT, N_IN));
    memory_free(b.x, (size_t)ROWS_MAX * N_IN * sizeof(float));
    memory_free(b.y, (size_t)ROWS_MAX * N_OUT * sizeof(float));
    pool_destroy(b.pool);
    compute_destroy(b.c);
}

static bool has_level(const char *level)
{
    struct compute_options o = {.level = level, .n_threads = 1, .rows_max = 1, .cols_max = 64};
    struct compute *c = NULL;
    bool has = compute_create(&o, &c, NULL) == OK;

    compute_destroy(has ? c : NULL);
    return has;
}

static bool is_wanted(const char *level, int n_args, char **args)
{
    for (int i = 1; i < n_args; i++) {
        if (str_eq(str_from_c(level), str_from_c(args[i]))) {
            return true;
        }
    }
    return n_args <= 1;
}

int main(int n_args, char **args)
{
    static const char *const levels[] = {"avx512bf16", "avx512", "avx2", "neon", "ref"};

    if (n_args > 1 && str_eq(str_from_c(args[1]), STR("--busy"))) {
        limits_use_cpu_time();
        n_threads = 1;
        n_args--;
        args++;
    }
    print_head();
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (is_wanted(levels[i], n_args, args) && has_level(levels[i])) {
            bench_matmuls(levels[i], MATH_BF16, DTYPE_BF16, "matmul bf16");
            bench_matmuls(levels[i], MATH_BF16, DTYPE_F16, "matmul fp16");
            bench_matmuls(levels[i], MATH_F32, DTYPE_F32, "matmul fp32");
        }
    }
    return 0;
}
