/* sim.h - the engine without weights: a model whose next token is a hash of the history it finds in
 * its KV cache, a clock that moves when a step runs, and a record of every event.
 *
 * The fake model reads the history through the block tables, as attention would.  So a token that
 * differs from the one expected means a wrong slot, a wrong block or a wrong row.
 *
 * Ids: 0..255 are bytes, 256 and 257 end a sequence, 258 is an ordinary added token, 259..263 have
 * no token but count, 264..299 are padding rows.  A prompt that begins with SIM_SCRIPT + k answers
 * with the k-th script given to sim_script(), then with SIM_EOS.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "engine/engine_internal.h"

#include <stdint.h>

#define SIM_VOCAB 300
#define SIM_EOS 256
#define SIM_USER 257 // the second end token
#define SIM_TOOL 258 // an added token that is not special
#define SIM_SCRIPT 264
#define SIM_SCRIPTS_MAX 16
#define SIM_REQUESTS_MAX 4096
#define SIM_NAN_ID 270 // logits after this id are NaN

struct sim;

struct sim_options {
    bool unused;   // lets the macros below begin an initialiser without naming a field
    uint64_t seed; // of the fake model; 0: 1
    uint64_t engine_seed;
    uint32_t blocks;                 // 0: 64
    uint32_t block_tokens;           // 0: 4
    uint32_t max_num_seqs;           // 0: 4
    uint32_t max_num_batched_tokens; // 0: 16
    uint32_t max_model_len;          // 0: 128
    uint32_t queue_max;              // 0: 1024
    uint64_t row_ns;                 // of the clock, per row of a step; 0: 10 us
    bool no_tokenizer;
    bool threads;
    const char *chat_template;     // NULL: none
    struct chat_sampling defaults; // .temperature 0 and .top_p 0: OpenAI's
    struct metrics *metrics;
};

struct sim_request {
    bool unused;
    uint32_t prompt_tokens; // random bytes as ids; 0: see below
    uint32_t script;        // > 0: prompt is the id of script `script - 1` alone
    const char *text;       // a text prompt
    const char *messages;   // JSON array of messages
    const int32_t *ids;     // [n_ids]
    uint32_t n_ids;
    uint32_t max_tokens; // 0: as many as the context holds
    bool continue_final_message;
    struct chat_sampling sampling; // max_tokens above wins; sampled only with .has_temperature
    bool unset_temperature;        // leave it to the engine's defaults
    bool keep_special;             // skip_special_tokens off
    const char *stop[4];
};

/* What a request got. */
struct sim_record {
    struct sim *sim;
    struct engine_ticket *ticket; // NULL after release
    struct chat_request request;
    struct arena *arena;
    int32_t *prompt; // [n_prompt]
    uint32_t n_prompt;
    uint32_t n_starts;
    uint32_t n_lasts; // DONE or ERROR
    uint32_t n_texts;
    uint64_t start_order; // nth START over all requests, from 1
    bool done;            // under the sim's lock
    bool failed;
    enum chat_finish finish;
    char stop_reason[64];
    int32_t stop_token;
    struct chat_usage usage;
    struct chat_failure failure;
    int32_t *ids;    // [n_ids] tokens that events covered
    float *logprobs; // [n_ids]
    uint32_t n_ids;
    uint32_t n_ids_before_last; // of them before the last event
    struct buf text;
    uint64_t done_ns;
};

#define sim_start(...) sim_start_with(&(struct sim_options){false, __VA_ARGS__})
#define sim_submit(sim, ...) sim_submit_with(sim, &(struct sim_request){false, __VA_ARGS__})

struct sim *sim_start_with(const struct sim_options *o);
/** Releases tickets, destroys the engine, checks that every request got exactly one last event. */
void sim_stop(struct sim *sim);
struct engine *sim_engine(struct sim *sim);
struct kv_pool *sim_pool(struct sim *sim);
/** Answer number `k` (from 0): bytes of `text`, or ids. */
void sim_script(struct sim *sim, uint32_t k, const char *text);
void sim_script_ids(struct sim *sim, uint32_t k, const int32_t *ids, uint32_t n_ids);

/** Index of the new request.  Fails the test when the engine refuses it. */
uint32_t sim_submit_with(struct sim *sim, const struct sim_request *r);
/** The same, but the engine's verdict; on OK *ret_idx is set. */
enum status sim_try_submit(struct sim *sim, const struct sim_request *r, uint32_t *ret_idx);
/** Prep whatever waits, then one step; checks all invariants.  False: nothing was done. */
bool sim_step(struct sim *sim);
/** Step until nothing is left to do; fails the test after `n_max` steps.  Returns their number. */
uint32_t sim_run(struct sim *sim, uint32_t n_max);
void sim_cancel(struct sim *sim, uint32_t idx);
/** With threads: wait for the last event of `idx`. */
void sim_wait(struct sim *sim, uint32_t idx);
const struct sim_record *sim_record(struct sim *sim, uint32_t idx);
/** What the fake model answers greedily to prompt and answer so far, n_ids tokens of it. */
void sim_expect(struct sim *sim, const int32_t *prompt, uint32_t n_prompt, uint32_t n_ids,
                int32_t *ret_ids);
uint64_t sim_now_ns(struct sim *sim);

#endif
