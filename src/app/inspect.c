#include "app/inspect.h"
#include "app/builtin.h"
#include "app/command.h"
#include "app/inspect_view.h"
#include "base/check.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PRESET_PREFIX "preset:"
#define REPORT_BYTES_MAX ((size_t)1 << 20)
#define OUTPUT_BYTES_MAX ((size_t)256 << 20)

static const struct option option_table[] = {
    {"builtin-path", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Print the folder of the built-in model and stop.", NULL, NULL, 0, 0},
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL, "One JSON object instead of text.", NULL,
     NULL, 0, 0},
    {"all-tensors", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "One line per tensor instead of one per kind.", NULL, NULL, 0, 0},
    {"dtype", NULL, OPTION_CHOICE, OPTION_HONOUR, "auto", "TYPE",
     "Type of the weights for the memory plan.", "auto|half|float16|bfloat16|float|float32", NULL,
     0, 0},
    {"max-model-len", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N",
     "For the memory plan. Default: what the checkpoint says.", NULL, NULL, 1, 4294967295.0},
    {"max-num-seqs", NULL, OPTION_COUNT, OPTION_HONOUR, "256", "N", "For the memory plan.", NULL,
     NULL, 1, 4096},
    {"max-num-batched-tokens", NULL, OPTION_COUNT, OPTION_HONOUR, "2048", "N",
     "For the memory plan.", NULL, NULL, 1, 1048576},
    {"block-size", NULL, OPTION_COUNT, OPTION_HONOUR, "16", "N", "For the memory plan.", NULL, NULL,
     8, 256},
    {"kv-cache-memory-bytes", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "BYTES",
     "For the memory plan. Default: half of what is free after the weights, at most 4 GiB.", NULL,
     NULL, 0, 0},
    {"gpu-memory-utilization", NULL, OPTION_FRACTION, OPTION_HONOUR, "0.92", "SHARE",
     "For the memory plan: share of the memory that may be used.", NULL, NULL, 0.01, 1},
};

const struct option_set inspect_options = {
    .usage = "kontor inspect DIR|preset:NAME [options]",
    .about =
        "Shows what a checkpoint folder holds: architecture, parameters, tensors, the memory it "
        "needs, "
        "and every fault of the folder in one report.",
    .positional = "DIR",
    .options = option_table,
    .n_options = ARRAY_COUNT(option_table),
    .epilog = "exit codes: 0 sound, 1 the folder has faults or the model does not fit into memory, "
              "2 wrong "
              "usage",
};

struct inspect {
    const struct option_values *v;
    struct model *model; // owned, or NULL
    struct buf report;
    struct model_plan plan;
    struct error plan_error;
    struct inspect_view view;
};

static enum status print_builtin_path(struct error *err)
{
    struct buf dir;
    enum status rc;

    buf_init(&dir, 65536);
    rc = builtin_dir(&dir, err);
    if (rc == OK) {
        printf("%s\n", buf_c(&dir));
    }
    buf_done(&dir);
    return rc;
}

/* The dtype the weights get in memory, as `serve` chooses it. */
static enum dtype choose_dtype(const char *word, enum dtype stored)
{
    if (strcmp(word, "auto") == 0) {
        return stored == DTYPE_F16 ? DTYPE_F16 : DTYPE_BF16;
    }
    if (strcmp(word, "float") == 0 || strcmp(word, "float32") == 0) {
        return DTYPE_F32;
    }
    return strcmp(word, "bfloat16") == 0 ? DTYPE_BF16 : DTYPE_F16;
}

static void make_plan(struct inspect *i)
{
    const struct option_values *v = i->v;
    const struct model_config *c = model_config(i->model);
    enum dtype dtype = choose_dtype(option_string(v, "dtype"), c->stored_dtype);
    struct model_plan_options o = {.math = dtype == DTYPE_F32 ? MATH_F32 : MATH_BF16,
                                   .weight_dtype = dtype,
                                   .max_model_len = (uint32_t)option_count(v, "max-model-len"),
                                   .max_num_seqs = (uint32_t)option_count(v, "max-num-seqs"),
                                   .max_num_batched_tokens =
                                       (uint32_t)option_count(v, "max-num-batched-tokens"),
                                   .block_tokens = (uint32_t)option_count(v, "block-size"),
                                   .kv_cache_bytes = option_count(v, "kv-cache-memory-bytes"),
                                   .memory_fraction = option_fraction(v, "gpu-memory-utilization")};
    enum status rc = model_plan(i->model, &o, &i->plan, &i->plan_error);

    i->view.weight_dtype = dtype;
    i->view.max_model_len = o.max_model_len == 0 ? c->max_positions : o.max_model_len;
    i->view.max_num_seqs = o.max_num_seqs;
    if (rc == OK || rc == E_LIMIT) {
        i->view.plan = &i->plan;
    }
    i->view.plan_problem = rc == OK ? NULL : i->plan_error.text;
}

/* A folder that is to be served needs a tokenizer; `eval` does without, so this is not the
 * model's. */
static void check_tokenizer(struct inspect *i, const char *dir)
{
    struct tokenizer *t = NULL;
    struct error err;
    enum status rc = tokenizer_load(dir, &t, &err);

    if (rc == E_NOT_FOUND) {
        buf_printf(&i->report,
                   "note: tokenizer.json: is missing; eval works without, serve and chat do not\n");
    } else if (rc != OK) {
        buf_printf(&i->report, "%s\n", err.text);
    } else if (tokenizer_count(t) > model_config(i->model)->vocab) {
        buf_printf(&i->report,
                   "tokenizer.json: has %" PRIu32 " tokens, the model only %" PRIu32
                   " rows: it belongs to another model\n",
                   tokenizer_count(t), model_config(i->model)->vocab);
    }
    tokenizer_destroy(t);
}

static void examine(struct inspect *i, const char *word)
{
    struct model_source source = {.dir = word};
    struct error err = {.status = OK};
    enum status rc;

    if (strncmp(word, PRESET_PREFIX, strlen(PRESET_PREFIX)) == 0) {
        source =
            (struct model_source){.preset = word + strlen(PRESET_PREFIX), .dummy_weights = true};
    }
    rc = model_examine(&source, &i->model, &i->report, &err);
    if (rc != OK && i->model == NULL) {
        buf_printf(&i->report, "%s\n", err.text);
        return;
    }
    i->view.config = model_config(i->model);
    i->view.has_shape = i->view.config->n_parameters > 0;
    i->view.checkpoint = model_checkpoint(i->model);
    if (rc == OK) {
        make_plan(i);
    }
    if (i->view.has_shape && source.dir != NULL) {
        check_tokenizer(i, source.dir);
    }
}

static int show(struct inspect *i)
{
    bool sound = inspect_view_faults(buf_str(&i->report)) == 0 && i->view.plan_problem == NULL;
    struct buf out;
    enum status rc;

    i->view.report = buf_str(&i->report);
    buf_init(&out, OUTPUT_BYTES_MAX);
    if (option_flag(i->v, "json")) {
        inspect_view_json(&i->view, &out);
    } else {
        inspect_view_text(&i->view, &out);
    }
    rc = buf_status(&out);
    if (rc == OK && (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        rc = E_IO;
    }
    buf_done(&out);
    if (rc != OK) {
        return command_failed("inspect", rc == E_IO ? "cannot write to standard output"
                                                    : "the report is too large");
    }
    return sound ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static int run_parsed(const struct option_values *v)
{
    const char *word = option_positional(v);
    struct inspect i = {.v = v};
    struct error err;
    int code;

    if (option_flag(v, "builtin-path")) {
        return print_builtin_path(&err) == OK ? EXIT_CODE_OK : command_failed("inspect", err.text);
    }
    if (word == NULL) {
        fprintf(
            stderr,
            "kontor inspect: name a checkpoint folder or preset:NAME; see kontor inspect --help\n");
        return EXIT_CODE_USAGE;
    }
    buf_init(&i.report, REPORT_BYTES_MAX);
    i.view.source = word;
    i.view.all_tensors = option_flag(v, "all-tensors");
    examine(&i, word);
    code = show(&i);
    buf_done(&i.report);
    model_destroy(i.model);
    return code;
}

int inspect_run(int argc, char **argv)
{
    struct arena *arena = arena_create((size_t)1 << 20);
    struct option_values *v = NULL;
    int code = EXIT_CODE_FAILED;

    if (arena == NULL) {
        return command_failed("inspect", "no memory");
    }
    switch (option_parse(&inspect_options, argc, argv, arena, &v)) {
    case OPTION_RUN:
        code = run_parsed(v);
        break;
    case OPTION_EXIT_0:
        code = EXIT_CODE_OK;
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    }
    arena_destroy(arena);
    return code;
}
