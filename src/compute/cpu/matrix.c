/* matrix.c - weights in tile order (kernels.h): packing, and one row back.
 *
 * Tiles of TILE_COLS output columns follow each other, each n_in long; the last one is filled with
 * zeros.  All levels share the order, so a packed file would serve every machine.
 */
#include "base/check.h"
#include "compute/compute_internal.h"
#include "compute/cpu/drivers.h"
#include "compute/cpu/halves.h"

#include <string.h>

#define SLICE 256 // columns converted at a time

struct pack_job {
    const struct kernels *kernels;
    const struct matrix *m;
    const char *src;
    enum dtype src_dtype;
    uint32_t row_begin;
    uint32_t row_end;
    uint32_t tile_begin;
    struct pool_range tiles;
};

size_t matrix_bytes(enum dtype dtype, uint32_t n_out, uint32_t n_in)
{
    size_t n_tiles = ((size_t)n_out + TILE_COLS - 1) / TILE_COLS;

    return n_tiles * TILE_COLS * n_in * dtype_bytes(dtype);
}

static float read_value(const char *ptr, enum dtype dtype, size_t idx)
{
    uint16_t half;
    float v;

    if (dtype == DTYPE_F32) {
        memcpy(&v, ptr + idx * sizeof(v), sizeof(v));
        return v;
    }
    memcpy(&half, ptr + idx * sizeof(half), sizeof(half));
    return dtype == DTYPE_BF16 ? halves_from_bf16(half) : halves_from_f16(half);
}

/* n values from `src` (src_dtype, any alignment) to `dst` (dtype). */
static void convert(void *dst, enum dtype dtype, const char *src, enum dtype src_dtype, size_t n)
{
    float *wide = dst;
    uint16_t *half = dst;

    if (dtype == src_dtype) {
        memcpy(dst, src, n * dtype_bytes(dtype));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float v = read_value(src, src_dtype, i);

        if (dtype == DTYPE_F32) {
            wide[i] = v;
        } else {
            half[i] = dtype == DTYPE_BF16 ? halves_to_bf16(v) : halves_to_f16(v);
        }
    }
}

/* Rows [begin, end) of one tile, columns [k, k + n) of them, already in the matrix's dtype:
 * `rows` [end - begin][SLICE] 32-bit slots, values from the start of each row. */
static void place(const struct pack_job *job, uint32_t tile, size_t col, const uint32_t *rows,
                  size_t n_rows, size_t k, size_t n)
{
    enum dtype dtype = job->m->dtype;
    size_t bytes = dtype_bytes(dtype);
    char *base = (char *)job->m->packed + ((size_t)tile * job->m->n_in + k) * TILE_COLS * bytes;

    for (size_t r = 0; r < n_rows; r++) {
        const uint32_t *words = rows + r * SLICE;
        const uint16_t *halves = (const void *)words;

        if (dtype == DTYPE_F16) {
            for (size_t i = 0; i < n; i++) {
                ((uint16_t *)(void *)base)[i * TILE_COLS + col + r] = halves[i];
            }
            continue;
        }
        for (size_t i = 0; i < (dtype == DTYPE_F32 ? n : n / 2); i++) {
            ((uint32_t *)(void *)base)[i * TILE_COLS + col + r] = words[i];
        }
    }
}

/* The rows of [row_begin, row_end) that fall into `tile`. */
static void pack_tile(const struct pack_job *job, uint32_t tile)
{
    _Alignas(64) uint32_t converted[TILE_COLS * SLICE];
    const void *row_ptrs[TILE_COLS];
    const struct matrix *m = job->m;
    uint32_t first = tile * TILE_COLS;
    uint32_t begin = first > job->row_begin ? first : job->row_begin;
    uint32_t end = first + TILE_COLS < job->row_end ? first + TILE_COLS : job->row_end;
    size_t n_rows = end - begin;
    size_t src_row_bytes = m->n_in * dtype_bytes(job->src_dtype);
    bool whole = begin == first && (n_rows == TILE_COLS || end == m->n_out);

    for (size_t k = 0; k < m->n_in; k += SLICE) {
        size_t n = m->n_in - k < SLICE ? m->n_in - k : SLICE;

        for (size_t r = 0; r < n_rows; r++) {
            const char *src = job->src + (begin - job->row_begin + r) * src_row_bytes +
                              k * dtype_bytes(job->src_dtype);

            convert(converted + r * SLICE, m->dtype, src, job->src_dtype, n);
            row_ptrs[r] = converted + r * SLICE;
        }
        if (whole && m->dtype != DTYPE_F16) {
            size_t words = m->dtype == DTYPE_F32 ? n : n / 2;
            size_t at = (size_t)tile * m->n_in + k;

            job->kernels->transpose((uint32_t *)m->packed +
                                        (m->dtype == DTYPE_F32 ? at : at / 2) * TILE_COLS,
                                    row_ptrs, n_rows, words);
        } else {
            place(job, tile, begin - first, converted, n_rows, k, n);
        }
    }
}

/* Columns beyond n_out in the last tile. */
static void clear_padding(const struct matrix *m)
{
    size_t used = m->n_out % TILE_COLS;
    size_t tile = m->n_out / TILE_COLS;
    size_t bytes = m->dtype == DTYPE_F16 ? 2 : 4; // of one column on one line
    size_t n_lines = m->dtype == DTYPE_BF16 ? m->n_in / 2 : m->n_in;
    char *base = (char *)m->packed + tile * n_lines * TILE_COLS * bytes;

    for (size_t line = 0; used != 0 && line < n_lines; line++) {
        memset(base + (line * TILE_COLS + used) * bytes, 0, (TILE_COLS - used) * bytes);
    }
}

static void pack_run(void *arg, uint32_t thread_idx)
{
    struct pack_job *job = arg;
    uint64_t begin;
    uint64_t end;

    (void)thread_idx;
    while (pool_range_take(&job->tiles, &begin, &end)) {
        for (uint64_t t = begin; t < end; t++) {
            pack_tile(job, job->tile_begin + (uint32_t)t);
        }
    }
}

void matrix_pack(struct compute *c, struct matrix *m, uint32_t row_begin, uint32_t n_rows,
                 const void *src, enum dtype src_dtype)
{
    struct pack_job job = {
        .kernels = &c->kernels,
        .m = m,
        .src = src,
        .src_dtype = src_dtype,
        .row_begin = row_begin,
        .row_end = row_begin + n_rows,
        .tile_begin = row_begin / TILE_COLS,
    };

    CHECK(n_rows >= 1 && row_begin < m->n_out && n_rows <= m->n_out - row_begin);
    CHECK(m->n_in >= 2 && m->n_in % 2 == 0);
    CHECK(((uintptr_t)m->packed & 63) == 0);
    pool_range_init(&job.tiles, (job.row_end - 1) / TILE_COLS - job.tile_begin + 1, 1);
    pool_run(c->pool, pack_run, &job);
    if (job.row_end == m->n_out) {
        clear_padding(m);
    }
}

void matrix_row(const struct matrix *m, uint32_t row, float *ret_row)
{
    size_t tile = row / TILE_COLS;
    size_t col = row % TILE_COLS;
    const float *wide = m->packed;
    const uint16_t *half = m->packed;

    CHECK(row < m->n_out);
    for (size_t k = 0; k < m->n_in; k++) {
        size_t line = (tile * m->n_in + k) * TILE_COLS;

        switch (m->dtype) {
        case DTYPE_F32:
            ret_row[k] = wide[line + col];
            break;
        case DTYPE_F16:
            ret_row[k] = halves_from_f16(half[line + col]);
            break;
        case DTYPE_BF16:
            line = (tile * m->n_in + k / 2 * 2) * TILE_COLS;
            ret_row[k] = halves_from_bf16(half[line + 2 * col + k % 2]);
            break;
        }
    }
}
