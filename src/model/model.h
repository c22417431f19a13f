/* model.h - a checkpoint: open and verify, plan its memory, load it, run it.
 *
 * open() reads config.json and the safetensors headers and reports every fault together; plan() is
 * arithmetic only; load() packs the weights; forward() runs one ragged batch.  Knows neither text
 * nor requests nor schedules.  open/plan/load: one thread.  forward: engine thread.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/buf.h"
#include "base/status.h"
#include "compute/ops.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_EOS_MAX 16

struct model;

/* The shape of a decoder, from config.json (spellings and defaults: facts sheet 2.7). */
struct model_config {
    char architecture[48]; // "Glm4ForCausalLM"
    char model_type[32];   // "glm4"
    uint32_t n_layers;
    uint32_t hidden;
    uint32_t ffn_hidden;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t rotated; // rope dims per head
    uint32_t vocab;
    uint32_t max_positions;
    bool attention_bias;
    bool tie_embeddings;
    float rms_eps;
    double rope_theta;
    double yarn_factor; // 0: no YaRN
    uint32_t yarn_original_positions;
    double yarn_attention_factor; // 0: by formula
    double yarn_beta_fast;
    double yarn_beta_slow;
    bool yarn_truncate;
    enum dtype stored_dtype; // as config.json says; tensors are judged by their own
    int32_t eos_ids[MODEL_EOS_MAX];
    uint32_t n_eos;
    int32_t pad_id; // -1: none
    /* generation_config.json; has_* false where the file is silent */
    bool has_temperature, has_top_p, has_top_k;
    double temperature, top_p;
    int32_t top_k;
    uint64_t n_parameters; // computed from the shape
};

struct model_source {
    const char *dir;    // checkpoint folder, or NULL with preset
    const char *preset; // "glm-4-9b-0414" ...: shape from the table in model/preset.c, no files
    bool dummy_weights; // random weights of the right shape (vLLM's --load-format dummy)
    uint64_t dummy_seed;
};

/**
 * Read and verify a checkpoint folder.  Every fault found (missing files, unknown architecture,
 * wrong dtype or shape of tensors, truncated shards, ...) is appended to `report` as one line each.
 * Errors: NOT_FOUND, INVALID, UNSUPPORTED, IO; err holds a one-sentence summary.
 */
MUST_USE enum status model_open(const struct model_source *source, struct model **ret_model,
                                struct buf *report, struct error *err);
/** As model_open(), but gives the model also when the folder has faults, for people who want to see
 *  both (`kontor inspect`); such a model can be looked at and destroyed only.  *ret_model is NULL
 *  without memory, and when there is neither folder nor preset. */
MUST_USE enum status model_examine(const struct model_source *source, struct model **ret_model,
                                   struct buf *report, struct error *err);
void model_destroy(struct model *m);
const struct model_config *model_config(const struct model *m);
struct checkpoint; // model/checkpoint.h
/** The folder's files until model_load(); NULL for presets, dummy weights and after loading. */
const struct checkpoint *model_checkpoint(const struct model *m);
/** Names of the presets, NULL at the end. */
const char *model_preset_name(uint32_t idx);

struct model_plan_options {
    enum math math;
    enum dtype weight_dtype;
    uint32_t max_model_len;
    uint32_t max_num_seqs;
    uint32_t max_num_batched_tokens;
    uint32_t block_tokens;
    uint64_t kv_cache_bytes;     // 0: choose
    uint32_t kv_blocks_override; // 0: none
    double memory_fraction;
    uint64_t memory_bytes;    // device memory: min(MemTotal, cgroup limit); 0: ask the system
    uint64_t available_bytes; // MemAvailable within that limit; 0: ask the system
};

struct model_plan {
    uint64_t weight_bytes;
    uint64_t workspace_bytes; // activations, logits, scratch
    uint64_t kv_bytes;
    uint64_t kv_bytes_per_token;
    uint32_t kv_blocks;
    uint32_t block_tokens;
    uint64_t total_bytes;
    uint64_t limit_bytes; // memory_fraction of the device
    uint64_t memory_bytes;
};

/**
 * How the memory will be used, before anything is allocated.
 * Errors: LIMIT: does not fit; err gives the shortfall in bytes and the knobs
 * (--max-model-len, --kv-cache-memory-bytes, --max-num-seqs, --gpu-memory-utilization, --dtype).
 * `ret_plan` is filled in that case too.
 */
MUST_USE enum status model_plan(const struct model *m, const struct model_plan_options *o,
                                struct model_plan *ret_plan, struct error *err);
/** The plan as a table for people. */
void model_plan_print(const struct model_plan *p, struct buf *out);
/** Largest K of any matrix product of the model: cols_max of compute_create(). */
uint32_t model_cols_max(const struct model *m);

struct model_load_options {
    struct compute *compute; // borrowed: outlives the model
    struct model_plan plan;
    enum math math;
    enum dtype weight_dtype;
    uint32_t max_num_seqs;
    uint32_t max_num_batched_tokens;
    void (*on_progress)(void *user, double share); // may be NULL
    void *user;
};

/** Allocate as planned and pack the weights, one sequential pass.  Errors: NO_MEMORY, IO, INVALID
 *  (a file changed while it was read). */
MUST_USE enum status model_load(struct model *m, const struct model_load_options *o,
                                struct error *err);

/* One step.  Arrays are borrowed for the call. */
struct model_batch {
    uint32_t n_tokens;
    const int32_t *ids;       // [n_tokens]
    const int32_t *positions; // [n_tokens]
    const uint32_t *slots;    // [n_tokens] where each token's k and v go
    uint32_t n_seqs;
    const struct batch_seq *seqs; // [n_seqs]
    uint32_t n_logits;
    const uint32_t *logit_rows; // [n_logits] rows of the batch whose logits are wanted
};

/**
 * Run one ragged batch through the decoder.
 * logits  [n_logits, vocab] float32, written
 * Limits: n_tokens <= max_num_batched_tokens, n_logits <= max_num_seqs (or n_tokens for eval when
 * the model was loaded with max_num_seqs >= it), CHECKed.  Never allocates.
 */
void model_forward(struct model *m, const struct model_batch *batch, float *logits);

/** One layer's part of the KV pool, layer < n_layers (for copying whole blocks; loaded models
 * only). */
struct kv_layer *model_kv_layer(struct model *m, uint32_t layer);

/** Tests: call `fn` with the residual stream after the embedding (layer 0) and after each layer
 *  (1 ... n_layers) of every step; NULL ends it.  The rows are valid during the call. */
void model_observe_hidden(struct model *m,
                          void (*fn)(void *user, uint32_t layer, struct rows hidden), void *user);

/** Index of the first row of `logits` [n_rows, vocab] that holds NaN or infinity; n_rows when all
 *  is well.  Pure. */
uint32_t model_first_bad_row(const float *logits, uint32_t n_rows, uint32_t vocab);

#endif
