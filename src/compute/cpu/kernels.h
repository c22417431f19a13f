/* kernels.h - the inner loops of the CPU backend: what an instruction-set level fills.
 *
 * The drivers (matmul.c, attention.c, rowwise.c, matrix.c) cut the work and are the same for every
 * level; a level only replaces inner loops.  The reference fills the table, better levels overlay
 * it.
 * All pointers into scratch and packed weights are 64-byte aligned unless said otherwise; kernels
 * run on any thread of the pool and touch nothing but their arguments.
 *
 * Tile: TILE_COLS output columns side by side in SIMD lanes, k running outwards.
 *   TILE_PAIRS  [n_k / 2][32] x {bf16 of k, bf16 of k + 1}   weights bf16, keys bf16
 *   TILE_F16    [n_k][32] fp16                                weights fp16
 *   TILE_F32    [n_k][32] float32                             weights float32, keys, values
 * Panel: up to PANEL_ROWS_MAX rows of activations with k outwards, so that the values which meet
 * one tile line stand together: [n_k][n_rows] float32, or [n_k / 2][n_rows] bf16 pairs.
 *
 * The order is part of the interface: acc[r][c] is reduced over k in ascending order by one chain
 * of the same instruction, whatever n_rows is, and cutting [0, n_k) into consecutive calls with
 * first = false changes no bit.  Batch invariance rests on this (docs/determinism.md).
 */
#ifndef COMPUTE_CPU_KERNELS_H
#define COMPUTE_CPU_KERNELS_H

#include "compute/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TILE_COLS 32
#define PANEL_ROWS_MAX 12
#define SCORE_STRIDE 272 // floats per row of scores: a piece of 256 tokens, off the 4 KiB grid

/**
 * acc[r * acc_stride + c] = (first ? 0 : acc[...]) + sum over k of panel[k][r] * tile[k][c]
 *
 * n_rows  1..PANEL_ROWS_MAX; c runs over all TILE_COLS columns
 * n_k     may be 0; even for pairs
 */
typedef void (*kernel_mm)(float *acc, size_t acc_stride, const void *tile, const void *panel,
                          size_t n_k, size_t n_rows, bool first);

struct kernels {
    const char *name;
    uint32_t panel_rows[3]; // by enum dtype of the tile: best rows per panel, <= PANEL_ROWS_MAX
    bool has_pairs;         // mm_pairs is there: bf16 x bf16 goes by the dot-product instruction

    kernel_mm mm_bf16;  // TILE_PAIRS, panel float32
    kernel_mm mm_f16;   // TILE_F16, panel float32
    kernel_mm mm_f32;   // TILE_F32, panel float32
    kernel_mm mm_pairs; // TILE_PAIRS, panel of bf16 pairs; only with has_pairs
    kernel_mm mm_probs; // TILE_F32, "panel" is [n_rows][SCORE_STRIDE] float32 (unaligned start)

    /** Panel of float32 from n_rows rows of n_k; with `round` each value is rounded to bf16
     * first. */
    void (*panel_f32)(float *panel, const float *const *rows, size_t n_rows, size_t n_k,
                      bool round);
    /** Panel of bf16 pairs, rounded; n_k even. */
    void (*panel_pairs)(uint32_t *panel, const float *const *rows, size_t n_rows, size_t n_k);
    /** tile[w][r] = rows[r][w] for n_rows <= TILE_COLS rows of n_words 32-bit words (4-byte
     * aligned);
     *  columns from n_rows up become 0. */
    void (*transpose)(uint32_t *tile, const void *const *rows, size_t n_rows, size_t n_words);
    /** tile[r][c] = float32 of bf16 rows[r][c] for n_cols <= TILE_COLS; further columns become
     * 0. */
    void (*widen_rows)(float *tile, const void *const *rows, size_t n_rows, size_t n_cols);

    /**
     * In place s[t] = exp(s[t] * scale - m), m = max of the scaled scores, over n >= 1 values.
     * s has room up to the next multiple of 16, which may be overwritten.  Writes m and the sum.
     */
    void (*softmax)(float *s, size_t n, float scale, float *ret_max, float *ret_sum);
    /** o[i] = o[i] * a + p[i] * b */
    void (*merge)(float *o, const float *p, float a, float b, size_t n);

    /** y = x / sqrt(mean(x^2) + eps) * w, or y += that with `add`; y may equal x.  Any
     * alignment. */
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t n, float eps, bool add);
    /** y[i] = gate[i] / (1 + exp(-gate[i])) * up[i].  Any alignment. */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);
    /** bf16 from float32 and back.  Any alignment. */
    void (*to_bf16)(uint16_t *y, const float *x, size_t n);
    void (*from_bf16)(float *y, const uint16_t *x, size_t n);
};

/* Each overlays what it does better; call in ascending order of level. */
void kernels_ref_fill(struct kernels *k);
void kernels_avx2_fill(struct kernels *k);
void kernels_avx512_fill(struct kernels *k);
void kernels_avx512bf16_fill(struct kernels *k);
void kernels_neon_fill(struct kernels *k);

#endif
