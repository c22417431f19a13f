/* rng.h - counter-based random numbers: a pure function of (key, counter).
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).  The same
 * request seed and token position give the same number whatever ran beside it.  Any thread.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/** 128 random bits for (key, counter). */
void rng_block(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t ret_words[4]);
/** Uniform in [0, 1) with 53 bits, from the first two words of rng_block(seed, stream,
 * position). */
double rng_uniform(uint64_t seed, uint64_t stream, uint64_t position);
/** 64 bits from the operating system (getrandom); ends the process if that fails. */
uint64_t rng_from_system(void);

#endif
