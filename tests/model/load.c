/* Loading: damaged and too large values, files that change, tied embeddings, random weights. */
#include "model/dummy.h"
#include "model/glm4.h"
#include "model/load.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/values.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKENS 8

struct loaded {
    struct model *model;
    struct compute *compute;
    float *logits; // [TOKENS, vocab]
};

static void loaded_close(struct loaded *l)
{
    model_destroy(l->model);
    compute_destroy(l->compute);
    free(l->logits);
}

/* Open (sound) and load; `between` may spoil the files after they were opened. */
static enum status load(const struct model_source *source, enum dtype dtype,
                        void (*between)(const char *dir), struct loaded *l, struct error *err)
{
    enum math math = dtype == DTYPE_F32 ? MATH_F32 : MATH_BF16;
    struct model_plan_options plan = {.math = math,
                                      .weight_dtype = dtype,
                                      .max_model_len = TOKENS,
                                      .max_num_seqs = TOKENS,
                                      .max_num_batched_tokens = TOKENS,
                                      .kv_blocks_override = 1};
    struct model_load_options o = {.math = math,
                                   .weight_dtype = dtype,
                                   .max_num_seqs = TOKENS,
                                   .max_num_batched_tokens = TOKENS};
    struct compute_options c = {.math = math, .n_threads = 1, .rows_max = TOKENS};
    struct buf report;

    *l = (struct loaded){.model = NULL};
    buf_init(&report, 65536);
    EXPECT_OK(model_open(source, &l->model, &report, err));
    buf_done(&report);
    c.cols_max = model_cols_max(l->model);
    EXPECT_OK(compute_create(&c, &l->compute, err));
    EXPECT_OK(model_plan(l->model, &plan, &o.plan, err));
    o.compute = l->compute;
    if (between != NULL) {
        between(source->dir);
    }
    return model_load(l->model, &o, err);
}

static void forward(struct loaded *l)
{
    static const int32_t ids[TOKENS] = {5, 1, 4, 1, 5, 9, 2, 6};
    static const int32_t positions[TOKENS] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const uint32_t slots[TOKENS] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const uint32_t block = 0;
    struct batch_seq seq = {.q_len = TOKENS, .kv_len = TOKENS, .blocks = &block};
    struct model_batch batch = {.n_tokens = TOKENS,
                                .ids = ids,
                                .positions = positions,
                                .slots = slots,
                                .n_seqs = 1,
                                .seqs = &seq,
                                .n_logits = TOKENS,
                                .logit_rows = slots};

    l->logits = calloc((size_t)TOKENS * model_config(l->model)->vocab, sizeof(*l->logits));
    EXPECT_TRUE(l->logits != NULL);
    model_forward(l->model, &batch, l->logits);
}

/* A folder with the small float32 checkpoint; `value` replaces one number of the named tensor. */
static void spoiled_folder(struct temp_folder *f, const char *tensor, float value)
{
    struct arena *arena = arena_create((size_t)1 << 20);
    struct safetensors *file = NULL;
    const struct tensor *t;
    struct faults faults;
    struct buf lines;
    char path[512];
    uint32_t n = 0;
    int fd;

    temp_folder_open(f);
    temp_folder_copy(f, "data/glm4-odd/config.json");
    temp_folder_copy(f, "data/glm4-odd/model.safetensors");
    temp_folder_path(f, "model.safetensors", path);
    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    EXPECT_OK(safetensors_open(path, arena, &faults, &file));
    t = safetensors_tensors(file, &n);
    while (strcmp(t->name, tensor) != 0) {
        t++; // the name is there
    }
    fd = open(path, O_WRONLY);
    EXPECT_TRUE(fd >= 0);
    EXPECT_TRUE(pwrite(fd, &value, sizeof(value), (off_t)(t->offset + t->n_bytes - 4)) == 4);
    EXPECT_EQ_INT(close(fd), 0);
    safetensors_close(file);
    buf_done(&lines);
    arena_destroy(arena);
}

static void expect_load_fails(const char *tensor, float value, enum dtype dtype, enum status want,
                              const char *says)
{
    struct temp_folder f;
    struct loaded l;
    struct error err;

    spoiled_folder(&f, tensor, value);
    EXPECT_STATUS(load(&(struct model_source){.dir = f.path}, dtype, NULL, &l, &err), want);
    EXPECT_CONTAINS(err.text, tensor);
    EXPECT_CONTAINS(err.text, says);
    loaded_close(&l);
    temp_folder_close(&f);
}

TEST(nan_and_infinity_in_weights_are_refused_by_name)
{
    expect_load_fails("model.norm.weight", NAN, DTYPE_F32, E_INVALID, "NaN or infinity");
    expect_load_fails("model.layers.1.self_attn.k_proj.weight", INFINITY, DTYPE_F32, E_INVALID,
                      "damaged");
    expect_load_fails("model.embed_tokens.weight", -INFINITY, DTYPE_BF16, E_INVALID, "damaged");
    expect_load_fails("model.layers.2.self_attn.v_proj.bias", NAN, DTYPE_F16, E_INVALID, "damaged");
}

TEST(values_too_large_for_the_target_type_are_refused)
{
    expect_load_fails(
        "model.layers.0.mlp.down_proj.weight", 65520.0f, DTYPE_F16, E_UNSUPPORTED,
        "too large for float16 (1 in the first piece that has any): use --dtype bfloat16");
    expect_load_fails("lm_head.weight", -3.4e38f, DTYPE_BF16, E_UNSUPPORTED,
                      "too large for bfloat16");
}

TEST(the_largest_values_that_fit_are_taken)
{
    struct temp_folder f;
    struct loaded l;
    struct error err;

    spoiled_folder(&f, "model.layers.0.mlp.down_proj.weight", 65519.0f);
    EXPECT_OK(load(&(struct model_source){.dir = f.path}, DTYPE_F16, NULL, &l, &err));
    loaded_close(&l);
    temp_folder_close(&f);
    spoiled_folder(&f, "model.norm.weight", 70000.0f); // vectors stay float32
    EXPECT_OK(load(&(struct model_source){.dir = f.path}, DTYPE_F16, NULL, &l, &err));
    loaded_close(&l);
    temp_folder_close(&f);
}

static void cut_file(const char *dir)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    EXPECT_EQ_INT(truncate(path, 200000), 0);
}

static void touch_file(const char *dir)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    EXPECT_EQ_INT(utimensat(AT_FDCWD, path, (struct timespec[]){{.tv_sec = 1}, {.tv_sec = 1}}, 0),
                  0);
}

TEST(files_that_change_after_they_were_opened_are_refused)
{
    struct temp_folder f;
    struct loaded l;
    struct error err;

    spoiled_folder(&f, "model.norm.weight", 1.0f);
    EXPECT_STATUS(load(&(struct model_source){.dir = f.path}, DTYPE_F32, touch_file, &l, &err),
                  E_INVALID);
    EXPECT_CONTAINS(err.text, "model.safetensors changed while it was read");
    loaded_close(&l);
    EXPECT_STATUS(load(&(struct model_source){.dir = f.path}, DTYPE_F32, cut_file, &l, &err),
                  E_INVALID);
    EXPECT_CONTAINS(err.text, "it became shorter");
    loaded_close(&l);
    temp_folder_close(&f);
}

/* Rewrite the checkpoint of `f`: without lm_head, or with the embedding in its place. */
static void rewrite(const struct temp_folder *f, bool with_head)
{
    struct arena *arena = arena_create((size_t)16 << 20);
    struct temp_tensor tensors[64];
    struct safetensors *file = NULL;
    const struct tensor *t;
    struct faults faults;
    struct buf lines;
    struct error err;
    char shapes[64][96];
    char path[512];
    uint32_t n = 0;
    size_t used = 0;

    temp_folder_path(f, "model.safetensors", path);
    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    EXPECT_OK(safetensors_open(path, arena, &faults, &file));
    t = safetensors_tensors(file, &n);
    EXPECT_TRUE(n < 63);
    for (uint32_t i = 0; i < n; i++) {
        void *bytes = arena_alloc(arena, (size_t)t[i].n_bytes);

        EXPECT_TRUE(bytes != NULL);
        EXPECT_OK(safetensors_read(file, &t[i], 0, t[i].n_bytes, bytes, &err));
        safetensors_shape_text(&t[i], shapes[used], sizeof(shapes[used]));
        if (strcmp(t[i].name, "lm_head.weight") != 0) {
            tensors[used] = (struct temp_tensor){t[i].name, safetensors_dtype_name(t[i].dtype),
                                                 shapes[used], bytes, (size_t)t[i].n_bytes};
            used++;
        }
        if (with_head && strcmp(t[i].name, "model.embed_tokens.weight") == 0) {
            tensors[used] = tensors[used - 1];
            tensors[used++].name = "lm_head.weight";
        }
    }
    safetensors_close(file);
    temp_folder_safetensors(f, "model.safetensors", tensors, used);
    buf_done(&lines);
    arena_destroy(arena);
}

TEST(tied_embeddings_equal_a_copy_of_the_table_as_head)
{
    struct temp_folder tied;
    struct temp_folder copy;
    struct loaded a;
    struct loaded b;
    struct error err;
    size_t vocab;

    spoiled_folder(&tied, "model.norm.weight", 1.0f);
    rewrite(&tied, false);
    temp_folder_edit(&tied, "config.json", "\"tie_word_embeddings\": false",
                     "\"tie_word_embeddings\": true");
    spoiled_folder(&copy, "model.norm.weight", 1.0f);
    rewrite(&copy, true);
    EXPECT_OK(load(&(struct model_source){.dir = tied.path}, DTYPE_BF16, NULL, &a, &err));
    EXPECT_OK(load(&(struct model_source){.dir = copy.path}, DTYPE_BF16, NULL, &b, &err));
    vocab = model_config(a.model)->vocab;
    EXPECT_EQ_U64(model_config(a.model)->n_parameters,
                  model_config(b.model)->n_parameters - vocab * 72);
    forward(&a);
    forward(&b);
    EXPECT_TRUE(memcmp(a.logits, b.logits, TOKENS * vocab * sizeof(float)) == 0);
    EXPECT_EQ_U32(model_first_bad_row(a.logits, TOKENS, (uint32_t)vocab), TOKENS);
    loaded_close(&a);
    loaded_close(&b);
    temp_folder_close(&tied);
    temp_folder_close(&copy);
}

/* At every level the weights take no more than planned, and hardly less. */
TEST(the_plan_covers_what_loading_takes)
{
    static const char *const levels[] = {"ref", "avx2", "avx512", "avx512bf16", "neon"};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    struct model *m = NULL;
    struct error err;

    EXPECT_OK(model_open(&(struct model_source){.preset = "glm-4-9b-0414"}, &m, NULL, &err));
    for (size_t i = 0; i < 15; i++) {
        enum dtype dtype = dtypes[i % 3];
        enum math math = dtype == DTYPE_F32 ? MATH_F32 : MATH_BF16;
        struct compute_options c = {.math = math,
                                    .level = levels[i / 3],
                                    .n_threads = 1,
                                    .rows_max = 1,
                                    .cols_max = 16384};
        struct model_plan_options o = {.math = math,
                                       .weight_dtype = dtype,
                                       .max_num_seqs = 1,
                                       .max_num_batched_tokens = 1,
                                       .memory_bytes = (uint64_t)1 << 40,
                                       .available_bytes = (uint64_t)1 << 40};
        struct compute *compute = NULL;
        struct model_plan plan;
        uint64_t bytes;

        if (compute_create(&c, &compute, &err) != OK) {
            continue; // this machine lacks the level
        }
        EXPECT_OK(model_plan(m, &o, &plan, &err));
        bytes = load_weight_bytes(&glm4_arch, model_config(m), compute_ops(compute), dtype);
        EXPECT_TRUE(bytes <= plan.weight_bytes);
        EXPECT_TRUE((double)bytes >= 0.999 * (double)plan.weight_bytes);
        compute_destroy(compute);
    }
    model_destroy(m);
}

/* ---- random weights ------------------------------------------------------------------------ */

TEST(random_weights_follow_the_seed_and_give_finite_logits)
{
    const char *dir = test_path("data/glm4");
    struct loaded a;
    struct loaded b;
    struct loaded c;
    struct error err;
    size_t n;

    EXPECT_OK(load(&(struct model_source){.dir = dir, .dummy_weights = true, .dummy_seed = 7},
                   DTYPE_BF16, NULL, &a, &err));
    EXPECT_OK(load(&(struct model_source){.dir = dir, .dummy_weights = true, .dummy_seed = 7},
                   DTYPE_BF16, NULL, &b, &err));
    EXPECT_OK(load(&(struct model_source){.dir = dir, .dummy_weights = true, .dummy_seed = 8},
                   DTYPE_BF16, NULL, &c, &err));
    forward(&a);
    forward(&b);
    forward(&c);
    n = (size_t)TOKENS * model_config(a.model)->vocab;
    EXPECT_TRUE(memcmp(a.logits, b.logits, n * sizeof(float)) == 0);
    EXPECT_TRUE(memcmp(a.logits, c.logits, n * sizeof(float)) != 0);
    EXPECT_EQ_U32(model_first_bad_row(a.logits, TOKENS, model_config(a.model)->vocab), TOKENS);
    loaded_close(&a);
    loaded_close(&b);
    loaded_close(&c);
}

TEST(random_weights_do_not_depend_on_the_pieces_they_are_made_in)
{
    struct weight w = {.kind = WEIGHT_MATRIX, .n_rows = 10, .n_cols = 10, .n_parts = 1};
    struct weight_part part = {.name = "x", .n_rows = 10};
    uint16_t whole[100];
    uint16_t pieces[100];
    double sum = 0.0;

    dummy_fill(3, &w, &part, 0, 100, whole);
    for (uint64_t at = 0; at < 100; at += 7) {
        dummy_fill(3, &w, &part, at, 100 - at < 7 ? 100 - at : 7, pieces + at);
    }
    EXPECT_TRUE(memcmp(whole, pieces, sizeof(whole)) == 0);
    for (size_t i = 0; i < 100; i++) {
        float v;

        values_convert(&v, DTYPE_F32, &whole[i], DTYPE_BF16, 1);
        EXPECT_TRUE(fabsf(v) <= 1.7321f / sqrtf(10.0f));
        sum += (double)v * (double)v;
    }
    EXPECT_NEAR(sum / 100.0, 0.1, 0.03); // variance 1 / n_cols
}

TEST(a_preset_without_random_weights_is_not_loaded)
{
    struct temp_folder f;
    struct model *m = NULL;
    struct compute *compute = NULL;
    struct model_load_options o = {.math = MATH_BF16,
                                   .weight_dtype = DTYPE_BF16,
                                   .max_num_seqs = 1,
                                   .max_num_batched_tokens = 1,
                                   .plan = {.kv_blocks = 1, .block_tokens = 16}};
    struct error err;

    temp_folder_open(&f);
    EXPECT_OK(model_open(&(struct model_source){.preset = "glm-4-9b-0414"}, &m, NULL, &err));
    EXPECT_OK(compute_create(&(struct compute_options){.math = MATH_BF16,
                                                       .n_threads = 1,
                                                       .rows_max = 1,
                                                       .cols_max = model_cols_max(m)},
                             &compute, &err));
    o.compute = compute;
    EXPECT_STATUS(model_load(m, &o, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "--load-format dummy");
    model_destroy(m);
    compute_destroy(compute);
    temp_folder_close(&f);
}

/* ---- values -------------------------------------------------------------------------------- */

TEST(conversions_round_to_nearest_even)
{
    static const float in[] = {1.0f, 1.00390625f, 1.01171875f, -0.0f, 65519.0f, 1e-8f};
    static const uint16_t bf16[] = {0x3f80, 0x3f80, 0x3f82, 0x8000, 0x4780, 0x322c};
    static const uint16_t f16[] = {0x3c00, 0x3c04, 0x3c0c, 0x8000, 0x7bff, 0x0000};
    uint16_t out[6];
    float back[6];

    values_convert(out, DTYPE_BF16, in, DTYPE_F32, 6);
    EXPECT_TRUE(memcmp(out, bf16, sizeof(bf16)) == 0);
    values_convert(out, DTYPE_F16, in, DTYPE_F32, 6);
    EXPECT_TRUE(memcmp(out, f16, sizeof(f16)) == 0);
    values_convert(back, DTYPE_F32, f16, DTYPE_F16, 6);
    EXPECT_NEAR((double)back[4], 65504.0, 0.0);
    values_convert(out, DTYPE_BF16, f16, DTYPE_F16, 1);
    EXPECT_EQ_U32(out[0], 0x3f80);
}

TEST(every_half_value_survives_the_way_through_float32)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint16_t half = (uint16_t)bits;
        uint16_t back;
        float wide;

        values_convert(&wide, DTYPE_F32, &half, DTYPE_F16, 1);
        values_convert(&back, DTYPE_F16, &wide, DTYPE_F32, 1);
        EXPECT_TRUE(back == half || isnan(wide));
        values_convert(&wide, DTYPE_F32, &half, DTYPE_BF16, 1);
        values_convert(&back, DTYPE_BF16, &wide, DTYPE_F32, 1);
        EXPECT_TRUE(back == half || isnan(wide));
    }
}

TEST(the_screen_counts_what_cannot_be_represented)
{
    float in[600];
    struct values_screen counts = {0, 0};

    for (size_t i = 0; i < 600; i++) {
        in[i] = 1.0f;
    }
    in[0] = NAN;
    in[300] = -INFINITY;
    in[599] = 65520.0f;
    in[598] = 65519.0f;
    values_screen(in, DTYPE_F32, DTYPE_F16, 600, &counts);
    EXPECT_EQ_U64(counts.n_not_finite, 2);
    EXPECT_EQ_U64(counts.n_overflow, 1);
    counts = (struct values_screen){0, 0};
    values_screen(in, DTYPE_F32, DTYPE_F32, 600, &counts);
    EXPECT_EQ_U64(counts.n_not_finite, 2);
    EXPECT_EQ_U64(counts.n_overflow, 0);
}

/* Every 16-bit pattern, alone among ones at a changing place, against the definition. */
TEST(the_screen_is_right_for_every_pattern_and_type)
{
    static const enum dtype all[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};

    for (uint32_t bits = 0; bits < 65536; bits++) {
        for (size_t from = 1; from < 3; from++) {
            uint16_t in[300];
            float wide;

            for (size_t i = 0; i < 300; i++) {
                in[i] = all[from] == DTYPE_BF16 ? 0x3f80 : 0x3c00;
            }
            in[bits % 300] = (uint16_t)bits;
            values_convert(&wide, DTYPE_F32, &in[bits % 300], all[from], 1);
            for (size_t to = 0; to < 3; to++) {
                struct values_screen counts = {0, 0};
                uint16_t out;
                float back = wide;

                if (to > 0) {
                    values_convert(&out, all[to], &wide, DTYPE_F32, 1);
                    values_convert(&back, DTYPE_F32, &out, all[to], 1);
                }
                values_screen(in, all[from], all[to], 300, &counts);
                EXPECT_EQ_U64(counts.n_not_finite, isfinite(wide) ? UINT64_C(0) : UINT64_C(1));
                EXPECT_EQ_U64(counts.n_overflow, (isfinite(wide) && !isfinite(back)) ? UINT64_C(1) : UINT64_C(0));
            }
        }
    }
}

TEST(bad_rows_are_found)
{
    float logits[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f};

    EXPECT_EQ_U32(model_first_bad_row(logits, 3, 2), 3);
    logits[3] = INFINITY;
    EXPECT_EQ_U32(model_first_bad_row(logits, 3, 2), 1);
    logits[0] = NAN;
    EXPECT_EQ_U32(model_first_bad_row(logits, 3, 2), 0);
}
