/* values.h - rows of bf16, fp16 or float32 values: convert them, and find those that are not
 * finite.
 *
 * Conversions round to nearest, ties to even.  Pure; any thread.
 */
#ifndef MODEL_VALUES_H
#define MODEL_VALUES_H

#include "compute/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** n values; src and dst may be the same place only when both dtypes are equal.  No alignment
 * needed. */
void values_convert(void *dst, enum dtype dst_dtype, const void *src, enum dtype src_dtype,
                    size_t n);

struct values_screen {
    uint64_t n_not_finite; // NaN or infinite in the source
    uint64_t n_overflow;   // finite in the source, infinite in the target
};

/** Add what `n` values of src_dtype hold to the counts, if they were stored as dst_dtype. */
void values_screen(const void *src, enum dtype src_dtype, enum dtype dst_dtype, size_t n,
                   struct values_screen *counts);

#endif
