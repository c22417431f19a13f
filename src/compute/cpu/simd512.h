/* simd512.h - what both AVX-512 levels use: unrolling, transposition, rounding, tails.
 *
 * For files compiled with the AVX-512 flags only.
 */
#ifndef COMPUTE_CPU_SIMD512_H
#define COMPUTE_CPU_SIMD512_H

#include "compute/cpu/unroll.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Lanes [0, n) for what is left of a row, all 16 when more are left. */
static INLINE __mmask16 tail_mask(size_t n_left)
{
    return n_left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n_left) - 1u);
}

/* v[i] lane j <-> v[j] lane i */
static INLINE void transpose_16x16(__m512i v[16])
{
    __m512i t[16];

    UNROLL
    for (int i = 0; i < 16; i += 2) { // pairs of rows, 32-bit
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 16;
         i += 4) { // fours of rows: v[i + j] holds columns j, j + 4, j + 8, j + 12
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL
    for (int j = 0; j < 4; j++) { // 128-bit lanes
        __m512i a = _mm512_shuffle_i32x4(v[j], v[j + 4], 0x88);
        __m512i b = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0x88);
        __m512i c = _mm512_shuffle_i32x4(v[j], v[j + 4], 0xdd);
        __m512i d = _mm512_shuffle_i32x4(v[j + 8], v[j + 12], 0xdd);

        t[j] = _mm512_shuffle_i32x4(a, b, 0x88);
        t[j + 8] = _mm512_shuffle_i32x4(a, b, 0xdd);
        t[j + 4] = _mm512_shuffle_i32x4(c, d, 0x88);
        t[j + 12] = _mm512_shuffle_i32x4(c, d, 0xdd);
    }
    UNROLL
    for (int i = 0; i < 16; i++) {
        v[i] = t[i];
    }
}

/* Float bits to the nearest bf16, ties to even, as float bits with a zero lower half. */
static INLINE __m512i round_bits_bf16(__m512 x)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);

    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_and_si512(rounded, upper);
}

/* bf16 to float: exact. */
static INLINE __m512 widen_bf16(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

#endif
