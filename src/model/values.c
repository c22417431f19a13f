#include "model/values.h"
#include "compute/cpu/halves.h"

#include <string.h>

#define PART 256 // values per turn, so that unaligned sources are copied to aligned ones first

/* Magnitudes (bits without sign) from which a float32 rounds to infinity. */
#define F16_OVERFLOW_BITS 0x477ff000u // 65520
#define BF16_OVERFLOW_BITS 0x7f7f8000u
#define F32_INFINITY_BITS 0x7f800000u

static void widen(float *dst, const char *src, enum dtype src_dtype, size_t n)
{
    uint16_t halves[PART];

    if (src_dtype == DTYPE_F32) {
        memcpy(dst, src, n * sizeof(*dst));
        return;
    }
    memcpy(halves, src, n * sizeof(*halves));
    for (size_t i = 0; i < n; i++) {
        dst[i] = src_dtype == DTYPE_BF16 ? halves_from_bf16(halves[i]) : halves_from_f16(halves[i]);
    }
}

static void narrow(char *dst, enum dtype dst_dtype, const float *src, size_t n)
{
    uint16_t halves[PART];

    if (dst_dtype == DTYPE_F32) {
        memcpy(dst, src, n * sizeof(*src));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        halves[i] = dst_dtype == DTYPE_BF16 ? halves_to_bf16(src[i]) : halves_to_f16(src[i]);
    }
    memcpy(dst, halves, n * sizeof(*halves));
}

void values_convert(void *dst, enum dtype dst_dtype, const void *src, enum dtype src_dtype,
                    size_t n)
{
    const char *from = src;
    char *to = dst;

    if (dst_dtype == src_dtype) {
        memmove(dst, src, n * dtype_bytes(src_dtype));
        return;
    }
    for (size_t i = 0; i < n; i += PART) {
        size_t part = n - i < PART ? n - i : PART;
        float wide[PART];

        widen(wide, from + i * dtype_bytes(src_dtype), src_dtype, part);
        narrow(to + i * dtype_bytes(dst_dtype), dst_dtype, wide, part);
    }
}

static uint32_t overflow_bits(enum dtype t)
{
    switch (t) {
    case DTYPE_F16:
        return F16_OVERFLOW_BITS;
    case DTYPE_BF16:
        return BF16_OVERFLOW_BITS;
    case DTYPE_F32:
        break;
    }
    return F32_INFINITY_BITS;
}

void values_screen(const void *src, enum dtype src_dtype, enum dtype dst_dtype, size_t n,
                   struct values_screen *counts)
{
    uint32_t overflow = overflow_bits(dst_dtype);
    const char *from = src;

    for (size_t i = 0; i < n; i += PART) {
        size_t part = n - i < PART ? n - i : PART;
        uint32_t n_not_finite = 0;
        uint32_t n_large = 0;
        float wide[PART];

        widen(wide, from + i * dtype_bytes(src_dtype), src_dtype, part);
        for (size_t j = 0; j < part; j++) {
            uint32_t magnitude = halves_bits(wide[j]) & 0x7fffffffu;

            n_not_finite += magnitude >= F32_INFINITY_BITS;
            n_large += magnitude >= overflow;
        }
        counts->n_not_finite += n_not_finite;
        counts->n_overflow += n_large - n_not_finite;
    }
}
