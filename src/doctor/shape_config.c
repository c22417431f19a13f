#include "base/check.h"
#include "doctor/regular.h"
#include "doctor/shape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_BYTES_MAX (1 << 20)
#define ARENA_BYTES_MAX (16 << 20)
#define NUMBER_MAX (1 << 24) // of any dimension

/* One reader over config.json: gathers the first fault. */
struct reader {
    const struct json_value *config;
    struct error *err;
    enum status rc;
};

static uint32_t number_or(struct reader *r, const char *key, uint32_t fallback)
{
    const struct json_value *v = json_get(r->config, str_from_c(key));

    if (v == NULL || v->kind == JSON_NULL || r->rc != OK) {
        return fallback;
    }
    if (v->kind != JSON_INT || v->integer < 0 || v->integer > NUMBER_MAX) {
        r->rc = error_set(r->err, E_INVALID,
                          "config.json: %s must be a whole number up to %d, not %.*s", key,
                          NUMBER_MAX, STR_ARG(str_slice(v->source, 0, 40)));
        return fallback;
    }
    return (uint32_t)v->integer;
}

static uint32_t number(struct reader *r, const char *key)
{
    uint32_t v = number_or(r, key, 0);

    if (r->rc == OK && v == 0) {
        r->rc = error_set(r->err, E_INVALID, "config.json: %s is missing or 0", key);
    }
    return v;
}

static bool flag(struct reader *r, const char *key, bool fallback)
{
    return json_bool_or(json_get(r->config, str_from_c(key)), fallback);
}

/* Members of a list that equal `word`. */
static uint32_t count_words(const struct json_value *list, struct str word)
{
    uint32_t n = 0;

    for (uint32_t i = 0; list != NULL && list->kind == JSON_ARRAY && i < list->n_items; i++) {
        n += str_eq(json_string_or(&list->items[i], STR("")), word) ? 1 : 0;
    }
    return n;
}

static void read_experts(struct reader *r, struct shape *s)
{
    const struct json_value *types = json_get(r->config, STR("mlp_layer_types"));

    s->n_experts = number_or(r, "n_routed_experts", number_or(r, "num_local_experts", 0));
    s->experts_per_token = number(r, "num_experts_per_tok");
    s->n_shared_experts = number_or(r, "n_shared_experts", 1);
    s->expert_hidden = number(r, "moe_intermediate_size");
    s->n_dense_layers =
        types != NULL ? count_words(types, STR("dense")) : number_or(r, "first_k_dense_replace", 1);
    if (r->rc == OK && s->n_experts == 0) {
        r->rc = error_set(r->err, E_INVALID, "config.json: n_routed_experts is missing or 0");
    }
}

static void read_chatglm(struct reader *r, struct shape *s)
{
    s->kind = SHAPE_GQA;
    s->n_layers = number_or(r, "num_layers", number_or(r, "num_hidden_layers", 0));
    s->ffn_hidden = number(r, "ffn_hidden_size");
    s->head_dim = number(r, "kv_channels");
    s->n_kv_heads =
        flag(r, "multi_query_attention", false) ? number(r, "multi_query_group_num") : s->n_heads;
    s->vocab = number_or(r, "padded_vocab_size", number_or(r, "vocab_size", 0));
    s->max_positions = number(r, "seq_length");
    s->qkv_bias = flag(r, "add_qkv_bias", true);
    s->norms_per_layer = 2;
    s->n_dense_layers = s->n_layers;
}

static void read_gqa(struct reader *r, struct shape *s)
{
    bool moe = strcmp(s->model_type, "glm4_moe") == 0;

    s->kind = SHAPE_GQA;
    s->n_kv_heads = number(r, "num_key_value_heads");
    s->head_dim = number_or(r, "head_dim", moe && s->n_heads > 0 ? s->hidden / s->n_heads : 128);
    s->qkv_bias = flag(r, "attention_bias", !moe);
    s->qk_norm = flag(r, "use_qk_norm", false);
    s->norms_per_layer = strcmp(s->model_type, "glm4") == 0 ? 4 : 2;
    s->n_dense_layers = s->n_layers;
    if (moe) {
        read_experts(r, s);
    }
}

static void read_indexer(struct reader *r, struct shape *s)
{
    const struct json_value *types = json_get(r->config, STR("indexer_types"));
    uint32_t freq = number_or(r, "index_topk_freq", 1);
    uint32_t offset = number_or(r, "index_skip_topk_offset", 2);

    s->index_heads = number(r, "index_n_heads");
    s->index_dim = number(r, "index_head_dim");
    if (types != NULL) {
        s->n_index_layers = count_words(types, STR("full"));
        return;
    }
    for (uint32_t i = 0; i < s->n_layers && freq > 0; i++) {
        uint32_t behind = i + 1 > offset ? i + 1 - offset : 0;

        s->n_index_layers += behind % freq == 0 ? 1 : 0;
    }
}

static void read_mla(struct reader *r, struct shape *s)
{
    s->n_kv_heads = s->n_heads;
    s->q_rank = number(r, "q_lora_rank");
    s->kv_rank = number(r, "kv_lora_rank");
    s->qk_nope = number(r, "qk_nope_head_dim");
    s->qk_rope = number_or(r, "qk_rope_head_dim", 0);
    s->v_dim = number(r, "v_head_dim");
    s->norms_per_layer = 2;
    read_experts(r, s);
}

static void read_next(struct reader *r, struct shape *s)
{
    const struct json_value *types = json_get(r->config, STR("layer_types"));
    struct reader kda = {json_get(r->config, STR("linear_attn_config")), r->err, OK};

    s->kind = SHAPE_NEXT;
    read_mla(r, s);
    s->n_mla_layers = s->n_layers - count_words(types, STR("linear_attention"));
    s->n_index_layers = s->n_mla_layers;
    s->index_heads = number(r, "index_n_heads");
    s->index_dim = number(r, "index_head_dim");
    s->index_pool = number_or(r, "index_kpool", 16);
    s->residual_streams = number_or(r, "hc_mult", 4);
    if (kda.config != NULL) {
        s->kda_heads = number(&kda, "num_heads");
        s->kda_dim = number(&kda, "head_dim");
        s->kda_conv = number(&kda, "short_conv_kernel_size");
        r->rc = r->rc == OK ? kda.rc : r->rc;
    } else {
        s->kda_heads = number(r, "linear_num_heads");
        s->kda_dim = number(r, "linear_head_dim");
        s->kda_conv = number(r, "linear_conv_kernel_dim");
    }
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

enum status shape_from_config(const struct json_value *config, struct shape *ret_shape,
                              struct error *err)
{
    const struct json_value *text = json_get(config, STR("text_config"));
    struct reader r = {text != NULL && text->kind == JSON_OBJECT ? text : config, err, OK};
    struct str type = json_string_or(json_get(config, STR("model_type")), STR(""));
    struct shape s = {0};

    snprintf(s.model_type, sizeof(s.model_type), "%.*s", STR_ARG(type));
    snprintf(s.name, sizeof(s.name), "%s", s.model_type);
    s.hidden = number(&r, "hidden_size");
    s.n_heads = number(&r, "num_attention_heads");
    if (strcmp(s.model_type, "chatglm") == 0) {
        read_chatglm(&r, &s);
    } else {
        s.n_layers = number(&r, "num_hidden_layers");
        s.ffn_hidden = number(&r, "intermediate_size");
        s.vocab = number(&r, "vocab_size");
        s.max_positions = number(&r, "max_position_embeddings");
        if (is_one_of(s.model_type, "glm", "glm4", "glm4_moe")) {
            read_gqa(&r, &s);
        } else if (is_one_of(s.model_type, "glm4_moe_lite", "glm_moe_dsa", "")) {
            s.kind = SHAPE_MLA;
            read_mla(&r, &s);
            if (strcmp(s.model_type, "glm_moe_dsa") == 0) {
                read_indexer(&r, &s);
            }
        } else if (strcmp(s.model_type, "glm5_next") == 0) {
            read_next(&r, &s);
        } else {
            return error_set(err, E_UNSUPPORTED,
                             "model_type \"%s\" is no GLM text model that can be sized",
                             s.model_type);
        }
    }
    if (r.rc == OK && (s.n_layers == 0 || s.n_dense_layers > s.n_layers)) {
        r.rc = error_set(err, E_INVALID, "config.json: the number of layers does not make sense");
    }
    if (r.rc == OK) {
        *ret_shape = s;
    }
    return r.rc;
}

static enum status read_file(FILE *f, struct buf *text, const char *path, struct error *err)
{
    char piece[8192];
    size_t n;

    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
        buf_append(text, piece, n);
    }
    if (ferror(f)) {
        return error_set(err, E_IO, "cannot read %s: %s", path, strerror(errno));
    }
    if (buf_status(text) != OK) {
        return error_set(err, E_LIMIT, "%s is larger than %d bytes", path, CONFIG_BYTES_MAX);
    }
    return OK;
}

enum status shape_read(const char *path, struct shape *ret_shape, struct error *err)
{
    const struct json_value *root = NULL;
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct stat st;
    struct buf file;
    struct buf text;
    FILE *f = NULL;
    enum status rc;

    CHECK(arena != NULL);
    buf_init(&file, 8192);
    buf_init(&text, CONFIG_BYTES_MAX);
    buf_append_c(&file, path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        buf_append_c(&file, "/config.json");
    }
    f = buf_c(&file) == NULL ? NULL : regular_open(buf_c(&file));
    if (f == NULL) {
        rc = error_set(err, E_NOT_FOUND, "cannot open %s: %s", path, strerror(errno));
        goto out;
    }
    rc = read_file(f, &text, buf_c(&file), err);
    if (rc == OK) {
        rc = json_parse(arena, buf_str(&text), NULL, &root, err);
    }
    if (rc == OK) {
        rc = shape_from_config(root, ret_shape, err);
    }
out:
    if (f != NULL) {
        fclose(f);
    }
    buf_done(&file);
    buf_done(&text);
    arena_destroy(arena);
    return rc;
}
