#include "base/check.h"
#include "compute/compute_internal.h"
#include "compute/cpu/drivers.h"
#include "compute/cpu/level.h"
#include "compute/cpus.h"
#include "compute/memory.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64
#define PIECE_STATES_PER_THREAD 4

/* Byte offsets of the parts of the scratch allocation. */
struct scratch_plan {
    size_t panels;
    size_t panels_bytes;
    size_t threads;
    size_t first_items;
    size_t piece_states;
    size_t merged_states;
    size_t piece_tasks;
    size_t wave_starts;
    size_t total;
    uint32_t n_piece_states;
};

static size_t take(size_t *offset, size_t n_bytes)
{
    size_t at = *offset;

    *offset += (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

static struct scratch_plan plan_scratch(const struct compute_options *o, uint32_t n_threads)
{
    struct scratch_plan p = {.n_piece_states = n_threads * PIECE_STATES_PER_THREAD};
    size_t rows = o->rows_max < CHUNK_ROWS_MAX ? o->rows_max : CHUNK_ROWS_MAX;
    size_t state_bytes = p.n_piece_states * sizeof(struct attention_state);
    size_t offset = 0;

    rows = rows < PANEL_ROWS_MAX ? PANEL_ROWS_MAX : rows;
    p.panels_bytes = rows * o->cols_max * sizeof(float);
    p.panels = take(&offset, p.panels_bytes);
    p.threads = take(&offset, n_threads * sizeof(union thread_scratch));
    p.first_items = take(&offset, ((size_t)o->rows_max + 1) * sizeof(uint64_t));
    p.piece_states = take(&offset, state_bytes);
    p.merged_states = take(&offset, state_bytes);
    p.piece_tasks = take(&offset, p.n_piece_states * sizeof(struct piece_task));
    p.wave_starts = take(&offset, (p.n_piece_states + (size_t)1) * sizeof(uint32_t));
    p.total = offset;
    return p;
}

static uint32_t pick_threads(const struct compute_options *o)
{
    uint32_t n = o->n_threads == 0 ? cpus_usable() : o->n_threads;

    return n > POOL_THREADS_MAX ? POOL_THREADS_MAX : n;
}

static void fill_kernels(enum level level, struct kernels *k)
{
    kernels_ref_fill(k);
#if defined(__x86_64__)
    if (level >= LEVEL_AVX2 && level <= LEVEL_AVX512BF16) {
        kernels_avx2_fill(k);
    }
    if (level >= LEVEL_AVX512 && level <= LEVEL_AVX512BF16) {
        kernels_avx512_fill(k);
    }
    if (level == LEVEL_AVX512BF16) {
        kernels_avx512bf16_fill(k);
    }
#elif defined(__aarch64__)
    if (level == LEVEL_NEON) {
        kernels_neon_fill(k);
    }
#endif
    for (size_t i = 0; i < ARRAY_COUNT(k->panel_rows); i++) {
        CHECK(k->panel_rows[i] >= 1 && k->panel_rows[i] <= PANEL_ROWS_MAX);
    }
}

enum status compute_create(const struct compute_options *o, struct compute **ret_c,
                           struct error *err)
{
    struct compute *c = NULL;
    struct scratch_plan p;
    enum level level;
    enum status rc;

    CHECK(o->rows_max >= 1 && o->cols_max >= 1);
    rc = level_pick(o->level, &level, err);
    if (rc != OK) {
        return rc;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return error_set(err, E_NO_MEMORY, "out of memory for the compute device");
    }
    fill_kernels(level, &c->kernels);
    drivers_fill(&c->ops);
    c->ops.name = c->kernels.name;
    c->math = o->math;
    c->rows_max = o->rows_max;
    c->cols_max = o->cols_max;
    c->n_threads = pick_threads(o);
    p = plan_scratch(o, c->n_threads);
    c->scratch_bytes = p.total;
    c->scratch = memory_alloc(p.total);
    if (c->scratch == NULL) {
        rc = error_set(err, E_NO_MEMORY,
                       "out of memory: %zu bytes of scratch for compute. Lower "
                       "--max-num-batched-tokens or give the process more memory.",
                       p.total);
        goto out;
    }
    memset(c->scratch, 0, p.total); // page faults now, not in the first step
    c->panels = (char *)c->scratch + p.panels;
    c->panels_bytes = p.panels_bytes;
    c->threads = (void *)((char *)c->scratch + p.threads);
    c->first_items = (void *)((char *)c->scratch + p.first_items);
    c->piece_states = (void *)((char *)c->scratch + p.piece_states);
    c->merged_states = (void *)((char *)c->scratch + p.merged_states);
    c->piece_tasks = (void *)((char *)c->scratch + p.piece_tasks);
    c->wave_starts = (void *)((char *)c->scratch + p.wave_starts);
    c->n_piece_states = p.n_piece_states;
    rc = pool_create(c->n_threads, cpus_usable(), &c->pool, err);
    if (rc != OK) {
        goto out;
    }
    *ret_c = c;
    c = NULL;
out:
    compute_destroy(c);
    return rc;
}

void compute_destroy(struct compute *c)
{
    if (c == NULL) {
        return;
    }
    pool_destroy(c->pool);
    memory_free(c->scratch, c->scratch_bytes);
    free(c);
}

const char *compute_level(const struct compute *c)
{
    return c->kernels.name;
}

uint32_t compute_threads(const struct compute *c)
{
    return c->n_threads;
}

const struct ops *compute_ops(const struct compute *c)
{
    return &c->ops;
}

uint64_t compute_scratch_bytes(const struct compute_options *o)
{
    return plan_scratch(o, pick_threads(o)).total;
}
