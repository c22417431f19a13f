/* matmul.c - y = x W^T + bias: how the work is cut.
 *
 * Each output element is (s0 + s1) + (s2 + s3) (+ bias), s_i the sum over the i-th segment of K in
 * ascending order (kernels.h).  Neither the number of rows nor of threads appears in that; what
 * follows only decides when an element's next terms are added:
 *
 *   chunk   up to CHUNK_ROWS_MAX rows whose activations are packed into panels at a time
 *   panel   up to PANEL_ROWS_MAX rows: what one kernel call keeps in registers, times one tile
 *   task    up to TASK_TILES_MAX tiles x TASK_PANELS_MAX panels, taken by any thread
 *   block   BLOCK_K terms of a segment: a tile's part of it stays in L1 for all panels of the task
 *
 * With one panel (decode) a task streams its tiles once, from front to back.
 */
#include "base/check.h"
#include "compute/compute_internal.h"
#include "compute/cpu/drivers.h"

#include <string.h>

#define BLOCK_BYTES 16384      // of a tile, per block of K
#define STREAM_BYTES 131072    // of weights per task when streaming
#define RESIDENT_BYTES 262144  // of panels that stay in L2 while one tile is streamed past them
#define SMALL_PANEL_WORK 32768 // values: below it packing is not worth waking the pool
#define SMALL_WORK 65536       // multiplications, as above
#define TASKS_PER_THREAD 4     // at least, so that nobody waits long at the end

/* What one task computes: tiles [tile_begin, tile_end) of panels [panel_from, panel_to). */
struct span {
    uint32_t tile_begin;
    uint32_t tile_end;
    uint32_t panel_from;
    uint32_t panel_to;
};

struct matmul_job {
    struct compute *c;
    const struct matmul_args *a;
    kernel_mm mm;
    bool pairs;         // panels hold bf16 pairs
    size_t value_bytes; // of one activation in a panel
    size_t k_ends[COMPUTE_K_SEGMENTS];
    size_t block_k;
    uint32_t row_begin; // first row of the chunk
    uint32_t n_rows;    // rows of the chunk
    uint32_t n_panels;
    uint32_t n_tiles;
    uint32_t task_tiles;
    uint32_t task_panels;
    uint32_t n_panel_groups;
    struct pool_range panels;
    struct pool_range tasks;
};

/* Panels differ by at most one row. */
static uint32_t panel_begin(const struct matmul_job *job, uint32_t panel)
{
    uint32_t base = job->n_rows / job->n_panels;
    uint32_t extra = job->n_rows % job->n_panels;

    return panel * base + (panel < extra ? panel : extra);
}

static char *panel_ptr(const struct matmul_job *job, uint32_t panel)
{
    size_t values = (size_t)panel_begin(job, panel) * job->a->w->n_in;

    return (char *)job->c->panels + values * job->value_bytes;
}

static void pack_panel(const struct matmul_job *job, uint32_t panel)
{
    const struct kernels *kernels = &job->c->kernels;
    const float *rows[PANEL_ROWS_MAX];
    uint32_t begin = panel_begin(job, panel);
    size_t n_rows = panel_begin(job, panel + 1) - begin;
    void *dst = panel_ptr(job, panel);

    for (size_t r = 0; r < n_rows; r++) {
        rows[r] = job->a->x.ptr + (job->row_begin + begin + r) * (size_t)job->a->x.stride;
    }
    if (job->pairs) {
        kernels->panel_pairs(dst, rows, n_rows, job->a->w->n_in);
    } else {
        kernels->panel_f32(dst, rows, n_rows, job->a->w->n_in, job->c->math == MATH_BF16);
    }
}

static void pack_panels(void *arg, uint32_t thread_idx)
{
    struct matmul_job *job = arg;
    uint64_t begin;
    uint64_t end;

    (void)thread_idx;
    while (pool_range_take(&job->panels, &begin, &end)) {
        for (uint64_t p = begin; p < end; p++) {
            pack_panel(job, (uint32_t)p);
        }
    }
}

/* y of one panel and tile from its four sums: acc [segments][n_rows][TILE_COLS], segments `gap`
 * floats apart. */
static void finish_tile(const struct matmul_job *job, const float *acc, size_t gap, uint32_t tile,
                        uint32_t panel)
{
    const struct matmul_args *a = job->a;
    uint32_t begin = panel_begin(job, panel);
    uint32_t n_rows = panel_begin(job, panel + 1) - begin;
    size_t col = (size_t)tile * TILE_COLS;
    size_t n_cols = a->w->n_out - col < TILE_COLS ? a->w->n_out - col : TILE_COLS;
    float bias[TILE_COLS] = {0};
    float sums[TILE_COLS];

    if (a->bias != NULL) {
        memcpy(bias, a->bias + col, n_cols * sizeof(*bias));
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        const float *s = acc + r * TILE_COLS;

        for (size_t i = 0; i < TILE_COLS; i++) {
            sums[i] = ((s[i] + s[gap + i]) + (s[2 * gap + i] + s[3 * gap + i])) + bias[i];
        }
        memcpy(a->y.ptr + (job->row_begin + begin + r) * (size_t)a->y.stride + col, sums,
               n_cols * sizeof(*sums));
    }
}

/* Terms [k, k_end) of one segment for all tiles and panels of a task. */
static void add_block(const struct matmul_job *job, const struct span *span, float *acc, size_t k,
                      size_t k_end, bool first)
{
    const struct matrix *w = job->a->w;
    size_t weight_bytes = dtype_bytes(w->dtype);

    for (uint32_t t = span->tile_begin; t < span->tile_end; t++) {
        const char *tile =
            (const char *)w->packed + ((size_t)t * w->n_in + k) * TILE_COLS * weight_bytes;

        for (uint32_t p = span->panel_from; p < span->panel_to; p++) {
            size_t n_rows = panel_begin(job, p + 1) - panel_begin(job, p);

            job->mm(acc, TILE_COLS, tile, panel_ptr(job, p) + k * n_rows * job->value_bytes,
                    k_end - k, n_rows, first);
            acc += n_rows * TILE_COLS;
        }
    }
}

static struct span span_of(const struct matmul_job *job, uint32_t task)
{
    struct span s;

    s.tile_begin = task / job->n_panel_groups * job->task_tiles;
    s.tile_end = s.tile_begin + job->task_tiles;
    s.tile_end = s.tile_end < job->n_tiles ? s.tile_end : job->n_tiles;
    s.panel_from = task % job->n_panel_groups * job->task_panels;
    s.panel_to = s.panel_from + job->task_panels;
    s.panel_to = s.panel_to < job->n_panels ? s.panel_to : job->n_panels;
    return s;
}

static void run_task(const struct matmul_job *job, uint32_t task, float *acc)
{
    struct span span = span_of(job, task);
    size_t n_rows = panel_begin(job, span.panel_to) - panel_begin(job, span.panel_from);
    size_t gap = n_rows * (span.tile_end - span.tile_begin) * TILE_COLS;
    size_t k = 0;

    for (size_t s = 0; s < COMPUTE_K_SEGMENTS; s++) {
        bool first = true;

        do { // an empty segment still has to clear its sums
            size_t k_end = job->k_ends[s] - k < job->block_k ? job->k_ends[s] : k + job->block_k;

            add_block(job, &span, acc + s * gap, k, k_end, first);
            first = false;
            k = k_end;
        } while (k < job->k_ends[s]);
    }
    for (uint32_t t = span.tile_begin; t < span.tile_end; t++) {
        for (uint32_t p = span.panel_from; p < span.panel_to; p++) {
            finish_tile(job, acc, gap, t, p);
            acc += (panel_begin(job, p + 1) - panel_begin(job, p)) * (size_t)TILE_COLS;
        }
    }
}

static void run_tasks(void *arg, uint32_t thread_idx)
{
    struct matmul_job *job = arg;
    uint64_t begin;
    uint64_t end;

    while (pool_range_take(&job->tasks, &begin, &end)) {
        for (uint64_t t = begin; t < end; t++) {
            run_task(job, (uint32_t)t, job->c->threads[thread_idx].acc);
        }
    }
}

/* Sets the size of tasks; returns how many there are. */
static uint32_t cut_tasks(struct matmul_job *job)
{
    uint32_t n_wanted = job->c->n_threads * TASKS_PER_THREAD;
    uint32_t n_tasks;

    if (job->n_panels == 1) {
        job->block_k = job->a->w->n_in;
        job->task_tiles = 1;
        job->task_panels = 1;
        job->n_panel_groups = 1;
        return job->n_tiles;
    }
    job->block_k = BLOCK_BYTES / (TILE_COLS * dtype_bytes(job->a->w->dtype));
    job->task_panels = TASK_PANELS_MAX;
    job->n_panel_groups = (job->n_panels + job->task_panels - 1) / job->task_panels;
    // few rows: one tile after the other, read in order; many: tiles share each look at the panels
    job->task_tiles =
        job->n_rows * job->a->w->n_in * job->value_bytes <= RESIDENT_BYTES ? 1 : TASK_TILES_MAX;
    do {
        n_tasks = (job->n_tiles + job->task_tiles - 1) / job->task_tiles * job->n_panel_groups;
    } while (n_tasks < n_wanted && --job->task_tiles > 0);
    job->task_tiles = job->task_tiles > 0 ? job->task_tiles : 1;
    return n_tasks;
}

/* One chunk: `n_rows` rows from `row_begin` on. */
static void run_chunk(struct matmul_job *job, uint32_t row_begin, uint32_t n_rows)
{
    const struct matrix *w = job->a->w;
    uint32_t panel_rows = job->c->kernels.panel_rows[w->dtype];
    size_t tile_bytes = (size_t)w->n_in * TILE_COLS * dtype_bytes(w->dtype);
    uint32_t n_tasks;

    job->row_begin = row_begin;
    job->n_rows = n_rows;
    job->n_panels = (n_rows + panel_rows - 1) / panel_rows;
    pool_range_init(&job->panels, job->n_panels, 1);
    if (job->n_panels == 1 || (size_t)n_rows * w->n_in < SMALL_PANEL_WORK) {
        pack_panels(job, 0);
    } else {
        pool_run(job->c->pool, pack_panels, job);
    }
    n_tasks = cut_tasks(job);
    pool_range_init(&job->tasks, n_tasks, job->n_panels == 1 ? 1 + STREAM_BYTES / tile_bytes : 1);
    if ((size_t)n_rows * w->n_in * w->n_out < SMALL_WORK) {
        run_tasks(job, 0);
    } else {
        pool_run(job->c->pool, run_tasks, job);
    }
}

static kernel_mm pick_kernel(const struct compute *c, enum dtype dtype, bool *ret_pairs)
{
    *ret_pairs = dtype == DTYPE_BF16 && compute_uses_pairs(c);
    switch (dtype) {
    case DTYPE_F32:
        return c->kernels.mm_f32;
    case DTYPE_F16:
        return c->kernels.mm_f16;
    case DTYPE_BF16:
        break;
    }
    return *ret_pairs ? c->kernels.mm_pairs : c->kernels.mm_bf16;
}

void matmul_run(struct compute *c, const struct matmul_args *a)
{
    struct matmul_job job = {.c = c, .a = a};
    const struct matrix *w = a->w;
    uint32_t rows_fit;

    CHECK(a->x.n_cols == w->n_in && a->y.n_cols == w->n_out && a->x.n_rows == a->y.n_rows);
    CHECK(a->x.stride >= a->x.n_cols && a->y.stride >= a->y.n_cols);
    CHECK(w->n_in >= 2 && w->n_in % 2 == 0 && w->n_in <= c->cols_max && w->n_out >= 1);
    CHECK(a->x.n_rows <= c->rows_max);
    job.mm = pick_kernel(c, w->dtype, &job.pairs);
    job.value_bytes = job.pairs ? sizeof(uint16_t) : sizeof(float);
    job.n_tiles = (w->n_out + TILE_COLS - 1) / TILE_COLS;
    for (size_t s = 0; s < COMPUTE_K_SEGMENTS; s++) {
        job.k_ends[s] = s + 1 == COMPUTE_K_SEGMENTS
                            ? w->n_in
                            : (s + 1) * (size_t)w->n_in / COMPUTE_K_SEGMENTS / 64 * 64;
    }
    rows_fit = (uint32_t)(c->panels_bytes / (w->n_in * job.value_bytes));
    rows_fit = rows_fit < CHUNK_ROWS_MAX ? rows_fit : CHUNK_ROWS_MAX;
    for (uint32_t row = 0; row < a->x.n_rows; row += rows_fit) {
        uint32_t left = a->x.n_rows - row;

        run_chunk(&job, row, left < rows_fit ? left : rows_fit);
    }
}
