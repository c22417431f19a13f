/* load.h - fill the weights of an architecture from a checkpoint, or with random numbers.
 *
 * One pass over the files in order of offset, read with pread in pieces, converted and packed on
 * the way.  Values that are or would become infinite or NaN are refused with the tensor's name:
 * they would make every answer garbage.  One thread (packing forks onto the pool of the compute
 * device).
 */
#ifndef MODEL_LOAD_H
#define MODEL_LOAD_H

#include "model/arch.h"
#include "model/checkpoint.h"
#include "model/slab.h"

struct load_source {
    const struct checkpoint *checkpoint; // verified; NULL: dummy
    uint64_t dummy_seed;
};

/** Bytes the weights take in memory with this backend (exact), sum of slab_rounded() pieces. */
uint64_t load_weight_bytes(const struct arch *arch, const struct model_config *c,
                           const struct ops *ops, enum dtype dtype);

/**
 * Take memory from `slab` (which holds load_weight_bytes()) and fill every weight of `state`.
 * Errors: IO, INVALID (file changed or shorter, NaN or infinity), UNSUPPORTED (value too large for
 * `dtype`), NO_MEMORY.
 */
MUST_USE enum status load_weights(const struct arch *arch, const struct model_config *c,
                                  struct arch_state *state, const struct load_source *source,
                                  const struct model_load_options *o, struct slab *slab,
                                  struct error *err);

#endif
