#include "model/registry.h"
#include "base/check.h"
#include "model/glm4.h"

static const struct registry_entry entries[] = {
    {"Glm4ForCausalLM", "glm4", "GLM-4-9B-0414, GLM-4-32B-0414, GLM-Z1-9B-0414, GLM-Z1-32B-0414",
     &glm4_arch},
    {"ChatGLMModel", "chatglm", "glm-4-9b, glm-4-9b-chat", NULL},
    {"ChatGLMForConditionalGeneration", "chatglm", "glm-4-9b, glm-4-9b-chat", NULL},
    {"GlmForCausalLM", "glm", "glm-4-9b-hf, glm-4-9b-chat-hf, glm-edge", NULL},
    {"Glm4MoeForCausalLM", "glm4_moe", "GLM-4.5, GLM-4.5-Air, GLM-4.6, GLM-4.7", NULL},
    {"Glm4MoeLiteForCausalLM", "glm4_moe_lite", "GLM-4.7-Flash", NULL},
    {"GlmMoeDsaForCausalLM", "glm_moe_dsa", "GLM-5, GLM-5.1, GLM-5.2, GLM-5.3", NULL},
    {"Glm5NextForConditionalGeneration", "glm5_next", "GLM-5.3-Flash", NULL},
};

const struct registry_entry *registry_find(struct str name, struct str model_type)
{
    for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
        const struct registry_entry *e = &entries[i];
        bool same = name.len > 0 ? str_eq(name, str_from_c(e->name))
                                 : str_eq(model_type, str_from_c(e->model_type));

        if (same) {
            return e;
        }
    }
    return NULL;
}

void registry_supported(struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
        if (entries[i].arch != NULL) {
            buf_printf(out, "%s%s (%s)", first ? "" : ", ", entries[i].name, entries[i].models);
            first = false;
        }
    }
}
