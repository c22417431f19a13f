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

/* Add `high - threshold` to a magnitude: the bit above it comes on exactly when the magnitude
 * reaches the threshold.  Done for all lanes of a 64-bit word at once, it finds damaged pieces four
 * times as fast as reading can deliver them; only those are counted value by value. */
struct lanes {
    uint64_t magnitude; // mask of the bits without sign, in every lane
    uint64_t add;
    uint64_t high;
};

static struct lanes lanes_of(enum dtype src_dtype, enum dtype dst_dtype)
{
    const uint64_t in16 = 0x0001000100010001u;
    const uint64_t in32 = 0x0000000100000001u;
    uint64_t threshold;

    if (src_dtype == DTYPE_F32) {
        threshold = overflow_bits(dst_dtype);
        return (struct lanes){0x7fffffffu * in32, (0x80000000u - threshold) * in32,
                              0x80000000u * in32};
    }
    threshold = src_dtype == DTYPE_F16 ? 0x7c00u : dst_dtype == DTYPE_F16 ? 0x4780u : 0x7f80u;
    return (struct lanes){0x7fffu * in16, (0x8000u - threshold) * in16, 0x8000u * in16};
}

static bool may_hold(const char *src, size_t n_bytes, const struct lanes *l)
{
    uint64_t found = 0;
    size_t at = 0;

    for (; at + sizeof(uint64_t) <= n_bytes; at += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, src + at, sizeof(word));
        found |= (word & l->magnitude) + l->add;
    }
    return (found & l->high) != 0 || at < n_bytes; // the rest is counted
}

static void count_exactly(const char *src, enum dtype src_dtype, uint32_t overflow, size_t n,
                          struct values_screen *counts)
{
    float wide[PART];

    widen(wide, src, src_dtype, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = halves_bits(wide[i]) & 0x7fffffffu;

        if (magnitude >= F32_INFINITY_BITS) {
            counts->n_not_finite++;
        } else if (magnitude >= overflow) {
            counts->n_overflow++;
        }
    }
}

void values_screen(const void *src, enum dtype src_dtype, enum dtype dst_dtype, size_t n,
                   struct values_screen *counts)
{
    struct lanes lanes = lanes_of(src_dtype, dst_dtype);
    size_t width = dtype_bytes(src_dtype);
    const char *from = src;

    for (size_t i = 0; i < n; i += PART) {
        size_t part = n - i < PART ? n - i : PART;

        if (may_hold(from + i * width, part * width, &lanes)) {
            count_exactly(from + i * width, src_dtype, overflow_bits(dst_dtype), part, counts);
        }
    }
}
