/* Plans computed by hand from the published shapes; each figure's arithmetic stands beside it. */
#include "base/check.h"
#include "doctor/sizing.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static struct shape shape_named(const char *name)
{
    struct shape s;
    struct error err;

    EXPECT_OK(shape_find(str_from_c(name), &s, &err));
    return s;
}

TEST(parameter_counts_are_the_published_ones)
{
    static const struct {
        const char *name;
        double billions; // to the last digit given
    } models[] = {
        {"glm-4-9b-chat", 9.400}, {"glm-4-9b-0414", 9.400}, {"glm-4-32b-0414", 32.566},
        {"glm-4.5", 352.8},       {"glm-4.5-air", 106.9},   {"glm-4.7-flash", 29.94},
        {"glm-5", 743.9},         {"glm-5.2", 743.4},       {"glm-5.3-flash", 313.3},
    };

    for (size_t i = 0; i < ARRAY_COUNT(models); i++) {
        struct shape s = shape_named(models[i].name);

        EXPECT_NEAR((double)sizing_parameters(&s) / 1e9, models[i].billions,
                    models[i].billions < 40 ? 0.005 : 0.05);
    }
}

/* model, tp, pp: KV bytes per token and rank; state bytes per sequence and rank */
TEST(kv_bytes_of_twelve_plans)
{
    static const struct {
        const char *name;
        uint32_t tp, pp;
        uint64_t kv;
        uint64_t state;
    } plans[] = {
        {"glm-4-9b-chat", 4, 1, 20480, 0},    // 2 * 1 head (copied) * 128 * 2 bytes * 40 layers
        {"glm-4-9b-chat", 1, 1, 40960, 0},    // 2 * 2 * 128 * 2 * 40
        {"glm-4-9b-chat", 2, 1, 20480, 0},    // 2 * 1 * 128 * 2 * 40
        {"glm-4-9b-chat-1m", 2, 1, 40960, 0}, // 2 * 2 * 128 * 2 * 40
        {"glm-4-32b-0414", 4, 1, 31232, 0},   // 2 * 1 * 128 * 2 * 61
        {"glm-4.5", 8, 1, 47104, 0},          // 2 * 1 * 128 * 2 * 92
        {"glm-4.5", 8, 2, 23552, 0},          // half of the layers
        {"glm-4.5-air", 4, 1, 47104, 0},      // 2 * 2 * 128 * 2 * 46
        {"glm-4.7-flash", 4, 1, 54144, 0},    // (512 + 64) * 2 * 47, on every rank
        {"glm-5", 8, 1, 109824, 0},           // 576 * 2 * 78 + 128 * 2 * 78
        {"glm-5.2", 8, 1, 95232, 0},          // 576 * 2 * 78 + 128 * 2 * 21
        // 512 * 2 * 11 + 128 * 2 * 11 * 5/4; 34 KDA layers * (64*128*128 + 3*8192*3) * 4 bytes / 8
        {"glm-5.3-flash", 8, 1, 14784, 19079168},
    };

    for (size_t i = 0; i < ARRAY_COUNT(plans); i++) {
        struct shape s = shape_named(plans[i].name);

        EXPECT_EQ_U64(sizing_kv_bytes_per_token(&s, plans[i].tp, plans[i].pp), plans[i].kv);
        EXPECT_EQ_U64(sizing_state_bytes(&s, plans[i].tp, plans[i].pp), plans[i].state);
    }
}

/* Per rank of GLM-4-9B at TP 4: per layer q 1024*4096+1024, k and v one copied head each
 * 2*(128*4096+128), o 4096*1024, mlp 3*4096*3424, norms 2*4096 whole; 40 layers; a quarter of both
 * embeddings 2*151552*4096/4; two bytes each. */
TEST(weights_of_a_rank_count_copied_heads_and_whole_norms)
{
    struct shape s = shape_named("glm-4-9b-chat");
    uint64_t layer =
        1024 * 4096 + 1024 + 2 * (128 * 4096 + 128) + 4096 * 1024 + 3 * 4096 * 3424 + 2 * 4096;
    uint64_t embeddings = UINT64_C(2) * 151552 * 4096 / 4;

    EXPECT_EQ_U64(sizing_weight_bytes(&s, 4, 1, 16), (40 * layer + embeddings) * 2);
}

static struct sizing_request request(const char *model, const char *card, uint32_t n_cards,
                                     uint32_t len, uint32_t concurrency)
{
    struct sizing_request r = {.shape = shape_named(model),
                               .n_cards = n_cards,
                               .max_model_len = len,
                               .concurrency = concurrency,
                               .weight_bits = 16,
                               .memory_fraction = 0.92};
    struct error err;

    EXPECT_OK(card_find(str_from_c(card), &r.card, &err));
    return r;
}

TEST(the_first_installation_fits)
{
    struct sizing_request r = request("glm-4-9b-chat", "910b", 4, 8192, 32);
    struct sizing z;
    struct error err;

    EXPECT_OK(sizing_compute(&r, &z, &err));
    EXPECT_EQ_U32(z.tp, 4);
    EXPECT_EQ_U64(z.kv_bytes, UINT64_C(20480) * 8192 * 32); // 5.37 GB
    EXPECT_TRUE(z.fitting_sequences >= 32);
    EXPECT_TRUE(z.decode_tokens_s > 0);
}

TEST(what_does_not_fit_says_how_many_bytes_are_missing)
{
    struct sizing_request r = request("glm-4.5", "a100", 2, 8192, 1);
    struct sizing z;
    struct error err;

    EXPECT_STATUS(sizing_compute(&r, &z, &err), E_LIMIT);
    EXPECT_EQ_U64(z.shortfall_bytes, z.needed_bytes - z.allowed_bytes);
    EXPECT_TRUE(strstr(err.text, "bytes per rank short") != NULL);
}

TEST(heads_decide_the_layout)
{
    struct sizing_request r = request("glm-4.7-flash", "h100", 8, 4096, 1);
    struct sizing z;
    struct error err;

    EXPECT_OK(sizing_compute(&r, &z, &err));
    EXPECT_EQ_U32(z.tp, 4); // 20 heads: 8 does not divide them
    EXPECT_EQ_U32(z.pp, 2);
    r.tp = 8;
    EXPECT_STATUS(sizing_compute(&r, &z, &err), E_INVALID);
}

TEST(expert_width_that_straddles_ranks_asks_for_expert_parallel)
{
    struct sizing_request r = request("glm-4.5-air", "910b", 8, 4096, 1);
    struct sizing z;
    struct error err;

    EXPECT_OK(sizing_compute(&r, &z, &err));
    EXPECT_TRUE(z.expert_parallel); // 1408 / 8 = 176
}

TEST(unknown_names_get_the_nearest)
{
    struct shape s;
    const struct card *c;
    struct error err;

    EXPECT_STATUS(shape_find(STR("glm-4.5-ari"), &s, &err), E_NOT_FOUND);
    EXPECT_TRUE(strstr(err.text, "nearest: glm-4.5-air") != NULL);
    EXPECT_STATUS(card_find(STR("910b5"), &c, &err), E_NOT_FOUND);
    EXPECT_TRUE(strstr(err.text, "nearest: 910b") != NULL);
}

TEST(a_length_beyond_the_model_is_refused)
{
    struct sizing_request r = request("glm-4-9b-0414", "910b", 1, 40000, 1);
    struct sizing z;
    struct error err;

    EXPECT_STATUS(sizing_compute(&r, &z, &err), E_INVALID);
}

TEST(config_files_of_every_type_are_read)
{
    static const char *const folders[] = {"glm4", "glm4-odd"};
    char path[4096];

    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        struct shape s;
        struct error err;

        snprintf(path, sizeof(path), "data/%s", folders[i]);
        EXPECT_OK(shape_read(test_path(path), &s, &err));
        EXPECT_EQ_C_STR(s.model_type, "glm4");
    }
}

/* A folder of published configs: facts/glm/<model>/config*.json. */
TEST(published_configs_give_the_presets_again)
{
    static const struct {
        const char *file;
        const char *preset;
    } pairs[] = {
        {"glm-4.5/config.json", "glm-4.5"},
        {"glm-4.5-air/config.reconstructed.json", "glm-4.5-air"},
        {"glm-5.2/config.transcribed.json", "glm-5.2"},
        {"glm-5.3-flash/config.reconstructed.json", "glm-5.3-flash"},
    };
    const char *material = test_material();
    char path[4096];

    if (material == NULL) {
        SKIP("no material");
    }
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        struct shape want = shape_named(pairs[i].preset);
        struct shape got;
        struct error err;

        snprintf(path, sizeof(path), "%s/glm/%s", material, pairs[i].file);
        EXPECT_OK(shape_read(path, &got, &err));
        EXPECT_EQ_U64(sizing_parameters(&got), sizing_parameters(&want));
        EXPECT_EQ_U64(sizing_kv_bytes_per_token(&got, 8, 1),
                      sizing_kv_bytes_per_token(&want, 8, 1));
    }
}
