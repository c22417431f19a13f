/* kv.h - pool of fixed-size KV blocks for one device.
 *
 * Hands out block ids; the memory behind them belongs to the model.  Does not know sequences' text
 * or schedule; see sched.h.  Engine-owned: engine thread only (tests: the thread that steps).
 * Invariant: free + in use == capacity.  Access rules 1-7: docs/kv.md.
 */
#ifndef ENGINE_KV_H
#define ENGINE_KV_H

#include "base/status.h"

#include <stdint.h>

struct kv_pool;

/** A pool of `n_blocks` free blocks (>= 1).  Start-up only.  Errors: NO_MEMORY. */
MUST_USE enum status kv_create(uint32_t n_blocks, struct kv_pool **ret_pool);
/** NULL accepted.  Blocks still in use are forgotten. */
void kv_destroy(struct kv_pool *pool);

/**
 * Take `n_blocks` blocks for a sequence; all or none.
 *
 * ret_ids   [n_blocks] written only on OK; each id < kv_capacity()
 *
 * Errors: LIMIT when fewer than n_blocks are free (ordinary: caller queues).
 * Cost: O(n_blocks).  Never allocates memory.
 */
MUST_USE enum status kv_take(struct kv_pool *pool, uint32_t n_blocks, uint32_t *ret_ids);

/** Give `ids` [n_blocks] back.  CHECKs that each was in use.  Cost: O(n_blocks). */
void kv_give(struct kv_pool *pool, uint32_t n_blocks, const uint32_t *ids);

/** Blocks of the pool, and how many of them kv_take() could hand out now. */
uint32_t kv_capacity(const struct kv_pool *pool);
/** See kv_capacity(). */
uint32_t kv_free_count(const struct kv_pool *pool);

/** NULL if all invariants hold, else the text of the first violated one.  Tests and DCHECK.
 * O(n). */
const char *kv_check(const struct kv_pool *pool);

#endif
