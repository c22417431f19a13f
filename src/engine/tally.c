#include "engine/tally.h"
#include "base/check.h"
#include "engine/engine_internal.h"

#include <stdio.h>

static const double BOUNDS_TTFT[] = {0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                     0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                     20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
static const double BOUNDS_TOKEN[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
                                      0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
static const double BOUNDS_REQUEST[] = {0.3,  0.5,   0.8,   1.0,   1.5,   2.0,    2.5,
                                        5.0,  10.0,  15.0,  20.0,  30.0,  40.0,   50.0,
                                        60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
static const double BOUNDS_ITERATION[] = {1,   8,    16,   32,   64,   128,  256,
                                          512, 1024, 2048, 4096, 8192, 16384};
static const double BOUNDS_STEP[] = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03,
                                     0.1,    0.3,    1.0,   3.0,   10.0, 30.0};

#define TOKEN_BOUNDS_MAX 32

/* 1 2 5 10 20 50 ... up to the largest that is not above `max`. */
static uint32_t token_bounds(uint32_t max, double bounds[TOKEN_BOUNDS_MAX])
{
    static const uint32_t STEPS[] = {1, 2, 5};
    uint64_t scale = 1;
    uint32_t n = 0;

    while (scale <= max) {
        for (size_t i = 0; i < ARRAY_COUNT(STEPS) && scale * STEPS[i] <= max; i++) {
            CHECK(n < TOKEN_BOUNDS_MAX);
            bounds[n++] = (double)(scale * STEPS[i]);
        }
        scale *= 10;
    }
    return n;
}

struct declare {
    struct metrics *m;
    const char *labels; // model_name and engine
    double tokens[TOKEN_BOUNDS_MAX];
    uint32_t n_tokens;
};

static struct metric_series *gauge(const struct declare *d, const char *name, const char *help)
{
    return metrics_series(d->m, METRIC_GAUGE, name, d->labels, help, NULL, 0);
}

static struct metric_series *counter(const struct declare *d, const char *name, const char *help)
{
    return metrics_series(d->m, METRIC_COUNTER, name, d->labels, help, NULL, 0);
}

static struct metric_series *success(const struct declare *d, const char *reason)
{
    char labels[512];

    snprintf(labels, sizeof(labels), "%s,finished_reason=\"%s\"", d->labels, reason);
    return metrics_series(d->m, METRIC_COUNTER, "vllm:request_success_total", labels,
                          "Requests that ended, by reason.", NULL, 0);
}

static struct metric_series *token_histogram(const struct declare *d, const char *name,
                                             const char *help)
{
    return metrics_series(d->m, METRIC_HISTOGRAM, name, d->labels, help, d->tokens, d->n_tokens);
}

#define HISTOGRAM(d, name, help, bounds)                                                           \
    metrics_series((d)->m, METRIC_HISTOGRAM, name, (d)->labels, help, bounds, ARRAY_COUNT(bounds))

static void declare_load(struct tally *y, const struct declare *d)
{
    y->running = gauge(d, "vllm:num_requests_running", "Requests in the running batch.");
    y->waiting = gauge(d, "vllm:num_requests_waiting",
                       "Requests waiting for the prep thread, a slot or KV blocks.");
    y->kv_usage = gauge(d, "vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.");
    y->kv_usage_old =
        gauge(d, "vllm:gpu_cache_usage_perc", "Former name of vllm:kv_cache_usage_perc.");
    y->prompt_tokens = counter(d, "vllm:prompt_tokens_total", "Prompt tokens computed.");
    y->generation_tokens = counter(d, "vllm:generation_tokens_total", "Tokens generated.");
    y->success[CHAT_FINISH_STOP] = success(d, "stop");
    y->success[CHAT_FINISH_TOOL_CALLS] = y->success[CHAT_FINISH_STOP];
    y->success[CHAT_FINISH_LENGTH] = success(d, "length");
    y->success[CHAT_FINISH_ABORT] = success(d, "abort");
    y->errors = success(d, "error");
}

static void declare_times(struct tally *y, const struct declare *d)
{
    y->ttft = HISTOGRAM(d, "vllm:time_to_first_token_seconds",
                        "From submission to the first token.", BOUNDS_TTFT);
    y->itl = HISTOGRAM(d, "vllm:inter_token_latency_seconds", "Between two tokens of a request.",
                       BOUNDS_TOKEN);
    y->per_token = HISTOGRAM(d, "vllm:request_time_per_output_token_seconds",
                             "Decode time over (tokens - 1), once per request.", BOUNDS_TOKEN);
    y->e2e = HISTOGRAM(d, "vllm:e2e_request_latency_seconds", "From submission to the end.",
                       BOUNDS_REQUEST);
    y->queue_time = HISTOGRAM(d, "vllm:request_queue_time_seconds",
                              "From the prep thread's end to admission.", BOUNDS_REQUEST);
    y->inference = HISTOGRAM(d, "vllm:request_inference_time_seconds",
                             "From admission to the last token.", BOUNDS_REQUEST);
    y->prefill = HISTOGRAM(d, "vllm:request_prefill_time_seconds",
                           "From admission to the first token.", BOUNDS_REQUEST);
    y->decode = HISTOGRAM(d, "vllm:request_decode_time_seconds",
                          "From the first to the last token.", BOUNDS_REQUEST);
}

static void declare_sizes(struct tally *y, const struct declare *d)
{
    y->request_prompt = token_histogram(d, "vllm:request_prompt_tokens", "Tokens of a prompt.");
    y->request_generation =
        token_histogram(d, "vllm:request_generation_tokens", "Tokens of an answer.");
    y->request_max_tokens = token_histogram(d, "vllm:request_params_max_tokens",
                                            "Tokens an answer was allowed to have.");
    y->iteration_tokens =
        HISTOGRAM(d, "vllm:iteration_tokens_total", "Rows of a step's batch.", BOUNDS_ITERATION);
    y->step_seconds =
        HISTOGRAM(d, "kontor_step_seconds", "Duration of one engine step.", BOUNDS_STEP);
    y->cancel_seconds = HISTOGRAM(d, "kontor_cancel_seconds",
                                  "From a cancel to the release of blocks and slot.", BOUNDS_STEP);
}

/* What routers read: block size and number of blocks, as labels of a constant. */
static void declare_cache_config(struct metrics *m, const struct engine_parts *parts)
{
    char labels[160];

    snprintf(labels, sizeof(labels),
             "block_size=\"%u\",num_gpu_blocks=\"%u\",kv_cache_size_tokens=\"%llu\",engine=\"0\"",
             parts->block_tokens, parts->n_blocks,
             (unsigned long long)parts->n_blocks * parts->block_tokens);
    metrics_set(metrics_series(m, METRIC_GAUGE, "vllm:cache_config_info", labels,
                               "Settings of the KV cache.", NULL, 0),
                1);
}

void tally_init(struct tally *y, const struct engine_parts *parts)
{
    struct declare d = {.m = parts->metrics};
    struct buf name;
    char labels[400];

    if (d.m == NULL) {
        y->own = metrics_create();
        d.m = y->own;
    }
    CHECK(d.m != NULL);
    buf_init(&name, 256);
    metrics_escape_label(&name, str_from_c(parts->served_model_name));
    snprintf(labels, sizeof(labels), "model_name=\"%.*s\",engine=\"0\"", STR_ARG(buf_str(&name)));
    buf_done(&name);
    d.labels = labels;
    d.n_tokens = token_bounds(parts->max_model_len, d.tokens);
    y->kv_blocks = parts->n_blocks;
    declare_load(y, &d);
    declare_times(y, &d);
    declare_sizes(y, &d);
    declare_cache_config(d.m, parts);
}

void tally_done(struct tally *y)
{
    metrics_destroy(y->own);
    y->own = NULL;
}

static double seconds(uint64_t begin_ns, uint64_t end_ns)
{
    return end_ns > begin_ns ? (double)(end_ns - begin_ns) * 1e-9 : 0.0;
}

void tally_load(struct tally *y, uint32_t n_running, uint32_t kv_blocks_used)
{
    double usage = (double)kv_blocks_used / (double)y->kv_blocks;

    atomic_store(&y->n_running, n_running);
    atomic_store(&y->kv_blocks_used, kv_blocks_used);
    metrics_set(y->running, (double)n_running);
    metrics_set(y->kv_usage, usage);
    metrics_set(y->kv_usage_old, usage);
}

void tally_waiting(struct tally *y, int change)
{
    metrics_add(y->waiting, (double)change);
}

void tally_step(struct tally *y, uint32_t n_tokens, uint64_t step_ns)
{
    atomic_fetch_add(&y->n_steps, 1);
    metrics_observe(y->iteration_tokens, (double)n_tokens);
    metrics_observe(y->step_seconds, (double)step_ns * 1e-9);
}

void tally_token(struct tally *y, const struct engine_ticket *t, uint64_t now_ns)
{
    atomic_fetch_add(&y->n_generated_tokens, 1);
    metrics_add(y->generation_tokens, 1);
    if (ticket_n_new(t) > 1) {
        metrics_observe(y->itl, seconds(t->last_ns, now_ns));
        return;
    }
    atomic_fetch_add(&y->n_prompt_tokens, t->n_prompt);
    metrics_add(y->prompt_tokens, (double)t->n_prompt);
    metrics_observe(y->ttft, seconds(t->submit_ns, now_ns));
    metrics_observe(y->prefill, seconds(t->admit_ns, now_ns));
}

static void observe_answer(struct tally *y, const struct engine_ticket *t)
{
    uint32_t n_new = ticket_n_new(t);

    metrics_observe(y->request_prompt, (double)t->n_prompt);
    metrics_observe(y->request_generation, (double)n_new);
    metrics_observe(y->request_max_tokens, (double)t->max_new);
    metrics_observe(y->queue_time, seconds(t->ready_ns, t->admit_ns));
    metrics_observe(y->inference, seconds(t->admit_ns, t->last_ns));
    metrics_observe(y->decode, seconds(t->first_ns, t->last_ns));
    if (n_new > 1) {
        metrics_observe(y->per_token, seconds(t->first_ns, t->last_ns) / (double)(n_new - 1));
    }
}

void tally_end(struct tally *y, const struct engine_ticket *t, uint64_t now_ns)
{
    uint64_t cancel_ns = atomic_load(&t->cancel_ns);

    if (ticket_n_new(t) > 0) {
        observe_answer(y, t);
    }
    metrics_observe(y->e2e, seconds(t->submit_ns, now_ns));
    metrics_add(t->failed ? y->errors : y->success[t->finish], 1);
    if (!t->failed && t->finish == CHAT_FINISH_ABORT && cancel_ns > 0) {
        metrics_observe(y->cancel_seconds, seconds(cancel_ns, now_ns));
    }
}

void tally_stats(const struct tally *y, struct engine_stats *ret_stats)
{
    ret_stats->n_running = atomic_load(&y->n_running);
    ret_stats->kv_blocks = y->kv_blocks;
    ret_stats->kv_blocks_used = atomic_load(&y->kv_blocks_used);
    ret_stats->n_steps = atomic_load(&y->n_steps);
    ret_stats->prompt_tokens = atomic_load(&y->n_prompt_tokens);
    ret_stats->generated_tokens = atomic_load(&y->n_generated_tokens);
}
