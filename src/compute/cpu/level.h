/* level.h - which instruction-set levels this machine has.
 *
 * Levels are ordered: a machine that has one has the ones before it (of its architecture).
 * The environment variable KONTOR_CPU_LEVEL caps them, for tests and for tools that do not know an
 * instruction set.  Any thread.
 */
#ifndef COMPUTE_CPU_LEVEL_H
#define COMPUTE_CPU_LEVEL_H

#include "base/status.h"

enum level { LEVEL_REF, LEVEL_AVX2, LEVEL_AVX512, LEVEL_AVX512BF16, LEVEL_NEON, LEVEL_COUNT };

/** "ref", "avx2", "avx512", "avx512bf16", "neon". */
const char *level_name(enum level level);

/**
 * The level for `name`, or the best one for NULL.
 * Errors: UNSUPPORTED when the name is unknown, the machine (or the build) lacks it, or the cap
 * forbids it; the text names the levels that there are.
 */
MUST_USE enum status level_pick(const char *name, enum level *ret_level, struct error *err);

#endif
