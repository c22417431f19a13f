/* kernel_test.h - what the kernel tests share: levels, inputs, guarded memory.
 *
 * Header only, because each test file is a program of its own.
 */
#ifndef TESTS_KERNEL_KERNEL_TEST_H
#define TESTS_KERNEL_KERNEL_TEST_H

#include "base/check.h"
#include "base/rng.h"
#include "compute/cpu/halves.h"
#include "compute/ops.h"
#include "support/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define UNIT_F32 0x1p-24 // half a unit in the last place, relative
#define UNIT_BF16 0x1p-9

static const char *const kernel_levels[] = {"ref", "avx2", "avx512", "avx512bf16", "neon"};

/* NULL when this machine lacks the level. */
static inline struct compute *kernel_compute(enum math math, const char *level, uint32_t n_threads,
                                             uint32_t rows_max, uint32_t cols_max)
{
    struct compute *c = NULL;
    struct error err;
    struct compute_options o = {
        .math = math,
        .level = level,
        .n_threads = n_threads,
        .rows_max = rows_max,
        .cols_max = cols_max,
    };
    enum status rc = compute_create(&o, &c, &err);

    if (rc == E_UNSUPPORTED) {
        return NULL;
    }
    EXPECT_STATUS(rc, OK);
    return c;
}

static inline void skip_without(const char *level)
{
    struct compute *c = kernel_compute(MATH_F32, level, 1, 1, 64);

    if (c == NULL) {
        SKIP("no hardware: this machine or KONTOR_CPU_LEVEL has not this instruction-set level");
    }
    compute_destroy(c);
}

/* Memory that ends (to within `align`) at an unreadable page: a read or write beyond it is a
 * SIGSEGV. */
static inline void *guard_alloc(size_t n_bytes, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t used = (n_bytes + align - 1) / align * align;
    size_t n_pages = (used + page - 1) / page + 1;
    char *base =
        mmap(NULL, n_pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(base != MAP_FAILED);
    CHECK(mprotect(base + (n_pages - 1) * page, page, PROT_NONE) == 0);
    return base + (n_pages - 1) * page - used;
}

static inline void guard_free(void *ptr, size_t n_bytes, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t used = (n_bytes + align - 1) / align * align;
    size_t n_pages = (used + page - 1) / page + 1;

    CHECK(munmap((char *)ptr + used + page - n_pages * page, n_pages * page) == 0);
}

/* Random numbers by a running counter. */
struct source {
    uint64_t seed;
    uint64_t at;
};

static inline uint32_t source_u32(struct source *s)
{
    uint32_t words[4];

    rng_block(s->seed, 0, s->at++, words);
    return words[0];
}

/* [lo, hi] */
static inline uint32_t source_between(struct source *s, uint32_t lo, uint32_t hi)
{
    return lo + source_u32(s) % (hi - lo + 1);
}

static inline float source_uniform(struct source *s, float scale)
{
    return ((float)(source_u32(s) >> 8) * 0x1p-23f - 1.0f) * scale;
}

enum values { VALUES_UNIFORM, VALUES_WIDE, VALUES_DENORMAL, VALUES_SIGNED_ZERO, VALUES_COUNT };

static inline float source_value(struct source *s, enum values values)
{
    uint32_t pick = source_u32(s);
    float v = source_uniform(s, 1.0f);

    switch (values) {
    case VALUES_WIDE: // 2^-40 .. 2^40, so that large terms cancel
        return ldexpf(v, (int)(pick % 81) - 40);
    case VALUES_DENORMAL:
        return pick % 3 == 0 ? v * 0x1p-130f : v;
    case VALUES_SIGNED_ZERO:
        return pick % 4 == 0 ? -0.0f : pick % 4 == 1 ? 0.0f : v;
    case VALUES_UNIFORM:
    case VALUES_COUNT:
        break;
    }
    return v;
}

static inline void fill_values(struct source *s, enum values values, float *ptr, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ptr[i] = source_value(s, values);
    }
}

/* Row-major rows with a stride; everything between the rows holds a canary. */
#define CANARY 0x7f812345u // a signalling NaN: it also shows up when it is read

static inline void fill_canary(float *ptr, size_t n)
{
    uint32_t bits = CANARY;

    for (size_t i = 0; i < n; i++) {
        memcpy(ptr + i, &bits, sizeof(bits));
    }
}

static inline bool is_canary(const float *ptr)
{
    uint32_t bits;

    memcpy(&bits, ptr, sizeof(bits));
    return bits == CANARY;
}

/* Allocation of rows that ends at a guard page. */
static inline struct rows rows_alloc(uint32_t n_rows, uint32_t n_cols, uint32_t stride)
{
    size_t n = (size_t)(n_rows - 1) * stride + n_cols; // nothing behind the last row

    struct rows r = {guard_alloc(n * sizeof(float), sizeof(float)), n_rows, n_cols, stride};

    fill_canary(r.ptr, n);
    return r;
}

static inline void rows_free(struct rows r)
{
    size_t n = (size_t)(r.n_rows - 1) * r.stride + r.n_cols;

    guard_free(r.ptr, n * sizeof(float), sizeof(float));
}

static inline float *rows_at(struct rows r, uint32_t row)
{
    return r.ptr + (size_t)row * r.stride;
}

static inline void rows_fill(struct rows r, struct source *s, enum values values)
{
    for (uint32_t i = 0; i < r.n_rows; i++) {
        fill_values(s, values, rows_at(r, i), r.n_cols);
    }
}

/* The canaries between the rows are untouched. */
static inline void expect_gaps_kept(struct rows r)
{
    for (uint32_t i = 0; i + 1 < r.n_rows; i++) {
        for (uint32_t c = r.n_cols; c < r.stride; c++) {
            if (!is_canary(rows_at(r, i) + c)) {
                FAIL("row %u: wrote to column %u behind its %u", i, c, r.n_cols);
            }
        }
    }
}

static inline void expect_bits_equal(const char *what, const float *got, const float *want,
                                     uint32_t row, uint32_t n)
{
    for (uint32_t c = 0; c < n; c++) {
        if (memcmp(got + c, want + c, sizeof(float)) != 0) {
            FAIL("%s: row %u column %u is %a, not %a", what, row, c, (double)got[c],
                 (double)want[c]);
        }
    }
}

/* Row-major [n_rows, n_cols] of `dtype`, from float32 values. */
static inline void *narrow_alloc(const float *values, size_t n, enum dtype dtype)
{
    size_t n_bytes = n * dtype_bytes(dtype);
    void *out = guard_alloc(n_bytes, dtype_bytes(dtype));
    uint16_t *half = out;

    for (size_t i = 0; i < n; i++) {
        if (dtype == DTYPE_F32) {
            memcpy((float *)out + i, values + i, sizeof(float));
        } else {
            half[i] = dtype == DTYPE_BF16 ? halves_to_bf16(values[i]) : halves_to_f16(values[i]);
        }
    }
    return out;
}

static inline void narrow_free(void *ptr, size_t n, enum dtype dtype)
{
    guard_free(ptr, n * dtype_bytes(dtype), dtype_bytes(dtype));
}

/* The value a matrix of `dtype` holds for `v`. */
static inline float stored_value(float v, enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_BF16:
        return halves_from_bf16(halves_to_bf16(v));
    case DTYPE_F16:
        return halves_from_f16(halves_to_f16(v));
    case DTYPE_F32:
        break;
    }
    return v;
}

static inline struct matrix matrix_alloc(struct compute *c, enum dtype dtype, uint32_t n_out,
                                         uint32_t n_in)
{
    struct matrix m = {.n_out = n_out, .n_in = n_in, .dtype = dtype};
    size_t n_bytes = compute_ops(c)->matrix_bytes(dtype, n_out, n_in);

    EXPECT_EQ_SIZE(n_bytes % 64, 0);
    m.packed = guard_alloc(n_bytes, 64);
    memset(m.packed, 0xff, n_bytes); // NaN in every format: padding must be written
    return m;
}

static inline void matrix_free(struct compute *c, struct matrix *m)
{
    guard_free(m->packed, compute_ops(c)->matrix_bytes(m->dtype, m->n_out, m->n_in), 64);
}

#endif
