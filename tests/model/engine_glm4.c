/* The engine over a real checkpoint (random weights, made with transformers): its greedy answers
 * are those of the reference, and an answer does not depend on what runs beside it. */
#include "base/check.h"
#include "engine/engine.h"
#include "model/safetensors.h"
#include "support/test.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROMPTS 4
#define GREEDY 48
#define TOKENS_MAX 160
#define VOCAB 896

/* ---- a folder with weights and tokenizer ---- */

static char folder[] = "/tmp/kontor-engine-XXXXXX";

static void link_file(const char *from, const char *name)
{
    char source[1024];
    char target[1024];
    char *real;

    snprintf(source, sizeof(source), "data/%s/%s", from, name);
    real = realpath(test_path(source), NULL);
    if (real == NULL) {
        FAIL("test data %s is missing", source);
    }
    snprintf(target, sizeof(target), "%s/%s", folder, name);
    CHECK(symlink(real, target) == 0);
    free(real);
}

static const char *const FILES[][2] = {
    {"glm4", "config.json"},
    {"glm4", "generation_config.json"},
    {"glm4", "model-00001-of-00002.safetensors"},
    {"glm4", "model-00002-of-00002.safetensors"},
    {"glm4", "model.safetensors.index.json"},
    {"tokenizer", "tokenizer.json"},
    {"tokenizer", "tokenizer_config.json"},
};

static void remove_folder(void)
{
    char path[1024];

    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, FILES[i][1]);
        unlink(path);
    }
    rmdir(folder);
}

static const char *model_folder(void)
{
    static bool made;

    if (!made) {
        CHECK(mkdtemp(folder) != NULL);
        atexit(remove_folder);
        made = true;
        for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
            link_file(FILES[i][0], FILES[i][1]);
        }
    }
    return folder;
}

/* ---- what transformers computed ---- */

static uint64_t read_expected(const char *name, void *ret_bytes, uint64_t n_max)
{
    struct arena *arena = arena_create(8 << 20);
    struct safetensors *file = NULL;
    struct faults faults;
    struct buf lines;
    struct error err;
    uint32_t n = 0;
    uint64_t n_bytes = 0;
    const struct tensor *t;

    CHECK(arena != NULL);
    buf_init(&lines, 10000);
    faults_init(&faults, &lines);
    if (safetensors_open(test_path("data/glm4/expected.safetensors"), arena, &faults, &file) !=
        OK) {
        FAIL("%s", buf_c(&lines));
    }
    t = safetensors_tensors(file, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(t[i].name, name) == 0) {
            n_bytes = t[i].n_bytes;
            EXPECT_TRUE(n_bytes <= n_max);
            EXPECT_OK(safetensors_read(file, &t[i], 0, n_bytes, ret_bytes, &err));
        }
    }
    EXPECT_TRUE(n_bytes > 0);
    safetensors_close(file);
    buf_done(&lines);
    arena_destroy(arena);
    return n_bytes;
}

struct prompt {
    int32_t ids[TOKENS_MAX];
    uint32_t n_ids;
    int32_t greedy[GREEDY];
};

static void read_prompt(uint32_t i, struct prompt *p)
{
    char name[32];

    snprintf(name, sizeof(name), "p%u.ids", i);
    p->n_ids = (uint32_t)(read_expected(name, p->ids, sizeof(p->ids)) / sizeof(int32_t));
    snprintf(name, sizeof(name), "p%u.greedy", i);
    EXPECT_EQ_U64(read_expected(name, p->greedy, sizeof(p->greedy)), sizeof(p->greedy));
}

/* ---- requests ---- */

struct answer {
    struct chat_request request;
    struct engine_ticket *ticket;
    int32_t ids[TOKENS_MAX];
    float logprobs[TOKENS_MAX];
    uint32_t n_ids;
    struct buf text;
    struct chat_usage usage;
    char failure[1024];
    bool done; // under the lock
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

static void on_event(void *user, const struct chat_event *event)
{
    struct answer *a = user;

    for (uint32_t i = 0; i < event->n_tokens; i++) {
        a->ids[a->n_ids] = event->token_ids[i];
        a->logprobs[a->n_ids++] = event->logprobs[i];
    }
    buf_append_str(&a->text, event->text);
    if (event->kind == CHAT_EVENT_DONE || event->kind == CHAT_EVENT_ERROR) {
        a->usage = event->usage;
        if (event->kind == CHAT_EVENT_ERROR) {
            snprintf(a->failure, sizeof(a->failure), "%s", event->failure->message);
        }
        pthread_mutex_lock(&lock);
        a->done = true;
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&lock);
    }
}

static void submit(struct engine *e, struct answer *a)
{
    struct engine_job job = {.request = &a->request, .on_event = on_event, .user = a};

    buf_init(&a->text, 100000);
    a->request.sampling.logprobs = true;
    EXPECT_OK(engine_submit(e, &job, &a->ticket));
}

static void await(struct engine *e, struct answer *a)
{
    pthread_mutex_lock(&lock);
    while (!a->done) {
        pthread_cond_wait(&wake, &lock);
    }
    pthread_mutex_unlock(&lock);
    engine_release(e, a->ticket);
    EXPECT_EQ_C_STR(a->failure, "");
}

static struct answer *new_answer(void)
{
    struct answer *a = calloc(1, sizeof(*a));

    CHECK(a != NULL);
    chat_sampling_default(&a->request.sampling);
    a->request.sampling.has_temperature = true;
    a->request.sampling.temperature = 0.0;
    a->request.sampling.ignore_eos = true;
    return a;
}

static void free_answer(struct answer *a)
{
    buf_done(&a->text);
    free(a);
}

static struct engine *start(enum engine_dtype dtype, const char *level, uint32_t n_batched_tokens,
                            uint32_t block_tokens)
{
    struct engine_config config;
    struct engine *e = NULL;
    struct error err;

    engine_config_default(&config);
    config.model_dir = model_folder();
    config.chat_template_text = "{% for m in messages %}{{ m['content'] }}{% endfor %}";
    config.dtype = dtype;
    config.cpu_level = level;
    config.max_num_batched_tokens = n_batched_tokens;
    config.max_num_seqs = 8;
    config.block_tokens = block_tokens;
    config.kv_cache_bytes = 16 << 20;
    config.n_threads = 2;
    config.max_model_len = 200;
    if (engine_create(&config, &e, &err) != OK) {
        FAIL("%s", err.text);
    }
    return e;
}

/* ---- tests ---- */

TEST(greedy_answers_are_those_of_the_reference)
{
    struct engine *e = start(ENGINE_DTYPE_F32, NULL, 64, 16);
    struct answer *answers[PROMPTS];
    static struct prompt prompts[PROMPTS];

    for (uint32_t i = 0; i < PROMPTS; i++) {
        read_prompt(i, &prompts[i]);
        answers[i] = new_answer();
        answers[i]->request.prompt_kind = CHAT_PROMPT_IDS;
        answers[i]->request.prompt_ids = prompts[i].ids;
        answers[i]->request.n_prompt_ids = prompts[i].n_ids;
        answers[i]->request.sampling.max_tokens = GREEDY;
        submit(e, answers[i]);
    }
    for (uint32_t i = 0; i < PROMPTS; i++) {
        await(e, answers[i]);
        EXPECT_EQ_U32(answers[i]->n_ids, GREEDY);
        for (uint32_t k = 0; k < GREEDY; k++) {
            EXPECT_EQ_INT(answers[i]->ids[k], prompts[i].greedy[k]);
        }
        free_answer(answers[i]);
    }
    engine_destroy(e);
}

TEST(logprobs_are_those_of_the_reference)
{
    static float logits[TOKENS_MAX * VOCAB];
    struct engine *e = start(ENGINE_DTYPE_F32, NULL, 64, 16);
    struct answer *a = new_answer();
    static struct prompt p;
    const float *last;
    double sum = 0;

    read_prompt(2, &p);
    read_expected("p2.logits_f32", logits, sizeof(logits));
    last = logits + (size_t)(p.n_ids - 1) * VOCAB;
    a->request.prompt_kind = CHAT_PROMPT_IDS;
    a->request.prompt_ids = p.ids;
    a->request.n_prompt_ids = p.n_ids;
    a->request.sampling.max_tokens = 1;
    submit(e, a);
    await(e, a);
    for (uint32_t v = 0; v < VOCAB; v++) {
        sum += exp((double)last[v] - (double)last[p.greedy[0]]);
    }
    EXPECT_NEAR((double)a->logprobs[0], -log(sum), 1e-4);
    free_answer(a);
    engine_destroy(e);
}

static const char *const TEXTS[] = {
    "What is risk?",
    "Was ist ein Fonds?",
    "a",
    "\xE9\x93\xB6\xE8\xA1\x8C",
    "The quick brown fox jumps over the lazy dog and asks the bank for a loan of ten thousand.",
    "0123456789",
    "Zinsen und Zinseszins",
    "def f(x):\n    return x * x\n",
};

static struct answer *new_text_answer(uint32_t i)
{
    struct answer *a = new_answer();
    struct chat_sampling *s = &a->request.sampling;

    a->request.prompt_kind = CHAT_PROMPT_TEXT;
    a->request.prompt_text = str_from_c(TEXTS[i]);
    a->request.add_special_tokens = true;
    s->max_tokens = 20 + 3 * i;
    if (i % 2 == 1) {
        s->temperature = 0.8;
        s->has_seed = true;
        s->seed = i;
        s->has_top_p = true;
        s->top_p = 0.9;
    }
    return a;
}

static void expect_same(const struct answer *a, const struct answer *b)
{
    EXPECT_TRUE(a->n_ids > 0);
    EXPECT_EQ_U32(a->n_ids, b->n_ids);
    EXPECT_EQ_INT(memcmp(a->ids, b->ids, a->n_ids * sizeof(*a->ids)), 0);
    EXPECT_EQ_INT(memcmp(a->logprobs, b->logprobs, a->n_ids * sizeof(*a->logprobs)), 0);
    EXPECT_EQ_STR(buf_str(&a->text), buf_str(&b->text));
}

static void alone_and_together(enum engine_dtype dtype, const char *level)
{
    static const uint32_t SHAPES[][2] = {{8, 16}, {13, 4}, {64, 32}, {512, 1}};
    struct answer *alone[8];
    struct engine *e = start(dtype, level, 512, 16);

    for (uint32_t i = 0; i < 8; i++) {
        alone[i] = new_text_answer(i);
        submit(e, alone[i]);
        await(e, alone[i]);
    }
    engine_destroy(e);
    for (size_t k = 0; k < ARRAY_COUNT(SHAPES); k++) {
        struct answer *together[8];

        e = start(dtype, level, SHAPES[k][0], SHAPES[k][1]);
        for (uint32_t i = 0; i < 8; i++) {
            together[i] = new_text_answer(i);
            submit(e, together[i]);
        }
        for (uint32_t i = 0; i < 8; i++) {
            await(e, together[i]);
        }
        engine_destroy(e);
        for (uint32_t i = 0; i < 8; i++) {
            expect_same(alone[i], together[i]);
            free_answer(together[i]);
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        free_answer(alone[i]);
    }
}

TEST(eight_together_equal_each_alone_in_bfloat16)
{
    alone_and_together(ENGINE_DTYPE_BF16, NULL);
}

TEST(eight_together_equal_each_alone_in_float32)
{
    alone_and_together(ENGINE_DTYPE_F32, NULL);
}

TEST(eight_together_equal_each_alone_on_the_reference_level)
{
    alone_and_together(ENGINE_DTYPE_BF16, "ref");
}

TEST(text_and_ids_of_an_answer_belong_together)
{
    struct engine *e = start(ENGINE_DTYPE_BF16, NULL, 64, 16);
    struct answer *a = new_text_answer(4);
    struct chat_failure failure;
    struct buf ids;
    struct buf text;

    a->request.sampling.skip_special_tokens = false;
    submit(e, a);
    await(e, a);
    buf_init(&ids, 10000);
    buf_init(&text, 10000);
    EXPECT_OK(engine_tokenize(e, str_from_c(TEXTS[4]), true, &ids, &failure));
    EXPECT_EQ_U32(a->usage.prompt_tokens, (uint32_t)(ids.len / sizeof(int32_t)));
    EXPECT_EQ_U32(a->usage.completion_tokens, a->n_ids);
    EXPECT_OK(engine_detokenize(e, a->ids, a->n_ids, &text, &failure));
    EXPECT_EQ_STR(buf_str(&a->text), buf_str(&text));
    for (uint32_t i = 0; i < a->n_ids; i++) {
        EXPECT_TRUE(engine_token_text(e, a->ids[i]).len > 0); // never a padding row
    }
    buf_done(&ids);
    buf_done(&text);
    free_answer(a);
    engine_destroy(e);
}

/* ---- refusals ---- */

static void expect_refused(struct engine_config *config, enum status want, const char *text)
{
    struct engine *e = NULL;
    struct error err;

    EXPECT_STATUS(engine_create(config, &e, &err), want);
    EXPECT_TRUE(e == NULL);
    EXPECT_CONTAINS(err.text, text);
}

TEST(what_cannot_be_served_is_refused_before_loading)
{
    struct engine_config config;

    engine_config_default(&config);
    expect_refused(&config, E_INVALID, "no model is named");
    config.model_dir = "/nonexistent/folder";
    expect_refused(&config, E_NOT_FOUND, "/nonexistent/folder");
    config.model_dir = model_folder();
    expect_refused(&config, E_NOT_FOUND, "--chat-template"); // the folder has none
    config.chat_template = "/nonexistent/template.jinja";
    expect_refused(&config, E_NOT_FOUND, "/nonexistent/template.jinja");
    config.chat_template = NULL;
    config.chat_template_text = "{% for %}";
    expect_refused(&config, E_INVALID, "the given chat template");
    config.chat_template_text = "x";
    config.max_num_seqs = 65;
    config.max_num_batched_tokens = 64;
    expect_refused(&config, E_INVALID, "--max-num-seqs 65");
    config.max_num_seqs = 4;
    config.kv_blocks_override = 2;
    expect_refused(&config, E_LIMIT, "--max-model-len");
}

TEST(a_model_too_large_is_refused_with_shortfall_and_knobs)
{
    struct engine_config config;

    engine_config_default(&config);
    config.preset = "glm-4-32b-0414";
    config.load_format = ENGINE_LOAD_DUMMY;
    config.max_model_len = 32768;
    config.max_num_seqs = 4;
    config.kv_cache_bytes = (uint64_t)1 << 50; // does not fit, however large this machine is
    expect_refused(&config, E_LIMIT, "bytes short");
    expect_refused(&config, E_LIMIT, "--max-model-len");
}
