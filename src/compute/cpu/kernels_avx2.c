/* kernels_avx2.c - AVX2, FMA, F16C: 8 float lanes, 16 registers.
 *
 * Up to 2 rows take a whole tile line (4 vectors) at a time, so that a stream of weights is read in
 * order.  From 3 to 6 rows, half a tile (2 vectors) is what the registers hold; both halves are
 * done for BLOCK_K terms before the next ones, which are then still in L1.
 */
#include "compute/cpu/exp_poly.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/unroll.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define LANES 8
#define ROWS_MAX 6
#define ROWS_WHOLE 2
#define BLOCK_K 128
#define AHEAD 8192 // bytes a tile is fetched ahead, from AHEAD_ROWS rows on: multiplying hides the
#define AHEAD_ROWS 4 // processor's own prefetching too late (docs/speed-log.md)

/* What a line of the tile holds, and how rows of activations stand. */
enum form { FORM_PAIRS, FORM_F16, FORM_F32, FORM_PROBS };

/* One call of a kernel; forms and row counts are constants where it is expanded. */
struct call {
    float *acc;
    size_t acc_stride;
    const void *tile;
    const float *panel;
    size_t n_k;
    bool first;
};

/* Bytes of a tile line: of one k, for pairs of two. */
static INLINE size_t line_bytes(enum form form)
{
    return form == FORM_F16 ? TILE_COLS * sizeof(uint16_t) : TILE_COLS * sizeof(float);
}

/* Eight columns of a line; `part` 1 is the second k of pairs. */
static INLINE __m256 load_columns(const char *line, size_t col, enum form form, size_t part)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);

    if (form == FORM_PAIRS) {
        __m256i pairs = _mm256_load_si256((const void *)(line + col * sizeof(uint32_t)));

        return _mm256_castsi256_ps(part == 0 ? _mm256_slli_epi32(pairs, 16)
                                             : _mm256_and_si256(pairs, upper));
    }
    if (form == FORM_F16) {
        return _mm256_cvtph_ps(_mm_load_si128((const void *)(line + col * sizeof(uint16_t))));
    }
    return _mm256_load_ps((const void *)(line + col * sizeof(float)));
}

/* n_vecs vectors of columns from `col` on, terms [k, k_end), of n_rows rows. */
// tidy-allow: parameters because all but the first are constants once it is inlined
static INLINE void mm_block(const struct call *call, size_t col, size_t k, size_t k_end, bool first,
                            enum form form, size_t n_vecs, size_t n_rows)
{
    size_t x_row = form == FORM_PROBS ? SCORE_STRIDE : 1;
    size_t x_k = form == FORM_PROBS ? 1 : n_rows;
    size_t step = form == FORM_PAIRS ? 2 : 1;
    const char *line = (const char *)call->tile + k / step * line_bytes(form);
    const float *panel = call->panel + k * x_k;
    __m256 sums[ROWS_MAX][4];

    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        UNROLL
        for (size_t v = 0; v < n_vecs; v++) {
            const float *at = call->acc + r * call->acc_stride + col + v * LANES;

            sums[r][v] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(at);
        }
    }
    for (; k < k_end; k += step) {
        if (n_rows >= AHEAD_ROWS) {
            _mm_prefetch(line + col * (line_bytes(form) / TILE_COLS) + AHEAD, _MM_HINT_T1);
        }
        UNROLL
        for (size_t part = 0; part < step; part++) {
            __m256 w[4];

            UNROLL
            for (size_t v = 0; v < n_vecs; v++) {
                w[v] = load_columns(line, col + v * LANES, form, part);
            }
            UNROLL
            for (size_t r = 0; r < n_rows; r++) {
                __m256 x = _mm256_broadcast_ss(panel + part * x_k + r * x_row);

                UNROLL
                for (size_t v = 0; v < n_vecs; v++) {
                    sums[r][v] = _mm256_fmadd_ps(x, w[v], sums[r][v]);
                }
            }
        }
        line += line_bytes(form);
        panel += step * x_k;
    }
    UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        UNROLL
        for (size_t v = 0; v < n_vecs; v++) {
            _mm256_storeu_ps(call->acc + r * call->acc_stride + col + v * LANES, sums[r][v]);
        }
    }
}

static INLINE void mm_rows(const struct call *call, enum form form, size_t n_rows)
{
    size_t k = 0;
    bool first = call->first;

    if (n_rows <= ROWS_WHOLE) {
        mm_block(call, 0, 0, call->n_k, first, form, 4, n_rows);
        return;
    }
    do {
        size_t k_end = call->n_k - k < BLOCK_K ? call->n_k : k + BLOCK_K;

        mm_block(call, 0, k, k_end, first, form, 2, n_rows);
        mm_block(call, 2 * LANES, k, k_end, first, form, 2, n_rows);
        first = false;
        k = k_end;
    } while (k < call->n_k);
}

static INLINE void mm_form(const struct call *call, enum form form, size_t n_rows)
{
    switch (n_rows) {
    case 1:
        mm_rows(call, form, 1);
        break;
    case 2:
        mm_rows(call, form, 2);
        break;
    case 3:
        mm_rows(call, form, 3);
        break;
    case 4:
        mm_rows(call, form, 4);
        break;
    case 5:
        mm_rows(call, form, 5);
        break;
    default:
        mm_rows(call, form, 6);
        break;
    }
}

static void mm_bf16(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                    size_t n_rows, bool first)
{
    mm_form(&(struct call){acc, acc_stride, tile, panel, n_k, first}, FORM_PAIRS, n_rows);
}

static void mm_f16(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                   size_t n_rows, bool first)
{
    mm_form(&(struct call){acc, acc_stride, tile, panel, n_k, first}, FORM_F16, n_rows);
}

static void mm_f32(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                   size_t n_rows, bool first)
{
    mm_form(&(struct call){acc, acc_stride, tile, panel, n_k, first}, FORM_F32, n_rows);
}

static void mm_probs(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                     size_t n_rows, bool first)
{
    mm_form(&(struct call){acc, acc_stride, tile, panel, n_k, first}, FORM_PROBS, n_rows);
}

/* Lanes [0, n) for what is left of a row, all when more are left. */
static INLINE __m256i tail_mask(size_t n_left)
{
    static const int32_t table[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};

    return _mm256_loadu_si256((const void *)(table + LANES - (n_left < LANES ? n_left : LANES)));
}

/* Float bits to the nearest bf16, ties to even, as float bits with a zero lower half. */
static INLINE __m256i round_bits_bf16(__m256 x)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);

    rounded = _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet), nan));
    return _mm256_and_si256(rounded, upper);
}

static INLINE __m256 widen_bf16(__m128i halves)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* v[i] lane j <-> v[j] lane i */
static INLINE void transpose_8x8(__m256i v[8])
{
    __m256i t[8];
    __m256i u[8];

    UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) { // u[i + j] holds columns j and j + 4
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL
    for (int j = 0; j < 4; j++) {
        v[j] = _mm256_permute2x128_si256(u[j], u[j + 4], 0x20);
        v[j + 4] = _mm256_permute2x128_si256(u[j], u[j + 4], 0x31);
    }
}

static void panel_f32(float *panel, const float *const *rows, size_t n_rows, size_t n_k, bool round)
{
    for (size_t k = 0; k < n_k; k += LANES) {
        size_t n = n_k - k < LANES ? n_k - k : LANES;
        __m256i v[8];

        for (size_t r = 0; r < 8; r++) {
            __m256 x =
                r < n_rows ? _mm256_maskload_ps(rows[r] + k, tail_mask(n)) : _mm256_setzero_ps();

            v[r] = round ? round_bits_bf16(x) : _mm256_castps_si256(x);
        }
        if (n_rows == 1) {
            _mm256_maskstore_epi32((void *)(panel + k), tail_mask(n), v[0]);
            continue;
        }
        transpose_8x8(v);
        for (size_t i = 0; i < n; i++) {
            _mm256_maskstore_epi32((void *)(panel + (k + i) * n_rows), tail_mask(n_rows), v[i]);
        }
    }
}

static void transpose(uint32_t *tile, const void *const *rows, size_t n_rows, size_t n_words)
{
    for (size_t col = 0; col < TILE_COLS; col += LANES) {
        for (size_t w = 0; w < n_words; w += LANES) {
            size_t n = n_words - w < LANES ? n_words - w : LANES;
            __m256i v[8];

            for (size_t r = 0; r < 8; r++) {
                v[r] = col + r < n_rows
                           ? _mm256_maskload_epi32((const int *)rows[col + r] + w, tail_mask(n))
                           : _mm256_setzero_si256();
            }
            transpose_8x8(v);
            for (size_t i = 0; i < n; i++) {
                _mm256_store_si256((void *)(tile + (w + i) * TILE_COLS + col), v[i]);
            }
        }
    }
}

/* 8 halves, or as many as are left; the others read as 0. */
static INLINE __m128i load_halves(const uint16_t *x, size_t n_left)
{
    uint16_t part[LANES] = {0};

    if (n_left >= LANES) {
        return _mm_loadu_si128((const void *)x);
    }
    memcpy(part, x, n_left * sizeof(*x));
    return _mm_loadu_si128((const void *)part);
}

static void widen_rows(float *tile, const void *const *rows, size_t n_rows, size_t n_cols)
{
    for (size_t r = 0; r < n_rows; r++) {
        const uint16_t *row = rows[r];

        for (size_t c = 0; c < TILE_COLS; c += LANES) {
            __m128i halves = c < n_cols ? load_halves(row + c, n_cols - c) : _mm_setzero_si128();

            _mm256_store_ps(tile + r * TILE_COLS + c, widen_bf16(halves));
        }
    }
}

static INLINE __m256 power_of_two(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* e^x, see exp_poly.h. */
static INLINE __m256 exp_lanes(__m256 x)
{
    __m256 not_tiny = _mm256_cmp_ps(x, _mm256_set1_ps(EXP_LO), _CMP_NLT_UQ);
    __m256 huge = _mm256_cmp_ps(x, _mm256_set1_ps(EXP_HI), _CMP_GT_OQ);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(EXP_LOG2E)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_HI), x);
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(whole, 1);
    __m256 q;

    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(EXP_LN2_LO), r);
    q = _mm256_fmadd_ps(_mm256_set1_ps(EXP_C6), r, _mm256_set1_ps(EXP_C5));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(EXP_C4));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(EXP_C3));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(EXP_C2));
    q = _mm256_fmadd_ps(_mm256_mul_ps(r, r), q, r);
    q = _mm256_add_ps(q, _mm256_set1_ps(1.0f));
    // two steps: 2^128 is no float, but e^x just below EXP_HI is
    q = _mm256_mul_ps(_mm256_mul_ps(q, power_of_two(half)),
                      power_of_two(_mm256_sub_epi32(whole, half)));
    q = _mm256_blendv_ps(q, _mm256_set1_ps(INFINITY), huge);
    return _mm256_and_ps(q, not_tiny);
}

static INLINE float sum_lanes(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

static INLINE float max_lanes(__m256 v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    s = _mm_max_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

static void softmax(float *s, size_t n, float scale, float *ret_max, float *ret_sum)
{
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 max = lowest;
    __m256 sum = _mm256_setzero_ps();
    float row_max;

    for (size_t t = 0; t < n; t += LANES) {
        __m256i m = tail_mask(n - t);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(s + t, m), _mm256_set1_ps(scale));

        _mm256_maskstore_ps(s + t, m, v);
        // the second operand wins when one is NaN: NaN scores show in the sum, not in the maximum
        max = _mm256_max_ps(_mm256_blendv_ps(lowest, v, _mm256_castsi256_ps(m)), max);
    }
    row_max = max_lanes(max);
    for (size_t t = 0; t < n; t += LANES) {
        __m256i m = tail_mask(n - t);
        __m256 v = _mm256_sub_ps(_mm256_maskload_ps(s + t, m), _mm256_set1_ps(row_max));

        v = _mm256_and_ps(exp_lanes(v), _mm256_castsi256_ps(m));
        sum = _mm256_add_ps(sum, v);
        _mm256_maskstore_ps(s + t, m, v);
    }
    *ret_max = row_max;
    *ret_sum = sum_lanes(sum);
}

static void merge(float *o, const float *p, float a, float b, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __m256i m = tail_mask(n - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(o + i, m), _mm256_set1_ps(a));

        v = _mm256_fmadd_ps(_mm256_maskload_ps(p + i, m), _mm256_set1_ps(b), v);
        _mm256_maskstore_ps(o + i, m, v);
    }
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps, bool add)
{
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                      _mm256_setzero_ps()};
    __m256 factor;
    float mean;

    for (size_t i = 0; i < n; i += 4 * LANES) {
        UNROLL
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + j * LANES;
            __m256 v = _mm256_maskload_ps(x + (at < n ? at : 0), tail_mask(at < n ? n - at : 0));

            sums[j] = _mm256_fmadd_ps(v, v, sums[j]);
        }
    }
    sums[0] = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    mean = sum_lanes(sums[0]) / (float)n;
    factor = _mm256_set1_ps(1.0f / sqrtf(mean + eps));
    for (size_t i = 0; i < n; i += LANES) {
        __m256i m = tail_mask(n - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, m), factor);

        v = _mm256_mul_ps(v, _mm256_maskload_ps(w + i, m));
        if (add) {
            v = _mm256_add_ps(_mm256_maskload_ps(y + i, m), v);
        }
        _mm256_maskstore_ps(y + i, m, v);
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        __m256i m = tail_mask(n - i);
        __m256 g = _mm256_maskload_ps(gate + i, m);
        __m256 e = exp_lanes(_mm256_sub_ps(_mm256_setzero_ps(), g));
        __m256 v = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), e));

        _mm256_maskstore_ps(y + i, m, _mm256_mul_ps(v, _mm256_maskload_ps(up + i, m)));
    }
}

static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t left = n - i < LANES ? n - i : LANES;
        __m256i bits = round_bits_bf16(_mm256_maskload_ps(x + i, tail_mask(left)));
        __m128i halves;

        bits = _mm256_srli_epi32(bits, 16);
        halves = _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
        memcpy(y + i, &halves, left * sizeof(*y));
    }
}

static void from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        _mm256_maskstore_ps(y + i, tail_mask(n - i), widen_bf16(load_halves(x + i, n - i)));
    }
}

void kernels_avx2_fill(struct kernels *k)
{
    k->name = "avx2";
    k->panel_rows[DTYPE_F32] = ROWS_MAX;
    k->panel_rows[DTYPE_BF16] = 5; // widening a pair takes two more registers
    k->panel_rows[DTYPE_F16] = ROWS_MAX;
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
