#include "app/inspect_view.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_PREFIX "note: "
#define PATTERN_MAX 160

static const char *dtype_word(enum dtype t)
{
    return t == DTYPE_F32 ? "float32" : t == DTYPE_BF16 ? "bfloat16" : "float16";
}

/* ---- report lines -------------------------------------------------------------------------- */

/* The next line without its end; false behind the last. */
static bool next_line(struct str report, size_t *at, struct str *ret_line)
{
    size_t end;

    if (*at >= report.len) {
        return false;
    }
    end = str_find_byte(report, '\n', *at);
    *ret_line = str_slice(report, *at, end);
    *at = end == SIZE_MAX ? report.len : end + 1;
    return true;
}

static bool is_note(struct str line)
{
    return str_starts(line, STR(NOTE_PREFIX));
}

uint32_t inspect_view_faults(struct str report)
{
    struct str line;
    uint32_t n = 0;
    size_t at = 0;

    while (next_line(report, &at, &line)) {
        n += is_note(line) ? 0 : 1;
    }
    return n;
}

/* ---- tensors by kind ----------------------------------------------------------------------- */

/* A tensor under its name with all numbers replaced: "model.layers.*.mlp.down_proj.weight". */
struct kind {
    char pattern[PATTERN_MAX];
    const struct tensor *tensor;
};

static void make_pattern(const char *name, char pattern[PATTERN_MAX])
{
    struct str s = str_from_c(name);
    size_t used = 0;

    for (size_t at = 0; at <= s.len && used < PATTERN_MAX - 1;) {
        size_t end = str_find_byte(s, '.', at);
        struct str word = str_slice(s, at, end);
        uint64_t number;
        int n;

        word = str_to_u64(word, &number) == OK ? STR("*") : word;
        n = snprintf(pattern + used, PATTERN_MAX - used, "%s%.*s", at == 0 ? "" : ".",
                     STR_ARG(word));
        used += n > 0 ? (size_t)n : 0;
        at = end == SIZE_MAX ? s.len + 1 : end + 1;
    }
}

static int same_kind_order(const struct kind *x, const struct kind *y)
{
    int order = strcmp(x->pattern, y->pattern);

    if (order == 0 && x->tensor->dtype != y->tensor->dtype) {
        order = x->tensor->dtype < y->tensor->dtype ? -1 : 1;
    }
    if (order == 0 && x->tensor->n_dims != y->tensor->n_dims) {
        order = x->tensor->n_dims < y->tensor->n_dims ? -1 : 1;
    }
    return order != 0 ? order : memcmp(x->tensor->dims, y->tensor->dims, sizeof(x->tensor->dims));
}

static int by_kind(const void *a, const void *b)
{
    return same_kind_order(a, b);
}

static void print_tensor_row(struct buf *out, const char *name, const struct tensor *t, uint32_t n,
                             const char *file)
{
    char shape[96];

    safetensors_shape_text(t, shape, sizeof(shape));
    buf_printf(out, "  %-58s %-5s %-16s %14" PRIu64 " bytes", name,
               safetensors_dtype_name(t->dtype), shape, t->n_bytes);
    if (n > 1) {
        buf_printf(out, " x %" PRIu32, n);
    }
    buf_printf(out, "%s%s\n", file[0] != '\0' ? "  " : "", file);
}

static void print_kinds(const struct checkpoint *c, struct buf *out)
{
    uint32_t n = checkpoint_tensor_count(c);
    struct kind *kinds = calloc((size_t)n + 1, sizeof(*kinds));
    uint32_t first = 0;

    if (kinds == NULL) {
        buf_append_c(out, "  (no memory for the table)\n");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        kinds[i].tensor = checkpoint_tensor(c, i);
        make_pattern(kinds[i].tensor->name, kinds[i].pattern);
    }
    qsort(kinds, n, sizeof(*kinds), by_kind);
    for (uint32_t i = 0; i < n; i++) {
        if (i + 1 == n || same_kind_order(&kinds[i], &kinds[i + 1]) != 0) {
            print_tensor_row(out, kinds[i].pattern, kinds[i].tensor, i + 1 - first, "");
            first = i + 1;
        }
    }
    free(kinds);
}

static void print_tensors(const struct inspect_view *v, struct buf *out)
{
    const struct checkpoint *c = v->checkpoint;

    buf_printf(out, "\ntensors: %" PRIu32 " in %" PRIu32 " file%s, %" PRIu64 " bytes\n",
               checkpoint_tensor_count(c), checkpoint_file_count(c),
               checkpoint_file_count(c) == 1 ? "" : "s", checkpoint_bytes(c));
    if (!v->all_tensors) {
        print_kinds(c, out);
        return;
    }
    for (uint32_t i = 0; i < checkpoint_tensor_count(c); i++) {
        const struct tensor *t = checkpoint_tensor(c, i);

        print_tensor_row(out, t->name, t, 1, checkpoint_file_name(c, t->file_idx));
    }
}

/* ---- text ---------------------------------------------------------------------------------- */

static void print_shape(const struct model_config *c, struct buf *out)
{
    double n = (double)c->n_parameters;

    buf_printf(out, "parameters    %.3f %s (%" PRIu64 ")\n", n / (n >= 1e9 ? 1e9 : 1e6),
               n >= 1e9 ? "billion" : "million", c->n_parameters);
    buf_printf(out, "stored as     %s\n", dtype_word(c->stored_dtype));
    buf_printf(out,
               "layers        %" PRIu32 ", hidden %" PRIu32 ", ffn %" PRIu32 ", vocabulary %" PRIu32
               "\n",
               c->n_layers, c->hidden, c->ffn_hidden, c->vocab);
    buf_printf(out,
               "attention     %" PRIu32 " heads, %" PRIu32 " kv heads, head dim %" PRIu32 "%s\n",
               c->n_heads, c->n_kv_heads, c->head_dim, c->attention_bias ? ", with bias" : "");
    buf_printf(out, "positions     %" PRIu32 ", rope theta %g over %" PRIu32 " of %" PRIu32 " dims",
               c->max_positions, c->rope_theta, c->rotated, c->head_dim);
    if (c->yarn_factor > 0.0) {
        buf_printf(out, ", YaRN x %g over %" PRIu32, c->yarn_factor, c->yarn_original_positions);
    }
    buf_printf(out, "\nnorm          rms eps %g\n", (double)c->rms_eps);
    buf_append_c(out, "end of text  ");
    for (uint32_t i = 0; i < c->n_eos; i++) {
        buf_printf(out, " %" PRId32, c->eos_ids[i]);
    }
    buf_append_c(out, c->n_eos == 0 ? " none\n" : "\n");
}

static void print_report(const struct inspect_view *v, struct buf *out)
{
    uint32_t n_faults = inspect_view_faults(v->report);
    struct str line;
    size_t at = 0;

    while (next_line(v->report, &at, &line)) {
        if (is_note(line)) {
            buf_printf(out, "%.*s\n", STR_ARG(line));
        }
    }
    if (n_faults == 0) {
        buf_append_c(out, "no faults\n");
        return;
    }
    buf_printf(out, "%" PRIu32 " fault%s:\n", n_faults, n_faults == 1 ? "" : "s");
    at = 0;
    while (next_line(v->report, &at, &line)) {
        if (!is_note(line)) {
            buf_printf(out, "  %.*s\n", STR_ARG(line));
        }
    }
}

void inspect_view_text(const struct inspect_view *v, struct buf *out)
{
    buf_printf(out, "checkpoint    %s\n", v->source);
    if (v->config != NULL && v->config->architecture[0] != '\0') {
        buf_printf(out, "architecture  %s (%s)\n", v->config->architecture, v->config->model_type);
    }
    if (v->config != NULL && v->has_shape) {
        print_shape(v->config, out);
    }
    if (v->checkpoint != NULL) {
        print_tensors(v, out);
    }
    if (v->plan != NULL) {
        buf_printf(out,
                   "\nmemory plan: --dtype %s --max-model-len %" PRIu32 " --max-num-seqs %" PRIu32
                   "\n",
                   dtype_word(v->weight_dtype), v->max_model_len, v->max_num_seqs);
        model_plan_print(v->plan, out);
    }
    if (v->plan_problem != NULL) {
        buf_printf(out, "%s\n", v->plan_problem);
    }
    buf_append_byte(out, '\n');
    print_report(v, out);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void key(struct buf *out, const char *name)
{
    buf_printf(out, ",\"%s\":", name);
}

static void write_u64(struct buf *out, const char *name, uint64_t value)
{
    key(out, name);
    buf_printf(out, "%" PRIu64, value);
}

static void write_text(struct buf *out, const char *name, const char *value)
{
    key(out, name);
    json_write_string(out, str_from_c(value));
}

static void write_shape(const struct model_config *c, struct buf *out)
{
    write_u64(out, "parameters", c->n_parameters);
    write_text(out, "stored_dtype", dtype_word(c->stored_dtype));
    write_u64(out, "layers", c->n_layers);
    write_u64(out, "hidden", c->hidden);
    write_u64(out, "ffn_hidden", c->ffn_hidden);
    write_u64(out, "heads", c->n_heads);
    write_u64(out, "kv_heads", c->n_kv_heads);
    write_u64(out, "head_dim", c->head_dim);
    write_u64(out, "vocab", c->vocab);
    write_u64(out, "max_positions", c->max_positions);
    key(out, "rope_theta");
    json_write_double(out, c->rope_theta, true);
    key(out, "eos_token_ids");
    for (uint32_t i = 0; i < c->n_eos; i++) {
        buf_printf(out, "%s%" PRId32, i == 0 ? "[" : ",", c->eos_ids[i]);
    }
    buf_append_c(out, c->n_eos == 0 ? "[]" : "]");
}

static void write_tensors(const struct checkpoint *c, struct buf *out)
{
    key(out, "tensors");
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < checkpoint_tensor_count(c); i++) {
        const struct tensor *t = checkpoint_tensor(c, i);

        buf_append_c(out, i == 0 ? "{\"name\":" : ",{\"name\":");
        json_write_string(out, str_from_c(t->name));
        write_text(out, "dtype", safetensors_dtype_name(t->dtype));
        key(out, "shape");
        buf_append_byte(out, '[');
        for (uint32_t d = 0; d < t->n_dims; d++) {
            buf_printf(out, "%s%" PRIu64, d == 0 ? "" : ",", t->dims[d]);
        }
        buf_append_byte(out, ']');
        write_u64(out, "bytes", t->n_bytes);
        write_text(out, "file", checkpoint_file_name(c, t->file_idx));
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void write_plan(const struct inspect_view *v, struct buf *out)
{
    const struct model_plan *p = v->plan;

    key(out, "plan");
    buf_printf(out, "{\"fits\":%s", v->plan_problem == NULL ? "true" : "false");
    write_text(out, "dtype", dtype_word(v->weight_dtype));
    write_u64(out, "max_model_len", v->max_model_len);
    write_u64(out, "max_num_seqs", v->max_num_seqs);
    write_u64(out, "weight_bytes", p->weight_bytes);
    write_u64(out, "workspace_bytes", p->workspace_bytes);
    write_u64(out, "kv_bytes", p->kv_bytes);
    write_u64(out, "kv_bytes_per_token", p->kv_bytes_per_token);
    write_u64(out, "kv_blocks", p->kv_blocks);
    write_u64(out, "block_tokens", p->block_tokens);
    write_u64(out, "total_bytes", p->total_bytes);
    write_u64(out, "limit_bytes", p->limit_bytes);
    write_u64(out, "memory_bytes", p->memory_bytes);
    buf_append_byte(out, '}');
}

/* The report's lines of one sort as an array of strings. */
static void write_lines(struct str report, const char *name, bool notes, struct buf *out)
{
    bool first = true;
    struct str line;
    size_t at = 0;

    key(out, name);
    buf_append_byte(out, '[');
    while (next_line(report, &at, &line)) {
        if (is_note(line) == notes) {
            buf_append_c(out, first ? "" : ",");
            json_write_string(out, notes ? str_slice(line, strlen(NOTE_PREFIX), line.len) : line);
            first = false;
        }
    }
    buf_append_byte(out, ']');
}

void inspect_view_json(const struct inspect_view *v, struct buf *out)
{
    buf_append_c(out, "{\"source\":");
    json_write_string(out, str_from_c(v->source));
    if (v->config != NULL && v->config->architecture[0] != '\0') {
        write_text(out, "architecture", v->config->architecture);
        write_text(out, "model_type", v->config->model_type);
    }
    if (v->config != NULL && v->has_shape) {
        write_shape(v->config, out);
    }
    if (v->checkpoint != NULL) {
        write_u64(out, "files", checkpoint_file_count(v->checkpoint));
        write_u64(out, "file_bytes", checkpoint_bytes(v->checkpoint));
        write_tensors(v->checkpoint, out);
    }
    if (v->plan != NULL) {
        write_plan(v, out);
    }
    if (v->plan_problem != NULL) {
        write_text(out, "plan_problem", v->plan_problem);
    }
    write_lines(v->report, "faults", false, out);
    write_lines(v->report, "notes", true, out);
    buf_append_c(out, "}\n");
}
