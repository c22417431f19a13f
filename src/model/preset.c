#include "model/preset.h"
#include "base/check.h"
#include "base/str.h"

#include <stdio.h>

#define NEAR_DISTANCE 6 // a forgotten "-0414" still finds its model

/* 9B and 32B differ in shape and in the bias of q, k and v; GLM-4 and Z1 only in their training. */
#define SHAPE_COMMON                                                                               \
    .architecture = "Glm4ForCausalLM", .model_type = "glm4", .n_kv_heads = 2, .head_dim = 128,     \
    .rotated = 64, .vocab = 151552, .max_positions = 32768, .rms_eps = 1e-5f,                      \
    .rope_theta = 10000.0, .stored_dtype = DTYPE_BF16, .eos_ids = {151329, 151336, 151338},        \
    .n_eos = 3, .pad_id = 151329
#define SHAPE_9B                                                                                   \
    {                                                                                              \
        SHAPE_COMMON, .n_layers = 40, .hidden = 4096, .ffn_hidden = 13696, .n_heads = 32,          \
                      .attention_bias = true                                                       \
    }
#define SHAPE_32B                                                                                  \
    {                                                                                              \
        SHAPE_COMMON, .n_layers = 61, .hidden = 6144, .ffn_hidden = 23040, .n_heads = 48,          \
                      .attention_bias = false                                                      \
    }

static const struct {
    const char *name;
    struct model_config config;
} presets[] = {
    {"glm-4-9b-0414", SHAPE_9B},
    {"glm-z1-9b-0414", SHAPE_9B},
    {"glm-4-32b-0414", SHAPE_32B},
    {"glm-z1-32b-0414", SHAPE_32B},
};

const char *preset_name(uint32_t idx)
{
    return idx < ARRAY_COUNT(presets) ? presets[idx].name : NULL;
}

static const char *nearest(const char *name)
{
    size_t best = SIZE_MAX;
    const char *found = NULL;

    for (size_t i = 0; i < ARRAY_COUNT(presets); i++) {
        size_t d = str_distance(str_from_c(name), str_from_c(presets[i].name));

        if (d < best) {
            best = d;
            found = presets[i].name;
        }
    }
    return best <= NEAR_DISTANCE ? found : NULL;
}

enum status preset_find(const char *name, struct model_config *ret_config, struct error *err)
{
    char list[256] = "";
    size_t used = 0;
    const char *near;

    for (size_t i = 0; i < ARRAY_COUNT(presets); i++) {
        if (str_eq_nocase(str_from_c(name), str_from_c(presets[i].name))) {
            *ret_config = presets[i].config;
            return OK;
        }
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ",
                                 presets[i].name);
        CHECK(used < sizeof(list));
    }
    near = nearest(name);
    if (near != NULL) {
        return error_set(err, E_NOT_FOUND,
                         "there is no preset \"%.64s\"; did you mean %s? Presets: %s", name, near,
                         list);
    }
    return error_set(err, E_NOT_FOUND, "there is no preset \"%.64s\". Presets: %s", name, list);
}
