/* halves.h - bf16 and fp16 as bit patterns, one value at a time.
 *
 * Every instruction-set level rounds as these do (nearest, ties to even); the bf16 instructions of
 * AVX-512 also flush denormals, see docs/kernels.md.  Pure, any thread.
 */
#ifndef COMPUTE_CPU_HALVES_H
#define COMPUTE_CPU_HALVES_H

#include <stdint.h>
#include <string.h>

static inline uint32_t halves_bits(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static inline float halves_float(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

/** Exact. */
static inline float halves_from_bf16(uint16_t h)
{
    return halves_float((uint32_t)h << 16);
}

/** Nearest, ties to even; NaN stays NaN (quiet), overflow is infinity. */
static inline uint16_t halves_to_bf16(float v)
{
    uint32_t bits = halves_bits(v);

    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/** Exact, denormals included. */
static inline float halves_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 0x1fu;
    uint32_t fraction = h & 0x3ffu;

    if (exponent == 0x1f) {
        return halves_float(sign | 0x7f800000u | fraction << 13 | (fraction != 0 ? 0x400000u : 0));
    }
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;

        return sign != 0 ? -magnitude : magnitude;
    }
    return halves_float(sign | (exponent + 112) << 23 | fraction << 13);
}

/** Nearest, ties to even; overflow is infinity, NaN stays NaN (quiet). */
static inline uint16_t halves_to_f16(float v)
{
    uint32_t bits = halves_bits(v);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;

    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    }
    if (magnitude >= 0x477ff000u) { // 65520 and more round to infinity
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { // below 2^-14: adding 0.5 leaves the denormal's bits, rounded
        float shifted = halves_float(magnitude) + 0.5f;

        return (uint16_t)(sign | (halves_bits(shifted) & 0x7fffu));
    }
    magnitude += 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | (magnitude - (112u << 23)) >> 13);
}

#endif
