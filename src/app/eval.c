#include "app/eval.h"
#include "app/command.h"
#include "app/eval_io.h"
#include "base/check.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One sequence, alone, in chunks: every chunk is a step of the model with logits for all its rows.
 * Results do not depend on the chunk (batch invariance), so the default only bounds memory. */

#define BLOCK_TOKENS 16
#define GREEDY_MAX 1000000

static const struct option option_table[] = {
    {"model", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR", "Checkpoint folder.", NULL, NULL, 0,
     0},
    {"ids", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "Token ids of the sequence, separated by white space.", NULL, NULL, 0, 0},
    {"logits-out", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "F.npy",
     "Write the logits as a NumPy array, float32 [n_tokens, vocab].", NULL, NULL, 0, 0},
    {"greedy", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N",
     "Print N continued token ids, always the most likely one; end-of-sequence tokens do not "
     "stop it.",
     NULL, NULL, 1, GREEDY_MAX},
    {"dtype", NULL, OPTION_CHOICE, OPTION_HONOUR, "auto", "TYPE",
     "Type of the weights; float32 also computes in float32. auto: bfloat16, fp16 checkpoints "
     "stay fp16.",
     "auto|half|float16|bfloat16|float|float32", NULL, 0, 0},
    {"threads", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N",
     "Compute threads. Default: what affinity and the container's quota allow.", NULL, NULL, 1,
     1024},
    {"chunk", NULL, OPTION_COUNT, OPTION_HONOUR, "256", "N",
     "Tokens per step. Changes memory and speed, not one bit of the result.", NULL, NULL, 1, 65536},
    {"cpu-level", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "LEVEL",
     "Kernel level: ref, avx2, avx512, avx512bf16, neon. Default: the best this machine has.", NULL,
     NULL, 0, 0},
};

const struct option_set eval_options = {
    .usage = "kontor eval --model DIR --ids FILE [--logits-out F.npy] [--greedy N] [options]",
    .about = "Runs a token sequence through a checkpoint and writes its logits, or continues it "
             "greedily. "
             "For comparing with other implementations.",
    .options = option_table,
    .n_options = ARRAY_COUNT(option_table),
    .epilog = "exit codes: 0 done, 1 failed (the message says why), 2 wrong usage",
};

struct eval {
    const char *model_dir;
    const char *logits_path; // or NULL
    uint32_t n_greedy;
    uint32_t chunk;
    enum math math;
    enum dtype dtype;
    const char *level;
    uint32_t n_threads;

    struct model *model;     // owned
    struct compute *compute; // owned
    uint32_t vocab;
    int32_t *ids; // owned, [n_ids + n_greedy]
    uint32_t n_ids;
    uint32_t *blocks;   // owned, 0, 1, 2 ...
    uint32_t *rows;     // owned, [chunk] 0, 1, 2 ...
    uint32_t *slots;    // owned, [chunk]
    int32_t *positions; // owned, [chunk]
    float *logits;      // owned, [chunk, vocab]
    FILE *out;          // owned, or NULL
};

/* ---- set-up -------------------------------------------------------------------------------- */

static void choose_dtype(struct eval *e, const char *word)
{
    enum dtype stored = model_config(e->model)->stored_dtype;

    e->math = MATH_BF16;
    if (word[0] == 'f' && strcmp(word, "float16") != 0) { // float, float32
        e->math = MATH_F32;
        e->dtype = DTYPE_F32;
    } else if (strcmp(word, "half") == 0 || strcmp(word, "float16") == 0) {
        e->dtype = DTYPE_F16;
    } else {
        e->dtype = strcmp(word, "auto") == 0 && stored == DTYPE_F16 ? DTYPE_F16 : DTYPE_BF16;
    }
}

static enum status open_model(struct eval *e, struct error *err)
{
    struct model_source source = {.dir = e->model_dir};
    struct buf report;
    enum status rc;

    buf_init(&report, (size_t)1 << 20);
    rc = model_open(&source, &e->model, &report, err);
    if (rc != OK && report.len > 0) {
        fwrite(report.ptr, 1, report.len, stderr); // all faults, then the summary
    }
    buf_done(&report);
    return rc;
}

static enum status make_plan(const struct eval *e, struct model_plan *ret_plan, struct error *err)
{
    uint32_t length = e->n_ids + e->n_greedy;
    struct model_plan_options o = {.math = e->math,
                                   .weight_dtype = e->dtype,
                                   .max_model_len = length,
                                   .max_num_seqs = e->chunk,
                                   .max_num_batched_tokens = e->chunk,
                                   .block_tokens = BLOCK_TOKENS,
                                   .kv_blocks_override =
                                       (length + BLOCK_TOKENS - 1) / BLOCK_TOKENS};
    uint32_t most = model_config(e->model)->max_positions;

    if (length > most) {
        return error_set(err, E_INVALID,
                         "%" PRIu32 " ids and %" PRIu32 " continued ones are more than the %" PRIu32
                         " positions of the model",
                         e->n_ids, e->n_greedy, most);
    }
    return model_plan(e->model, &o, ret_plan, err);
}

static void show_progress(void *user, double share)
{
    (void)user;
    fprintf(stderr, "\rloading %3.0f %%%s", share * 100.0, share >= 1.0 ? "\n" : "");
}

static enum status load(struct eval *e, struct error *err)
{
    struct model_load_options o = {.math = e->math,
                                   .weight_dtype = e->dtype,
                                   .max_num_seqs = e->chunk,
                                   .max_num_batched_tokens = e->chunk};
    struct compute_options c = {.math = e->math,
                                .level = e->level,
                                .n_threads = e->n_threads,
                                .rows_max = e->chunk,
                                .cols_max = model_cols_max(e->model)};
    enum status rc = make_plan(e, &o.plan, err);

    if (rc == OK) {
        rc = compute_create(&c, &e->compute, err);
    }
    if (rc != OK) {
        return rc;
    }
    o.compute = e->compute;
    o.on_progress = isatty(STDERR_FILENO) ? show_progress : NULL;
    return model_load(e->model, &o, err);
}

static enum status allocate(struct eval *e, struct error *err)
{
    uint32_t n_blocks = (e->n_ids + e->n_greedy + BLOCK_TOKENS - 1) / BLOCK_TOKENS;

    e->blocks = calloc(n_blocks, sizeof(*e->blocks));
    e->rows = calloc(e->chunk, sizeof(*e->rows));
    e->slots = calloc(e->chunk, sizeof(*e->slots));
    e->positions = calloc(e->chunk, sizeof(*e->positions));
    e->logits = calloc((size_t)e->chunk * e->vocab, sizeof(*e->logits));
    if (e->blocks == NULL || e->rows == NULL || e->slots == NULL || e->positions == NULL ||
        e->logits == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the logits; lower --chunk");
    }
    for (uint32_t i = 0; i < n_blocks; i++) {
        e->blocks[i] = i;
    }
    for (uint32_t i = 0; i < e->chunk; i++) {
        e->rows[i] = i;
    }
    return OK;
}

static enum status set_up(struct eval *e, const char *ids_path, const char *dtype,
                          struct error *err)
{
    enum status rc = open_model(e, err);
    int32_t *grown;

    if (rc != OK) {
        return rc;
    }
    choose_dtype(e, dtype);
    e->vocab = model_config(e->model)->vocab;
    rc = eval_io_read_ids(ids_path, e->vocab, &e->ids, &e->n_ids, err);
    if (rc != OK) {
        return rc;
    }
    grown = realloc(e->ids, ((size_t)e->n_ids + e->n_greedy) * sizeof(*e->ids));
    if (grown == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the ids");
    }
    e->ids = grown;
    e->chunk = e->chunk < e->n_ids ? e->chunk : e->n_ids;
    rc = load(e, err);
    return rc == OK ? allocate(e, err) : rc;
}

static void clean_up(struct eval *e)
{
    free(e->logits);
    free(e->positions);
    free(e->slots);
    free(e->rows);
    free(e->blocks);
    free(e->ids);
    model_destroy(e->model);
    compute_destroy(e->compute);
}

/* ---- work ---------------------------------------------------------------------------------- */

/* Tokens [begin, begin + n) of the sequence; logits for all of them. */
static enum status step(struct eval *e, uint32_t begin, uint32_t n, struct error *err)
{
    struct batch_seq seq = {.q_start = 0, .q_len = n, .kv_len = begin + n, .blocks = e->blocks};
    struct model_batch batch = {.n_tokens = n,
                                .ids = e->ids + begin,
                                .positions = e->positions,
                                .slots = e->slots,
                                .n_seqs = 1,
                                .seqs = &seq,
                                .n_logits = n,
                                .logit_rows = e->rows};
    uint32_t bad;

    for (uint32_t i = 0; i < n; i++) {
        e->slots[i] = begin + i; // blocks are 0, 1, 2 ...
        e->positions[i] = i32_from_u32(begin + i);
    }
    model_forward(e->model, &batch, e->logits);
    bad = model_first_bad_row(e->logits, n, e->vocab);
    if (bad < n) {
        return error_set(err, E_INVALID,
                         "the logits of token %" PRIu32
                         " hold NaN or infinity: the weights are damaged or "
                         "the configuration does not belong to them",
                         begin + bad);
    }
    return OK;
}

static enum status run_prompt(struct eval *e, struct error *err)
{
    for (uint32_t begin = 0; begin < e->n_ids; begin += e->chunk) {
        uint32_t n = e->n_ids - begin < e->chunk ? e->n_ids - begin : e->chunk;
        enum status rc = step(e, begin, n, err);

        if (rc == OK && e->out != NULL) {
            rc = eval_io_write(e->out, e->logits_path, e->logits, (size_t)n * e->vocab, err);
        }
        if (rc != OK) {
            return rc;
        }
        if (begin + n == e->n_ids && e->n_greedy > 0) { // keep the last row at the front
            memmove(e->logits, e->logits + (size_t)(n - 1) * e->vocab, e->vocab * sizeof(float));
        }
    }
    return OK;
}

/* The first of the largest. */
static int32_t arg_max(const float *logits, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) {
            best = i;
        }
    }
    return i32_from_u32(best);
}

static enum status run_greedy(struct eval *e, struct error *err)
{
    for (uint32_t i = 0; i < e->n_greedy; i++) {
        int32_t id = arg_max(e->logits, e->vocab);
        enum status rc = OK;

        printf("%s%" PRId32, i == 0 ? "" : " ", id);
        e->ids[e->n_ids + i] = id;
        if (i + 1 < e->n_greedy) {
            rc = step(e, e->n_ids + i, 1, err);
        }
        if (rc != OK) {
            return rc;
        }
    }
    if (e->n_greedy > 0) {
        printf("\n");
    }
    return fflush(stdout) == 0 ? OK : error_set(err, E_IO, "cannot write to standard output");
}

static enum status work(struct eval *e, struct error *err)
{
    struct error late;
    enum status rc = OK;

    if (e->logits_path != NULL) {
        rc = eval_io_create_npy(e->logits_path, e->n_ids, e->vocab, &e->out, err);
    }
    if (rc == OK) {
        rc = run_prompt(e, err);
    }
    if (eval_io_close(e->out, e->logits_path, rc == OK ? err : &late) != OK && rc == OK) {
        rc = err->status;
    }
    return rc == OK ? run_greedy(e, err) : rc;
}

static int run_parsed(const struct option_values *v)
{
    struct eval e = {.model_dir = option_string(v, "model"),
                     .logits_path = option_string(v, "logits-out"),
                     .n_greedy = (uint32_t)option_count(v, "greedy"),
                     .chunk = (uint32_t)option_count(v, "chunk"),
                     .level = option_string(v, "cpu-level"),
                     .n_threads = (uint32_t)option_count(v, "threads")};
    const char *ids_path = option_string(v, "ids");
    struct error err = {.status = OK};
    enum status rc;

    if (e.model_dir == NULL || ids_path == NULL || (e.logits_path == NULL && e.n_greedy == 0)) {
        fprintf(stderr,
                "kontor eval: needs --model DIR, --ids FILE and at least one of --logits-out F.npy "
                "and --greedy N; see kontor eval --help\n");
        return EXIT_CODE_USAGE;
    }
    rc = set_up(&e, ids_path, option_string(v, "dtype"), &err);
    if (rc == OK) {
        rc = work(&e, &err);
    }
    clean_up(&e);
    return rc == OK ? EXIT_CODE_OK : command_failed("eval", err.text);
}

int eval_run(int argc, char **argv)
{
    struct arena *arena = arena_create((size_t)1 << 20);
    struct option_values *v = NULL;
    int code = EXIT_CODE_FAILED;

    if (arena == NULL) {
        return command_failed("eval", "no memory");
    }
    switch (option_parse(&eval_options, argc, argv, arena, &v)) {
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
