/* sched.h - who runs, with how many tokens, in this step.
 *
 * Admission is first come, first served, and only when the blocks for prompt and the whole answer
 * can be taken, so a running sequence never runs out of blocks.  A step takes one token of every
 * sequence that is decoding, then chunks of prompts in order of admission up to
 * max_num_batched_tokens.
 *
 * A sequence is n_tokens known and n_computed of them in the cache; decoding and prefilling differ
 * in that difference alone.  That is the seam for preemption (give the blocks, n_computed = 0) and
 * for shared prefixes (admit with n_computed > 0).
 * Engine-owned: engine thread only.
 */
#ifndef ENGINE_SCHED_H
#define ENGINE_SCHED_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct engine_ticket;

#define SCHED_STEP_NS 1000000000u // what a step with prompts in it should take at most
#define SCHED_BUDGET_MIN 64u      // rows; below, reading the weights would dominate

/* One sequence's share of a step. */
struct sched_part {
    struct engine_ticket *ticket; // borrowed from `running`
    uint32_t n_tokens;            // >= 1: positions n_computed .. n_computed + n_tokens
    bool samples;                 // its last row gives a new token
};

struct sched {
    struct engine_ticket **running; // owned [max_num_seqs], in order of admission
    uint32_t n_running;
    uint32_t *free_slots; // owned [max_num_seqs] stack
    uint32_t n_free_slots;
    uint32_t *tables; // owned [max_num_seqs, blocks_per_seq]: a slot's row holds its block ids
    struct sched_part *parts; // owned [max_num_seqs]: this step
    uint32_t n_parts;
    uint32_t n_tokens; // sum over parts
    uint32_t budget;   // rows of a step, SCHED_BUDGET_MIN .. max_num_batched_tokens
};

/** Errors: NO_MEMORY. */
MUST_USE enum status sched_init(struct sched *s, const struct engine *e);
void sched_done(struct sched *s);

/** Move waiting requests in while slots and blocks last; each gets its START event. */
void sched_admit(struct engine *e);
/** Choose the parts of this step.  Returns rows in the batch; 0: nothing runs. */
uint32_t sched_plan(struct engine *e);
/** A step of `n_tokens` rows took `step_ns`: adjust the budget.  Answers do not depend on it. */
void sched_adapt(struct engine *e, uint32_t n_tokens, uint64_t step_ns);
/** Take `t` out and give back its slot and blocks. */
void sched_remove(struct engine *e, struct engine_ticket *t);
/** NULL if all invariants hold (blocks and slots conserved, orders kept), else which one does
 * not. */
const char *sched_check(const struct engine *e);

#endif
