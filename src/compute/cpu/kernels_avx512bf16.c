/* kernels_avx512bf16.c - VDPBF16PS: 32 products of bf16 per instruction, summed in float32.
 *
 * The instruction adds the product of the upper halves, then that of the lower halves, rounding to
 * nearest; denormal inputs and results count as zero.  One chain per element as everywhere.
 */
#include "compute/cpu/kernels.h"
#include "compute/cpu/simd512.h"

#include <immintrin.h>
#include <string.h>

#define LANES 16
#define AHEAD 8192   // bytes: from this many rows on multiplying hides the processor's own
#define AHEAD_ROWS 6 // prefetching too late (docs/speed-log.md); with fewer it only costs

static INLINE __m512bh as_pairs(__m512i v)
{
    __m512bh pairs;

    memcpy(&pairs, &v, sizeof(pairs));
    return pairs;
}

static INLINE void mm_pairs_rows(float *acc, size_t acc_stride, const void *tile, const void *panel,
                                 size_t n_k, bool first, size_t n_rows)
{
    const uint32_t *w = tile;
    const uint32_t *x = panel;
    __m512 sums[PANEL_ROWS_MAX][2];

    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        sums[r][0] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(acc + r * acc_stride);
        sums[r][1] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(acc + r * acc_stride + LANES);
    }
    for (size_t k = 0; k < n_k / 2; k++) {
        __m512bh w0 = as_pairs(_mm512_load_si512(w + k * TILE_COLS));
        __m512bh w1 = as_pairs(_mm512_load_si512(w + k * TILE_COLS + LANES));

        if (n_rows >= AHEAD_ROWS) {
            _mm_prefetch((const char *)(w + k * TILE_COLS) + AHEAD, _MM_HINT_T1);
            _mm_prefetch((const char *)(w + k * TILE_COLS + LANES) + AHEAD, _MM_HINT_T1);
        }
        UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            __m512bh v = as_pairs(_mm512_set1_epi32((int)x[k * n_rows + r]));

            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], w0, v);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], w1, v);
        }
    }
    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        _mm512_storeu_ps(acc + r * acc_stride, sums[r][0]);
        _mm512_storeu_ps(acc + r * acc_stride + LANES, sums[r][1]);
    }
}

static void mm_pairs(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                     size_t n_rows, bool first)
{
    WITH_CONSTANT_ROWS(n_rows, mm_pairs_rows, acc, acc_stride, tile, panel, n_k, first)
}

/* 32 floats as 16 pairs of bf16; lanes beyond n_left read as 0. */
static INLINE __m512i load_pairs(const float *x, size_t n_left)
{
    __m512 lo = _mm512_maskz_loadu_ps(tail_mask(n_left), x);
    __m512 hi = _mm512_maskz_loadu_ps(n_left > LANES ? tail_mask(n_left - LANES) : 0, x + LANES);
    __m512bh pairs = _mm512_cvtne2ps_pbh(hi, lo);
    __m512i v;

    memcpy(&v, &pairs, sizeof(v));
    return v;
}

static void panel_pairs(uint32_t *panel, const float *const *rows, size_t n_rows, size_t n_k)
{
    __mmask16 lanes = tail_mask(n_rows);

    for (size_t k = 0; k < n_k; k += 2 * LANES) {
        size_t n = n_k - k < 2 * LANES ? n_k - k : 2 * LANES;
        __m512i v[16];

        if (n_rows == 1) {
            _mm512_mask_storeu_epi32(panel + k / 2, tail_mask(n / 2), load_pairs(rows[0] + k, n));
            continue;
        }
        for (size_t r = 0; r < 16; r++) {
            v[r] = r < n_rows ? load_pairs(rows[r] + k, n) : _mm512_setzero_si512();
        }
        transpose_16x16(v);
        for (size_t i = 0; i < n / 2; i++) {
            _mm512_mask_storeu_epi32(panel + (k / 2 + i) * n_rows, lanes, v[i]);
        }
    }
}

void kernels_avx512bf16_fill(struct kernels *k)
{
    k->name = "avx512bf16";
    k->has_pairs = true;
    k->mm_pairs = mm_pairs;
    k->panel_pairs = panel_pairs;
}
