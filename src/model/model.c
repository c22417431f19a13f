#include "model/model.h"
#include "base/check.h"
#include "model/arch.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/faults.h"
#include "model/folder.h"
#include "model/host_memory.h"
#include "model/load.h"
#include "model/plan.h"
#include "model/preset.h"
#include "model/registry.h"
#include "model/slab.h"
#include "model/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct model {
    struct model_config config;
    const struct arch *arch; // NULL: the folder has faults, only to be looked at
    bool is_sound;           // no fault was found
    bool is_dummy;           // random weights
    bool has_files;          // a folder, not a preset
    uint64_t dummy_seed;
    struct checkpoint *checkpoint; // owned, until loaded

    /* after model_load() */
    struct arch_state *state; // owned
    struct arch_run run;
    struct slab weights;
    struct slab workspace;
    struct slab kv;
    uint32_t max_tokens;
    uint32_t max_logits;
    bool is_loaded;
};

/* ---- open ---------------------------------------------------------------------------------- */

static enum status count_parameters(void *user, const struct weight *w)
{
    uint64_t *n = user;

    *n += (uint64_t)w->n_rows * w->n_cols;
    return OK;
}

static void set_arch(struct model *m)
{
    struct model_config *c = &m->config;
    const struct registry_entry *e =
        registry_find(str_from_c(c->architecture), str_from_c(c->model_type));

    CHECK(e != NULL && e->arch != NULL);
    m->arch = e->arch;
    c->n_parameters = 0;
    (void)m->arch->visit_weights(c, NULL, count_parameters, &c->n_parameters);
    if (c->tie_embeddings) { // listed twice: once as table, once as head
        c->n_parameters -= (uint64_t)c->vocab * c->hidden;
    }
}

static void read_config_file(struct model *m, const char *dir, struct faults *faults)
{
    struct buf text;
    struct error err;

    buf_init(&text, CONFIG_BYTES_MAX);
    if (folder_read(dir, CONFIG_NAME, &text, &err) == OK) {
        config_parse(buf_str(&text), faults, &m->config);
    } else {
        faults_add_error(faults, CONFIG_NAME, &err);
    }
    buf_done(&text);
}

static void read_generation_file(struct model *m, const char *dir, struct faults *faults)
{
    struct buf text;
    struct error err;

    buf_init(&text, CONFIG_BYTES_MAX);
    if (folder_has(dir, CONFIG_GENERATION_NAME)) {
        if (folder_read(dir, CONFIG_GENERATION_NAME, &text, &err) == OK) {
            config_parse_generation(buf_str(&text), faults, &m->config);
        } else {
            faults_add_error(faults, CONFIG_GENERATION_NAME, &err);
        }
    }
    if (m->config.n_eos == 0) {
        faults_note(faults, CONFIG_NAME,
                    "eos_token_id is missing: answers only end at their limit");
    }
    buf_done(&text);
}

/* What the files hold decides, the configuration only claims. */
static void take_stored_dtype(struct model *m)
{
    const struct tensor *t = checkpoint_find(m->checkpoint, "model.embed_tokens.weight");

    if (t != NULL &&
        (t->dtype == TENSOR_F32 || t->dtype == TENSOR_BF16 || t->dtype == TENSOR_F16)) {
        m->config.stored_dtype = weights_dtype(t);
    }
}

static void examine_folder(struct model *m, const struct model_source *source,
                           struct faults *faults)
{
    struct error err;

    if (folder_check(source->dir, &err) != OK) {
        faults_add_error(faults, "", &err);
        return;
    }
    m->has_files = true;
    read_config_file(m, source->dir, faults);
    if (faults->n_faults == 0) {
        read_generation_file(m, source->dir, faults);
        set_arch(m);
    }
    if (source->dummy_weights) {
        return;
    }
    m->checkpoint = checkpoint_open(source->dir, faults);
    if (m->checkpoint == NULL) {
        faults_add(faults, E_NO_MEMORY, "", "no memory for the list of tensors");
    } else if (m->arch != NULL) {
        take_stored_dtype(m);
        weights_verify(m->checkpoint, m->arch, &m->config, faults);
    }
}

enum status model_examine(const struct model_source *source, struct model **ret_model,
                          struct buf *report, struct error *err)
{
    struct model *m = calloc(1, sizeof(*m));
    struct faults faults;
    enum status rc;

    *ret_model = NULL;
    if (m == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory");
    }
    m->is_dummy = source->dummy_weights;
    m->dummy_seed = source->dummy_seed;
    if (source->dir == NULL) {
        rc = source->preset == NULL
                 ? error_set(err, E_INVALID, "neither a folder nor a preset was named")
                 : preset_find(source->preset, &m->config, err);
        if (rc != OK) {
            model_destroy(m);
            return rc;
        }
        set_arch(m);
        m->is_sound = true;
        *ret_model = m;
        return OK;
    }
    faults_init(&faults, report);
    examine_folder(m, source, &faults);
    m->is_sound = faults.n_faults == 0;
    *ret_model = m;
    return faults_status(&faults, source->dir, err);
}

enum status model_open(const struct model_source *source, struct model **ret_model,
                       struct buf *report, struct error *err)
{
    struct model *m = NULL;
    enum status rc = model_examine(source, &m, report, err);

    if (rc != OK) {
        model_destroy(m);
        return rc;
    }
    *ret_model = m;
    return OK;
}

void model_destroy(struct model *m)
{
    if (m == NULL) {
        return;
    }
    checkpoint_close(m->checkpoint);
    if (m->arch != NULL) {
        m->arch->destroy(m->state);
    }
    free(m->run.kv);
    slab_close(&m->weights);
    slab_close(&m->workspace);
    slab_close(&m->kv);
    free(m);
}

const struct model_config *model_config(const struct model *m)
{
    return &m->config;
}

const struct checkpoint *model_checkpoint(const struct model *m)
{
    return m->checkpoint;
}

const char *model_preset_name(uint32_t idx)
{
    return preset_name(idx);
}

/* ---- plan ---------------------------------------------------------------------------------- */

#define PLAN_ROWS 64 // no backend pads outputs to more

struct weight_sum {
    enum dtype dtype;
    uint64_t bytes;
};

static enum status add_weight_bytes(void *user, const struct weight *w)
{
    struct weight_sum *s = user;
    uint64_t rows = w->n_rows;
    uint64_t element = w->kind == WEIGHT_VECTOR ? sizeof(float) : dtype_bytes(s->dtype);

    if (w->kind == WEIGHT_MATRIX) {
        rows = (rows + PLAN_ROWS - 1) / PLAN_ROWS * PLAN_ROWS;
    }
    s->bytes += slab_rounded(rows * w->n_cols * element);
    return OK;
}

uint32_t model_cols_max(const struct model *m)
{
    const struct model_config *c = &m->config;
    uint32_t q = c->n_heads * c->head_dim;
    uint32_t most = c->hidden > c->ffn_hidden ? c->hidden : c->ffn_hidden;

    return q > most ? q : most;
}

static uint64_t kv_token_bytes(const struct model_config *c, enum math math)
{
    return (uint64_t)c->n_layers * 2 * c->n_kv_heads * c->head_dim *
           dtype_bytes(math == MATH_F32 ? DTYPE_F32 : DTYPE_BF16);
}

static uint64_t workspace_bytes(const struct model *m, uint32_t n_tokens, uint32_t n_logits)
{
    return m->arch->workspace_elements(&m->config, n_tokens, n_logits) * sizeof(float);
}

enum status model_plan(const struct model *m, const struct model_plan_options *o,
                       struct model_plan *ret_plan, struct error *err)
{
    struct model_plan_options with_memory = *o;
    struct weight_sum sum = {.dtype = o->weight_dtype};
    struct compute_options compute = {.math = o->math,
                                      .rows_max = o->max_num_batched_tokens,
                                      .cols_max = model_cols_max(m)};
    struct plan_needs needs = {.max_positions = m->config.max_positions};
    struct host_memory host;
    enum status rc;

    CHECK(m->is_sound && o->max_num_batched_tokens >= 1 && o->max_num_seqs >= 1);
    if (o->memory_bytes == 0 || o->available_bytes == 0) {
        rc = host_memory_read("", &host, err);
        if (rc != OK) {
            return rc;
        }
        with_memory.memory_bytes = o->memory_bytes == 0 ? host.total_bytes : o->memory_bytes;
        with_memory.available_bytes =
            o->available_bytes == 0 ? host.available_bytes : o->available_bytes;
    }
    (void)m->arch->visit_weights(&m->config, NULL, add_weight_bytes, &sum);
    needs.weight_bytes = sum.bytes;
    needs.workspace_bytes = workspace_bytes(m, o->max_num_batched_tokens, o->max_num_seqs) +
                            (uint64_t)o->max_num_seqs * m->config.vocab * sizeof(float) +
                            compute_scratch_bytes(&compute);
    needs.kv_bytes_per_token = kv_token_bytes(&m->config, o->math);
    return plan_compute(&needs, &with_memory, ret_plan, err);
}

void model_plan_print(const struct model_plan *p, struct buf *out)
{
    plan_print(p, out);
}

/* ---- load ---------------------------------------------------------------------------------- */

static void place_kv(struct model *m, const struct model_load_options *o)
{
    const struct model_config *c = &m->config;
    uint64_t half = m->kv.bytes / c->n_layers / 2;

    for (uint32_t i = 0; i < c->n_layers; i++) {
        void *k = slab_take(&m->kv, half);
        void *v = slab_take(&m->kv, half);

        m->run.kv[i] = (struct kv_layer){.k = k,
                                         .v = v,
                                         .dtype = o->math == MATH_F32 ? DTYPE_F32 : DTYPE_BF16,
                                         .n_blocks = o->plan.kv_blocks,
                                         .block_tokens = o->plan.block_tokens,
                                         .n_kv_heads = c->n_kv_heads,
                                         .head_dim = c->head_dim};
    }
}

static enum status open_slabs(struct model *m, const struct model_load_options *o,
                              struct error *err)
{
    const struct model_config *c = &m->config;
    uint64_t weights = load_weight_bytes(m->arch, c, compute_ops(o->compute), o->weight_dtype);
    uint64_t half_layer =
        kv_token_bytes(c, o->math) / c->n_layers / 2 * o->plan.block_tokens * o->plan.kv_blocks;
    enum status rc;

    CHECK(weights <= o->plan.weight_bytes); // the plan was made for another dtype
    rc = slab_open(&m->weights, weights, "weights", err);
    if (rc == OK) {
        rc = slab_open(&m->kv, slab_rounded(half_layer) * 2 * c->n_layers, "the KV cache", err);
    }
    if (rc == OK) {
        rc =
            slab_open(&m->workspace, workspace_bytes(m, o->max_num_batched_tokens, o->max_num_seqs),
                      "the workspace", err);
    }
    return rc == OK ? slab_populate(&m->workspace, "the workspace", err) : rc;
}

static enum status load_into(struct model *m, const struct model_load_options *o, struct error *err)
{
    struct load_source source = {.checkpoint = m->checkpoint, .dummy_seed = m->dummy_seed};
    enum status rc;

    m->state = m->arch->create(&m->config);
    m->run = (struct arch_run){.compute = o->compute, .ops = compute_ops(o->compute)};
    m->run.kv = calloc(m->config.n_layers, sizeof(*m->run.kv));
    if (m->state == NULL || m->run.kv == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the model");
    }
    rc = open_slabs(m, o, err);
    if (rc != OK) {
        return rc;
    }
    place_kv(m, o);
    m->max_tokens = o->max_num_batched_tokens;
    m->max_logits = o->max_num_seqs;
    m->arch->place(m->state, slab_take(&m->workspace, m->workspace.bytes), m->max_tokens,
                   m->max_logits);
    return load_weights(m->arch, &m->config, m->state, &source, o, &m->weights, err);
}

enum status model_load(struct model *m, const struct model_load_options *o, struct error *err)
{
    enum status rc;

    CHECK(m->is_sound && !m->is_loaded && m->state == NULL);
    CHECK(o->max_num_batched_tokens >= 1 && o->max_num_seqs >= 1 && o->plan.kv_blocks >= 1);
    CHECK(o->math == MATH_BF16 || o->weight_dtype == DTYPE_F32);
    if (!m->has_files && !m->is_dummy) {
        return error_set(err, E_INVALID,
                         "a preset is a shape without weights: add --load-format dummy");
    }
    rc = load_into(m, o, err);
    if (rc != OK) {
        return rc;
    }
    checkpoint_close(m->checkpoint);
    m->checkpoint = NULL;
    m->is_loaded = true;
    return OK;
}

/* ---- run ----------------------------------------------------------------------------------- */

void model_forward(struct model *m, const struct model_batch *batch, float *logits)
{
    CHECK(m->is_loaded);
    CHECK(batch->n_tokens >= 1 && batch->n_tokens <= m->max_tokens);
    CHECK(batch->n_logits <= m->max_logits && batch->n_logits <= batch->n_tokens);
    CHECK(batch->n_seqs >= 1 && batch->n_seqs <= batch->n_tokens);
    m->arch->forward(m->state, &m->run, batch, logits);
}

struct kv_layer *model_kv_layer(struct model *m, uint32_t layer)
{
    CHECK(m->is_loaded && layer < m->config.n_layers);
    return &m->run.kv[layer];
}

void model_observe_hidden(struct model *m,
                          void (*fn)(void *user, uint32_t layer, struct rows hidden), void *user)
{
    m->run.on_hidden = fn;
    m->run.user = user;
}

uint32_t model_first_bad_row(const float *logits, uint32_t n_rows, uint32_t vocab)
{
    for (uint32_t i = 0; i < n_rows; i++) {
        for (uint32_t j = 0; j < vocab; j++) {
            if (!isfinite(logits[(size_t)i * vocab + j])) {
                return i;
            }
        }
    }
    return n_rows;
}
