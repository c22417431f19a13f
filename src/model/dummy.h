/* dummy.h - random weights of the right shape: a pure function of seed, tensor name and position.
 *
 * For speed measurements without a checkpoint (--load-format dummy).  The same seed gives the same
 * weights on every machine.  Any thread.
 */
#ifndef MODEL_DUMMY_H
#define MODEL_DUMMY_H

#include "model/arch.h"

#include <stdint.h>

/**
 * Elements [begin, begin + n) of the row-major tensor `part` of `w`, as bf16 bit patterns.
 * Matrices and tables: uniform, standard deviation 1/sqrt(n_cols) (embeddings 1).  Vectors: 1 plus
 * a little for norms, a little around 0 for biases.
 */
void dummy_fill(uint64_t seed, const struct weight *w, const struct weight_part *part,
                uint64_t begin, uint64_t n, uint16_t *ret_bf16);

#endif
