/* engine_load.c - the parts of an engine from a checkpoint folder or a preset.
 *
 * Order: what can be refused cheaply first.  The folder is verified and the memory planned before
 * anything large is allocated; tokenizer and template are read before the weights, because a
 * missing template should not cost the time of loading them.
 */
#include "base/check.h"
#include "base/log.h"
#include "engine/engine_internal.h"
#include "engine/fingerprint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQS_DEFAULT 256
#define BATCHED_TOKENS_DEFAULT 2048
#define BLOCK_TOKENS_DEFAULT 16
#define QUEUE_DEFAULT 1024
#define TEMPLATE_BYTES_MAX (1u << 20)
#define REPORT_BYTES_MAX (1u << 20)

/* ---- the backend: a model and the device it runs on ---- */

struct loaded {
    struct model *model;     // owned
    struct compute *compute; // owned
};

static void forward(void *user, const struct model_batch *batch, float *logits)
{
    struct loaded *l = user;

    model_forward(l->model, batch, logits);
}

static void destroy(void *user)
{
    struct loaded *l = user;

    if (l != NULL) {
        model_destroy(l->model);
        compute_destroy(l->compute);
        free(l);
    }
}

/* ---- what to load ---- */

struct choice {
    const struct engine_config *config;
    struct loaded *loaded;
    enum math math;
    enum dtype weight_dtype;
    struct model_plan plan;
    uint32_t max_num_seqs;
    uint32_t max_num_batched_tokens;
};

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static void report_progress(const struct engine_config *c, const char *phase, double share)
{
    if (c->on_progress != NULL) {
        c->on_progress(c->user, phase, share);
    }
}

/* The summary, then as many faults as the error holds. */
static void add_faults(struct error *err, const struct buf *report, const char *dir)
{
    struct str text = str_trim(buf_str(report));
    char summary[ERROR_TEXT_MAX];
    size_t room = ERROR_TEXT_MAX - 160;
    size_t end = text.len;

    if (err == NULL || text.len == 0 || str_ends(str_from_c(err->text), text)) {
        return; // nothing to add: a single fault is its own summary
    }
    memcpy(summary, err->text, sizeof(summary));
    room = strlen(summary) < room ? room - strlen(summary) : 0;
    while (end > room) { // whole lines only
        end--;
        while (end > 0 && text.ptr[end] != '\n') {
            end--;
        }
    }
    error_set(err, err->status, "%s\n%.*s%s%s", summary, STR_ARG(str_slice(text, 0, end)),
              end < text.len ? "\nThere are more faults; all of them: kontor inspect " : "",
              end < text.len ? dir : "");
}

static enum status open_model(struct choice *c, struct error *err)
{
    struct model_source source = {
        .dir = c->config->model_dir,
        .preset = c->config->preset,
        .dummy_weights = c->config->load_format == ENGINE_LOAD_DUMMY,
        .dummy_seed = 1,
    };
    struct buf report;
    enum status rc;

    if (source.dir == NULL && source.preset == NULL) {
        return error_set(err, E_INVALID,
                         "no model is named: give a checkpoint folder or preset:NAME");
    }
    buf_init(&report, REPORT_BYTES_MAX);
    report_progress(c->config, "checking", 0.0);
    rc = model_open(&source, &c->loaded->model, &report, err);
    if (rc != OK) {
        add_faults(err, &report, source.dir != NULL ? source.dir : "");
    }
    buf_done(&report);
    return rc;
}

static void choose_dtype(struct choice *c)
{
    const struct model_config *m = model_config(c->loaded->model);

    c->math = MATH_BF16;
    switch (c->config->dtype) {
    case ENGINE_DTYPE_AUTO: // vLLM's rule: as stored, but float32 checkpoints become bfloat16
        c->weight_dtype = m->stored_dtype == DTYPE_F16 ? DTYPE_F16 : DTYPE_BF16;
        break;
    case ENGINE_DTYPE_BF16:
        c->weight_dtype = DTYPE_BF16;
        break;
    case ENGINE_DTYPE_F16:
        c->weight_dtype = DTYPE_F16;
        log_event(LOG_LEVEL_INFO, "dtype_half",
                  "weights=float16 compute=bfloat16 reason=\"GLM overflows float16 arithmetic\"");
        break;
    case ENGINE_DTYPE_F32:
        c->math = MATH_F32;
        c->weight_dtype = DTYPE_F32;
        break;
    }
}

static const char *dtype_name(const struct choice *c)
{
    switch (c->weight_dtype) {
    case DTYPE_F32:
        return "float32";
    case DTYPE_BF16:
        return "bfloat16";
    case DTYPE_F16:
        return "float16";
    }
    CHECK(false && "unknown dtype");
}

/* ---- memory ---- */

static enum status plan_with(struct choice *c, uint32_t n_seqs, struct error *err)
{
    const struct engine_config *config = c->config;
    struct model_plan_options options = {
        .math = c->math,
        .weight_dtype = c->weight_dtype,
        .max_model_len = config->max_model_len,
        .max_num_seqs = n_seqs,
        .max_num_batched_tokens = c->max_num_batched_tokens,
        .block_tokens = or_default(config->block_tokens, BLOCK_TOKENS_DEFAULT),
        .kv_cache_bytes = config->kv_cache_bytes,
        .kv_blocks_override = config->kv_blocks_override,
        .memory_fraction = config->memory_fraction,
    };

    c->max_num_seqs = n_seqs;
    return model_plan(c->loaded->model, &options, &c->plan, err);
}

/* Without --max-num-seqs: 256, or less when the logits of so many do not fit. */
static enum status plan_memory(struct choice *c, struct error *err)
{
    uint32_t n_seqs = c->config->max_num_seqs;
    enum status rc;

    c->max_num_batched_tokens =
        or_default(c->config->max_num_batched_tokens, BATCHED_TOKENS_DEFAULT);
    if (n_seqs != 0) {
        return plan_with(c, n_seqs, err);
    }
    n_seqs = c->max_num_batched_tokens < SEQS_DEFAULT ? c->max_num_batched_tokens : SEQS_DEFAULT;
    rc = plan_with(c, n_seqs, err);
    while (rc == E_LIMIT && n_seqs > 1) {
        n_seqs /= 2;
        rc = plan_with(c, n_seqs, err);
    }
    return rc;
}

/* ---- text ---- */

static enum status read_file(const char *path, struct buf *out, struct error *err)
{
    FILE *f = fopen(path, "rb");
    char chunk[4096];
    size_t n;
    bool failed;

    if (f == NULL) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "cannot open %s: %s", path,
                         strerror(errno));
    }
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        buf_append(out, chunk, n);
    }
    failed = ferror(f) != 0;
    fclose(f);
    if (failed) {
        return error_set(err, E_IO, "cannot read %s: %s", path, strerror(errno));
    }
    if (buf_status(out) != OK) {
        return error_set(err, buf_status(out), "%s is larger than %u bytes", path,
                         TEMPLATE_BYTES_MAX);
    }
    return OK;
}

static enum status compile_file(const char *path, struct chat_template **ret_template,
                                struct error *err)
{
    struct buf source;
    enum status rc;

    buf_init(&source, TEMPLATE_BYTES_MAX);
    rc = read_file(path, &source, err);
    if (rc == OK) {
        rc = chat_template_compile(buf_str(&source), ret_template, err);
        if (rc != OK) {
            error_prefix(err, rc, "%s", path);
        }
    }
    buf_done(&source);
    return rc;
}

static enum status load_template(const struct engine_config *c, struct engine_parts *parts,
                                 struct error *err)
{
    enum status rc;

    if (c->chat_template_text != NULL) {
        rc = chat_template_compile(str_from_c(c->chat_template_text), &parts->template, err);
        return rc == OK ? OK : error_prefix(err, rc, "the given chat template");
    }
    if (c->chat_template != NULL) {
        return compile_file(c->chat_template, &parts->template, err);
    }
    if (c->model_dir == NULL) {
        return OK; // a preset: token ids only
    }
    return chat_template_load(c->model_dir, &parts->template, err);
}

/* With dummy weights the answers are noise, so a shape alone (config.json) is enough to measure. */
static bool may_lack(const struct choice *c, enum status rc)
{
    return rc == E_NOT_FOUND && c->config->load_format == ENGINE_LOAD_DUMMY &&
           c->config->chat_template == NULL;
}

static enum status load_text(const struct choice *c, struct engine_parts *parts, struct error *err)
{
    uint32_t vocab = model_config(c->loaded->model)->vocab;
    enum status rc;

    if (c->config->model_dir != NULL) {
        rc = tokenizer_load(c->config->model_dir, &parts->tok, err);
        if (rc != OK && !may_lack(c, rc)) {
            return rc;
        }
        if (rc == OK && tokenizer_count(parts->tok) > vocab) {
            return error_set(err, E_INVALID,
                             "the tokenizer has %u tokens, the model only %u rows: tokenizer and "
                             "weights do not belong together",
                             tokenizer_count(parts->tok), vocab);
        }
    }
    rc = load_template(c->config, parts, err);
    return may_lack(c, rc) ? OK : rc;
}

/* ---- weights ---- */

static void on_load_progress(void *user, double share)
{
    report_progress(user, "loading", share);
}

static enum status load_weights(struct choice *c, struct error *err)
{
    struct engine_config config = *c->config;
    struct compute_options compute = {
        .math = c->math,
        .level = config.cpu_level,
        .n_threads = config.n_threads,
        .rows_max = c->max_num_batched_tokens,
        .cols_max = model_cols_max(c->loaded->model),
    };
    struct model_load_options options = {
        .plan = c->plan,
        .math = c->math,
        .weight_dtype = c->weight_dtype,
        .max_num_seqs = c->max_num_seqs,
        .max_num_batched_tokens = c->max_num_batched_tokens,
        .on_progress = on_load_progress,
        .user = &config,
    };
    enum status rc = compute_create(&compute, &c->loaded->compute, err);

    if (rc != OK) {
        return rc;
    }
    options.compute = c->loaded->compute;
    return model_load(c->loaded->model, &options, err);
}

/* ---- all together ---- */

static void fill_defaults(const struct model_config *m, struct chat_sampling *s)
{
    chat_sampling_default(s);
    s->temperature = m->has_temperature ? m->temperature : s->temperature;
    s->top_p = m->has_top_p ? m->top_p : s->top_p;
    s->top_k = m->has_top_k ? m->top_k : s->top_k;
}

static const char *served_name(const struct engine_config *c)
{
    if (c->served_model_name != NULL) {
        return c->served_model_name;
    }
    return c->model_dir != NULL ? c->model_dir : c->preset;
}

static void fill_parts(const struct choice *c, struct engine_parts *parts)
{
    const struct engine_config *config = c->config;
    const struct model_config *m = model_config(c->loaded->model);
    struct buf fingerprint;

    parts->backend.vocab = m->vocab;
    parts->metrics = config->metrics;
    parts->served_model_name = served_name(config);
    snprintf(parts->architecture, sizeof(parts->architecture), "%s", m->model_type);
    buf_init(&fingerprint, sizeof(parts->fingerprint) - 1);
    fingerprint_write(&fingerprint, compute_level(c->loaded->compute), dtype_name(c));
    snprintf(parts->fingerprint, sizeof(parts->fingerprint), "%.*s",
             STR_ARG(buf_str(&fingerprint)));
    buf_done(&fingerprint);
    parts->n_parameters = m->n_parameters;
    parts->max_model_len = or_default(config->max_model_len, m->max_positions);
    parts->max_num_seqs = c->max_num_seqs;
    parts->max_num_batched_tokens = c->max_num_batched_tokens;
    parts->n_blocks = c->plan.kv_blocks;
    parts->block_tokens = c->plan.block_tokens;
    parts->queue_max = or_default(config->queue_max, QUEUE_DEFAULT);
    parts->n_eos = m->n_eos;
    memcpy(parts->eos_ids, m->eos_ids, sizeof(parts->eos_ids));
    fill_defaults(m, &parts->defaults);
    parts->seed = config->seed;
    parts->threads = true;
}

enum status engine_load(const struct engine_config *config, struct engine_parts *ret_parts,
                        struct error *err)
{
    struct engine_parts parts = {0};
    struct choice c = {.config = config, .loaded = calloc(1, sizeof(*c.loaded))};
    enum status rc;

    if (c.loaded == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the engine");
    }
    parts.backend =
        (struct engine_backend){.user = c.loaded, .forward = forward, .destroy = destroy};
    rc = open_model(&c, err);
    if (rc != OK) {
        goto out;
    }
    choose_dtype(&c);
    rc = plan_memory(&c, err);
    if (rc != OK) {
        goto out;
    }
    rc = load_text(&c, &parts, err);
    if (rc != OK) {
        goto out;
    }
    rc = load_weights(&c, err);
    if (rc != OK) {
        goto out;
    }
    fill_parts(&c, &parts);
    *ret_parts = parts;
    return OK;
out:
    engine_parts_done(&parts);
    return rc;
}
