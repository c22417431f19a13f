#include "app/engine_options.h"
#include "app/builtin.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRESET_PREFIX "preset:"
#define BUILTIN_SEQS 32

/* Last component of a path, without trailing slashes; "." and ".." are resolved first. */
static void name_from_dir(const char *dir, char *name, size_t cap)
{
    char *real = realpath(dir, NULL);
    struct str path = str_from_c(real != NULL ? real : dir);
    size_t begin;

    while (path.len > 1 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    begin = path.len;
    while (begin > 0 && path.ptr[begin - 1] != '/') {
        begin--;
    }
    path = str_slice(path, begin, path.len);
    snprintf(name, cap, "%.*s", STR_ARG(path));
    free(real);
}

static enum status builtin_model(struct engine_options *o, struct error *err)
{
    struct buf dir;
    enum status rc;

    buf_init(&dir, sizeof(o->dir) - 1);
    rc = builtin_dir(&dir, err);
    if (rc == OK) {
        snprintf(o->dir, sizeof(o->dir), "%s", buf_c(&dir));
        snprintf(o->name, sizeof(o->name), "kontor-demo");
        o->config.model_dir = o->dir;
        o->builtin = true;
    }
    buf_done(&dir);
    return rc;
}

enum status engine_options_model(struct engine_options *o, const char *word, struct error *err)
{
    size_t prefix = strlen(PRESET_PREFIX);

    if (word == NULL) {
        return builtin_model(o, err);
    }
    if (strncmp(word, PRESET_PREFIX, prefix) == 0) {
        o->config.preset = word + prefix;
        snprintf(o->name, sizeof(o->name), "%s", word + prefix);
        return OK;
    }
    if (strlen(word) >= sizeof(o->dir)) {
        return error_set(err, E_LIMIT, "the path of the model folder is longer than %zu bytes",
                         sizeof(o->dir) - 1);
    }
    snprintf(o->dir, sizeof(o->dir), "%s", word);
    o->config.model_dir = o->dir;
    name_from_dir(word, o->name, sizeof(o->name));
    return OK;
}

static enum engine_dtype read_dtype(const char *word)
{
    static const struct {
        const char *word;
        enum engine_dtype dtype;
    } words[] = {
        {"auto", ENGINE_DTYPE_AUTO},     {"half", ENGINE_DTYPE_F16},  {"float16", ENGINE_DTYPE_F16},
        {"bfloat16", ENGINE_DTYPE_BF16}, {"float", ENGINE_DTYPE_F32}, {"float32", ENGINE_DTYPE_F32},
    };

    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(words[i].word, word) == 0) {
            return words[i].dtype;
        }
    }
    CHECK(!"dtype is a choice of the option table");
}

static enum engine_load_format read_load_format(const char *word)
{
    if (strcmp(word, "dummy") == 0) {
        return ENGINE_LOAD_DUMMY;
    }
    return strcmp(word, "safetensors") == 0 ? ENGINE_LOAD_SAFETENSORS : ENGINE_LOAD_AUTO;
}

/* vLLM's flag takes a path or the template itself; Jinja text has a brace and a percent or
 * brace. */
static void read_template(struct engine_config *c, const char *word)
{
    if (word != NULL && (strstr(word, "{%") != NULL || strstr(word, "{{") != NULL)) {
        c->chat_template_text = word;
    } else {
        c->chat_template = word;
    }
}

static uint32_t count32(const struct option_values *v, const char *name)
{
    uint64_t n = option_count(v, name);

    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n; // the plan refuses such a length
}

enum status engine_options_read(const struct option_values *v, struct engine_options *o,
                                struct error *err)
{
    const char *flag = option_string(v, "model");
    const char *word = option_positional(v);
    struct engine_config *c = &o->config;
    enum status rc;

    memset(o, 0, sizeof(*o));
    engine_config_default(c);
    if (flag != NULL && word != NULL && strcmp(flag, word) != 0) {
        return error_set(err, E_INVALID, "two models are named: %s and --model %s; leave one out",
                         word, flag);
    }
    rc = engine_options_model(o, word != NULL ? word : flag, err);
    if (rc != OK) {
        return rc;
    }
    read_template(c, option_string(v, "chat-template"));
    c->dtype = read_dtype(option_string(v, "dtype"));
    c->load_format = read_load_format(option_string(v, "load-format"));
    c->max_model_len = count32(v, "max-model-len");
    c->max_num_seqs = count32(v, "max-num-seqs");
    c->max_num_batched_tokens = count32(v, "max-num-batched-tokens");
    c->block_tokens = count32(v, "block-size");
    c->kv_cache_bytes = option_count(v, "kv-cache-memory-bytes");
    c->memory_fraction = option_fraction(v, "gpu-memory-utilization");
    c->kv_blocks_override = count32(v, "num-gpu-blocks-override");
    if (o->builtin && c->max_num_seqs == 0) {
        c->max_num_seqs = BUILTIN_SEQS; // a demonstration does not take gigabytes of KV cache
    }
    c->n_threads = count32(v, "threads");
    c->cpu_level = option_string(v, "cpu-level");
    c->seed = option_count(v, "seed");
    if (c->preset != NULL && c->load_format != ENGINE_LOAD_DUMMY) {
        return error_set(err, E_INVALID,
                         "preset:%s is a shape without weights; add --load-format dummy, or name a "
                         "checkpoint folder",
                         c->preset);
    }
    return OK;
}
