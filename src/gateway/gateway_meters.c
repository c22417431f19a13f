/* gateway_meters.c - the metrics of the front door: vLLM's names for the engine, kontor_* and
 * HTTP. */
#include "base/check.h"
#include "gateway/gateway_internal.h"

#include <stdio.h>

/* Buckets of vLLM's dashboards. */
static const double first_token_s[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                       1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
static const double per_token_s[] = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                     .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
static const double request_s[] = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                   30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
static const double tokens_n[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                  500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
static const double http_s[] = {.1, .5, 1};

static const char *const reasons[GATEWAY_REASONS] = {"stop", "length", "tool_calls", "abort",
                                                     "error"};

static struct metric_series *series(struct gateway *gw, enum metric_kind kind, const char *name,
                                    const char *labels, const char *help)
{
    return metrics_series(gw->options.metrics, kind, name, labels, help, NULL, 0);
}

static void create_route_meter(struct gateway *gw, const struct route *r, struct route_meter *m)
{
    char labels[160];

    for (unsigned class = 1; class <= 5; class ++) {
        snprintf(labels, sizeof(labels), "handler=\"%s\",method=\"%s\",status=\"%uxx\"", r->path,
                 r->method, class);
        m->requests[class] = series(gw, METRIC_COUNTER, "http_requests_total", labels,
                                    "Answered requests by handler, method and status class.");
    }
    snprintf(labels, sizeof(labels), "handler=\"%s\",method=\"%s\"", r->path, r->method);
    m->duration =
        metrics_series(gw->options.metrics, METRIC_HISTOGRAM, "http_request_duration_seconds",
                       labels, "Seconds from the first byte of a request to its end.", http_s,
                       ARRAY_COUNT(http_s));
}

static struct metric_series *histogram(struct gateway *gw, const char *name, const char *labels,
                                       const char *help, const double *bounds, size_t n)
{
    return metrics_series(gw->options.metrics, METRIC_HISTOGRAM, name, labels, help, bounds,
                          u32_from_size(n));
}

static void create_engine_meters(struct gateway *gw, const char *labels)
{
    struct gateway_meters *m = &gw->meters;

    m->running = series(gw, METRIC_GAUGE, "vllm:num_requests_running", labels,
                        "Requests in the running batch.");
    m->waiting = series(gw, METRIC_GAUGE, "vllm:num_requests_waiting", labels,
                        "Requests waiting to be admitted.");
    m->kv_usage = series(gw, METRIC_GAUGE, "vllm:kv_cache_usage_perc", labels,
                         "Share of KV blocks in use, 0 to 1.");
    m->kv_usage_old = series(gw, METRIC_GAUGE, "vllm:gpu_cache_usage_perc", labels,
                             "Old name of vllm:kv_cache_usage_perc.");
    m->prompt_tokens = series(gw, METRIC_COUNTER, "vllm:prompt_tokens_total", labels,
                              "Prompt tokens of answered requests.");
    m->generation_tokens = series(gw, METRIC_COUNTER, "vllm:generation_tokens_total", labels,
                                  "Generated tokens of answered requests.");
}

static void create_latency_meters(struct gateway *gw, const char *labels)
{
    struct gateway_meters *m = &gw->meters;

    m->first_token = histogram(gw, "vllm:time_to_first_token_seconds", labels,
                               "Arrival of the request to its first text.", first_token_s,
                               ARRAY_COUNT(first_token_s));
    m->inter_token =
        histogram(gw, "vllm:inter_token_latency_seconds", labels, "Between two pieces of text.",
                  per_token_s, ARRAY_COUNT(per_token_s));
    m->per_output_token =
        histogram(gw, "vllm:request_time_per_output_token_seconds", labels,
                  "Generation time over tokens after the first, once per request.", per_token_s,
                  ARRAY_COUNT(per_token_s));
    m->end_to_end =
        histogram(gw, "vllm:e2e_request_latency_seconds", labels,
                  "Arrival of the request to its end.", request_s, ARRAY_COUNT(request_s));
    m->prompt_size = histogram(gw, "vllm:request_prompt_tokens", labels,
                               "Prompt tokens per request.", tokens_n, ARRAY_COUNT(tokens_n));
    m->generation_size =
        histogram(gw, "vllm:request_generation_tokens", labels, "Generated tokens per request.",
                  tokens_n, ARRAY_COUNT(tokens_n));
}

void gateway_meters_create(struct gateway *gw)
{
    struct buf labels;
    char more[64];
    size_t base_len;

    buf_init(&labels, 4096);
    buf_append_c(&labels, "model_name=\"");
    metrics_escape_label(&labels, str_from_c(gw->options.served_names[0]));
    buf_append_c(&labels, "\",engine=\"0\"");
    base_len = labels.len;
    CHECK(buf_c(&labels) != NULL);
    create_engine_meters(gw, labels.ptr);
    create_latency_meters(gw, labels.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
        labels.len = base_len;
        buf_printf(&labels, ",finished_reason=\"%s\"", reasons[i]);
        CHECK(buf_c(&labels) != NULL);
        gw->meters.success[i] = series(gw, METRIC_COUNTER, "vllm:request_success_total", labels.ptr,
                                       "Finished requests by reason.");
    }
    buf_done(&labels);
    for (unsigned i = 0; i < CAUSE_COUNT; i++) {
        snprintf(more, sizeof(more), "cause=\"%s\"", call_cause_name((enum cause)i));
        gw->meters.causes[i] = series(gw, METRIC_COUNTER, "kontor_requests_total", more,
                                      "Requests by the way they ended.");
    }
    gw->meters.connections =
        series(gw, METRIC_GAUGE, "kontor_connections", "", "Open client connections.");
    for (uint32_t i = 0; i < routes_count(); i++) {
        create_route_meter(gw, routes_at(i), &gw->meters.routes[i]);
    }
    create_route_meter(gw, &routes_none, &gw->meters.no_route);
}

void gateway_meters_refresh(struct gateway *gw)
{
    struct engine_stats st = {0};
    double used;

    metrics_set(gw->meters.connections, http_server_connection_count(gw->server));
    if (gw->engine == NULL) {
        return;
    }
    engine_stats(gw->engine, &st);
    used = st.kv_blocks == 0 ? 0.0 : (double)st.kv_blocks_used / st.kv_blocks;
    metrics_set(gw->meters.running, st.n_running);
    metrics_set(gw->meters.waiting, st.n_waiting);
    metrics_set(gw->meters.kv_usage, used);
    metrics_set(gw->meters.kv_usage_old, used);
}
