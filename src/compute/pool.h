/* pool.h - threads that run one function together and wait for each other.
 *
 * Fork-join: pool_run() wakes the threads, takes part itself and returns when all are done.
 * Between runs a thread spins for about 20 us (the next operation of a forward pass usually comes
 * sooner), then sleeps.  With more threads than processors nobody spins.  The operations decide how
 * work is cut, never in a way that changes bits: see docs/determinism.md.
 *
 * One caller at a time (the engine thread); pool_run() must not be nested.
 */
#ifndef COMPUTE_POOL_H
#define COMPUTE_POOL_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define POOL_THREADS_MAX 1024

struct pool;

typedef void (*pool_fn)(void *arg, uint32_t thread_idx);

/**
 * A pool of `n_threads` in all, the caller of pool_run() being number 0; 1..POOL_THREADS_MAX
 * (CHECK).
 *
 * n_cpus  processors these threads have for themselves (cpus_usable()); decides whether to spin
 *
 * Errors: NO_MEMORY: memory or threads are short.
 */
MUST_USE enum status pool_create(uint32_t n_threads, uint32_t n_cpus, struct pool **ret_pool,
                                 struct error *err);
/** Ends and joins the threads.  NULL accepted. */
void pool_destroy(struct pool *p);
uint32_t pool_threads(const struct pool *p);

/**
 * fn(arg, thread_idx) once on each thread, thread_idx in [0, pool_threads()); returns when all have
 * returned.  What the caller wrote before is visible to fn, what fn wrote to the caller afterwards.
 */
void pool_run(struct pool *p, pool_fn fn, void *arg);

/* Work handed out in pieces to whoever is free.  Which thread gets a piece must not matter. */
struct pool_range {
    atomic_uint_fast64_t next;
    uint64_t end;
    uint64_t grain;
};

/** All of [0, n_items), `grain` >= 1 items at a time.  Before pool_run(), by the caller. */
void pool_range_init(struct pool_range *r, uint64_t n_items, uint64_t grain);
/** The next piece as [*ret_begin, *ret_end), or false when nothing is left.  Any thread of the
 * run. */
bool pool_range_take(struct pool_range *r, uint64_t *ret_begin, uint64_t *ret_end);

#endif
