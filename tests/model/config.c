/* config.json and generation_config.json: spellings, defaults, and numbers that are refused. */
#include "model/config.h"
#include "model/rope_table.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ARCH "\"architectures\":[\"Glm4ForCausalLM\"],\"model_type\":\"glm4\""
#define SIZES                                                                                      \
    "\"hidden_size\":64,\"num_hidden_layers\":2,\"intermediate_size\":96,"                         \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":100,\"head_dim\":16"
#define REST                                                                                       \
    "\"max_position_embeddings\":256,\"attention_bias\":false,\"rms_norm_eps\":1e-05,"             \
    "\"torch_dtype\":\"bfloat16\",\"eos_token_id\":[7,8]"

struct read {
    struct model_config c;
    uint32_t n_faults;
    uint32_t n_notes;
    enum status first;
    char lines[8192];
};

static struct read read_config(const char *text, const char *generation)
{
    struct read r = {.n_faults = 0};
    struct faults faults;
    struct buf lines;

    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    config_parse(str_from_c(text), &faults, &r.c);
    if (generation != NULL) {
        config_parse_generation(str_from_c(generation), &faults, &r.c);
    }
    r.n_faults = faults.n_faults;
    r.n_notes = faults.n_notes;
    r.first = faults.first.status;
    snprintf(r.lines, sizeof(r.lines), "%s", lines.len > 0 ? buf_c(&lines) : "");
    buf_done(&lines);
    return r;
}

TEST(old_spelling)
{
    struct read r = read_config("{" ARCH "," SIZES "," REST
                                ",\"rope_theta\":20000.0,\"partial_rotary_factor\":0.25,"
                                "\"rope_scaling\":null,\"pad_token_id\":9}",
                                NULL);

    EXPECT_EQ_C_STR(r.lines, "");
    EXPECT_EQ_C_STR(r.c.architecture, "Glm4ForCausalLM");
    EXPECT_EQ_U32(r.c.n_layers, 2);
    EXPECT_EQ_U32(r.c.hidden, 64);
    EXPECT_EQ_U32(r.c.ffn_hidden, 96);
    EXPECT_EQ_U32(r.c.n_heads, 4);
    EXPECT_EQ_U32(r.c.n_kv_heads, 2);
    EXPECT_EQ_U32(r.c.head_dim, 16);
    EXPECT_EQ_U32(r.c.vocab, 100);
    EXPECT_EQ_U32(r.c.max_positions, 256);
    EXPECT_EQ_U32(r.c.rotated, 4);
    EXPECT_NEAR(r.c.rope_theta, 20000.0, 0.0);
    EXPECT_FALSE(r.c.attention_bias);
    EXPECT_FALSE(r.c.tie_embeddings);
    EXPECT_EQ_INT(r.c.stored_dtype, DTYPE_BF16);
    EXPECT_EQ_U32(r.c.n_eos, 2);
    EXPECT_EQ_INT(r.c.eos_ids[1], 8);
    EXPECT_EQ_INT(r.c.pad_id, 9);
    EXPECT_NEAR(r.c.yarn_factor, 0.0, 0.0);
}

TEST(new_spelling)
{
    struct read r =
        read_config("{" ARCH "," SIZES ",\"max_position_embeddings\":256,\"attention_bias\":true,"
                    "\"rms_norm_eps\":1e-05,\"dtype\":\"float16\",\"eos_token_id\":7,"
                    "\"tie_word_embeddings\":true,"
                    "\"rope_parameters\":{\"rope_theta\":20000,\"rope_type\":\"default\","
                    "\"partial_rotary_factor\":0.25}}",
                    NULL);

    EXPECT_EQ_C_STR(r.lines, "");
    EXPECT_EQ_U32(r.c.rotated, 4);
    EXPECT_NEAR(r.c.rope_theta, 20000.0, 0.0);
    EXPECT_TRUE(r.c.attention_bias);
    EXPECT_TRUE(r.c.tie_embeddings);
    EXPECT_EQ_INT(r.c.stored_dtype, DTYPE_F16);
    EXPECT_EQ_U32(r.c.n_eos, 1);
    EXPECT_EQ_INT(r.c.pad_id, -1);
}

TEST(defaults_of_missing_keys_are_the_publishers_and_noted)
{
    struct read r =
        read_config("{" ARCH
                    ",\"hidden_size\":256,\"num_hidden_layers\":2,\"intermediate_size\":96,"
                    "\"num_attention_heads\":4,\"vocab_size\":100}",
                    NULL);

    EXPECT_EQ_U32(r.n_faults, 0);
    EXPECT_EQ_U32(r.c.head_dim, 128);
    EXPECT_EQ_U32(r.c.rotated, 64);
    EXPECT_EQ_U32(r.c.n_kv_heads, 2);
    EXPECT_TRUE(r.c.attention_bias);
    EXPECT_NEAR((double)r.c.rms_eps, 1.5625e-07, 1e-13);
    EXPECT_NEAR(r.c.rope_theta, 10000.0, 0.0);
    EXPECT_EQ_U32(r.c.max_positions, 131072);
    EXPECT_CONTAINS(r.lines, "note: config.json: head_dim is missing, 128 is used");
    EXPECT_CONTAINS(r.lines, "attention_bias is missing, true is used");
    EXPECT_CONTAINS(r.lines, "rms_norm_eps is missing, 1.5625e-07 is used");
}

TEST(architecture_by_model_type_when_the_list_is_missing)
{
    struct read r = read_config("{\"model_type\":\"glm4\"," SIZES "," REST "}", NULL);

    EXPECT_EQ_U32(r.n_faults, 0);
    EXPECT_EQ_C_STR(r.c.architecture, "Glm4ForCausalLM");
}

TEST(known_but_unbuilt_architectures_are_named_with_what_is_built)
{
    static const char *const names[] = {"ChatGLMModel",
                                        "ChatGLMForConditionalGeneration",
                                        "GlmForCausalLM",
                                        "Glm4MoeForCausalLM",
                                        "Glm4MoeLiteForCausalLM",
                                        "GlmMoeDsaForCausalLM",
                                        "Glm5NextForConditionalGeneration"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[256];
        struct read r;

        snprintf(text, sizeof(text), "{\"architectures\":[\"%s\"]}", names[i]);
        r = read_config(text, NULL);
        EXPECT_EQ_U32(r.n_faults, 1);
        EXPECT_STATUS(r.first, E_UNSUPPORTED);
        EXPECT_CONTAINS(r.lines, names[i]);
        EXPECT_CONTAINS(r.lines, "is not built into this version; built in: Glm4ForCausalLM");
    }
}

TEST(unknown_architectures_are_refused)
{
    struct read r = read_config("{\"architectures\":[\"LlamaForCausalLM\"]}", NULL);

    EXPECT_STATUS(r.first, E_UNSUPPORTED);
    EXPECT_CONTAINS(r.lines, "architecture \"LlamaForCausalLM\" is unknown; built in: Glm4For");
    r = read_config("{}", NULL);
    EXPECT_STATUS(r.first, E_INVALID);
}

/* One key of a good configuration replaced or added. */
static struct read with_key(const char *key, const char *value)
{
    static const char good[] = "{" ARCH "," SIZES "," REST "}";
    char text[2048];
    char needle[64];
    const char *at;

    snprintf(needle, sizeof(needle), "\"%s\":", key);
    at = strstr(good, needle);
    if (at == NULL) {
        snprintf(text, sizeof(text), "{\"%s\":%s,%s", key, value, good + 1);
    } else {
        const char *old = at + strlen(needle);
        size_t n = strcspn(old, old[0] == '[' ? "]" : ",}") + (old[0] == '[' ? 1 : 0);

        snprintf(text, sizeof(text), "%.*s%s%s", (int)(old - good), good, value, old + n);
    }
    return read_config(text, NULL);
}

TEST(numbers_out_of_range_are_refused_with_key_and_value)
{
    static const struct {
        const char *key;
        const char *value;
        const char *says;
    } bad[] = {
        {"num_hidden_layers", "0", "num_hidden_layers is 0, but must be a whole number from 1"},
        {"num_hidden_layers", "-3", "num_hidden_layers is -3"},
        {"num_hidden_layers", "1e30", "num_hidden_layers is 1e30"},
        {"num_hidden_layers", "2.5", "num_hidden_layers is 2.5"},
        {"num_hidden_layers", "\"2\"", "num_hidden_layers is \"2\""},
        {"num_hidden_layers", "99999999999999999999", "num_hidden_layers is 99999999999999999999"},
        {"num_hidden_layers", "null", "num_hidden_layers is missing"},
        {"hidden_size", "0", "hidden_size is 0"},
        {"hidden_size", "4294967297", "hidden_size is 4294967297"},
        {"hidden_size", "65", "hidden_size is 65, but must be even"},
        {"hidden_size", "true", "hidden_size is true"},
        {"intermediate_size", "-1", "intermediate_size is -1"},
        {"num_attention_heads", "0", "num_attention_heads is 0"},
        {"num_attention_heads", "5", "must be a multiple of num_key_value_heads (2)"},
        {"num_key_value_heads", "3", "must be a multiple of num_key_value_heads (3)"},
        {"head_dim", "0", "head_dim is 0"},
        {"head_dim", "100000", "head_dim is 100000"},
        {"head_dim", "2", "gives 1 turned dimensions"},
        {"vocab_size", "1e9", "vocab_size is 1e9"},
        {"vocab_size", "5", "eos_token_id is 7"},
        {"max_position_embeddings", "0", "max_position_embeddings is 0"},
        {"rms_norm_eps", "0", "rms_norm_eps is 0"},
        {"rms_norm_eps", "-1e-5", "rms_norm_eps is -1e-5"},
        {"rms_norm_eps", "1e300", "rms_norm_eps is 1e300"},
        {"rope_theta", "0", "rope_theta is 0"},
        {"rope_theta", "1e99", "rope_theta is 1e99"},
        {"partial_rotary_factor", "0", "partial_rotary_factor is 0"},
        {"partial_rotary_factor", "1.5", "partial_rotary_factor is 1.5"},
        {"attention_bias", "1", "attention_bias is 1, but must be true or false"},
        {"eos_token_id", "-7", "eos_token_id is -7"},
        {"eos_token_id", "100", "eos_token_id is 100"},
        {"eos_token_id", "\"x\"", "eos_token_id is \"x\""},
        {"pad_token_id", "100", "pad_token_id is 100"},
        {"torch_dtype", "\"int8\"", "torch_dtype is \"int8\""},
        {"hidden_act", "\"gelu\"", "hidden_act is \"gelu\""},
        {"quantization_config", "{\"quant_method\":\"fp8\"}", "(fp8): quantised checkpoints"},
        {"rope_scaling", "7", "rope_scaling is 7"},
        {"rope_scaling", "{\"type\":\"linear\",\"factor\":2}", "rope_scaling.type is \"linear\""},
        {"rope_scaling", "{\"type\":\"yarn\"}", "rope_scaling.factor is missing"},
        {"rope_scaling", "{\"type\":\"yarn\",\"factor\":0.5}", "rope_scaling.factor is 0.5"},
        {"rope_scaling", "{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":1}", "beta_slow is 1"},
        {"rope_scaling",
         "{\"type\":\"yarn\",\"factor\":4000,\"original_max_position_embeddings\":9999999}",
         "at most 16777216 are possible"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct read r = with_key(bad[i].key, bad[i].value);

        if (r.n_faults == 0) {
            FAIL("accepted: %s = %s", bad[i].key, bad[i].value);
        }
        EXPECT_CONTAINS(r.lines, bad[i].says);
    }
}

TEST(nan_and_infinity_are_refused)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity", "nan", "1e999"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct read r = with_key("rms_norm_eps", words[i]);

        EXPECT_TRUE(r.n_faults > 0);
        EXPECT_CONTAINS(r.lines, "config.json: ");
    }
}

TEST(all_faults_are_reported_together)
{
    struct read r = read_config("{" ARCH ",\"hidden_size\":-1,\"num_hidden_layers\":0}", NULL);

    EXPECT_CONTAINS(r.lines, "hidden_size is -1");
    EXPECT_CONTAINS(r.lines, "num_hidden_layers is 0");
    EXPECT_CONTAINS(r.lines, "intermediate_size is missing");
    EXPECT_CONTAINS(r.lines, "vocab_size is missing");
}

TEST(spellings_that_contradict_each_other_are_refused)
{
    struct read r = read_config("{" ARCH "," SIZES "," REST
                                ",\"rope_theta\":10000,\"rope_parameters\":{\"rope_theta\":20000}}",
                                NULL);

    EXPECT_EQ_U32(r.n_faults, 1);
    EXPECT_CONTAINS(r.lines, "rope_theta is 10000, but rope_parameters.rope_theta is 20000");
}

TEST(texts_that_are_no_objects_are_refused)
{
    static const char *const texts[] = {"",      " ",  "[]", "7", "{", "{\"a\":1,\"a\":2}",
                                        "\"x\"", "{}x"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct read r = read_config(texts[i], NULL);

        EXPECT_TRUE(r.n_faults > 0);
    }
}

TEST(yarn_is_read_and_extends_the_positions)
{
    struct read r = read_config("{" ARCH "," SIZES "," REST
                                ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
                                "\"original_max_position_embeddings\":128,\"beta_fast\":16}}",
                                NULL);

    EXPECT_EQ_U32(r.n_faults, 0);
    EXPECT_NEAR(r.c.yarn_factor, 4.0, 0.0);
    EXPECT_EQ_U32(r.c.yarn_original_positions, 128);
    EXPECT_EQ_U32(r.c.max_positions, 512);
    EXPECT_NEAR(r.c.yarn_beta_fast, 16.0, 0.0);
    EXPECT_NEAR(r.c.yarn_beta_slow, 1.0, 0.0);
    EXPECT_TRUE(r.c.yarn_truncate);
}

TEST(frequencies_follow_the_formula)
{
    struct model_config c = {.rotated = 8, .rope_theta = 10000.0};
    float inv[4];
    float scale;

    rope_table_fill(&c, inv, &scale);
    EXPECT_NEAR((double)inv[0], 1.0, 0.0);
    EXPECT_NEAR((double)inv[1], 0.1, 1e-8);
    EXPECT_NEAR((double)inv[3], 0.001, 1e-10);
    EXPECT_NEAR((double)scale, 1.0, 0.0);
    c.yarn_factor = 4.0;
    c.yarn_original_positions = 64;
    c.yarn_beta_fast = 32.0;
    c.yarn_beta_slow = 1.0;
    c.yarn_truncate = true;
    /* lo = floor(8 ln(64/(64 pi)) / (2 ln 10000)) = -1 -> 0, hi = ceil(8 ln(64/(2 pi)) / ...) =
     * 2 */
    rope_table_fill(&c, inv, &scale);
    EXPECT_NEAR((double)inv[0], 1.0, 0.0);
    EXPECT_NEAR((double)inv[1], 0.1 * 0.5 + 0.1 / 4.0 * 0.5, 1e-8);
    EXPECT_NEAR((double)inv[2], 0.01 / 4.0, 1e-9);
    EXPECT_NEAR((double)inv[3], 0.001 / 4.0, 1e-10);
    EXPECT_NEAR((double)scale, 0.1 * log(4.0) + 1.0, 1e-7);
    c.yarn_attention_factor = 1.25;
    rope_table_fill(&c, inv, &scale);
    EXPECT_NEAR((double)scale, 1.25, 0.0);
}

TEST(generation_config_adds_defaults_and_ends)
{
    const char *good = "{" ARCH "," SIZES "," REST "}";
    struct read r =
        read_config(good,
                    "{\"eos_token_id\":[8,9],\"temperature\":0.8,\"top_p\":0.95,\"top_k\":40}");

    EXPECT_EQ_U32(r.n_faults, 0);
    EXPECT_EQ_U32(r.c.n_eos, 3);
    EXPECT_TRUE(r.c.has_temperature && r.c.has_top_p && r.c.has_top_k);
    EXPECT_NEAR(r.c.temperature, 0.8, 0.0);
    EXPECT_NEAR(r.c.top_p, 0.95, 0.0);
    EXPECT_EQ_INT(r.c.top_k, 40);
    r = read_config(good, "{\"_from_model_config\":true}");
    EXPECT_FALSE(r.c.has_temperature || r.c.has_top_p || r.c.has_top_k);
    r = read_config(good, "{\"temperature\":-1,\"top_p\":0,\"top_k\":1.5,\"eos_token_id\":100}");
    EXPECT_EQ_U32(r.n_faults, 4);
    r = read_config(good, "[");
    EXPECT_CONTAINS(r.lines, "generation_config.json: ");
}
