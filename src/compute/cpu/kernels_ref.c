/* kernels_ref.c - the reference level: plain C, one value after the other.
 *
 * What the other levels are compared with, and what runs on a machine without any of them.
 * Compiled without contraction (-ffp-contract=off), so a product is rounded before it is added.
 */
#include "compute/cpu/exp_poly.h"
#include "compute/cpu/halves.h"
#include "compute/cpu/kernels.h"

#include <math.h>
#include <string.h>

#define LANES 16 // partial sums of a row, as many as the widest level has

static void clear_rows(float *acc, size_t acc_stride, size_t n_rows)
{
    for (size_t r = 0; r < n_rows; r++) {
        memset(acc + r * acc_stride, 0, TILE_COLS * sizeof(*acc));
    }
}

static void add_products(float *restrict acc, const float *restrict w, float x)
{
    for (size_t c = 0; c < TILE_COLS; c++) {
        acc[c] += x * w[c];
    }
}

static void mm_bf16(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                    size_t n_rows, bool first)
{
    const uint16_t *pairs = tile;
    const float *x = panel;
    float even[TILE_COLS];
    float odd[TILE_COLS];

    if (first) {
        clear_rows(acc, acc_stride, n_rows);
    }
    for (size_t k = 0; k < n_k; k += 2) {
        const uint16_t *line = pairs + k * TILE_COLS;

        for (size_t c = 0; c < TILE_COLS; c++) {
            even[c] = halves_from_bf16(line[2 * c]);
            odd[c] = halves_from_bf16(line[2 * c + 1]);
        }
        for (size_t r = 0; r < n_rows; r++) {
            add_products(acc + r * acc_stride, even, x[k * n_rows + r]);
            add_products(acc + r * acc_stride, odd, x[(k + 1) * n_rows + r]);
        }
    }
}

static void mm_f16(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                   size_t n_rows, bool first)
{
    const uint16_t *w = tile;
    const float *x = panel;
    float wide[TILE_COLS];

    if (first) {
        clear_rows(acc, acc_stride, n_rows);
    }
    for (size_t k = 0; k < n_k; k++) {
        for (size_t c = 0; c < TILE_COLS; c++) {
            wide[c] = halves_from_f16(w[k * TILE_COLS + c]);
        }
        for (size_t r = 0; r < n_rows; r++) {
            add_products(acc + r * acc_stride, wide, x[k * n_rows + r]);
        }
    }
}

static void mm_f32(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                   size_t n_rows, bool first)
{
    const float *w = tile;
    const float *x = panel;

    if (first) {
        clear_rows(acc, acc_stride, n_rows);
    }
    for (size_t k = 0; k < n_k; k++) {
        for (size_t r = 0; r < n_rows; r++) {
            add_products(acc + r * acc_stride, w + k * TILE_COLS, x[k * n_rows + r]);
        }
    }
}

static void mm_probs(float *acc, size_t acc_stride, const void *tile, const void *panel, size_t n_k,
                     size_t n_rows, bool first)
{
    const float *w = tile;
    const float *x = panel;

    if (first) {
        clear_rows(acc, acc_stride, n_rows);
    }
    for (size_t k = 0; k < n_k; k++) {
        for (size_t r = 0; r < n_rows; r++) {
            add_products(acc + r * acc_stride, w + k * TILE_COLS, x[r * SCORE_STRIDE + k]);
        }
    }
}

static void panel_f32(float *panel, const float *const *rows, size_t n_rows, size_t n_k, bool round)
{
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = rows[r];

        for (size_t k = 0; k < n_k; k++) {
            panel[k * n_rows + r] = round ? halves_from_bf16(halves_to_bf16(row[k])) : row[k];
        }
    }
}

static void panel_pairs(uint32_t *panel, const float *const *rows, size_t n_rows, size_t n_k)
{
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = rows[r];

        for (size_t k = 0; k < n_k; k += 2) {
            panel[k / 2 * n_rows + r] =
                halves_to_bf16(row[k]) | (uint32_t)halves_to_bf16(row[k + 1]) << 16;
        }
    }
}

static void transpose(uint32_t *tile, const void *const *rows, size_t n_rows, size_t n_words)
{
    if (n_rows < TILE_COLS) {
        memset(tile, 0, n_words * TILE_COLS * sizeof(*tile));
    }
    for (size_t r = 0; r < n_rows; r++) {
        const uint32_t *row = rows[r];

        for (size_t w = 0; w < n_words; w++) {
            tile[w * TILE_COLS + r] = row[w];
        }
    }
}

static void widen_rows(float *tile, const void *const *rows, size_t n_rows, size_t n_cols)
{
    for (size_t r = 0; r < n_rows; r++) {
        const uint16_t *row = rows[r];

        for (size_t c = 0; c < TILE_COLS; c++) {
            tile[r * TILE_COLS + c] = c < n_cols ? halves_from_bf16(row[c]) : 0.0f;
        }
    }
}

/* e^x, see exp_poly.h. */
static float exp_one(float x)
{
    float n;
    float r;
    float q;
    int whole;

    if (x < EXP_LO) {
        return 0.0f;
    }
    if (x > EXP_HI) {
        return INFINITY;
    }
    if (isnan(x)) {
        return x;
    }
    whole = (int)(x * EXP_LOG2E + (x < 0.0f ? -0.5f : 0.5f));
    n = (float)whole;
    r = x - n * EXP_LN2_HI;
    r = r - n * EXP_LN2_LO;
    q = EXP_C6 * r + EXP_C5;
    q = q * r + EXP_C4;
    q = q * r + EXP_C3;
    q = q * r + EXP_C2;
    q = q * (r * r) + r + 1.0f;
    // two steps: 2^128 is no float, but e^x just below EXP_HI is
    return q * halves_float((uint32_t)(whole / 2 + 127) << 23) *
           halves_float((uint32_t)(whole - whole / 2 + 127) << 23);
}

static float sum_lanes(const float lanes[LANES])
{
    float s[LANES];

    memcpy(s, lanes, sizeof(s));
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            s[i] += s[i + half];
        }
    }
    return s[0];
}

static void softmax(float *s, size_t n, float scale, float *ret_max, float *ret_sum)
{
    float lanes[LANES] = {0};
    float max = -INFINITY;

    for (size_t t = 0; t < n; t++) {
        s[t] *= scale;
        max = s[t] > max ? s[t] : max;
    }
    for (size_t t = 0; t < n; t++) {
        s[t] = exp_one(s[t] - max);
        lanes[t % LANES] += s[t];
    }
    *ret_max = max;
    *ret_sum = sum_lanes(lanes);
}

static void merge(float *o, const float *p, float a, float b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        o[i] = o[i] * a + p[i] * b;
    }
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps, bool add)
{
    float lanes[LANES] = {0};
    float factor;

    for (size_t i = 0; i < n; i++) {
        lanes[i % LANES] += x[i] * x[i];
    }
    factor = 1.0f / sqrtf(sum_lanes(lanes) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * factor * w[i];

        y[i] = add ? y[i] + v : v;
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = gate[i] / (1.0f + exp_one(-gate[i])) * up[i];
    }
}

static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = halves_to_bf16(x[i]);
    }
}

static void from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = halves_from_bf16(x[i]);
    }
}

void kernels_ref_fill(struct kernels *k)
{
    *k = (struct kernels){
        .name = "ref",
        .panel_rows = {8, 8, 8},
        .mm_bf16 = mm_bf16,
        .mm_f16 = mm_f16,
        .mm_f32 = mm_f32,
        .mm_probs = mm_probs,
        .panel_f32 = panel_f32,
        .panel_pairs = panel_pairs,
        .transpose = transpose,
        .widen_rows = widen_rows,
        .softmax = softmax,
        .merge = merge,
        .rmsnorm = rmsnorm,
        .silu_mul = silu_mul,
        .to_bf16 = to_bf16,
        .from_bf16 = from_bf16,
    };
}
