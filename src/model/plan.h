/* plan.h - arithmetic of the memory plan.  Pure: sizes in, plan or refusal out.  Any thread. */
#ifndef MODEL_PLAN_H
#define MODEL_PLAN_H

#include "base/buf.h"
#include "base/status.h"
#include "model/model.h"

#include <stdint.h>

#define PLAN_KV_DEFAULT_MAX ((uint64_t)4 << 30)
#define PLAN_MEMORY_FRACTION 0.92
#define PLAN_BLOCK_TOKENS 16

/* What the model needs whatever the options say. */
struct plan_needs {
    uint64_t weight_bytes;
    uint64_t workspace_bytes;
    uint64_t kv_bytes_per_token;
    uint32_t max_positions;
};

/**
 * memory_bytes and available_bytes of `o` must be set; 0 elsewhere means the default.
 *
 * The KV cache gets, in this order: kv_blocks_override blocks; kv_cache_bytes; else min(4 GiB, half
 * of what is left after weights and workspace), but never less than one sequence of max_model_len
 * and never more than max_num_seqs of them.
 *
 * Errors: INVALID (max_model_len beyond the model, fraction outside (0, 1], options that contradict
 * each other), LIMIT (does not fit; ret_plan is filled).
 */
MUST_USE enum status plan_compute(const struct plan_needs *needs,
                                  const struct model_plan_options *o, struct model_plan *ret_plan,
                                  struct error *err);
void plan_print(const struct model_plan *p, struct buf *out);
/** "18.79 GiB", "512.00 KiB", "17 bytes" into text[32]. */
void plan_bytes_text(uint64_t bytes, char text[32]);

#endif
