/* Whole checkpoint folders with something wrong: model_open() reports everything and gives no
 * model. */
#include "base/check.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARD_1 "model-00001-of-00002.safetensors"
#define SHARD_2 "model-00002-of-00002.safetensors"
#define INDEX "model.safetensors.index.json"

struct opened {
    enum status rc;
    char lines[65536];
    char error[ERROR_TEXT_MAX];
    uint32_t n_faults; // lines that are no notes
};

static void open_dir(const char *dir, struct opened *o)
{
    struct model_source source = {.dir = dir};
    struct model *m = NULL;
    struct error err = {.status = OK};
    struct buf report;

    buf_init(&report, sizeof(o->lines) - 1);
    o->rc = model_open(&source, &m, &report, &err);
    EXPECT_TRUE((m != NULL) == (o->rc == OK));
    snprintf(o->lines, sizeof(o->lines), "%s", report.len > 0 ? buf_c(&report) : "");
    snprintf(o->error, sizeof(o->error), "%s", o->rc == OK ? "" : err.text);
    o->n_faults = 0;
    for (const char *p = o->lines; *p != '\0'; p = strchr(p, '\n') + 1) {
        o->n_faults += strncmp(p, "note: ", 6) != 0;
    }
    model_destroy(m);
    buf_done(&report);
}

static void copy_sharded(struct temp_folder *f)
{
    temp_folder_open(f);
    temp_folder_copy(f, "data/glm4/config.json");
    temp_folder_copy(f, "data/glm4/generation_config.json");
    temp_folder_copy(f, "data/glm4/" INDEX);
    temp_folder_copy(f, "data/glm4/" SHARD_1);
    temp_folder_copy(f, "data/glm4/" SHARD_2);
}

static void copy_single(struct temp_folder *f)
{
    temp_folder_open(f);
    temp_folder_copy(f, "data/glm4-odd/config.json");
    temp_folder_copy(f, "data/glm4-odd/model.safetensors");
}

TEST(sound_folders_open_without_a_line)
{
    struct temp_folder f;
    struct opened o;

    copy_sharded(&f);
    open_dir(f.path, &o);
    EXPECT_EQ_C_STR(o.error, "");
    EXPECT_EQ_C_STR(o.lines, "");
    temp_folder_close(&f);
    copy_single(&f);
    open_dir(f.path, &o);
    EXPECT_EQ_C_STR(o.lines, "");
    EXPECT_OK(o.rc);
    temp_folder_close(&f);
}

TEST(folders_that_are_none)
{
    struct temp_folder f;
    struct opened o;
    char path[512];

    temp_folder_open(&f);
    temp_folder_path(&f, "absent", path);
    open_dir(path, &o);
    EXPECT_STATUS(o.rc, E_NOT_FOUND);
    EXPECT_CONTAINS(o.error, "No such file");
    temp_folder_text(&f, "file", "x");
    temp_folder_path(&f, "file", path);
    open_dir(path, &o);
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_CONTAINS(o.error, "is a file; name the folder");
    temp_folder_remove(&f, "file");
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_NOT_FOUND);
    EXPECT_CONTAINS(o.lines, "config.json: cannot open");
    EXPECT_CONTAINS(o.lines, "model.safetensors: is missing, and so is " INDEX);
    temp_folder_close(&f);
}

TEST(a_folder_in_the_place_of_a_file)
{
    struct temp_folder f;
    struct opened o;
    char path[512];

    copy_single(&f);
    temp_folder_remove(&f, "config.json");
    temp_folder_remove(&f, "model.safetensors");
    temp_folder_path(&f, "config.json", path);
    EXPECT_EQ_INT(mkdir(path, 0700), 0);
    temp_folder_path(&f, "model.safetensors", path);
    EXPECT_EQ_INT(mkdir(path, 0700), 0);
    open_dir(f.path, &o);
    EXPECT_CONTAINS(o.lines, "config.json: is not a file");
    EXPECT_CONTAINS(o.lines, "model.safetensors: is a folder, not a file");
    EXPECT_EQ_U32(o.n_faults, 2);
    temp_folder_close(&f);
}

TEST(other_weight_formats_are_named)
{
    struct temp_folder f;
    struct opened o;

    copy_single(&f);
    temp_folder_remove(&f, "model.safetensors");
    temp_folder_text(&f, "pytorch_model.bin", "x");
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_NOT_FOUND);
    EXPECT_CONTAINS(o.lines, "pytorch_model.bin is there, but only safetensors files are read");
    temp_folder_close(&f);
}

TEST(missing_and_cut_shards_are_reported_together)
{
    struct temp_folder f;
    struct opened o;
    char path[512];

    copy_sharded(&f);
    temp_folder_remove(&f, SHARD_1);
    temp_folder_path(&f, SHARD_2, path);
    EXPECT_EQ_INT(truncate(path, 400000), 0);
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_NOT_FOUND);
    EXPECT_CONTAINS(o.lines, SHARD_1 ": is missing (the index places ");
    EXPECT_CONTAINS(o.lines, SHARD_2 ": tensor ");
    EXPECT_CONTAINS(o.lines, "cut off?");
    EXPECT_CONTAINS(o.error, "faults, the first: " SHARD_1);
    EXPECT_TRUE(str_find(str_from_c(o.lines), STR("expected BF16"), 0) == SIZE_MAX); // said once
    temp_folder_close(&f);
}

TEST(an_empty_shard)
{
    struct temp_folder f;
    struct opened o;

    copy_sharded(&f);
    temp_folder_text(&f, SHARD_2, "");
    open_dir(f.path, &o);
    EXPECT_CONTAINS(o.lines, SHARD_2 ": the file has 0 bytes");
    temp_folder_close(&f);
}

TEST(bad_indices)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"", "index.json: "},
        {"{}", "has no weight_map"},
        {"{\"weight_map\":[]}", "has no weight_map"},
        {"{\"weight_map\":{}}", "has no weight_map"},
        {"{\"weight_map\":{\"a\":7}}", "tensor a: the file must be the plain name"},
        {"{\"weight_map\":{\"a\":\"../" SHARD_1 "\"}}", "must be the plain name"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "must be the plain name"},
        {"{\"weight_map\":{\"a\":\".\"}}", "must be the plain name"},
        {"{\"weight_map\":{\"a\":\"x\\u001b[31m\"}}", "must be the plain name"},
        {"{\"weight_map\":{\"a\":\"" SHARD_1 "\"}}",
         "tensor a should be in " SHARD_1 ", but is not"},
        {"{\"weight_map\":{\"model.norm.weight\":\"" SHARD_1 "\",\"x\":\"" SHARD_2 "\"}}",
         "tensor model.norm.weight should be in " SHARD_1 ", but is in " SHARD_2},
        {"{\"weight_map\":{\"a\":\"" SHARD_1 "\",\"a\":\"" SHARD_2 "\"}}", "index.json: "},
    };
    struct temp_folder f;
    struct opened o;

    copy_sharded(&f);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        temp_folder_text(&f, INDEX, bad[i].text);
        open_dir(f.path, &o);
        EXPECT_TRUE(o.rc != OK);
        EXPECT_CONTAINS(o.lines, bad[i].says);
    }
    temp_folder_close(&f);
}

TEST(stray_files_and_tensors_are_notes)
{
    struct temp_folder f;
    struct opened o;

    copy_sharded(&f);
    temp_folder_safetensors(&f, "model-extra.safetensors",
                            &(struct temp_tensor){"x", "F32", "[1]", (float[]){1.0f}, 4}, 1);
    open_dir(f.path, &o);
    EXPECT_OK(o.rc);
    EXPECT_CONTAINS(o.lines, "note: model-extra.safetensors: is not in the index and is not read");
    temp_folder_edit(&f, INDEX, "\"lm_head.weight\"",
                     "\"other.weight\": \"model-extra.safetensors\",\n    \"lm_head.weight\"");
    open_dir(f.path, &o);
    EXPECT_CONTAINS(o.lines,
                    INDEX ": tensor other.weight should be in model-extra.safetensors, but is not");
    temp_folder_edit(&f, INDEX, "other.weight", "x");
    open_dir(f.path, &o);
    EXPECT_OK(o.rc);
    EXPECT_CONTAINS(o.lines, "note: x: is not part of the model and is not read");
    temp_folder_close(&f);
}

TEST(the_same_tensor_in_two_shards)
{
    struct temp_folder f;
    struct opened o;
    float zeros[96] = {0};

    copy_sharded(&f);
    temp_folder_safetensors(&f, "model-extra.safetensors",
                            &(struct temp_tensor){"model.norm.weight", "F32", "[96]", zeros,
                                                  sizeof(zeros)},
                            1);
    temp_folder_edit(&f, INDEX, "\"lm_head.weight\"",
                     "\"y\": \"model-extra.safetensors\",\n    \"lm_head.weight\"");
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_CONTAINS(o.lines, "tensor model.norm.weight is in ");
    temp_folder_close(&f);
}

TEST(wrong_dtype_shape_and_absence_are_reported_together)
{
    struct temp_folder f;
    struct opened o;

    copy_single(&f); // in the header only: the sizes stay as they are
    temp_folder_edit(&f, "model.safetensors", "\"model.norm.weight\":{\"dtype\":\"F32\"",
                     "\"model.norm.weight\":{\"dtype\":\"I32\"");
    temp_folder_edit(&f, "model.safetensors", "\"shape\":[896,72]", "\"shape\":[72,896]");
    temp_folder_edit(&f, "model.safetensors", "model.layers.1.self_attn.o_proj.weight",
                     "model.layers.1.self_attn.x_proj.weight");
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_EQ_U32(o.n_faults, 3);
    EXPECT_CONTAINS(
        o.lines,
        "model.norm.weight: expected BF16, F16 or F32 [72], found I32 [72] in model.safetensors");
    EXPECT_CONTAINS(o.lines, "expected BF16, F16 or F32 [896, 72], found F32 [72, 896] in ");
    EXPECT_CONTAINS(
        o.lines,
        "model.layers.1.self_attn.o_proj.weight: is missing; expected BF16, F16 or F32 [72, 144]");
    EXPECT_CONTAINS(o.lines,
                    "note: model.layers.1.self_attn.x_proj.weight: is not part of the model");
    temp_folder_close(&f);
}

TEST(a_configuration_that_does_not_describe_the_weights)
{
    struct temp_folder f;
    struct opened o;

    copy_single(&f);
    temp_folder_edit(&f, "config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_CONTAINS(o.lines,
                    "model.layers.2.mlp.down_proj.weight: is there, but config.json says that the "
                    "model has 2 layers");
    temp_folder_edit(&f, "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4");
    open_dir(f.path, &o);
    EXPECT_CONTAINS(o.lines, "model.layers.3.mlp.down_proj.weight: is missing");
    temp_folder_edit(&f, "config.json", "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 3");
    temp_folder_edit(&f, "config.json", "\"attention_bias\": true", "\"attention_bias\": false");
    open_dir(f.path, &o);
    EXPECT_CONTAINS(
        o.lines,
        "self_attn.q_proj.bias: is there, but config.json describes a model without this bias");
    EXPECT_EQ_U32(o.n_faults, 9);
    temp_folder_edit(&f, "config.json", "\"attention_bias\": false", "\"attention_bias\": true");
    temp_folder_edit(&f, "config.json", "\"vocab_size\": 896", "\"vocab_size\": 900");
    open_dir(f.path, &o);
    EXPECT_CONTAINS(o.lines,
                    "lm_head.weight: expected BF16, F16 or F32 [900, 72], found F32 [896, 72]");
    temp_folder_close(&f);
}

TEST(an_unsupported_architecture_is_said_before_its_tensors_are_judged)
{
    struct temp_folder f;
    struct opened o;

    copy_single(&f);
    temp_folder_edit(&f, "config.json", "Glm4ForCausalLM", "Glm4MoeForCausalLM");
    open_dir(f.path, &o);
    EXPECT_STATUS(o.rc, E_UNSUPPORTED);
    EXPECT_EQ_U32(o.n_faults, 1);
    temp_folder_close(&f);
}

TEST(examine_gives_what_can_be_seen_of_a_faulty_folder)
{
    struct temp_folder f;
    struct model *m = NULL;
    struct error err;
    struct buf report;
    char path[512];

    copy_sharded(&f);
    temp_folder_remove(&f, SHARD_1);
    temp_folder_path(&f, "none", path);
    buf_init(&report, 65536);
    EXPECT_STATUS(model_examine(&(struct model_source){.dir = f.path}, &m, &report, &err),
                  E_NOT_FOUND);
    EXPECT_TRUE(m != NULL);
    EXPECT_EQ_U32(model_config(m)->n_layers, 4);
    EXPECT_EQ_U64(model_config(m)->n_parameters, 462432);
    EXPECT_TRUE(checkpoint_tensor_count(model_checkpoint(m)) > 10);
    model_destroy(m);
    buf_done(&report);
    temp_folder_close(&f);
}

TEST(presets_have_the_published_sizes)
{
    static const struct {
        const char *name;
        uint64_t n_parameters;
    } sizes[] = {{"glm-4-9b-0414", 9400279040},
                 {"glm-z1-9b-0414", 9400279040},
                 {"GLM-4-32B-0414", 32566081536},
                 {"glm-z1-32b-0414", 32566081536}};
    struct model *m = NULL;
    struct error err;

    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        EXPECT_OK(model_open(&(struct model_source){.preset = sizes[i].name}, &m, NULL, &err));
        EXPECT_EQ_U64(model_config(m)->n_parameters, sizes[i].n_parameters);
        model_destroy(m);
    }
    EXPECT_STATUS(model_open(&(struct model_source){.preset = "glm-4-9b"}, &m, NULL, &err),
                  E_NOT_FOUND);
    EXPECT_CONTAINS(err.text, "did you mean glm-4-9b-0414? Presets: glm-4-9b-0414, ");
    EXPECT_STATUS(model_open(&(struct model_source){.preset = "llama"}, &m, NULL, &err),
                  E_NOT_FOUND);
    EXPECT_CONTAINS(err.text, "there is no preset \"llama\". Presets: ");
    EXPECT_STATUS(model_open(&(struct model_source){.preset = NULL}, &m, NULL, &err), E_INVALID);
}

TEST(report_lines_stay_lines_whatever_names_hold)
{
    struct faults faults;
    struct buf lines;

    buf_init(&lines, 4096);
    faults_init(&faults, &lines);
    faults_add(&faults, E_INVALID, "a\nb", "%s", "x\x1b[31m\r\xc2\x9bz\x7f \xc3\xbc");
    faults_note(&faults, "", "%s", "only\ttext");
    EXPECT_EQ_C_STR(buf_c(&lines), "a?b: x?[31m???z? \xc3\xbc\nnote: only?text\n");
    EXPECT_EQ_C_STR(faults.first.text, "a?b: x?[31m???z? \xc3\xbc");
    buf_done(&lines);
}

TEST(a_flood_of_faults_is_counted_and_not_printed)
{
    struct faults faults;
    struct error err;
    struct buf lines;
    uint32_t n = 0;

    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    for (uint32_t i = 0; i < 1000; i++) {
        faults_add(&faults, E_LIMIT, "f", "fault %" PRIu32, i);
    }
    for (const char *p = buf_c(&lines); *p != '\0'; p = strchr(p, '\n') + 1) {
        n++;
    }
    EXPECT_EQ_U32(n, FAULTS_LINES_MAX + 1);
    EXPECT_STATUS(faults_status(&faults, "dir", &err), E_LIMIT);
    EXPECT_EQ_C_STR(err.text, "dir: 1000 faults, the first: f: fault 0");
    buf_done(&lines);
}
