/* engine.h - one loaded model that answers requests.  The only engine header the gateway sees.
 *
 * submit() hands a request to the prep thread (template, tokenizer), from there it goes to the
 * queue and the engine thread's step().  Answers come back as chat events through a callback on an
 * engine thread.  What stays out of here: sockets, keys, policy, HTTP.
 *
 * Threads: every function may be called from any thread unless it says otherwise.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/buf.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/str.h"
#include "chat/chat.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct engine_ticket; // one submitted request

enum engine_dtype { ENGINE_DTYPE_AUTO, ENGINE_DTYPE_BF16, ENGINE_DTYPE_F16, ENGINE_DTYPE_F32 };
enum engine_load_format { ENGINE_LOAD_AUTO, ENGINE_LOAD_SAFETENSORS, ENGINE_LOAD_DUMMY };

/* Zero means "choose" everywhere (engine_config_default fills the rest). */
struct engine_config {
    const char *model_dir;          // borrowed during create; or NULL with `preset`
    const char *preset;             // "glm-4-32b-0414": shape without files, needs LOAD_DUMMY
    const char *chat_template;      // file that replaces the checkpoint's template, or NULL
    const char *chat_template_text; // the template itself (for presets and tests), or NULL
    enum engine_dtype dtype;
    enum engine_load_format load_format;
    uint32_t max_model_len;          // 0: the checkpoint's
    uint32_t max_num_seqs;           // 0: 256 capped by memory
    uint32_t max_num_batched_tokens; // 0: 2048
    uint32_t block_tokens;           // 0: 16
    uint64_t kv_cache_bytes;         // 0: by the plan
    double memory_fraction;          // 0: 0.92 (vLLM's default of gpu-memory-utilization)
    uint32_t kv_blocks_override;     // 0: none
    uint32_t queue_max;              // waiting requests before 503; 0: 1024
    uint32_t n_threads;              // 0: by affinity and cgroup quota
    const char *cpu_level;           // NULL: best; "ref", "avx2", "avx512", "avx512bf16"
    uint64_t seed;
    struct metrics *metrics;       // borrowed: outlives the engine; may be NULL
    const char *served_model_name; // borrowed during create: label of the metrics; NULL: the folder
    /* Called from the creating thread while loading, share in 0..1.  May be NULL. */
    void (*on_progress)(void *user, const char *phase, double share);
    void *user;
};

/** vLLM's defaults where they have one; everything else 0 ("choose"). */
void engine_config_default(struct engine_config *c);

/**
 * Plan memory, refuse what does not fit, load, start the threads.  Blocks until ready.
 *
 * Errors (err has the whole report): NOT_FOUND, INVALID (faults of the folder, all together),
 * UNSUPPORTED architecture, LIMIT (does not fit: shortfall in bytes and the knobs), NO_MEMORY, IO.
 */
MUST_USE enum status engine_create(const struct engine_config *config, struct engine **ret_engine,
                                   struct error *err);
/** Cancel everything, join the threads, free.  NULL accepted.  Not from a callback. */
void engine_destroy(struct engine *e);

struct engine_model {
    struct str architecture; // "glm4"
    struct str fingerprint;  // binary, kernel level, dtype; for system_fingerprint
    uint32_t max_model_len;
    uint32_t vocab;
    uint64_t n_parameters;
    struct chat_sampling defaults; // generation_config.json over OpenAI's defaults
};

/** Immutable after create; valid as long as the engine. */
const struct engine_model *engine_model(const struct engine *e);

struct engine_job {
    const struct chat_request *request; // borrowed until the last event was delivered
    /**
     * Called in order on an engine thread; must not block nor call engine_submit.  The event's
     * memory is valid during the call.  Each generated token is covered by exactly one event: the
     * TEXT that carries its last byte, or the last event when it never became text (the end token,
     * a stop string that was cut off).  A request that ends before it is admitted may get its last
     * event on the prep thread, so that a refusal need not wait for the running step.  After DONE
     * or ERROR the engine touches neither request nor user.
     */
    void (*on_event)(void *user, const struct chat_event *event);
    void *user; // borrowed until the last event
};

/**
 * Queue a request.  On OK exactly one last event (DONE or ERROR) follows, also after cancel (DONE
 * with CHAT_FINISH_ABORT).
 * Errors: LIMIT (queue full), CLOSED (draining or failed).  No event follows then.
 */
MUST_USE enum status engine_submit(struct engine *e, const struct engine_job *job,
                                   struct engine_ticket **ret_ticket);
/** Ask to stop; blocks and slot are free within one step.  Idempotent. */
void engine_cancel(struct engine *e, struct engine_ticket *t);
/** Give the ticket back; required once per submit, before or after the last event, also from the
 *  callback.  Does not touch `e`, which may be destroyed by now. */
void engine_release(struct engine *e, struct engine_ticket *t);

/** No new requests (submit gives CLOSED); those inside finish. */
void engine_drain(struct engine *e);

struct engine_stats {
    uint32_t n_running;
    uint32_t n_waiting; // in prep or queue
    uint32_t kv_blocks; // capacity
    uint32_t kv_blocks_used;
    uint64_t n_steps;
    uint64_t prompt_tokens;
    uint64_t generated_tokens;
    bool failed; // the engine thread met a fault it cannot serve through (NaN logits, bug)
};

/** A snapshot; its numbers may belong to neighbouring steps. */
void engine_stats(struct engine *e, struct engine_stats *ret_stats);

/* Helpers for /tokenize, /detokenize and eval; run on the calling thread, never on a loop thread
 * for long texts (the gateway posts them to a worker). */
/** ids go to ret_ids as int32 (n * 4 bytes). Specials inside the text are recognised. */
MUST_USE enum status engine_tokenize(struct engine *e, struct str text, bool add_special,
                                     struct buf *ret_ids, struct chat_failure *failure);
MUST_USE enum status engine_render(struct engine *e, const struct chat_request *request,
                                   struct buf *ret_text, struct chat_failure *failure);
MUST_USE enum status engine_detokenize(struct engine *e, const int32_t *ids, uint32_t n_ids,
                                       struct buf *ret_text, struct chat_failure *failure);
/** Text of one token (may be part of a character); empty for ids without a token. */
struct str engine_token_text(struct engine *e, int32_t id);

#endif
