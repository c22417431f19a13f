/* rowwise.c - operations in which every row stands alone: any split over threads gives equal
 * bits. */
#include "base/check.h"
#include "compute/compute_internal.h"
#include "compute/cpu/drivers.h"
#include "compute/cpu/halves.h"

#include <string.h>

#define SMALL_VALUES 16384 // below this the pool is not worth waking
#define SLICE 2048         // columns of one row per piece of work, where columns are independent

struct rowwise_job {
    struct compute *c;
    const void *args;
    void (*run)(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols);
    uint32_t n_cols;
    uint32_t slice; // columns per piece; n_cols when a row must stay whole
    uint32_t n_slices;
    struct pool_range range;
};

static void run_range(void *arg, uint32_t thread_idx)
{
    struct rowwise_job *job = arg;
    uint64_t begin;
    uint64_t end;

    (void)thread_idx;
    while (pool_range_take(&job->range, &begin, &end)) {
        for (uint64_t i = begin; i < end; i++) {
            uint32_t row = (uint32_t)(i / job->n_slices);
            uint32_t col = (uint32_t)(i % job->n_slices) * job->slice;
            uint32_t left = job->n_cols - col;

            job->run(job, row, col, left < job->slice ? left : job->slice);
        }
    }
}

/* run() over all rows, in pieces of `slice` columns. */
static void run_rows(struct rowwise_job *job, uint32_t n_rows, uint32_t slice)
{
    uint64_t n_pieces;

    if (n_rows == 0 || job->n_cols == 0) {
        return;
    }
    job->slice = slice < job->n_cols ? slice : job->n_cols;
    job->n_slices = (job->n_cols + job->slice - 1) / job->slice;
    n_pieces = (uint64_t)n_rows * job->n_slices;
    pool_range_init(&job->range, n_pieces, 1 + SLICE / job->slice);
    if ((uint64_t)n_rows * job->n_cols < SMALL_VALUES) {
        run_range(job, 0);
    } else {
        pool_run(job->c->pool, run_range, job);
    }
}

static float *row_ptr(struct rows x, uint32_t row)
{
    return x.ptr + (size_t)row * x.stride;
}

static void check_same_shape(struct rows x, struct rows y)
{
    CHECK(x.n_rows == y.n_rows && x.n_cols == y.n_cols);
    CHECK(x.stride >= x.n_cols && y.stride >= y.n_cols);
}

static void embed_row(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols)
{
    const struct embed_args *a = job->args;
    size_t at = (size_t)a->ids[row] * a->y.n_cols + col;
    float *y = row_ptr(a->y, row) + col;
    const uint16_t *half = a->table;

    switch (a->dtype) {
    case DTYPE_F32:
        memcpy(y, (const float *)a->table + at, n_cols * sizeof(*y));
        break;
    case DTYPE_BF16:
        job->c->kernels.from_bf16(y, half + at, n_cols);
        break;
    case DTYPE_F16:
        for (uint32_t i = 0; i < n_cols; i++) {
            y[i] = halves_from_f16(half[at + i]);
        }
        break;
    }
}

void rowwise_embed(struct compute *c, const struct embed_args *a)
{
    struct rowwise_job job = {.c = c, .args = a, .run = embed_row, .n_cols = a->y.n_cols};

    CHECK(a->y.stride >= a->y.n_cols);
    for (uint32_t i = 0; i < a->y.n_rows; i++) {
        CHECK(a->ids[i] >= 0 && (uint32_t)a->ids[i] < a->vocab);
    }
    run_rows(&job, a->y.n_rows, a->y.n_cols);
}

static void rmsnorm_row(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols)
{
    const struct rmsnorm_args *a = job->args;

    (void)col;
    job->c->kernels.rmsnorm(row_ptr(a->y, row), row_ptr(a->x, row), a->weight, n_cols, a->eps,
                            false);
}

void rowwise_rmsnorm(struct compute *c, const struct rmsnorm_args *a)
{
    struct rowwise_job job = {.c = c, .args = a, .run = rmsnorm_row, .n_cols = a->x.n_cols};

    check_same_shape(a->x, a->y);
    run_rows(&job, a->x.n_rows, a->x.n_cols);
}

static void rmsnorm_add_row(const struct rowwise_job *job, uint32_t row, uint32_t col,
                            uint32_t n_cols)
{
    const struct rmsnorm_args *a = job->args;

    (void)col;
    job->c->kernels.rmsnorm(row_ptr(a->y, row), row_ptr(a->x, row), a->weight, n_cols, a->eps,
                            true);
}

void rowwise_rmsnorm_add(struct compute *c, const struct rmsnorm_args *a)
{
    struct rowwise_job job = {.c = c, .args = a, .run = rmsnorm_add_row, .n_cols = a->x.n_cols};

    check_same_shape(a->x, a->y);
    CHECK(a->x.ptr != a->y.ptr);
    run_rows(&job, a->x.n_rows, a->x.n_cols);
}

static void kv_write_row(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols)
{
    const struct kv_write_args *a = job->args;
    const struct kv_layer *kv = a->kv;
    uint32_t block = a->slots[row] / kv->block_tokens;
    uint32_t offset = a->slots[row] % kv->block_tokens;
    const float *k = row_ptr(a->k, row);
    const float *v = row_ptr(a->v, row);

    (void)col;
    (void)n_cols;
    for (uint32_t h = 0; h < kv->n_kv_heads; h++) {
        size_t at =
            (((size_t)block * kv->n_kv_heads + h) * kv->block_tokens + offset) * kv->head_dim;
        size_t from = (size_t)h * kv->head_dim;

        if (kv->dtype == DTYPE_F32) {
            memcpy((float *)kv->k + at, k + from, kv->head_dim * sizeof(*k));
            memcpy((float *)kv->v + at, v + from, kv->head_dim * sizeof(*v));
        } else {
            job->c->kernels.to_bf16((uint16_t *)kv->k + at, k + from, kv->head_dim);
            job->c->kernels.to_bf16((uint16_t *)kv->v + at, v + from, kv->head_dim);
        }
    }
}

void rowwise_kv_write(struct compute *c, const struct kv_write_args *a)
{
    struct rowwise_job job = {.c = c, .args = a, .run = kv_write_row, .n_cols = a->k.n_cols};
    const struct kv_layer *kv = a->kv;

    check_same_shape(a->k, a->v);
    CHECK(a->k.n_cols == kv->n_kv_heads * kv->head_dim);
    CHECK(kv->dtype == (c->math == MATH_F32 ? DTYPE_F32 : DTYPE_BF16));
    for (uint32_t i = 0; i < a->k.n_rows; i++) {
        CHECK(a->slots[i] / kv->block_tokens < kv->n_blocks);
    }
    run_rows(&job, a->k.n_rows, a->k.n_cols);
}

struct silu_args {
    struct rows x;
    struct rows y;
};

static void silu_mul_row(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols)
{
    const struct silu_args *a = job->args;
    const float *gate = row_ptr(a->x, row) + col;

    job->c->kernels.silu_mul(row_ptr(a->y, row) + col, gate, gate + a->y.n_cols, n_cols);
}

void rowwise_silu_mul(struct compute *c, struct rows x, struct rows y)
{
    struct silu_args a = {x, y};
    struct rowwise_job job = {.c = c, .args = &a, .run = silu_mul_row, .n_cols = y.n_cols};

    CHECK(x.n_rows == y.n_rows && x.n_cols == 2 * y.n_cols);
    CHECK(x.stride >= x.n_cols && y.stride >= y.n_cols);
    run_rows(&job, y.n_rows, SLICE);
}

struct add_args {
    struct rows x;
    struct rows y;
};

static void add_row(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols)
{
    const struct add_args *a = job->args;
    const float *x = row_ptr(a->x, row) + col;
    float *y = row_ptr(a->y, row) + col;

    for (uint32_t i = 0; i < n_cols; i++) {
        y[i] += x[i];
    }
}

void rowwise_add(struct compute *c, struct rows x, struct rows y)
{
    struct add_args a = {x, y};
    struct rowwise_job job = {.c = c, .args = &a, .run = add_row, .n_cols = y.n_cols};

    check_same_shape(x, y);
    run_rows(&job, y.n_rows, SLICE);
}

struct gather_args {
    struct rows x;
    const uint32_t *idx;
    struct rows y;
};

static void gather_row(const struct rowwise_job *job, uint32_t row, uint32_t col, uint32_t n_cols)
{
    const struct gather_args *a = job->args;

    memcpy(row_ptr(a->y, row) + col, row_ptr(a->x, a->idx[row]) + col, n_cols * sizeof(float));
}

void rowwise_gather(struct compute *c, struct rows x, const uint32_t *idx, struct rows y)
{
    struct gather_args a = {x, idx, y};
    struct rowwise_job job = {.c = c, .args = &a, .run = gather_row, .n_cols = y.n_cols};

    CHECK(x.n_cols == y.n_cols && x.stride >= x.n_cols && y.stride >= y.n_cols);
    for (uint32_t i = 0; i < y.n_rows; i++) {
        CHECK(idx[i] < x.n_rows);
    }
    run_rows(&job, y.n_rows, y.n_cols);
}
