/* engine_internal.h - what the files of src/engine share.  Tests of the engine include it too.
 *
 * An engine is assembled from parts: a backend that computes logits, a tokenizer, a template,
 * limits.
 * engine_create() makes the parts from a checkpoint folder, simulations bring their own.
 */
#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include "base/clock.h"
#include "engine/batch.h"
#include "engine/deliver.h"
#include "engine/engine.h"
#include "engine/kv.h"
#include "engine/queue.h"
#include "engine/sample.h"
#include "engine/sched.h"
#include "engine/tally.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/stop.h"
#include "text/tokenizer.h"

#include <pthread.h>
#include <stdatomic.h>

/* What computes.  forward() as model_forward(); engine thread only. */
struct engine_backend {
    void *user; // owned once the engine took the parts
    uint32_t vocab;
    void (*forward)(void *user, const struct model_batch *batch, float *logits);
    void (*destroy)(void *user);
};

/* Everything an engine consists of.  Immutable after engine_assemble(). */
struct engine_parts {
    struct engine_backend backend;    // owned
    struct tokenizer *tok;            // owned; NULL: id prompts only, events carry no text
    struct chat_template *template;   // owned; NULL: no messages
    const struct kontor_clock *clock; // borrowed; NULL: the system's
    struct metrics *metrics;          // borrowed; NULL: a private registry
    const char *served_model_name;    // borrowed during assembly: label of the metrics
    char architecture[48];
    char fingerprint[128];
    uint64_t n_parameters;
    uint32_t max_model_len; // tokens of prompt and answer; <= n_blocks * block_tokens
    uint32_t max_num_seqs;  // <= max_num_batched_tokens
    uint32_t max_num_batched_tokens;
    uint32_t n_blocks;
    uint32_t block_tokens;
    uint32_t queue_max;
    int32_t eos_ids[MODEL_EOS_MAX];
    uint32_t n_eos;
    struct chat_sampling defaults;
    uint64_t seed; // 0: drawn from the system
    bool threads;  // false: the caller runs prep_run_one() and step_run() itself (simulations)
};

/* One request's way through the engine.  Who may touch what is grouped by owner. */
struct engine_ticket {
    /* Immutable after submit. */
    struct engine_job job;
    uint64_t number; // order of submission, from 0; set by queue_submit
    uint64_t submit_ns;

    /* Any thread. */
    atomic_uint n_refs; // the caller's until engine_release, the engine's until the last event
    atomic_bool cancelled;
    _Atomic uint64_t cancel_ns; // when, 0: never
    struct queue_link link;     // the queue's lock

    /* Written by prep, read by the engine thread afterwards (hand-over: the queue's lock). */
    struct chat_sampling sampling; // request over checkpoint over OpenAI's defaults; seed resolved
    int32_t *ids;                  // owned [n_prompt + max_new]
    uint32_t *text_end; // owned [max_new]: bytes of the answer after each token, see deliver.c
    float *logprobs;    // owned [max_new]
    struct stop_matcher *stop; // owned; NULL without stop strings
    uint32_t n_prompt;
    uint32_t max_new;
    int32_t *banned; // owned [n_banned]: may not be chosen before min_tokens
    uint32_t n_banned;
    uint64_t ready_ns;

    /* Engine thread; sched.c. */
    uint32_t *blocks; // borrowed from the slot: [n_blocks]
    uint32_t n_blocks;
    uint32_t slot;
    uint32_t n_tokens;   // prompt and answer so far
    uint32_t n_computed; // of them in the KV cache

    /* Engine thread; deliver.c. */
    struct detokenizer detok;
    uint32_t text_bytes; // decoded so far
    uint32_t text_sent;  // bytes that left in events or were cut off
    uint32_t n_reported; // tokens that left in events
    bool finished;       // the last event is due
    bool failed;
    enum chat_finish finish;
    uint32_t stop_idx;  // of the stop string that matched, else UINT32_MAX
    int32_t stop_token; // that matched, else -1
    struct chat_failure failure;
    uint64_t admit_ns;
    uint64_t first_ns; // first token
    uint64_t last_ns;  // latest token
};

static inline uint32_t ticket_n_new(const struct engine_ticket *t)
{
    return t->n_tokens - t->n_prompt;
}

struct engine {
    struct engine_parts parts;
    struct engine_model model;
    uint32_t blocks_per_seq; // of max_model_len
    uint32_t n_named;        // ids at or above have no token
    uint64_t seed;

    struct queue *queue; // owned, shared (own lock)
    struct tally tally;  // atomics
    atomic_bool failed;
    atomic_bool cancel_all;

    /* Engine thread. */
    struct kv_pool *kv;
    struct sched sched;
    struct batch batch;
    struct sampler *sampler;
    float *logits;                 // owned [max_num_seqs, vocab]
    struct sample_result *sampled; // owned [max_num_seqs], one per row of logits
    enum status *sampled_status;   // owned [max_num_seqs]
    struct deliver deliver;

    pthread_t prep_thread;
    pthread_t step_thread;
    bool has_prep_thread;
    bool has_step_thread;
    atomic_bool stopping;
};

/** Build an engine from parts, which it owns from now on (also on failure: they are destroyed).
 *  Errors: INVALID parts that contradict each other, NO_MEMORY. */
MUST_USE enum status engine_assemble(struct engine_parts *parts, struct engine **ret_engine,
                                     struct error *err);
/** Destroy parts that no engine took.  Fields that are NULL are accepted. */
void engine_parts_done(struct engine_parts *parts);
/** Parts from a checkpoint folder or a preset, as engine_create() documents.  engine_load.c. */
MUST_USE enum status engine_load(const struct engine_config *config, struct engine_parts *ret_parts,
                                 struct error *err);

static inline uint64_t engine_now(const struct engine *e)
{
    return kontor_clock_now_ns(e->parts.clock);
}

static inline bool ticket_is_cancelled(const struct engine *e, const struct engine_ticket *t)
{
    return atomic_load(&t->cancelled) || atomic_load(&e->cancel_all);
}

/** Drop one reference; frees at the last.  Any thread. */
void engine_ticket_unref(struct engine_ticket *t);

#endif
