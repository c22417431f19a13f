/* glm4.c - the forward pass of Glm4ForCausalLM.
 *
 *   h = E[id]
 *   per layer:
 *     n = rmsnorm(h; input_layernorm)
 *     q | k | v = W_qkv n (+ b_qkv)            one matrix, q rows first
 *     q, k turned by rope on the first `rotated` dims of each head, pairs (2i, 2i+1)
 *     a = softmax(q k^T / sqrt(head_dim)) v    causal; head j reads kv head j n_kv_heads / n_heads
 *     h = h + rmsnorm(W_o a; post_self_attn_layernorm)
 *     n = rmsnorm(h; post_attention_layernorm)
 *     g | u = W_gate_up n
 *     h = h + rmsnorm(W_down (silu(g) * u); post_mlp_layernorm)
 *   logits = W_head rmsnorm(h; norm)           of the wanted rows only
 *
 * The two post norms act on the output of a sublayer before it is added ("sandwich").  Weights
 * accumulate over hidden; attention over head_dim and positions.  Everything is row-wise but
 * attention, which reads the KV cache, so a row's result does not depend on its neighbours in the
 * batch.
 */
#include "model/glm4.h"
#include "base/check.h"
#include "model/rope_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct glm4_layer {
    float *input_norm;          // [hidden]
    float *post_self_attn_norm; // [hidden]
    float *post_attention_norm; // [hidden] before the mlp, whatever the name says
    float *post_mlp_norm;       // [hidden]
    struct matrix qkv;          // [(n_heads + 2 n_kv_heads) head_dim, hidden]
    float *qkv_bias;            // the same rows, or NULL
    struct matrix o;            // [hidden, n_heads head_dim]
    struct matrix gate_up;      // [2 ffn_hidden, hidden] gate rows first
    struct matrix down;         // [hidden, ffn_hidden]
};

/* Workspace, each [max_tokens, width] but the last. */
struct glm4_buffers {
    float *h;       // [hidden] residual stream
    float *n;       // [hidden] normed input of a sublayer, later its output
    float *qkv;     // [(n_heads + 2 n_kv_heads) head_dim]
    float *a;       // [n_heads head_dim] attention output
    float *gate_up; // [2 ffn_hidden]
    float *f;       // [ffn_hidden]
    float *last;    // [max_logits, hidden] rows that get logits
};

struct arch_state {
    struct model_config c;
    struct glm4_layer *layers; // owned, [n_layers]
    void *embed;               // [vocab, hidden] row-major
    float *norm;               // [hidden]
    struct matrix head;        // [vocab, hidden]
    float *inv_freq;           // owned, [rotated / 2]
    float rope_scale;
    struct glm4_buffers buf;
};

static uint32_t q_dim(const struct model_config *c)
{
    return c->n_heads * c->head_dim;
}

static uint32_t kv_dim(const struct model_config *c)
{
    return c->n_kv_heads * c->head_dim;
}

static uint32_t qkv_dim(const struct model_config *c)
{
    return q_dim(c) + 2 * kv_dim(c);
}

static void destroy(struct arch_state *s)
{
    if (s == NULL) {
        return;
    }
    free(s->layers);
    free(s->inv_freq);
    free(s);
}

static struct arch_state *create(const struct model_config *c)
{
    struct arch_state *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->c = *c;
    s->layers = calloc(c->n_layers, sizeof(*s->layers));
    s->inv_freq = calloc(c->rotated / 2, sizeof(*s->inv_freq));
    if (s->layers == NULL || s->inv_freq == NULL) {
        destroy(s);
        return NULL;
    }
    rope_table_fill(c, s->inv_freq, &s->rope_scale);
    return s;
}

/* ---- weights ------------------------------------------------------------------------------- */

static struct weight matrix_weight(uint32_t n_rows, uint32_t n_cols, struct matrix *to)
{
    return (struct weight){.kind = WEIGHT_MATRIX, .n_rows = n_rows, .n_cols = n_cols, .matrix = to};
}

static struct weight vector_weight(uint32_t n_rows, float **to)
{
    return (struct weight){.kind = WEIGHT_VECTOR, .n_rows = n_rows, .n_cols = 1, .vector = to};
}

static enum status visit_one(struct weight w, const char *name, weight_visit_fn fn, void *user)
{
    w.n_parts = 1;
    w.parts[0].n_rows = w.n_rows;
    snprintf(w.parts[0].name, sizeof(w.parts[0].name), "%s", name);
    return fn(user, &w);
}

static enum status visit_in_layer(struct weight w, uint32_t layer, const char *name,
                                  weight_visit_fn fn, void *user)
{
    w.n_parts = 1;
    w.parts[0].n_rows = w.n_rows;
    snprintf(w.parts[0].name, sizeof(w.parts[0].name), "model.layers.%" PRIu32 ".%s", layer, name);
    return fn(user, &w);
}

/* q, k and v of a layer as one weight; `suffix` is "weight" or "bias". */
static enum status visit_qkv(const struct model_config *c, struct weight w, uint32_t layer,
                             const char *suffix, weight_visit_fn fn, void *user)
{
    static const char names[] = "qkv";

    w.n_parts = 3;
    for (uint32_t i = 0; i < 3; i++) {
        w.parts[i].n_rows = i == 0 ? q_dim(c) : kv_dim(c);
        snprintf(w.parts[i].name, sizeof(w.parts[i].name),
                 "model.layers.%" PRIu32 ".self_attn.%c_proj.%s", layer, names[i], suffix);
    }
    return fn(user, &w);
}

static enum status visit_layer(const struct model_config *c, struct glm4_layer *l, uint32_t i,
                               weight_visit_fn fn, void *user)
{
    enum status rc = OK;
    struct {
        const char *name;
        struct weight weight;
    } rest[] = {
        {"self_attn.o_proj.weight", matrix_weight(c->hidden, q_dim(c), l ? &l->o : NULL)},
        {"mlp.gate_up_proj.weight",
         matrix_weight(2 * c->ffn_hidden, c->hidden, l ? &l->gate_up : NULL)},
        {"mlp.down_proj.weight", matrix_weight(c->hidden, c->ffn_hidden, l ? &l->down : NULL)},
        {"input_layernorm.weight", vector_weight(c->hidden, l ? &l->input_norm : NULL)},
        {"post_self_attn_layernorm.weight",
         vector_weight(c->hidden, l ? &l->post_self_attn_norm : NULL)},
        {"post_attention_layernorm.weight",
         vector_weight(c->hidden, l ? &l->post_attention_norm : NULL)},
        {"post_mlp_layernorm.weight", vector_weight(c->hidden, l ? &l->post_mlp_norm : NULL)},
    };

    rc = visit_qkv(c, matrix_weight(qkv_dim(c), c->hidden, l ? &l->qkv : NULL), i, "weight", fn,
                   user);
    if (rc == OK && c->attention_bias) {
        rc = visit_qkv(c, vector_weight(qkv_dim(c), l ? &l->qkv_bias : NULL), i, "bias", fn, user);
    }
    for (size_t j = 0; rc == OK && j < ARRAY_COUNT(rest); j++) {
        rc = visit_in_layer(rest[j].weight, i, rest[j].name, fn, user);
    }
    return rc;
}

static enum status visit_weights(const struct model_config *c, struct arch_state *s,
                                 weight_visit_fn fn, void *user)
{
    const char *head = c->tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    struct weight embed = {.kind = WEIGHT_TABLE, .n_rows = c->vocab, .n_cols = c->hidden};
    enum status rc;

    embed.table = s != NULL ? &s->embed : NULL;
    rc = visit_one(embed, "model.embed_tokens.weight", fn, user);
    for (uint32_t i = 0; rc == OK && i < c->n_layers; i++) {
        rc = visit_layer(c, s != NULL ? &s->layers[i] : NULL, i, fn, user);
    }
    if (rc == OK) {
        rc = visit_one(vector_weight(c->hidden, s != NULL ? &s->norm : NULL), "model.norm.weight",
                       fn, user);
    }
    if (rc == OK) {
        rc = visit_one(matrix_weight(c->vocab, c->hidden, s != NULL ? &s->head : NULL), head, fn,
                       user);
    }
    return rc;
}

/* ---- workspace ----------------------------------------------------------------------------- */

/* The next [n_rows, n_cols] of the workspace, rounded to 64 bytes; NULL base only counts. */
static float *take(float *base, uint64_t *used, uint64_t n_rows, uint64_t n_cols)
{
    float *at = base == NULL ? NULL : base + *used;

    *used += (n_rows * n_cols + 15) / 16 * 16;
    return at;
}

static uint64_t lay_out(const struct model_config *c, struct glm4_buffers *b, float *base,
                        uint32_t n_tokens, uint32_t n_logits)
{
    uint64_t used = 0;

    b->h = take(base, &used, n_tokens, c->hidden);
    b->n = take(base, &used, n_tokens, c->hidden);
    b->qkv = take(base, &used, n_tokens, qkv_dim(c));
    b->a = take(base, &used, n_tokens, q_dim(c));
    b->gate_up = take(base, &used, n_tokens, 2 * (uint64_t)c->ffn_hidden);
    b->f = take(base, &used, n_tokens, c->ffn_hidden);
    b->last = take(base, &used, n_logits, c->hidden);
    return used;
}

static uint64_t workspace_elements(const struct model_config *c, uint32_t n_tokens,
                                   uint32_t n_logits)
{
    struct glm4_buffers unused;

    return lay_out(c, &unused, NULL, n_tokens, n_logits);
}

static void place(struct arch_state *s, float *workspace, uint32_t n_tokens, uint32_t n_logits)
{
    (void)lay_out(&s->c, &s->buf, workspace, n_tokens, n_logits);
}

/* ---- forward ------------------------------------------------------------------------------- */

static struct rows rows_of(float *ptr, uint32_t n_rows, uint32_t n_cols)
{
    return (struct rows){.ptr = ptr, .n_rows = n_rows, .n_cols = n_cols, .stride = n_cols};
}

/* Columns [begin, begin + n_cols) of every row. */
static struct rows columns_of(struct rows r, uint32_t begin, uint32_t n_cols)
{
    return (struct rows){.ptr = r.ptr + begin,
                         .n_rows = r.n_rows,
                         .n_cols = n_cols,
                         .stride = r.stride};
}

static void norm(const struct arch_state *s, const struct arch_run *run, struct rows x,
                 const float *weight, struct rows y)
{
    run->ops->rmsnorm(run->compute, &(struct rmsnorm_args){.x = x,
                                                           .weight = weight,
                                                           .eps = s->c.rms_eps,
                                                           .y = y});
}

static void norm_add(const struct arch_state *s, const struct arch_run *run, struct rows x,
                     const float *weight, struct rows y)
{
    run->ops->rmsnorm_add(run->compute, &(struct rmsnorm_args){.x = x,
                                                               .weight = weight,
                                                               .eps = s->c.rms_eps,
                                                               .y = y});
}

static void project(const struct arch_run *run, struct rows x, const struct matrix *w,
                    const float *bias, struct rows y)
{
    run->ops->matmul(run->compute, &(struct matmul_args){.x = x, .w = w, .bias = bias, .y = y});
}

static void turn(const struct arch_state *s, const struct arch_run *run, struct rows x,
                 uint32_t n_heads, const int32_t *positions)
{
    run->ops->rope(run->compute, &(struct rope_args){.x = x,
                                                     .n_heads = n_heads,
                                                     .head_dim = s->c.head_dim,
                                                     .rotated = s->c.rotated,
                                                     .interleaved = true,
                                                     .inv_freq = s->inv_freq,
                                                     .scale = s->rope_scale,
                                                     .positions = positions});
}

static void attention_block(const struct arch_state *s, const struct arch_run *run, uint32_t layer,
                            const struct model_batch *batch)
{
    const struct model_config *c = &s->c;
    const struct glm4_layer *l = &s->layers[layer];
    struct kv_layer *kv = &run->kv[layer];
    struct rows h = rows_of(s->buf.h, batch->n_tokens, c->hidden);
    struct rows n = rows_of(s->buf.n, batch->n_tokens, c->hidden);
    struct rows qkv = rows_of(s->buf.qkv, batch->n_tokens, qkv_dim(c));
    struct rows q = columns_of(qkv, 0, q_dim(c));
    struct rows k = columns_of(qkv, q_dim(c), kv_dim(c));
    struct rows v = columns_of(qkv, q_dim(c) + kv_dim(c), kv_dim(c));
    struct rows a = rows_of(s->buf.a, batch->n_tokens, q_dim(c));

    norm(s, run, h, l->input_norm, n);
    project(run, n, &l->qkv, l->qkv_bias, qkv);
    turn(s, run, q, c->n_heads, batch->positions);
    turn(s, run, k, c->n_kv_heads, batch->positions);
    run->ops->kv_write(run->compute,
                       &(struct kv_write_args){.kv = kv, .k = k, .v = v, .slots = batch->slots});
    run->ops->attention(run->compute,
                        &(struct attention_args){.q = q,
                                                 .kv = kv,
                                                 .n_heads = c->n_heads,
                                                 .scale = (float)(1.0 / sqrt(c->head_dim)),
                                                 .seqs = batch->seqs,
                                                 .n_seqs = batch->n_seqs,
                                                 .y = a});
    project(run, a, &l->o, NULL, n);
    norm_add(s, run, n, l->post_self_attn_norm, h);
}

static void mlp_block(const struct arch_state *s, const struct arch_run *run, uint32_t layer,
                      uint32_t n_tokens)
{
    const struct model_config *c = &s->c;
    const struct glm4_layer *l = &s->layers[layer];
    struct rows h = rows_of(s->buf.h, n_tokens, c->hidden);
    struct rows n = rows_of(s->buf.n, n_tokens, c->hidden);
    struct rows gate_up = rows_of(s->buf.gate_up, n_tokens, 2 * c->ffn_hidden);
    struct rows f = rows_of(s->buf.f, n_tokens, c->ffn_hidden);

    norm(s, run, h, l->post_attention_norm, n);
    project(run, n, &l->gate_up, NULL, gate_up);
    run->ops->silu_mul(run->compute, gate_up, f);
    project(run, f, &l->down, NULL, n);
    norm_add(s, run, n, l->post_mlp_norm, h);
}

static void forward(struct arch_state *s, const struct arch_run *run,
                    const struct model_batch *batch, float *logits)
{
    const struct model_config *c = &s->c;
    struct rows h = rows_of(s->buf.h, batch->n_tokens, c->hidden);
    struct rows last = rows_of(s->buf.last, batch->n_logits, c->hidden);

    run->ops->embed(run->compute, &(struct embed_args){.table = s->embed,
                                                       .dtype = s->head.dtype,
                                                       .vocab = c->vocab,
                                                       .ids = batch->ids,
                                                       .y = h});
    if (run->on_hidden != NULL) {
        run->on_hidden(run->user, 0, h);
    }
    for (uint32_t i = 0; i < c->n_layers; i++) {
        attention_block(s, run, i, batch);
        mlp_block(s, run, i, batch->n_tokens);
        if (run->on_hidden != NULL) {
            run->on_hidden(run->user, i + 1, h);
        }
    }
    if (batch->n_logits == 0) {
        return;
    }
    run->ops->gather_rows(run->compute, h, batch->logit_rows, last);
    norm(s, run, last, s->norm, last);
    project(run, last, &s->head, NULL, rows_of(logits, batch->n_logits, c->vocab));
}

const struct arch glm4_arch = {
    .create = create,
    .destroy = destroy,
    .visit_weights = visit_weights,
    .workspace_elements = workspace_elements,
    .place = place,
    .forward = forward,
};
