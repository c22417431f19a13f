/* Values of the published config.json files; sources and how far each is confirmed:
 * docs/plan.md. */
#include "doctor/shape.h"
#include "base/check.h"

#include <stdio.h>

#define VOCAB_A 151552 // GLM-4 ... GLM-4.7
#define VOCAB_B 154880 // GLM-4.7-Flash, GLM-5.x

/* Strings in parentheses do not initialise arrays. */
// NOLINTBEGIN(bugprone-macro-parentheses)
#define DENSE(title, type, layers, width, ffn, heads, kv, bias, norms, positions)                  \
    {                                                                                              \
        .name = title, .model_type = type, .kind = SHAPE_GQA, .n_layers = layers, .hidden = width, \
        .ffn_hidden = ffn, .n_heads = heads, .n_kv_heads = kv, .head_dim = 128, .vocab = VOCAB_A,  \
        .max_positions = positions, .qkv_bias = bias, .norms_per_layer = norms,                    \
        .n_dense_layers = layers                                                                   \
    }
#define MOE(title, layers, width, ffn, norm, dense, experts, expert_width, positions)              \
    {                                                                                              \
        .name = title, .model_type = "glm4_moe", .kind = SHAPE_GQA, .n_layers = layers,            \
        .hidden = width, .ffn_hidden = ffn, .n_heads = 96, .n_kv_heads = 8, .head_dim = 128,       \
        .vocab = VOCAB_A, .max_positions = positions, .qkv_bias = true, .qk_norm = norm,           \
        .norms_per_layer = 2, .n_dense_layers = dense, .n_experts = experts,                       \
        .experts_per_token = 8, .n_shared_experts = 1, .expert_hidden = expert_width               \
    }
#define DSA(title, index_layers, positions)                                                        \
    {                                                                                              \
        .name = title, .model_type = "glm_moe_dsa", .kind = SHAPE_MLA, .n_layers = 78,             \
        .hidden = 6144, .ffn_hidden = 12288, .n_heads = 64, .n_kv_heads = 64, .vocab = VOCAB_B,    \
        .max_positions = positions, .norms_per_layer = 2, .n_dense_layers = 3, .n_experts = 256,   \
        .experts_per_token = 8, .n_shared_experts = 1, .expert_hidden = 2048, .q_rank = 2048,      \
        .kv_rank = 512, .qk_nope = 192, .qk_rope = 64, .v_dim = 256,                               \
        .n_index_layers = index_layers, .index_heads = 32, .index_dim = 128                        \
    }
// NOLINTEND(bugprone-macro-parentheses)

static const struct shape shapes[] = {
    DENSE("glm-4-9b-chat", "chatglm", 40, 4096, 13696, 32, 2, true, 2, 131072),
    DENSE("glm-4-9b-chat-1m", "chatglm", 40, 4096, 13696, 32, 4, true, 2, 1048576),
    DENSE("glm-4-9b-chat-hf", "glm", 40, 4096, 13696, 32, 2, true, 2, 131072),
    DENSE("glm-4-9b-0414", "glm4", 40, 4096, 13696, 32, 2, true, 4, 32768),
    DENSE("glm-z1-9b-0414", "glm4", 40, 4096, 13696, 32, 2, true, 4, 32768),
    DENSE("glm-4-32b-0414", "glm4", 61, 6144, 23040, 48, 2, false, 4, 32768),
    DENSE("glm-z1-32b-0414", "glm4", 61, 6144, 23040, 48, 2, false, 4, 32768),
    MOE("glm-4.5", 92, 5120, 12288, true, 3, 160, 1536, 131072),
    MOE("glm-4.5-air", 46, 4096, 10944, false, 1, 128, 1408, 131072),
    MOE("glm-4.6", 92, 5120, 12288, true, 3, 160, 1536, 202752),
    MOE("glm-4.7", 92, 5120, 12288, true, 3, 160, 1536, 202752),
    {.name = "glm-4.7-flash",
     .model_type = "glm4_moe_lite",
     .kind = SHAPE_MLA,
     .n_layers = 47,
     .hidden = 2048,
     .ffn_hidden = 10240,
     .n_heads = 20,
     .n_kv_heads = 20,
     .vocab = VOCAB_B,
     .max_positions = 202752,
     .norms_per_layer = 2,
     .n_dense_layers = 1,
     .n_experts = 64,
     .experts_per_token = 4,
     .n_shared_experts = 1,
     .expert_hidden = 1536,
     .q_rank = 768,
     .kv_rank = 512,
     .qk_nope = 192,
     .qk_rope = 64,
     .v_dim = 256},
    DSA("glm-5", 78, 202752),
    DSA("glm-5.1", 78, 202752),
    DSA("glm-5.2", 21, 1048576),
    DSA("glm-5.3", 21, 1048576),
    {.name = "glm-5.3-flash",
     .model_type = "glm5_next",
     .kind = SHAPE_NEXT,
     .n_layers = 45,
     .hidden = 4096,
     .ffn_hidden = 12288,
     .n_heads = 64,
     .n_kv_heads = 64,
     .vocab = VOCAB_B,
     .max_positions = 1048576,
     .norms_per_layer = 2,
     .n_dense_layers = 3,
     .n_experts = 288,
     .experts_per_token = 8,
     .n_shared_experts = 1,
     .expert_hidden = 2048,
     .q_rank = 1536,
     .kv_rank = 512,
     .qk_nope = 256,
     .v_dim = 256,
     .n_index_layers = 11,
     .index_heads = 32,
     .index_dim = 128,
     .index_pool = 4,
     .n_mla_layers = 11,
     .kda_heads = 64,
     .kda_dim = 128,
     .kda_conv = 4,
     .residual_streams = 4},
};

uint32_t shape_count(void)
{
    return ARRAY_COUNT(shapes);
}

const struct shape *shape_at(uint32_t idx)
{
    return idx < ARRAY_COUNT(shapes) ? &shapes[idx] : NULL;
}

enum status shape_find(struct str name, struct shape *ret_shape, struct error *err)
{
    char list[512] = "";
    size_t used = 0;
    size_t best = SIZE_MAX;
    const char *near = shapes[0].name;

    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        struct str have = str_from_c(shapes[i].name);
        size_t d = str_distance(name, have);

        if (str_eq_nocase(name, have)) {
            *ret_shape = shapes[i];
            return OK;
        }
        if (d < best) {
            best = d;
            near = shapes[i].name;
        }
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ",
                                 shapes[i].name);
        CHECK(used < sizeof(list));
    }
    return error_set(err, E_NOT_FOUND,
                     "there is no preset \"%.*s\" (nearest: %s) and no such folder; presets: %s",
                     STR_ARG(name), near, list);
}
