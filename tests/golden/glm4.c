/* Logits, hidden states and greedy paths of the reference checkpoints, at every kernel level this
 * machine has.  Expectations come from Hugging Face transformers; see tests/data/README.md.
 *
 *   float32   largest logit error <= 1e-4, hidden states <= 1e-5 of their largest value, greedy
 *   equal bfloat16  largest error <= 1.5 times the error of the reference's own bfloat16 run
 *   chunks, other sequences in the batch, cached decoding: the same bits
 */
#include "model/model.h"
#include "model/safetensors.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPTS 4
#define GREEDY 48
#define LENGTH_MAX (100 + GREEDY)
#define BLOCK_TOKENS 16
#define BLOCKS_MAX 32

#define F32_ERROR_MAX 1e-4
#define HIDDEN_ERROR_MAX 1e-5
#define BF16_RATIO_MAX 1.5

static const char *const checkpoints[] = {"data/glm4", "data/glm4-odd", "data/glm4-yarn"};
static const char *const levels[] = {"ref", "avx2", "avx512", "avx512bf16", "neon"};

#define N_CHECKPOINTS (sizeof(checkpoints) / sizeof(checkpoints[0]))
#define N_LEVELS (sizeof(levels) / sizeof(levels[0]))

/* ---- expectations -------------------------------------------------------------------------- */

struct expected {
    struct arena *arena;
    struct safetensors *file;
};

static struct expected expected_open(const char *checkpoint)
{
    struct expected e = {.arena = arena_create((size_t)64 << 20)};
    struct faults faults;
    struct buf lines;
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s/expected.safetensors", test_dir(), checkpoint);
    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    if (safetensors_open(path, e.arena, &faults, &e.file) != OK) {
        FAIL("%s", buf_c(&lines));
    }
    buf_done(&lines);
    return e;
}

static void expected_close(struct expected *e)
{
    safetensors_close(e->file);
    arena_destroy(e->arena);
}

/* The values of p{prompt}.{what}, 4 bytes each; *ret_n of them. */
static void *expected_get(struct expected *e, int prompt, const char *what, size_t *ret_n)
{
    uint32_t n = 0;
    const struct tensor *t = safetensors_tensors(e->file, &n);
    struct error err;
    char name[64];
    void *values;

    snprintf(name, sizeof(name), "p%d.%s", prompt, what);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(t[i].name, name) == 0) {
            values = arena_alloc(e->arena, (size_t)t[i].n_bytes);
            EXPECT_TRUE(values != NULL);
            EXPECT_OK(safetensors_read(e->file, &t[i], 0, t[i].n_bytes, values, &err));
            *ret_n = (size_t)t[i].n_bytes / 4;
            return values;
        }
    }
    FAIL("expected.safetensors has no %s", name);
}

/* ---- runs ---------------------------------------------------------------------------------- */

struct run {
    struct model *model;
    struct compute *compute;
    uint32_t vocab;
};

/* False when this machine lacks the level. */
static bool run_open(struct run *r, const char *checkpoint, const char *level, enum dtype dtype)
{
    enum math math = dtype == DTYPE_F32 ? MATH_F32 : MATH_BF16;
    char dir[4096];
    struct model_source source = {.dir = dir};
    struct model_load_options load = {.math = math,
                                      .weight_dtype = dtype,
                                      .max_num_seqs = LENGTH_MAX,
                                      .max_num_batched_tokens = LENGTH_MAX};
    struct model_plan_options plan = {.math = math,
                                      .weight_dtype = dtype,
                                      .max_model_len = LENGTH_MAX,
                                      .max_num_seqs = LENGTH_MAX,
                                      .max_num_batched_tokens = LENGTH_MAX,
                                      .block_tokens = BLOCK_TOKENS,
                                      .kv_blocks_override = BLOCKS_MAX};
    struct compute_options options = {.math = math,
                                      .level = level,
                                      .n_threads = 2,
                                      .rows_max = LENGTH_MAX};
    struct buf report;
    struct error err;
    enum status rc;

    *r = (struct run){.model = NULL};
    snprintf(dir, sizeof(dir), "%s/%s", test_dir(), checkpoint);
    buf_init(&report, 65536);
    if (model_open(&source, &r->model, &report, &err) != OK) {
        FAIL("%s\n%s", err.text, buf_c(&report));
    }
    buf_done(&report);
    r->vocab = model_config(r->model)->vocab;
    options.cols_max = model_cols_max(r->model);
    rc = compute_create(&options, &r->compute, &err);
    if (rc == E_UNSUPPORTED) {
        model_destroy(r->model);
        return false;
    }
    EXPECT_OK(rc);
    EXPECT_OK(model_plan(r->model, &plan, &load.plan, &err));
    load.compute = r->compute;
    EXPECT_OK(model_load(r->model, &load, &err));
    return true;
}

static void run_close(struct run *r)
{
    model_destroy(r->model);
    compute_destroy(r->compute);
}

/* Tokens [begin, begin + n) of a sequence that uses the blocks first_block, first_block + 2, ...:
 * logits [n, vocab]. */
static void run_step(struct run *r, const int32_t *ids, uint32_t begin, uint32_t n,
                     uint32_t first_block, float *logits)
{
    uint32_t blocks[BLOCKS_MAX];
    int32_t positions[LENGTH_MAX];
    uint32_t slots[LENGTH_MAX];
    uint32_t rows[LENGTH_MAX];
    struct batch_seq seq = {.q_len = n, .kv_len = begin + n, .blocks = blocks};
    struct model_batch batch = {.n_tokens = n,
                                .ids = ids + begin,
                                .positions = positions,
                                .slots = slots,
                                .n_seqs = 1,
                                .seqs = &seq,
                                .n_logits = n,
                                .logit_rows = rows};

    for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
        blocks[i] = (first_block + 2 * i) % BLOCKS_MAX;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = begin + i;

        positions[i] = (int32_t)at;
        slots[i] = blocks[at / BLOCK_TOKENS] * BLOCK_TOKENS + at % BLOCK_TOKENS;
        rows[i] = i;
    }
    model_forward(r->model, &batch, logits);
}

static float *new_logits(const struct run *r, size_t n_rows)
{
    float *logits = calloc(n_rows * r->vocab, sizeof(*logits));

    EXPECT_TRUE(logits != NULL);
    return logits;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double most = 0.0;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);

        most = d > most || isnan(d) ? d : most;
    }
    return most;
}

/* Run `fn` for every checkpoint and every level there is; "ref" must be there. */
static void for_all(enum dtype dtype,
                    void (*fn)(struct run *r, struct expected *e, const char *label))
{
    for (size_t c = 0; c < N_CHECKPOINTS; c++) {
        struct expected e = expected_open(checkpoints[c]);
        bool any = false;

        for (size_t l = 0; l < N_LEVELS; l++) {
            struct run r;
            char label[64];

            if (run_open(&r, checkpoints[c], levels[l], dtype)) {
                snprintf(label, sizeof(label), "%s %s", checkpoints[c], levels[l]);
                fn(&r, &e, label);
                run_close(&r);
                any = true;
            }
        }
        EXPECT_TRUE(any);
        expected_close(&e);
    }
}

/* ---- tests --------------------------------------------------------------------------------- */

static void check_f32(struct run *r, struct expected *e, const char *label)
{
    for (int p = 0; p < PROMPTS; p++) {
        size_t n_ids = 0;
        size_t n = 0;
        const int32_t *ids = expected_get(e, p, "ids", &n_ids);
        const float *want = expected_get(e, p, "logits_f32", &n);
        float *got = new_logits(r, n_ids);
        double error;

        run_step(r, ids, 0, (uint32_t)n_ids, 0, got);
        error = largest_difference(got, want, n);
        printf("# %s float32 p%d: largest logit error %.3g\n", label, p, error);
        EXPECT_EQ_SIZE(n, n_ids * r->vocab);
        EXPECT_TRUE(error <= F32_ERROR_MAX);
        free(got);
    }
}

TEST(float32_logits_match)
{
    for_all(DTYPE_F32, check_f32);
}

static void check_half(struct run *r, struct expected *e, const char *label)
{
    for (int p = 0; p < PROMPTS; p++) {
        size_t n_ids = 0;
        size_t n = 0;
        const int32_t *ids = expected_get(e, p, "ids", &n_ids);
        const float *exact = expected_get(e, p, "logits_f32", &n);
        const float *theirs = expected_get(e, p, "logits_bf16", &n);
        float *got = new_logits(r, n_ids);
        double allowed = BF16_RATIO_MAX * largest_difference(theirs, exact, n);
        double error;

        run_step(r, ids, 0, (uint32_t)n_ids, 0, got);
        error = largest_difference(got, exact, n);
        printf("# %s p%d: largest logit error %.3g, allowed %.3g\n", label, p, error, allowed);
        EXPECT_TRUE(error <= allowed);
        free(got);
    }
}

TEST(bfloat16_errors_are_no_larger_than_the_references)
{
    for_all(DTYPE_BF16, check_half);
}

TEST(float16_weights_do_as_well_as_bfloat16)
{
    for_all(DTYPE_F16, check_half);
}

struct hidden_check {
    const float *want; // [n_layers + 1, n_tokens, hidden]
    double error;      // largest, relative to the layer's largest value
    uint32_t n_layers;
};

static void compare_hidden(void *user, uint32_t layer, struct rows h)
{
    struct hidden_check *c = user;
    const float *want = c->want + (size_t)layer * h.n_rows * h.n_cols;
    double largest = 1.0;

    for (size_t i = 0; i < (size_t)h.n_rows * h.n_cols; i++) {
        largest = fabs((double)want[i]) > largest ? fabs((double)want[i]) : largest;
    }
    for (uint32_t t = 0; t < h.n_rows; t++) {
        double d =
            largest_difference(h.ptr + (size_t)t * h.stride, want + (size_t)t * h.n_cols, h.n_cols);

        c->error = d / largest > c->error || isnan(d) ? d / largest : c->error;
    }
    c->n_layers++;
}

static void check_hidden(struct run *r, struct expected *e, const char *label)
{
    struct hidden_check c = {.want = NULL};
    size_t n_ids = 0;
    size_t n = 0;
    const int32_t *ids = expected_get(e, 1, "ids", &n_ids);
    float *logits = new_logits(r, n_ids);

    c.want = expected_get(e, 1, "hidden_f32", &n);
    EXPECT_EQ_SIZE(n,
                   (model_config(r->model)->n_layers + 1) * n_ids * model_config(r->model)->hidden);
    model_observe_hidden(r->model, compare_hidden, &c);
    run_step(r, ids, 0, (uint32_t)n_ids, 0, logits);
    printf("# %s float32 p1: largest relative error of hidden states %.3g\n", label, c.error);
    EXPECT_EQ_U32(c.n_layers, model_config(r->model)->n_layers + 1);
    EXPECT_TRUE(c.error <= HIDDEN_ERROR_MAX);
    free(logits);
}

TEST(float32_hidden_states_match_layer_by_layer)
{
    for_all(DTYPE_F32, check_hidden);
}

static int32_t arg_max(const float *logits, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return (int32_t)best;
}

/* Greedy with cache equals the reference, and its logits equal those of one pass over all
 * tokens. */
static void check_greedy(struct run *r, struct expected *e, const char *label)
{
    for (int p = 0; p < PROMPTS; p++) {
        size_t n_prompt = 0;
        size_t n = 0;
        const int32_t *prompt = expected_get(e, p, "ids", &n_prompt);
        const int32_t *want = expected_get(e, p, "greedy", &n);
        uint32_t n_ids = (uint32_t)n_prompt;
        int32_t ids[LENGTH_MAX];
        float *cached = new_logits(r, LENGTH_MAX);
        float *whole = new_logits(r, LENGTH_MAX);

        EXPECT_EQ_SIZE(n, GREEDY);
        memcpy(ids, prompt, n_prompt * sizeof(*ids));
        run_step(r, ids, 0, n_ids, 0, cached);
        for (uint32_t i = 0; i < GREEDY; i++) {
            ids[n_ids] = arg_max(cached + (size_t)(n_ids - 1) * r->vocab, r->vocab);
            if (ids[n_ids] != want[i]) {
                FAIL("%s p%d: continued id %u is %d, not %d", label, p, i, ids[n_ids], want[i]);
            }
            run_step(r, ids, n_ids, 1, 0, cached + (size_t)n_ids * r->vocab);
            n_ids++;
        }
        run_step(r, ids, 0, n_ids, 1, whole);
        EXPECT_TRUE(memcmp(cached, whole, (size_t)n_ids * r->vocab * sizeof(*whole)) == 0);
        free(cached);
        free(whole);
    }
}

TEST(float32_greedy_matches_and_cache_equals_recompute)
{
    for_all(DTYPE_F32, check_greedy);
}

static void check_chunks(struct run *r, struct expected *e, const char *label)
{
    static const uint32_t chunks[] = {1, 3, 16, 64};
    size_t n_ids = 0;
    const int32_t *ids = expected_get(e, 3, "ids", &n_ids);
    float *whole = new_logits(r, n_ids);
    float *parts = new_logits(r, n_ids);

    run_step(r, ids, 0, (uint32_t)n_ids, 0, whole);
    for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
        memset(parts, 0, n_ids * r->vocab * sizeof(*parts));
        for (uint32_t begin = 0; begin < n_ids; begin += chunks[c]) {
            uint32_t n = (uint32_t)n_ids - begin < chunks[c] ? (uint32_t)n_ids - begin : chunks[c];

            run_step(r, ids, begin, n, 1, parts + (size_t)begin * r->vocab);
        }
        if (memcmp(whole, parts, n_ids * r->vocab * sizeof(*parts)) != 0) {
            FAIL("%s: chunks of %u change the logits", label, chunks[c]);
        }
    }
    free(whole);
    free(parts);
}

TEST(float32_chunks_do_not_change_a_bit)
{
    for_all(DTYPE_F32, check_chunks);
}

TEST(bfloat16_chunks_do_not_change_a_bit)
{
    for_all(DTYPE_BF16, check_chunks);
}

/* p1, p2 and p3 in one ragged step against each of them alone. */
static void check_batch(struct run *r, struct expected *e, const char *label)
{
    uint32_t blocks[3][BLOCKS_MAX];
    struct batch_seq seqs[3];
    int32_t ids[LENGTH_MAX];
    int32_t positions[LENGTH_MAX];
    uint32_t slots[LENGTH_MAX];
    uint32_t rows[LENGTH_MAX];
    struct model_batch batch = {.ids = ids,
                                .positions = positions,
                                .slots = slots,
                                .n_seqs = 3,
                                .seqs = seqs,
                                .logit_rows = rows};
    float *together = new_logits(r, LENGTH_MAX);
    float *alone = new_logits(r, LENGTH_MAX);
    uint32_t next_block = 0;

    for (uint32_t s = 0; s < 3; s++) {
        size_t n_prompt = 0;
        const int32_t *prompt = expected_get(e, (int)s + 1, "ids", &n_prompt);

        seqs[s] = (struct batch_seq){.q_start = batch.n_tokens,
                                     .q_len = (uint32_t)n_prompt,
                                     .kv_len = (uint32_t)n_prompt,
                                     .blocks = blocks[s]};
        for (uint32_t i = 0; i < n_prompt; i++) {
            if (i % BLOCK_TOKENS == 0) {
                blocks[s][i / BLOCK_TOKENS] = BLOCKS_MAX - 1 - next_block++;
            }
            ids[batch.n_tokens] = prompt[i];
            positions[batch.n_tokens] = (int32_t)i;
            slots[batch.n_tokens] = blocks[s][i / BLOCK_TOKENS] * BLOCK_TOKENS + i % BLOCK_TOKENS;
            rows[batch.n_tokens] = batch.n_tokens;
            batch.n_tokens++;
        }
    }
    batch.n_logits = batch.n_tokens;
    model_forward(r->model, &batch, together);
    for (uint32_t s = 0; s < 3; s++) {
        run_step(r, ids + seqs[s].q_start, 0, seqs[s].q_len, 0, alone);
        if (memcmp(alone, together + (size_t)seqs[s].q_start * r->vocab,
                   (size_t)seqs[s].q_len * r->vocab * sizeof(*alone)) != 0) {
            FAIL("%s: sequence %u gets other logits in a batch", label, s);
        }
    }
    free(together);
    free(alone);
}

TEST(bfloat16_neighbours_in_a_batch_do_not_change_a_bit)
{
    for_all(DTYPE_BF16, check_batch);
}

TEST(only_wanted_rows_get_logits)
{
    struct expected e = expected_open("data/glm4");
    size_t n_ids = 0;
    const int32_t *ids = expected_get(&e, 1, "ids", &n_ids);
    int32_t positions[] = {0, 1, 2, 3, 4, 5, 6};
    uint32_t slots[] = {0, 1, 2, 3, 4, 5, 6};
    uint32_t blocks[] = {0};
    uint32_t rows[] = {6, 2};
    struct batch_seq seq = {.q_len = 7, .kv_len = 7, .blocks = blocks};
    struct model_batch batch = {.n_tokens = 7,
                                .ids = ids,
                                .positions = positions,
                                .slots = slots,
                                .n_seqs = 1,
                                .seqs = &seq,
                                .n_logits = 2,
                                .logit_rows = rows};
    struct run r;
    float *all;
    float *two;

    EXPECT_TRUE(run_open(&r, "data/glm4", "ref", DTYPE_F32));
    all = new_logits(&r, 7);
    two = new_logits(&r, 2);
    run_step(&r, ids, 0, 7, 0, all);
    model_forward(r.model, &batch, two);
    EXPECT_TRUE(memcmp(two, all + 6 * (size_t)r.vocab, r.vocab * sizeof(*two)) == 0);
    EXPECT_TRUE(memcmp(two + r.vocab, all + 2 * (size_t)r.vocab, r.vocab * sizeof(*two)) == 0);
    batch.n_logits = 0;
    model_forward(r.model, &batch, two); // a prefill chunk that wants none
    free(all);
    free(two);
    run_close(&r);
    expected_close(&e);
}
