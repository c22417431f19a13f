#include "doctor/sizing.h"
#include "base/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GIGA 1e9
#define BYTES_16 2
#define INDEX_TOPK 2048.0     // tokens that attention reads behind a sparse indexer
#define BATCHED_TOKENS 8192.0 // rows of one step that activations are counted for

/* Parameters of one part of a model, split by how a rank holds them. */
struct part {
    double sliced;     // divided by tp
    double replicated; // whole on every rank
};

static struct part sum(struct part a, struct part b)
{
    return (struct part){a.sliced + b.sliced, a.replicated + b.replicated};
}

static struct part scaled(struct part a, double factor)
{
    return (struct part){a.sliced * factor, a.replicated * factor};
}

/* kv heads one rank holds; copied where there are fewer heads than ranks. */
static double kv_heads_of_rank(const struct shape *s, uint32_t tp)
{
    return s->n_kv_heads >= tp ? (double)s->n_kv_heads / tp : 1.0;
}

static struct part gqa_attention(const struct shape *s, uint32_t tp)
{
    double q = (double)s->n_heads * s->head_dim;
    double kv = kv_heads_of_rank(s, tp) * tp * s->head_dim; // copies counted, then divided by tp
    double bias = s->qkv_bias ? q + 2 * kv : 0;

    return (struct part){(q + 2 * kv) * s->hidden + bias + q * s->hidden,
                         s->qk_norm ? 2.0 * s->head_dim : 0};
}

static struct part mla_attention(const struct shape *s)
{
    double heads = s->n_heads;
    double sliced = heads * (s->qk_nope + s->qk_rope) * s->q_rank +
                    heads * (s->qk_nope + s->v_dim) * s->kv_rank + heads * s->v_dim * s->hidden;
    double replicated = (double)s->q_rank * s->hidden + s->q_rank +
                        (double)(s->kv_rank + s->qk_rope) * s->hidden + s->kv_rank;

    return (struct part){sliced, replicated};
}

static struct part indexer(const struct shape *s)
{
    double dim = s->index_dim;
    double pool = s->index_pool > 0 ? dim * s->hidden + dim * s->index_pool : 0; // gate, positions

    return (struct part){0, s->index_heads * dim * s->q_rank + dim * s->hidden + 2 * dim +
                                (double)s->index_heads * s->hidden + pool};
}

static struct part kda_attention(const struct shape *s)
{
    double width = (double)s->kda_heads * s->kda_dim;
    double low_rank = s->kda_dim; // of the two gates
    double sliced = 3 * width * s->hidden + 3 * width * s->kda_conv + 2 * width * low_rank +
                    (double)s->kda_heads * s->hidden + s->kda_heads + width + width * s->hidden;

    return (struct part){sliced, 2 * low_rank * s->hidden + s->kda_dim};
}

static struct part norms_and_streams(const struct shape *s)
{
    double n = s->residual_streams;
    double mixing = n > 0 ? 2 * ((2 * n + n * n) * (n * s->hidden) + (2 * n + n * n) + 3) : 0;

    return (struct part){0, (double)s->norms_per_layer * s->hidden + mixing};
}

/* All attention of the model, norms and residual mixing included. */
static struct part all_attention(const struct shape *s, uint32_t tp)
{
    struct part all = scaled(norms_and_streams(s), s->n_layers);

    switch (s->kind) {
    case SHAPE_GQA:
        return sum(all, scaled(gqa_attention(s, tp), s->n_layers));
    case SHAPE_MLA:
        all = sum(all, scaled(mla_attention(s), s->n_layers));
        return sum(all, scaled(indexer(s), s->n_index_layers));
    case SHAPE_NEXT:
        all = sum(all, scaled(mla_attention(s), s->n_mla_layers));
        all = sum(all, scaled(kda_attention(s), s->n_layers - s->n_mla_layers));
        return sum(all, scaled(indexer(s), s->n_index_layers));
    }
    CHECK(!"unknown kind of shape");
}

/* Feed-forward parameters of `n_experts` routed experts per MoE layer (all, or the active ones). */
static struct part all_ffn(const struct shape *s, double n_experts)
{
    double dense = 3.0 * s->hidden * s->ffn_hidden * s->n_dense_layers;
    double layers = s->n_layers - s->n_dense_layers;
    double expert = 3.0 * s->hidden * s->expert_hidden;

    return (struct part){dense + layers * (n_experts + s->n_shared_experts) * expert,
                         layers * ((double)s->n_experts * s->hidden + s->n_experts)};
}

static double embeddings(const struct shape *s)
{
    return 2.0 * s->vocab * s->hidden; // table and head, never tied in this family
}

static double total(struct part p)
{
    return p.sliced + p.replicated;
}

uint64_t sizing_parameters(const struct shape *s)
{
    return (uint64_t)(total(all_attention(s, 1)) + total(all_ffn(s, s->n_experts)) + embeddings(s) +
                      s->hidden);
}

static uint64_t active_parameters(const struct shape *s)
{
    return (uint64_t)(total(all_attention(s, 1)) + total(all_ffn(s, s->experts_per_token)) +
                      embeddings(s) / 2 + s->hidden); // one row of the table counts as nothing
}

uint64_t sizing_weight_bytes(const struct shape *s, uint32_t tp, uint32_t pp, uint32_t bits)
{
    struct part layers = sum(all_attention(s, tp), all_ffn(s, s->n_experts));
    double matrices = (layers.sliced / tp + layers.replicated) / pp * bits / 8.0;

    return (uint64_t)ceil(matrices +
                          embeddings(s) / tp * BYTES_16); // first or last stage: the worst
}

uint64_t sizing_kv_bytes_per_token(const struct shape *s, uint32_t tp, uint32_t pp)
{
    double bytes = 0;
    double index = (double)s->n_index_layers * s->index_dim * BYTES_16;

    switch (s->kind) {
    case SHAPE_GQA:
        bytes = 2.0 * kv_heads_of_rank(s, tp) * s->head_dim * BYTES_16 * s->n_layers;
        break;
    case SHAPE_MLA:
        bytes = (double)(s->kv_rank + s->qk_rope) * BYTES_16 * s->n_layers + index;
        break;
    case SHAPE_NEXT:
        bytes = (double)(s->kv_rank + s->qk_rope) * BYTES_16 * s->n_mla_layers + index +
                (s->index_pool > 0 ? index / s->index_pool : 0);
        break;
    }
    return (uint64_t)ceil(bytes / pp);
}

uint64_t sizing_state_bytes(const struct shape *s, uint32_t tp, uint32_t pp)
{
    double width = (double)s->kda_heads * s->kda_dim;
    double layers = s->kind == SHAPE_NEXT ? s->n_layers - s->n_mla_layers : 0;
    double past = s->kda_conv > 0 ? 3.0 * width * (s->kda_conv - 1) : 0;

    return (uint64_t)ceil(layers * (width * s->kda_dim + past) * 4 / tp / pp);
}

bool sizing_tp_works(const struct shape *s, uint32_t tp)
{
    bool kda = s->kind != SHAPE_NEXT || s->kda_heads % tp == 0;
    bool kv = s->kind != SHAPE_GQA || s->n_kv_heads % tp == 0 || tp % s->n_kv_heads == 0;

    return tp > 0 && s->n_heads % tp == 0 && kda && kv;
}

/* Driver, runtime and activations: an estimate, stated as one in the output. */
static uint64_t reserve_bytes(const struct sizing_request *r, uint32_t tp)
{
    const struct shape *s = &r->shape;
    double runtime = strcmp(r->card->vendor, "ascend") == 0 ? 3.5 * GIGA : 1.5 * GIGA;
    double ffn = (double)s->ffn_hidden / tp;
    double activations = BATCHED_TOKENS * (4.0 * s->hidden + 3.0 * ffn) * BYTES_16;
    double logits = (double)r->concurrency * s->vocab * 4;

    return (uint64_t)(runtime + activations + logits);
}

static uint32_t clamp_u32(uint64_t v, uint32_t max)
{
    return v < max ? (uint32_t)v : max;
}

static void fill_memory(const struct sizing_request *r, struct sizing *z)
{
    double memory = r->card->usable_gb > 0 ? r->card->usable_gb : r->card->memory_gb;
    uint64_t fixed;
    uint64_t room;

    z->weight_bytes = sizing_weight_bytes(&r->shape, z->tp, z->pp, r->weight_bits);
    z->kv_bytes_per_token = sizing_kv_bytes_per_token(&r->shape, z->tp, z->pp);
    z->kv_bytes_sequence =
        z->kv_bytes_per_token * r->max_model_len + sizing_state_bytes(&r->shape, z->tp, z->pp);
    z->kv_bytes = z->kv_bytes_sequence * r->concurrency;
    z->reserve_bytes = reserve_bytes(r, z->tp);
    z->allowed_bytes = (uint64_t)(memory * GIGA * r->memory_fraction);
    fixed = z->weight_bytes + z->reserve_bytes;
    z->needed_bytes = fixed + z->kv_bytes;
    z->shortfall_bytes =
        z->needed_bytes > z->allowed_bytes ? z->needed_bytes - z->allowed_bytes : 0;
    room = z->allowed_bytes > fixed ? z->allowed_bytes - fixed : 0;
    z->fitting_sequences = clamp_u32(room / z->kv_bytes_sequence, UINT32_MAX);
    z->fitting_len =
        clamp_u32(room / r->concurrency / z->kv_bytes_per_token, r->shape.max_positions);
}

/* KV bytes that one decode step reads per sequence and rank: behind an indexer all index keys, but
 * only the chosen tokens. */
static double kv_bytes_read(const struct sizing_request *r, const struct sizing *z)
{
    const struct shape *s = &r->shape;
    double index = (double)s->n_index_layers * s->index_dim * BYTES_16 / z->pp;
    double rest = (double)z->kv_bytes_per_token - index;
    double state = (double)sizing_state_bytes(s, z->tp, z->pp);

    if (s->n_index_layers == 0) {
        return (double)z->kv_bytes_sequence;
    }
    return index * r->max_model_len + rest * fmin(r->max_model_len, INDEX_TOPK) + state;
}

/* Best case: every byte read once per step at the card's full bandwidth, no collectives. */
static void fill_speed(const struct sizing_request *r, struct sizing *z)
{
    const struct shape *s = &r->shape;
    double batch = r->concurrency;
    double touched = 0;
    double weights;
    double step_bytes;

    if (s->n_experts > 0) {
        double share = (double)s->experts_per_token / s->n_experts;

        touched = s->n_experts * (1 - pow(1 - share, batch)); // expected distinct experts
    }
    weights = (total(all_attention(s, 1)) + total(all_ffn(s, touched))) * r->weight_bits / 8.0 +
              embeddings(s) / 2 * BYTES_16;
    step_bytes = weights / z->tp / z->pp + batch * kv_bytes_read(r, z);
    if (r->card->bandwidth_gbs > 0) { // stages work one after the other on a step
        z->decode_tokens_s = batch / (step_bytes * z->pp / (r->card->bandwidth_gbs * GIGA));
    }
    z->prefill_tokens_s =
        r->card->tflops_16 * 1e12 * z->tp * z->pp / (2.0 * (double)z->active_parameters);
}

static void fill(const struct sizing_request *r, uint32_t tp, struct sizing *z)
{
    memset(z, 0, sizeof(*z));
    z->tp = tp;
    z->pp = r->n_cards / tp;
    z->parameters = sizing_parameters(&r->shape);
    z->active_parameters = active_parameters(&r->shape);
    z->expert_parallel =
        r->shape.n_experts > 0 && tp > 1 &&
        (r->shape.expert_hidden % tp != 0 || r->shape.expert_hidden / tp % 128 != 0);
    fill_memory(r, z);
    fill_speed(r, z);
}

/* The widest TP that divides the cards (pipeline stages take the rest). */
static uint32_t choose_tp(const struct sizing_request *r)
{
    uint32_t best = 1;

    for (uint32_t tp = 1; tp <= r->n_cards; tp++) {
        if (r->n_cards % tp == 0 && sizing_tp_works(&r->shape, tp)) {
            best = tp;
        }
    }
    return best;
}

static enum status check(const struct sizing_request *r, struct error *err)
{
    if (r->max_model_len > r->shape.max_positions) {
        return error_set(err, E_INVALID,
                         "--max-model-len is %u, %s was made for at most %u positions",
                         r->max_model_len, r->shape.name, r->shape.max_positions);
    }
    if (r->tp != 0 && (r->n_cards % r->tp != 0 || !sizing_tp_works(&r->shape, r->tp))) {
        return error_set(
            err, E_INVALID,
            "tensor parallel %u does not work: it must divide %u heads%s and the %u cards", r->tp,
            r->shape.n_heads,
            r->shape.kind == SHAPE_GQA ? ", divide or be a multiple of the kv heads," : "",
            r->n_cards);
    }
    if (r->card->memory_gb <= 0) {
        return error_set(err, E_INVALID, "the memory of %s is not known", r->card->title);
    }
    return OK;
}

enum status sizing_compute(const struct sizing_request *request, struct sizing *ret_sizing,
                           struct error *err)
{
    struct sizing_request r = *request;
    struct sizing z;
    enum status rc;

    r.max_model_len = r.max_model_len == 0 ? r.shape.max_positions : r.max_model_len;
    rc = check(&r, err);
    if (rc != OK) {
        return rc;
    }
    fill(&r, r.tp != 0 ? r.tp : choose_tp(&r), &z);
    *ret_sizing = z;
    if (z.shortfall_bytes == 0) {
        return OK;
    }
    if (z.weight_bytes + z.reserve_bytes >= z.allowed_bytes) {
        return error_set(err, E_LIMIT,
                         "%s does not fit on %u x %s: the weights alone take %" PRIu64
                         " bytes per rank; %" PRIu64
                         " bytes per rank short. Use more cards, cards with "
                         "more memory, or a checkpoint with fewer bits (--weight-bits).",
                         r.shape.name, r.n_cards, r.card->title, z.weight_bytes, z.shortfall_bytes);
    }
    return error_set(
        err, E_LIMIT,
        "%s does not fit on %u x %s with %u sequences of %u tokens: %" PRIu64
        " bytes per rank short. %u such sequences fit, or %u sequences of %u tokens; or use "
        "more cards.",
        r.shape.name, r.n_cards, r.card->title, r.concurrency, r.max_model_len, z.shortfall_bytes,
        z.fitting_sequences, r.concurrency, z.fitting_len);
}
