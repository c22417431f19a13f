/* serve_fake.c - gateway_run over the fake engine, for end-to-end tests of the gateway alone.
 *
 *   serve_fake serve --host H --port P [--api-key K]... [--NAME NUMBER]...
 *
 * The numbers are in set_number.
 */
#include "base/check.h"
#include "base/log.h"
#include "engine/engine.h"
#include "gateway/console.h"
#include "gateway/gateway.h"
#include "support/fake_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS_MAX 8

struct settings {
    const char *host;
    uint64_t port;
    uint64_t step_us;
    uint64_t load_ms;
    uint64_t slots;
    uint64_t queue_max;
    uint64_t head_ms;
    uint64_t body_ms;
    uint64_t idle_ms;
    uint64_t stall_ms;
    uint64_t body_max;
    uint64_t bodies_max;
    uint64_t connections_max;
    uint64_t out_high;
    uint64_t queue_bytes;
    uint64_t drain_ms;
    uint64_t request_ms;
    uint64_t inflight_max;
    uint64_t vllm_errors;
    uint64_t load_fault;
    uint64_t tries;
    const char *keys[KEYS_MAX];
    uint32_t n_keys;
};

struct loader {
    struct gateway *gw;
    struct engine_config config;
    struct engine *engine; // owned by main after gateway_run
    pthread_t thread;
    bool started;
};

static bool set_number(struct settings *s, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *where;
    } numbers[] = {
        {"--port", &s->port},
        {"--step-us", &s->step_us},
        {"--load-ms", &s->load_ms},
        {"--slots", &s->slots},
        {"--queue-max", &s->queue_max},
        {"--head-ms", &s->head_ms},
        {"--body-ms", &s->body_ms},
        {"--idle-ms", &s->idle_ms},
        {"--stall-ms", &s->stall_ms},
        {"--body-max", &s->body_max},
        {"--bodies-max", &s->bodies_max},
        {"--connections-max", &s->connections_max},
        {"--out-high", &s->out_high},
        {"--queue-bytes", &s->queue_bytes},
        {"--drain-ms", &s->drain_ms},
        {"--request-ms", &s->request_ms},
        {"--inflight-max", &s->inflight_max},
        {"--vllm-errors", &s->vllm_errors},
        {"--load-fault", &s->load_fault},
        {"--tries", &s->tries},
    };

    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return str_to_u64(str_from_c(value), numbers[i].where) == OK;
        }
    }
    return false;
}

static bool read_settings(int argc, char **argv, struct settings *s)
{
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--host") == 0) {
            s->host = argv[i + 1];
        } else if (strcmp(argv[i], "--api-key") == 0 && s->n_keys < KEYS_MAX) {
            s->keys[s->n_keys++] = argv[i + 1];
        } else if (!set_number(s, argv[i], argv[i + 1])) {
            fprintf(stderr, "serve_fake: bad option %s %s\n", argv[i], argv[i + 1]);
            return false;
        }
    }
    return true;
}

static void *load(void *user)
{
    struct loader *l = user;
    struct engine *engine = NULL;
    struct error err = {0};

    if (engine_create(&l->config, &engine, &err) != OK) {
        gateway_fail(l->gw, &err);
        return NULL;
    }
    l->engine = engine;
    gateway_set_engine(l->gw, engine);
    return NULL;
}

static void on_listening(void *user, struct gateway *gw, uint16_t port)
{
    struct loader *l = user;

    l->gw = gw;
    log_event(LOG_LEVEL_INFO, "listening", "port=%u", (unsigned)port);
    CHECK(pthread_create(&l->thread, NULL, load, l) == 0);
    l->started = true;
}

/* Called by /health, where tests look: also brings the counter of cancels up to
 * date. */
static uint32_t utilization(void *user, double *ret_percent, uint32_t cap)
{
    (void)user;
    ret_percent[0] = 12.5;
    return cap > 0 ? 1 : 0;
}

static struct gateway_options options_of(const struct settings *s, struct loader *l,
                                         struct metrics *metrics)
{
    static const char *const names[] = {"fake-model", "other-name"};

    return (struct gateway_options){
        .host = s->host,
        .port = (uint16_t)s->port,
        .n_port_tries = (uint32_t)s->tries,
        .version = "0.0.0-fake",
        .served_names = names,
        .n_served_names = 2,
        .api_keys = s->keys,
        .n_api_keys = s->n_keys,
        .metrics = metrics,
        .limits =
            {
                .connections_max = (uint32_t)s->connections_max,
                .body_bytes_max = s->body_max,
                .bodies_bytes_max = s->bodies_max,
                .head_timeout_ms = (uint32_t)s->head_ms,
                .body_timeout_ms = (uint32_t)s->body_ms,
                .idle_timeout_ms = (uint32_t)s->idle_ms,
                .stall_timeout_ms = (uint32_t)s->stall_ms,
                .out_high_bytes = (uint32_t)s->out_high,
                .out_low_bytes = (uint32_t)s->out_high / 4,
            },
        .inflight_max = (uint32_t)s->inflight_max,
        .stream_queue_bytes = (uint32_t)s->queue_bytes,
        .drain_timeout_ms = (uint32_t)s->drain_ms,
        .request_timeout_ms = (uint32_t)s->request_ms,
        .error_style = s->vllm_errors != 0 ? CHAT_JSON_STYLE_VLLM : CHAT_JSON_STYLE_OPENAI,
        .console_page = console_page(),
        .log_requests = true,
        .utilization = utilization,
        .on_listening = on_listening,
        .user = l,
    };
}

int main(int argc, char **argv)
{
    struct settings s = {0};
    struct loader l = {0};
    struct metrics *metrics = metrics_create();
    struct gateway_options options;
    struct error err = {0};
    enum status rc;

    if (!read_settings(argc, argv, &s)) {
        return 2;
    }
    fake_engine_setup(&(struct fake_engine_options){
        .step_us = (uint32_t)s.step_us,
        .load_ms = (uint32_t)s.load_ms,
        .fault = s.load_fault != 0 ? "the model folder is broken" : NULL,
    });
    engine_config_default(&l.config);
    l.config.max_num_seqs = (uint32_t)s.slots;
    l.config.queue_max = (uint32_t)s.queue_max;
    l.config.metrics = metrics;
    options = options_of(&s, &l, metrics);
    rc = gateway_run(&options, &err);
    if (l.started) {
        pthread_join(l.thread, NULL);
    }
    if (rc == E_TIMEOUT) {
        fprintf(stderr, "serve_fake: %s\n", err.text);
        _exit(1); // the engine still uses what we would free
    }
    engine_destroy(l.engine);
    metrics_destroy(metrics);
    if (rc != OK) {
        fprintf(stderr, "serve_fake: %s\n", err.text);
        return 1;
    }
    return 0;
}
