/* shape.h - the shape of any GLM decoder, also of those this engine does not run: for sizing.
 *
 * From the table of published models or from a checkpoint's config.json.  Values, no ownership; any
 * thread.
 */
#ifndef DOCTOR_SHAPE_H
#define DOCTOR_SHAPE_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum shape_kind {
    SHAPE_GQA,  // chatglm, glm, glm4, glm4_moe
    SHAPE_MLA,  // glm4_moe_lite, glm_moe_dsa
    SHAPE_NEXT, // glm5_next: KDA layers with some MLA layers
};

/* Zero where an architecture has no such thing. */
struct shape {
    char name[64];
    char model_type[32];
    enum shape_kind kind;
    uint32_t n_layers;
    uint32_t hidden;
    uint32_t ffn_hidden; // of dense layers
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t vocab;
    uint32_t max_positions;
    bool qkv_bias;
    bool qk_norm;
    uint32_t norms_per_layer; // of width hidden: 2, or 4 (sandwich)
    /* mixture of experts */
    uint32_t n_dense_layers; // first layers without experts; n_layers when there are none
    uint32_t n_experts;
    uint32_t experts_per_token;
    uint32_t n_shared_experts;
    uint32_t expert_hidden;
    /* MLA */
    uint32_t q_rank;
    uint32_t kv_rank;
    uint32_t qk_nope;
    uint32_t qk_rope;
    uint32_t v_dim;
    /* sparse indexer */
    uint32_t n_index_layers; // layers that own one
    uint32_t index_heads;
    uint32_t index_dim;
    uint32_t index_pool; // keys pooled by this many tokens; 0: none
    /* KDA (SHAPE_NEXT) */
    uint32_t n_mla_layers; // the other layers are KDA
    uint32_t kda_heads;
    uint32_t kda_dim;
    uint32_t kda_conv;
    uint32_t residual_streams; // mHC
};

/** Number of shapes in the table. */
uint32_t shape_count(void);
/** One of them; NULL past the end. */
const struct shape *shape_at(uint32_t idx);
/** Errors: NOT_FOUND (err names the nearest and all). */
MUST_USE enum status shape_find(struct str name, struct shape *ret_shape, struct error *err);
/** DIR/config.json, or the file itself.  Errors: NOT_FOUND, IO, INVALID, UNSUPPORTED model_type. */
MUST_USE enum status shape_read(const char *path, struct shape *ret_shape, struct error *err);
/** Same from parsed JSON. */
MUST_USE enum status shape_from_config(const struct json_value *config, struct shape *ret_shape,
                                       struct error *err);

#endif
