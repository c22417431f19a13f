/* arch.h - what an architecture is to the rest of the folder: a list of weights and a forward pass.
 *
 * One list serves three readers: the verifier compares it with the files, the plan adds it up, the
 * loader fills it.  So what is verified is what is loaded.
 */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include "compute/ops.h"
#include "model/model.h"

#include <stdint.h>

#define WEIGHT_NAME_MAX 96
#define WEIGHT_PARTS_MAX 3

enum weight_kind {
    WEIGHT_MATRIX, // packed by the backend
    WEIGHT_TABLE,  // row-major in the weight dtype (embeddings)
    WEIGHT_VECTOR, // float32, n_rows long, n_cols 1 (norms, biases)
};

/* A tensor of the checkpoint, [n_rows, n_cols] or [n_rows]. */
struct weight_part {
    char name[WEIGHT_NAME_MAX];
    uint32_t n_rows;
};

/* One weight in memory: its parts one below the other (q, k and v are one matrix). */
struct weight {
    enum weight_kind kind;
    uint32_t n_rows; // of all parts
    uint32_t n_cols;
    uint32_t n_parts;
    struct weight_part parts[WEIGHT_PARTS_MAX];
    /* Where it goes, by kind; NULL while only listing. */
    struct matrix *matrix;
    void **table;
    float **vector;
};

/** Called for every weight in order; a status other than OK ends the walk. */
typedef enum status (*weight_visit_fn)(void *user, const struct weight *w);

/* What a forward pass runs on; engine-owned. */
struct arch_run {
    struct compute *compute; // borrowed
    const struct ops *ops;
    struct kv_layer *kv; // [n_layers]
    /* Tests: the residual stream after the embedding (0) and after each layer (1..n_layers). */
    void (*on_hidden)(void *user, uint32_t layer, struct rows h);
    void *user;
};

struct arch_state; // weights and workspace of one model, per architecture

struct arch {
    /** NULL without memory. */
    struct arch_state *(*create)(const struct model_config *c);
    void (*destroy)(struct arch_state *s);
    /** `s` NULL: only list. */
    enum status (*visit_weights)(const struct model_config *c, struct arch_state *s,
                                 weight_visit_fn fn, void *user);
    /** float32 elements of workspace for steps of n_tokens rows with n_logits rows of logits; every
     *  piece is a multiple of 16 elements. */
    uint64_t (*workspace_elements)(const struct model_config *c, uint32_t n_tokens,
                                   uint32_t n_logits);
    /** Lay the pieces out in `workspace` (64-byte aligned, as many elements as asked for). */
    void (*place)(struct arch_state *s, float *workspace, uint32_t n_tokens, uint32_t n_logits);
    void (*forward)(struct arch_state *s, const struct arch_run *run,
                    const struct model_batch *batch, float *logits);
};

#endif
