/* The engine on a synthetic glm4 of 1.2 GB in bfloat16: decode of 1 and 8 streams, prefill of 512
 * and 4096 tokens, and what a plain reader of memory reaches with as many threads in the same run.
 *
 *   build/bench/engine [--cpu] [FOLDER [THREADS]]    a folder with config.json; weights are not
 *   read
 *
 * --cpu: processor time of one thread, for a machine that others use as well.
 *
 * Ends with 1 when an answer beside seven others differs in a bit of a logprob from the same
 * alone. */
#include "base/check.h"
#include "base/hash.h"
#include "compute/memory.h"
#include "compute/pool.h"
#include "engine/engine.h"
#include "limits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAMS 8
#define PROMPT_MAX 4096
#define ANSWER 48
#define ROUNDS 3
#define READER_BYTES ((size_t)1 << 30)
#define THREADS_MAX 64
#define READER_ROUNDS 5

/* 10 layers of 47.2 M and 2 x 67 M for embedding and head: 606 M parameters, 1.2 GB. */
static const char CONFIG[] =
    "{\"architectures\": [\"Glm4ForCausalLM\"], \"model_type\": \"glm4\", \"head_dim\": 128,\n"
    " \"attention_bias\": false, \"eos_token_id\": [0], \"hidden_size\": 2048,\n"
    " \"hidden_act\": \"silu\", \"intermediate_size\": 6144, \"max_position_embeddings\": 8192,\n"
    " \"num_attention_heads\": 16, \"num_hidden_layers\": 10, \"num_key_value_heads\": 2,\n"
    " \"partial_rotary_factor\": 0.5, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0,\n"
    " \"pad_token_id\": 0, \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\",\n"
    " \"vocab_size\": 32768}\n";
#define EMBEDDING_BYTES (2.0 * 32768 * 2048) // a step reads rows of it only

/* ---- plain reader ---- */

/* Bytes per second of the best round, over memory like that of the weights. */
static double reader_rate(uint32_t n_threads)
{
    void *bytes = memory_alloc(READER_BYTES);
    struct pool *pool = NULL;
    double best = 0;

    CHECK(bytes != NULL && pool_create(n_threads, n_threads, &pool, NULL) == OK);
    memset(bytes, 1, READER_BYTES);
    for (int round = 0; round < READER_ROUNDS; round++) {
        double rate = (double)READER_BYTES / limits_read_s(pool, bytes, READER_BYTES);

        best = rate > best ? rate : best;
    }
    pool_destroy(pool);
    memory_free(bytes, READER_BYTES);
    return best;
}

/* ---- requests ---- */

struct stream {
    struct chat_request request;
    struct engine_ticket *ticket;
    int32_t prompt[PROMPT_MAX];
    int32_t ids[ANSWER];
    float logprobs[ANSWER];
    uint32_t n_ids;
    double first_s;
    double last_s;
    bool done; // under the lock
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

static void on_event(void *user, const struct chat_event *event)
{
    struct stream *s = user;

    for (uint32_t i = 0; i < event->n_tokens; i++) {
        s->first_s = s->n_ids == 0 ? limits_now_s() : s->first_s;
        s->last_s = limits_now_s();
        s->ids[s->n_ids] = event->token_ids[i];
        s->logprobs[s->n_ids++] = event->logprobs[i];
    }
    if (event->kind == CHAT_EVENT_DONE || event->kind == CHAT_EVENT_ERROR) {
        CHECK(event->kind == CHAT_EVENT_DONE);
        pthread_mutex_lock(&lock);
        s->done = true;
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&lock);
    }
}

static void submit(struct engine *e, struct stream *s, uint64_t seed, uint32_t n_prompt,
                   uint32_t n_answer)
{
    struct engine_job job = {.request = &s->request, .on_event = on_event, .user = s};
    struct chat_sampling *sampling = &s->request.sampling;

    memset(s, 0, sizeof(*s));
    for (uint32_t i = 0; i < n_prompt; i++) {
        s->prompt[i] = (int32_t)(1 + hash_u64(i, seed) % 30000);
    }
    s->request.prompt_kind = CHAT_PROMPT_IDS;
    s->request.prompt_ids = s->prompt;
    s->request.n_prompt_ids = n_prompt;
    chat_sampling_default(sampling);
    sampling->has_temperature = true;
    sampling->temperature = 0.0;
    sampling->ignore_eos = true;
    sampling->logprobs = true;
    sampling->max_tokens = n_answer;
    CHECK(engine_submit(e, &job, &s->ticket) == OK);
}

static void await(struct engine *e, struct stream *s)
{
    pthread_mutex_lock(&lock);
    while (!s->done) {
        pthread_cond_wait(&wake, &lock);
    }
    pthread_mutex_unlock(&lock);
    engine_release(e, s->ticket);
}

/* Tokens per second of n streams together, from the moment all of them decode. */
static double decode_rate(struct engine *e, struct stream *streams, uint32_t n)
{
    double first = 0;
    double last = 1e300;
    uint32_t n_tokens = 0;

    for (uint32_t i = 0; i < n; i++) {
        submit(e, &streams[i], 1 + i, 16, ANSWER);
    }
    for (uint32_t i = 0; i < n; i++) {
        await(e, &streams[i]);
        first = streams[i].first_s > first ? streams[i].first_s : first;
        last = streams[i].last_s < last ? streams[i].last_s : last;
        n_tokens += streams[i].n_ids - 1;
    }
    return n_tokens / (last - first);
}

static double prefill_rate(struct engine *e, struct stream *s, uint32_t n_prompt)
{
    double begin = limits_now_s();

    submit(e, s, 77, n_prompt, 1);
    await(e, s);
    return n_prompt / (s->first_s - begin);
}

static uint32_t count_differing(const struct stream *alone, const struct stream *together)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < STREAMS; i++) {
        n += memcmp(alone[i].ids, together[i].ids, sizeof(alone[i].ids)) != 0 ||
                     memcmp(alone[i].logprobs, together[i].logprobs, sizeof(alone[i].logprobs)) != 0
                 ? 1
                 : 0;
    }
    return n;
}

/* ---- the run ---- */

static char folder[] = "/tmp/kontor-bench-XXXXXX";

static void remove_folder(void)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/config.json", folder);
    unlink(path);
    rmdir(folder);
}

static const char *make_folder(void)
{
    char path[64];
    FILE *f;

    CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    snprintf(path, sizeof(path), "%s/config.json", folder);
    f = fopen(path, "w");
    CHECK(f != NULL && fputs(CONFIG, f) >= 0 && fclose(f) == 0);
    return folder;
}

struct figures {
    double reader;
    double one;
    double eight;
    double prefill_512;
    double prefill_4096;
    uint32_t n_differing;
};

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void measure(struct engine *e, uint32_t n_threads, struct figures *f)
{
    static struct stream alone[STREAMS];
    static struct stream together[STREAMS];
    static struct stream one;

    for (int round = 0; round < ROUNDS; round++) {
        f->reader = larger(f->reader, reader_rate(n_threads));
        f->one = larger(f->one, decode_rate(e, &one, 1));
        f->eight = larger(f->eight, decode_rate(e, together, STREAMS));
        f->prefill_512 = larger(f->prefill_512, prefill_rate(e, &one, 512));
        f->prefill_4096 = larger(f->prefill_4096, prefill_rate(e, &one, 4096));
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        submit(e, &alone[i], 1 + i, 16, ANSWER);
        await(e, &alone[i]);
    }
    f->n_differing = count_differing(alone, together);
}

static void print(const struct figures *f, const struct engine_model *m, bool ours)
{
    double bytes = 2.0 * (double)m->n_parameters - (ours ? EMBEDDING_BYTES : 0.0);

    printf("%.*s, %.2f GB of weights read per decode step, best of %d rounds\n\n",
           STR_ARG(m->fingerprint), bytes * 1e-9, ROUNDS);
    printf("| what | figure | ratio |\n|---|---|---|\n");
    printf("| plain reader | %.2f GB/s | 1 |\n", f->reader * 1e-9);
    printf("| decode, 1 stream | %.2f tokens/s, %.2f GB/s | %.2f of the reader |\n", f->one,
           f->one * bytes * 1e-9, f->one * bytes / f->reader);
    printf("| decode, %d streams | %.2f tokens/s | %.2f x one stream |\n", STREAMS, f->eight,
           f->eight / f->one);
    printf("| prefill 512 | %.1f tokens/s | %.2f x decode |\n", f->prefill_512,
           f->prefill_512 / f->one);
    printf("| prefill 4096 | %.1f tokens/s | %.2f x decode |\n", f->prefill_4096,
           f->prefill_4096 / f->one);
    printf("| logprobs of %d streams | %u differ from alone | |\n", STREAMS, f->n_differing);
}

struct arguments {
    bool cpu_time;
    const char *folder; // NULL: our own
    uint64_t n_threads;
};

static bool read_arguments(int argc, char **argv, struct arguments *a)
{
    int i = 1;

    a->cpu_time = argc > i && strcmp(argv[i], "--cpu") == 0;
    i += a->cpu_time ? 1 : 0;
    a->n_threads = a->cpu_time ? 1 : 2;
    a->folder = argc > i ? argv[i] : NULL;
    if (argc > i + 2 ||
        (argc > i + 1 && str_to_u64(str_from_c(argv[i + 1]), &a->n_threads) != OK)) {
        fprintf(stderr, "usage: engine [--cpu] [FOLDER [THREADS]]\n");
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct engine_config config;
    struct engine *e = NULL;
    struct figures figures = {0};
    struct arguments arguments;
    struct error err;

    if (!read_arguments(argc, argv, &arguments)) {
        return 2;
    }
    if (arguments.cpu_time) {
        limits_use_cpu_time();
    }
    engine_config_default(&config);
    config.model_dir = arguments.folder != NULL ? arguments.folder : make_folder();
    config.load_format = ENGINE_LOAD_DUMMY;
    config.max_num_seqs = STREAMS;
    config.max_model_len = PROMPT_MAX + ANSWER;
    config.n_threads =
        arguments.n_threads > THREADS_MAX ? THREADS_MAX : (uint32_t)arguments.n_threads;
    if (engine_create(&config, &e, &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    measure(e, config.n_threads, &figures);
    printf("%s of %u threads, ", arguments.cpu_time ? "processor time" : "time", config.n_threads);
    print(&figures, engine_model(e), arguments.folder == NULL);
    engine_destroy(e);
    return figures.n_differing == 0 ? 0 : 1;
}
