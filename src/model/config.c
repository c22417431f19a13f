#include "model/config.h"
#include "base/check.h"
#include "model/config_reader.h"
#include "model/config_rope.h"
#include "model/registry.h"

#include <inttypes.h>
#include <string.h>

#define TREE_BYTES_MAX ((size_t)256 << 20)

/* Defaults of missing keys for glm4, as the publisher's library has them. */
#define HEAD_DIM_DEFAULT 128
#define KV_HEADS_DEFAULT 2
#define POSITIONS_DEFAULT 131072
#define RMS_EPS_DEFAULT 1.5625e-07

static void copy_name(struct str s, char *to, size_t n)
{
    size_t len = s.len < n - 1 ? s.len : n - 1;

    for (size_t i = 0; i < len; i++) {
        to[i] = s.ptr[i] > ' ' && s.ptr[i] < 0x7f ? s.ptr[i] : '?'; // it is printed
    }
    to[len] = '\0';
}

/* ---- architecture -------------------------------------------------------------------------- */

static struct str first_architecture(const struct config_reader *r)
{
    const struct json_value *v = config_reader_get(r, "architectures");

    if (v == NULL) {
        return STR("");
    }
    if (v->kind != JSON_ARRAY || v->n_items == 0 || v->items[0].kind != JSON_STRING) {
        config_reader_refuse(r, "architectures", v, E_INVALID, "a list with one name");
        return STR("");
    }
    return v->items[0].string;
}

static void refuse_architecture(const struct config_reader *r, struct str name,
                                const struct registry_entry *known)
{
    struct buf supported;

    buf_init(&supported, 1024);
    registry_supported(&supported);
    buf_append_byte(&supported, '\0');
    if (known != NULL) {
        faults_add(r->faults, E_UNSUPPORTED, r->where,
                   "architecture %s (%s) is not built into this version; built in: %s", known->name,
                   known->models, supported.ptr == NULL ? "" : supported.ptr);
    } else {
        faults_add(r->faults, E_UNSUPPORTED, r->where,
                   "architecture \"%.*s\" is unknown; built in: %s",
                   (int)(name.len < 64 ? name.len : 64), name.len > 0 ? name.ptr : "",
                   supported.ptr == NULL ? "" : supported.ptr);
    }
    buf_done(&supported);
}

static bool read_architecture(const struct config_reader *r, struct model_config *c)
{
    struct str name = first_architecture(r);
    struct str type = json_string_or(config_reader_get(r, "model_type"), STR(""));
    const struct registry_entry *e;

    if (name.len == 0 && type.len == 0) {
        faults_add(r->faults, E_INVALID, r->where,
                   "neither architectures nor model_type says what the model is");
        return false;
    }
    e = registry_find(name, type);
    if (e == NULL || e->arch == NULL) {
        copy_name(name, c->architecture, sizeof(c->architecture));
        copy_name(type, c->model_type, sizeof(c->model_type));
        refuse_architecture(r, name.len > 0 ? name : type, e);
        return false;
    }
    copy_name(str_from_c(e->name), c->architecture, sizeof(c->architecture));
    copy_name(str_from_c(e->model_type), c->model_type, sizeof(c->model_type));
    if (type.len > 0 && !str_eq(type, str_from_c(e->model_type))) {
        faults_note(r->faults, r->where, "model_type is \"%.*s\", architectures decides: %s",
                    (int)(type.len < 64 ? type.len : 64), type.ptr, e->name);
    }
    return true;
}

/* ---- shape --------------------------------------------------------------------------------- */

/* Inner lengths of matrix products: pairs of bf16 are multiplied together. */
static void need_even(const struct config_reader *r, const char *key, uint32_t value)
{
    if (value % 2 != 0) {
        faults_add(r->faults, E_UNSUPPORTED, r->where, "%s is %" PRIu32 ", but must be even", key,
                   value);
    }
}

static void read_shape(const struct config_reader *r, struct model_config *c)
{
    const char *layers = config_reader_get(r, "num_hidden_layers") == NULL &&
                                 config_reader_get(r, "num_layers") != NULL
                             ? "num_layers"
                             : "num_hidden_layers";

    c->n_layers = config_reader_need_u32(r, layers, 1, CONFIG_LAYERS_MAX);
    c->hidden = config_reader_need_u32(r, "hidden_size", 1, CONFIG_HIDDEN_MAX);
    c->ffn_hidden = config_reader_need_u32(r, "intermediate_size", 1, CONFIG_FFN_MAX);
    c->n_heads = config_reader_need_u32(r, "num_attention_heads", 1, CONFIG_HEADS_MAX);
    c->n_kv_heads =
        config_reader_u32_or(r, "num_key_value_heads", 1, CONFIG_HEADS_MAX, KV_HEADS_DEFAULT);
    c->head_dim = config_reader_u32_or(r, "head_dim", 2, CONFIG_HEAD_DIM_MAX, HEAD_DIM_DEFAULT);
    c->vocab = config_reader_need_u32(r, "vocab_size", 1, CONFIG_VOCAB_MAX);
    c->max_positions = config_reader_u32_or(r, "max_position_embeddings", 1, CONFIG_POSITIONS_MAX,
                                            POSITIONS_DEFAULT);
    need_even(r, "hidden_size", c->hidden);
    need_even(r, "intermediate_size", c->ffn_hidden);
    need_even(r, "head_dim", c->head_dim);
    if (c->n_heads % c->n_kv_heads != 0) {
        faults_add(r->faults, E_INVALID, r->where,
                   "num_attention_heads is %u, but must be a multiple of num_key_value_heads (%u)",
                   c->n_heads, c->n_kv_heads);
    }
    c->attention_bias = config_reader_bool_or(r, "attention_bias", true, true);
    c->tie_embeddings = config_reader_bool_or(r, "tie_word_embeddings", false, false);
    c->rms_eps = (float)config_reader_f64_or(r, "rms_norm_eps", 1e-12, 0.1, RMS_EPS_DEFAULT, true);
}

static void read_unsupported(const struct config_reader *r)
{
    const struct json_value *act = config_reader_get(r, "hidden_act");
    const struct json_value *quant = config_reader_get(r, "quantization_config");

    if (act != NULL && !str_eq(json_string_or(act, STR("")), STR("silu")) &&
        !str_eq(json_string_or(act, STR("")), STR("swish"))) {
        config_reader_refuse(r, "hidden_act", act, E_UNSUPPORTED, "\"silu\" for this model");
    }
    if (quant != NULL) {
        struct str method = json_string_or(json_get(quant, STR("quant_method")), STR("unnamed"));

        faults_add(
            r->faults, E_UNSUPPORTED, r->where,
            "quantization_config (%.*s): quantised checkpoints are not built into this version; "
            "use the bfloat16 release",
            (int)(method.len < 40 ? method.len : 40), method.ptr);
    }
}

static void read_dtype(const struct config_reader *r, struct model_config *c)
{
    static const struct {
        const char *name;
        enum dtype dtype;
    } names[] = {{"bfloat16", DTYPE_BF16},     {"float16", DTYPE_F16},
                 {"float32", DTYPE_F32},       {"torch.bfloat16", DTYPE_BF16},
                 {"torch.float16", DTYPE_F16}, {"torch.float32", DTYPE_F32},
                 {"half", DTYPE_F16},          {"float", DTYPE_F32}};
    const char *key = config_reader_get(r, "dtype") != NULL ? "dtype" : "torch_dtype";
    const struct json_value *v = config_reader_get(r, key);

    c->stored_dtype = DTYPE_BF16;
    if (v == NULL) {
        faults_note(r->faults, r->where,
                    "neither dtype nor torch_dtype is there, bfloat16 is used");
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (str_eq(json_string_or(v, STR("")), str_from_c(names[i].name))) {
            c->stored_dtype = names[i].dtype;
            return;
        }
    }
    config_reader_refuse(r, key, v, E_UNSUPPORTED, "\"bfloat16\", \"float16\" or \"float32\"");
}

/* ---- token ids ----------------------------------------------------------------------------- */

static void add_eos(const struct config_reader *r, const struct json_value *v,
                    struct model_config *c)
{
    if (v->kind != JSON_INT || v->integer < 0 || v->integer >= (int64_t)c->vocab) {
        config_reader_refuse(r, "eos_token_id", v, E_INVALID,
                             "a token id below vocab_size, or a list of them");
        return;
    }
    for (uint32_t i = 0; i < c->n_eos; i++) {
        if (c->eos_ids[i] == (int32_t)v->integer) {
            return;
        }
    }
    if (c->n_eos == MODEL_EOS_MAX) {
        faults_add(r->faults, E_LIMIT, r->where, "eos_token_id lists more than %d ids",
                   MODEL_EOS_MAX);
        return;
    }
    c->eos_ids[c->n_eos++] = (int32_t)v->integer;
}

static void read_eos(const struct config_reader *r, struct model_config *c)
{
    const struct json_value *v = config_reader_get(r, "eos_token_id");

    if (v == NULL) {
        return;
    }
    if (v->kind != JSON_ARRAY) {
        add_eos(r, v, c);
        return;
    }
    for (uint32_t i = 0; i < v->n_items && i <= MODEL_EOS_MAX; i++) {
        add_eos(r, &v->items[i], c);
    }
}

static void read_pad(const struct config_reader *r, struct model_config *c)
{
    const struct json_value *v = config_reader_get(r, "pad_token_id");

    c->pad_id = -1;
    if (v == NULL) {
        return;
    }
    if (v->kind != JSON_INT || v->integer < -1 || v->integer >= (int64_t)c->vocab) {
        config_reader_refuse(r, "pad_token_id", v, E_INVALID, "a token id below vocab_size");
        return;
    }
    c->pad_id = (int32_t)v->integer;
}

/* -1 and 0 mean "all". */
static int32_t read_top_k(const struct config_reader *r)
{
    const struct json_value *v = config_reader_get(r, "top_k");

    if (v == NULL) {
        return 0;
    }
    if (v->kind != JSON_INT || v->integer < -1 || v->integer > CONFIG_VOCAB_MAX) {
        config_reader_refuse(r, "top_k", v, E_INVALID, "a whole number from -1 on");
        return 0;
    }
    return (int32_t)v->integer;
}

/* ---- files --------------------------------------------------------------------------------- */

static enum status parse_object(struct arena *arena, struct str text, const char *where,
                                struct faults *faults, const struct json_value **ret_root)
{
    const struct json_value *root = NULL;
    struct error err = {.status = E_NO_MEMORY, .text = "no memory"};
    enum status rc = arena == NULL ? E_NO_MEMORY : json_parse(arena, text, NULL, &root, &err);

    if (rc == OK && root->kind != JSON_OBJECT) {
        rc = error_set(&err, E_INVALID, "must hold an object, but holds: %s",
                       json_kind_name(root->kind));
    }
    if (rc != OK) {
        faults_add_error(faults, where, &err);
        return rc;
    }
    *ret_root = root;
    return OK;
}

void config_parse(struct str text, struct faults *faults, struct model_config *ret_config)
{
    struct arena *arena = arena_create(TREE_BYTES_MAX);
    struct config_reader r = {.where = CONFIG_NAME, .prefix = "", .faults = faults};
    struct model_config c = {.pad_id = -1};
    enum status rc = parse_object(arena, text, CONFIG_NAME, faults, &r.object);

    if (rc == OK && read_architecture(&r, &c)) {
        read_shape(&r, &c);
        read_dtype(&r, &c);
        config_rope_read(&r, &c);
        read_eos(&r, &c);
        read_pad(&r, &c);
        read_unsupported(&r);
    }
    *ret_config = c;
    arena_destroy(arena);
}

void config_parse_generation(struct str text, struct faults *faults, struct model_config *config)
{
    struct arena *arena = arena_create(TREE_BYTES_MAX);
    struct config_reader r = {.where = CONFIG_GENERATION_NAME, .prefix = "", .faults = faults};
    enum status rc = parse_object(arena, text, CONFIG_GENERATION_NAME, faults, &r.object);

    if (rc == OK) {
        read_eos(&r, config);
        config->has_temperature = config_reader_get(&r, "temperature") != NULL;
        config->temperature = config_reader_f64_or(&r, "temperature", 0.0, 100.0, 1.0, false);
        config->has_top_p = config_reader_get(&r, "top_p") != NULL;
        config->top_p = config_reader_f64_or(&r, "top_p", 1e-6, 1.0, 1.0, false);
        config->has_top_k = config_reader_get(&r, "top_k") != NULL;
        config->top_k = read_top_k(&r);
    }
    arena_destroy(arena);
}
