/* kernels_avx512.c - AVX-512 F, BW, VL, DQ: 16 float lanes, 32 registers.
 *
 * A panel of up to 12 rows times one tile keeps 24 sums in registers; per k it loads one line of
 * the tile (and widens it) and broadcasts n_rows activations.
 */
#include "compute/cpu/exp_poly.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/simd512.h"

#include <immintrin.h>
#include <math.h>

#define LANES 16
#define AHEAD 8192 // bytes a tile is fetched ahead, from AHEAD_ROWS rows on: multiplying hides the
#define AHEAD_ROWS 4 // processor's own prefetching too late (docs/speed-log.md)
#define AHEAD_ROWS_F32 6

/* What a line of the tile holds, and how rows of activations stand. */
enum form { FORM_PAIRS, FORM_F16, FORM_F32, FORM_PROBS };

static INLINE void fetch_ahead(const void *line, size_t n_rows, size_t ahead_rows)
{
    if (n_rows >= ahead_rows) {
        _mm_prefetch((const char *)line + AHEAD, _MM_HINT_T1);
    }
}

static INLINE void load_sums(__m512 sums[PANEL_ROWS_MAX][2], const float *acc, size_t acc_stride,
                             bool first, size_t n_rows)
{
    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        sums[r][0] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(acc + r * acc_stride);
        sums[r][1] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(acc + r * acc_stride + LANES);
    }
}

static INLINE void store_sums(__m512 sums[PANEL_ROWS_MAX][2], float *acc, size_t acc_stride,
                              size_t n_rows)
{
    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        _mm512_storeu_ps(acc + r * acc_stride, sums[r][0]);
        _mm512_storeu_ps(acc + r * acc_stride + LANES, sums[r][1]);
    }
}

static INLINE void add_line(__m512 sums[PANEL_ROWS_MAX][2], __m512 w0, __m512 w1, const float *x,
                            size_t x_step, size_t n_rows)
{
    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512 v = _mm512_set1_ps(x[r * x_step]);

        sums[r][0] = _mm512_fmadd_ps(v, w0, sums[r][0]);
        sums[r][1] = _mm512_fmadd_ps(v, w1, sums[r][1]);
    }
}

static INLINE void mm_pairs_rows(float *acc, size_t acc_stride, const void *tile, const void *panel,
                                 size_t n_k, bool first, size_t n_rows)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    const uint32_t *w = tile;
    const float *x = panel;
    __m512 sums[PANEL_ROWS_MAX][2];

    load_sums(sums, acc, acc_stride, first, n_rows);
    for (size_t k = 0; k < n_k; k += 2) {
        __m512i p0 = _mm512_load_si512(w + k / 2 * TILE_COLS);
        __m512i p1 = _mm512_load_si512(w + k / 2 * TILE_COLS + LANES);

        fetch_ahead(w + k / 2 * TILE_COLS, n_rows, AHEAD_ROWS);
        fetch_ahead(w + k / 2 * TILE_COLS + LANES, n_rows, AHEAD_ROWS);
        add_line(sums, _mm512_castsi512_ps(_mm512_slli_epi32(p0, 16)),
                 _mm512_castsi512_ps(_mm512_slli_epi32(p1, 16)), x + k * n_rows, 1, n_rows);
        add_line(sums, _mm512_castsi512_ps(_mm512_and_si512(p0, upper)),
                 _mm512_castsi512_ps(_mm512_and_si512(p1, upper)), x + (k + 1) * n_rows, 1, n_rows);
    }
    store_sums(sums, acc, acc_stride, n_rows);
}

// tidy-allow: parameters because the last two are constants once it is inlined
static INLINE void mm_line_rows(float *acc, size_t acc_stride, const void *tile, const void *panel,
                                size_t n_k, bool first, enum form form, size_t n_rows)
{
    const uint16_t *half = tile;
    const float *wide = tile;
    const float *x = panel;
    __m512 sums[PANEL_ROWS_MAX][2];

    load_sums(sums, acc, acc_stride, first, n_rows);
    for (size_t k = 0; k < n_k; k++) {
        __m512 w0;
        __m512 w1;

        if (form == FORM_F16) {
            __m512i line = _mm512_load_si512(half + k * TILE_COLS);

            fetch_ahead(half + k * TILE_COLS, n_rows, AHEAD_ROWS);
            w0 = _mm512_cvtph_ps(_mm512_castsi512_si256(line));
            w1 = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(line, 1));
        } else {
            w0 = _mm512_load_ps(wide + k * TILE_COLS);
            w1 = _mm512_load_ps(wide + k * TILE_COLS + LANES);
            fetch_ahead(wide + k * TILE_COLS, n_rows, AHEAD_ROWS_F32);
            fetch_ahead(wide + k * TILE_COLS + LANES, n_rows, AHEAD_ROWS_F32);
        }
        if (form == FORM_PROBS) {
            add_line(sums, w0, w1, x + k, SCORE_STRIDE, n_rows);
        } else {
            add_line(sums, w0, w1, x + k * n_rows, 1, n_rows);
        }
    }
    store_sums(sums, acc, acc_stride, n_rows);
}

static void mm_bf16(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                    size_t n_rows, bool first)
{
    WITH_CONSTANT_ROWS(n_rows, mm_pairs_rows, acc, acc_stride, tile, panel, n_k, first)
}

static void mm_f16(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                   size_t n_rows, bool first)
{
    WITH_CONSTANT_ROWS(n_rows, mm_line_rows, acc, acc_stride, tile, panel, n_k, first, FORM_F16)
}

static void mm_f32(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                   size_t n_rows, bool first)
{
    WITH_CONSTANT_ROWS(n_rows, mm_line_rows, acc, acc_stride, tile, panel, n_k, first, FORM_F32)
}

static void mm_probs(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                     size_t n_rows, bool first)
{
    WITH_CONSTANT_ROWS(n_rows, mm_line_rows, acc, acc_stride, tile, panel, n_k, first, FORM_PROBS)
}

static void panel_f32(float *panel, const float *const *rows, size_t n_rows, size_t n_k, bool round)
{
    __mmask16 lanes = tail_mask(n_rows);

    for (size_t k = 0; k < n_k; k += LANES) {
        size_t n = n_k - k < LANES ? n_k - k : LANES;
        __m512i v[16];

        for (size_t r = 0; r < 16; r++) {
            __m512 x =
                r < n_rows ? _mm512_maskz_loadu_ps(tail_mask(n), rows[r] + k) : _mm512_setzero_ps();

            v[r] = round ? round_bits_bf16(x) : _mm512_castps_si512(x);
        }
        if (n_rows == 1) {
            _mm512_mask_storeu_epi32(panel + k, tail_mask(n), v[0]);
            continue;
        }
        transpose_16x16(v);
        for (size_t i = 0; i < n; i++) {
            _mm512_mask_storeu_epi32(panel + (k + i) * n_rows, lanes, v[i]);
        }
    }
}

static void transpose(uint32_t *tile, const void *const *rows, size_t n_rows, size_t n_words)
{
    for (size_t half = 0; half < TILE_COLS; half += 16) {
        for (size_t w = 0; w < n_words; w += 16) {
            size_t n = n_words - w < 16 ? n_words - w : 16;
            __m512i v[16];

            for (size_t r = 0; r < 16; r++) {
                v[r] = half + r < n_rows
                           ? _mm512_maskz_loadu_epi32(tail_mask(n),
                                                      (const uint32_t *)rows[half + r] + w)
                           : _mm512_setzero_si512();
            }
            transpose_16x16(v);
            for (size_t i = 0; i < n; i++) {
                _mm512_store_si512(tile + (w + i) * TILE_COLS + half, v[i]);
            }
        }
    }
}

static void widen_rows(float *tile, const void *const *rows, size_t n_rows, size_t n_cols)
{
    __mmask16 lo = tail_mask(n_cols);
    __mmask16 hi = n_cols > 16 ? tail_mask(n_cols - 16) : 0;

    for (size_t r = 0; r < n_rows; r++) {
        const uint16_t *row = rows[r];

        _mm512_store_ps(tile + r * TILE_COLS, widen_bf16(_mm256_maskz_loadu_epi16(lo, row)));
        _mm512_store_ps(tile + r * TILE_COLS + LANES,
                        widen_bf16(_mm256_maskz_loadu_epi16(hi, row + 16)));
    }
}

/* e^x, see exp_poly.h; beyond EXP_HI scalef overflows to infinity by itself. */
static INLINE __m512 exp_lanes(__m512 x)
{
    __mmask16 not_tiny = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP_LO), _CMP_NLT_UQ);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(EXP_LOG2E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_HI), x);
    __m512 q;

    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(EXP_LN2_LO), r);
    q = _mm512_fmadd_ps(_mm512_set1_ps(EXP_C6), r, _mm512_set1_ps(EXP_C5));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(EXP_C4));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(EXP_C3));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(EXP_C2));
    q = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
    q = _mm512_add_ps(q, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(not_tiny, q, n);
}

static void softmax(float *s, size_t n, float scale, float *ret_max, float *ret_sum)
{
    __m512 factor = _mm512_set1_ps(scale);
    __m512 max = _mm512_set1_ps(-INFINITY);
    __m512 sum = _mm512_setzero_ps();
    float row_max;

    for (size_t t = 0; t < n; t += LANES) {
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(tail_mask(n - t), s + t), factor);

        max = _mm512_mask_max_ps(max, tail_mask(n - t), v, max);
        _mm512_mask_storeu_ps(s + t, tail_mask(n - t), v);
    }
    row_max = _mm512_reduce_max_ps(max);
    for (size_t t = 0; t < n; t += LANES) {
        __mmask16 m = tail_mask(n - t);
        __m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, s + t), _mm512_set1_ps(row_max));

        v = exp_lanes(v);
        sum = _mm512_mask_add_ps(sum, m, sum, v);
        _mm512_mask_storeu_ps(s + t, m, v);
    }
    *ret_max = row_max;
    *ret_sum = _mm512_reduce_add_ps(sum);
}

static void merge(float *o, const float *p, float a, float b, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = tail_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, o + i), _mm512_set1_ps(a));

        v = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, p + i), _mm512_set1_ps(b), v);
        _mm512_mask_storeu_ps(o + i, m, v);
    }
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps, bool add)
{
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                      _mm512_setzero_ps()};
    __m512 factor;
    float mean;

    for (size_t i = 0; i < n; i += 4 * LANES) {
        UNROLL
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + j * LANES;
            __m512 v = _mm512_maskz_loadu_ps(at < n ? tail_mask(n - at) : 0, x + at);

            sums[j] = _mm512_fmadd_ps(v, v, sums[j]);
        }
    }
    sums[0] = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    mean = _mm512_reduce_add_ps(sums[0]) / (float)n;
    factor = _mm512_set1_ps(1.0f / sqrtf(mean + eps));
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = tail_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), factor);

        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i));
        if (add) {
            v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, y + i), v);
        }
        _mm512_mask_storeu_ps(y + i, m, v);
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = tail_mask(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i);
        __m512 e = exp_lanes(_mm512_sub_ps(_mm512_setzero_ps(), g));
        __m512 v = _mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1.0f), e));

        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, up + i));
        _mm512_mask_storeu_ps(y + i, m, v);
    }
}

static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = tail_mask(n - i);
        __m512i bits = round_bits_bf16(_mm512_maskz_loadu_ps(m, x + i));

        _mm256_mask_storeu_epi16(y + i, m, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
    }
}

static void from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 m = tail_mask(n - i);

        _mm512_mask_storeu_ps(y + i, m, widen_bf16(_mm256_maskz_loadu_epi16(m, x + i)));
    }
}

void kernels_avx512_fill(struct kernels *k)
{
    k->name = "avx512";
    for (size_t i = 0; i < 3; i++) {
        k->panel_rows[i] = PANEL_ROWS_MAX;
    }
    k->mm_bf16 = mm_bf16;
    k->mm_f16 = mm_f16;
    k->mm_f32 = mm_f32;
    k->mm_probs = mm_probs;
    k->panel_f32 = panel_f32;
    k->transpose = transpose;
    k->widen_rows = widen_rows;
    k->softmax = softmax;
    k->merge = merge;
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->to_bf16 = to_bf16;
    k->from_bf16 = from_bf16;
}
