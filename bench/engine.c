/* The engine on a synthetic glm4 of 1.2 GB in bfloat16: decode of 1 and 8 streams, prefill of 512
 * and 4096 tokens, and what a plain reader of memory reaches with as many threads in the same run.
 *
 *   build/bench/engine [FOLDER [THREADS]]    a folder with config.json; its weights are not read
 *
 * Ends with 1 when an answer beside seven others differs in a bit of a logprob from the same
 * alone. */
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "engine/engine.h"

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

static double now_s(void)
{
    return (double)kontor_clock_now_ns(&kontor_clock_system) * 1e-9;
}

/* ---- plain reader ---- */

typedef uint64_t wide __attribute__((vector_size(64)));

struct reader {
    const wide *words;
    size_t n_words;
    uint64_t sum;
};

static void *read_all(void *user)
{
    struct reader *r = user;
    wide sum = {0};

    for (size_t i = 0; i < r->n_words; i++) {
        sum += r->words[i];
    }
    r->sum = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    return NULL;
}

/* Bytes per second of the best round. */
static double reader_rate(uint32_t n_threads)
{
    void *bytes = aligned_alloc(64, READER_BYTES);
    struct reader readers[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    double best = 0;

    CHECK(bytes != NULL && n_threads <= THREADS_MAX);
    memset(bytes, 1, READER_BYTES);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n_words = READER_BYTES / sizeof(wide) / n_threads;
        double begin = now_s();
        double rate;

        for (uint32_t k = 0; k < n_threads; k++) {
            readers[k] = (struct reader){(const wide *)bytes + k * n_words, n_words, 0};
            CHECK(pthread_create(&threads[k], NULL, read_all, &readers[k]) == 0);
        }
        for (uint32_t k = 0; k < n_threads; k++) {
            CHECK(pthread_join(threads[k], NULL) == 0);
        }
        rate = (double)(n_words * sizeof(wide) * n_threads) / (now_s() - begin);
        best = rate > best ? rate : best;
    }
    free(bytes);
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
        s->first_s = s->n_ids == 0 ? now_s() : s->first_s;
        s->last_s = now_s();
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
    double begin = now_s();

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

int main(int argc, char **argv)
{
    struct engine_config config;
    struct engine *e = NULL;
    struct figures figures = {0};
    struct error err;
    uint64_t n_threads = 2;

    if (argc > 2 && str_to_u64(str_from_c(argv[2]), &n_threads) != OK) {
        fprintf(stderr, "usage: engine [FOLDER [THREADS]]\n");
        return 2;
    }
    engine_config_default(&config);
    config.model_dir = argc > 1 ? argv[1] : make_folder();
    config.load_format = ENGINE_LOAD_DUMMY;
    config.max_num_seqs = STREAMS;
    config.max_model_len = PROMPT_MAX + ANSWER;
    config.n_threads = n_threads > THREADS_MAX ? THREADS_MAX : (uint32_t)n_threads;
    if (engine_create(&config, &e, &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    measure(e, config.n_threads, &figures);
    print(&figures, engine_model(e), argc <= 1);
    engine_destroy(e);
    return figures.n_differing == 0 ? 0 : 1;
}
