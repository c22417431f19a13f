/* tally.h - what the engine counts: vLLM's metrics, our own, and struct engine_stats.
 *
 * Series are declared at assembly and updated by the prep and the engine thread with atomics; any
 * thread may read.  Names and buckets are vLLM's where the meaning is the same (docs/engine.md).
 */
#ifndef ENGINE_TALLY_H
#define ENGINE_TALLY_H

#include "base/metrics.h"
#include "engine/engine.h"

#include <stdatomic.h>

struct engine_parts;
struct engine_ticket;

struct tally {
    struct metrics *own; // owned when the caller brought none, else NULL
    struct metric_series *running;
    struct metric_series *waiting;
    struct metric_series *kv_usage;
    struct metric_series *kv_usage_old; // vllm:gpu_cache_usage_perc, still read by routers
    struct metric_series *prompt_tokens;
    struct metric_series *generation_tokens;
    struct metric_series *success[4]; // by enum chat_finish; tool calls count as stop
    struct metric_series *errors;
    struct metric_series *ttft;
    struct metric_series *itl;
    struct metric_series *per_token;
    struct metric_series *e2e;
    struct metric_series *queue_time;
    struct metric_series *inference;
    struct metric_series *prefill;
    struct metric_series *decode;
    struct metric_series *request_prompt;
    struct metric_series *request_generation;
    struct metric_series *request_max_tokens;
    struct metric_series *iteration_tokens;
    struct metric_series *step_seconds;
    struct metric_series *cancel_seconds;
    atomic_uint n_running;
    atomic_uint kv_blocks_used;
    uint32_t kv_blocks;
    _Atomic uint64_t n_steps;
    _Atomic uint64_t n_prompt_tokens;
    _Atomic uint64_t n_generated_tokens;
};

/** Declare every series.  Start-up only; ends the process without memory (as metrics_series). */
void tally_init(struct tally *y, const struct engine_parts *parts);
void tally_done(struct tally *y);

/** Occupancy changed. */
void tally_load(struct tally *y, uint32_t n_running, uint32_t kv_blocks_used);
/** A request came to wait (+1) or stopped waiting (-1).  Any thread. */
void tally_waiting(struct tally *y, int change);
/** A step of `n_tokens` rows ended. */
void tally_step(struct tally *y, uint32_t n_tokens, uint64_t step_ns);
/** A token of `t` was sampled at `now_ns`; call before t->first_ns and t->last_ns are updated. */
void tally_token(struct tally *y, const struct engine_ticket *t, uint64_t now_ns);
/** The last event of `t` is due; blocks and slot are free. */
void tally_end(struct tally *y, const struct engine_ticket *t, uint64_t now_ns);
/** n_waiting is the caller's to fill. */
void tally_stats(const struct tally *y, struct engine_stats *ret_stats);

#endif
