/* limits.h - what this machine can do at best, measured in the same run as the kernels.
 *
 * Plain loops without any of the program's code: reading memory, and multiplying in registers.
 */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "compute/pool.h"

#include <stddef.h>

/** Count processor time of the process instead of time on the wall: on a busy machine, one
 * thread. */
void limits_use_cpu_time(void);
/** Seconds since some moment, of the chosen clock. */
double limits_now_s(void);
/** Seconds to read `n_bytes` once on all threads of the pool, each a contiguous share. */
double limits_read_s(struct pool *pool, const void *ptr, size_t n_bytes);
/** Multiplications and additions per second of all threads at `level`, float32 or bf16 inputs;
 *  0 when the level is unknown here. */
double limits_flops(struct pool *pool, const char *level, bool bf16);

#endif
