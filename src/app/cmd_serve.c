/* Two threads at start: the main thread opens the port and runs the loop at once (so that a taken
 * port fails before a long load, and probes get 503 `loading`); a loader thread creates the
 * engine. */
#include "app/cmd_serve.h"
#include "app/cmd_devices.h"
#include "app/command.h"
#include "app/engine_options.h"
#include "app/progress.h"
#include "app/version.h"
#include "base/check.h"
#include "base/log.h"
#include "devices/devices_sampler.h"
#include "gateway/console.h"
#include "gateway/gateway.h"
#include "options/serve_options.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT_TRIES_FALLBACK 100
#define ARENA_BYTES_MAX (1 << 20)
#define DEVICES_PERIOD_MS 5000

struct serve {
    struct option_values *values;
    struct engine_options engine_options;
    struct gateway_options gateway_options;
    const char *default_name;        // when no --served-model-name was given
    const char *env_key;             // of KONTOR_API_KEY or VLLM_API_KEY
    struct gateway *gateway;         // set by on_listening
    struct engine *engine;           // set by the loader, read after it was joined
    struct progress progress;        // loader thread only
    struct devices_sampler *sampler; // NULL: no accelerator card here
    pthread_t loader;
    bool loader_runs;
    atomic_bool loader_finished; // loader writes, main reads after the loop ended
};

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0;
}

static void *load_main(void *user)
{
    struct serve *s = user;
    struct error err = {0};
    enum status rc = engine_create(&s->engine_options.config, &s->engine, &err);

    progress_finish(&s->progress);
    if (rc == OK) {
        gateway_set_engine(s->gateway, s->engine);
    } else {
        gateway_fail(s->gateway, &err);
    }
    atomic_store(&s->loader_finished, true);
    return NULL;
}

static void on_listening(void *user, struct gateway *gw, uint16_t port)
{
    struct serve *s = user;
    const char *host = s->gateway_options.host;
    uint64_t wanted = option_count(s->values, "port");
    int failed;

    s->gateway = gw;
    if (wanted != 0 && port != wanted) {
        log_event(LOG_LEVEL_WARN, "port_taken", "wanted=%u listening=%u", (unsigned)wanted, port);
    }
    log_event(LOG_LEVEL_INFO, "listening", "url=http://%s%s%s:%u model=%s",
              strchr(host, ':') != NULL ? "[" : "", host, strchr(host, ':') != NULL ? "]" : "",
              port, s->gateway_options.served_names[0]);
    if (!is_loopback(host)) {
        log_event(LOG_LEVEL_WARN, "plain_http",
                  "reason=\"other machines reach this port without TLS\" keys=%u%s",
                  s->gateway_options.n_api_keys,
                  s->gateway_options.n_api_keys == 0 ? " advice=\"set --api-key\"" : "");
    }
    failed = pthread_create(&s->loader, NULL, load_main, s);
    CHECK(failed == 0);
    s->loader_runs = true;
}

static void read_names(struct serve *s)
{
    struct gateway_options *g = &s->gateway_options;

    g->served_names = option_strings(s->values, "served-model-name", &g->n_served_names);
    if (g->n_served_names == 0) {
        s->default_name = s->engine_options.name;
        g->served_names = &s->default_name;
        g->n_served_names = 1;
    }
}

static void read_keys(struct serve *s)
{
    struct gateway_options *g = &s->gateway_options;

    g->api_keys = option_strings(s->values, "api-key", &g->n_api_keys);
    if (g->n_api_keys > 0) {
        return;
    }
    s->env_key = getenv("KONTOR_API_KEY");
    if (s->env_key == NULL || s->env_key[0] == '\0') {
        s->env_key = getenv("VLLM_API_KEY");
    }
    if (s->env_key != NULL && s->env_key[0] != '\0') {
        g->api_keys = &s->env_key;
        g->n_api_keys = 1;
    }
}

static void read_gateway(struct serve *s)
{
    struct gateway_options *g = &s->gateway_options;
    uint64_t drain_s = option_count(s->values, "shutdown-timeout");

    g->host = option_string(s->values, "host");
    g->port = (uint16_t)option_count(s->values, "port"); // the table bounds it
    g->n_port_tries = option_flag(s->values, "port-fallback") ? PORT_TRIES_FALLBACK : 0;
    g->version = KONTOR_VERSION;
    g->limits.body_bytes_max = option_count(s->values, "max-body-bytes");
    g->drain_timeout_ms = drain_s == 0 ? 1 : (uint32_t)drain_s * 1000;
    g->error_style = strcmp(option_string(s->values, "error-style"), "vllm") == 0
                         ? CHAT_JSON_STYLE_VLLM
                         : CHAT_JSON_STYLE_OPENAI;
    g->log_requests = true;
    g->console_page = console_page();
    g->on_listening = on_listening;
    g->user = s;
    read_names(s);
    read_keys(s);
}

/* The loop has ended: free the engine, or leave at once while a load is still under way. */
static void finish_loader(struct serve *s)
{
    if (!s->loader_runs) {
        return;
    }
    if (!atomic_load(&s->loader_finished)) {
        fflush(NULL);
        _exit(EXIT_CODE_OK); // stopped by a signal in mid-load; the kernel takes the memory back
    }
    pthread_join(s->loader, NULL);
    engine_destroy(s->engine);
}

/* A vendor's thread that never came back may hold the loader's lock: exit handlers would wait. */
static int finish(enum status rc, const struct error *err)
{
    int code = rc == OK ? EXIT_CODE_OK : command_failed("serve", err->text);

    if (devices_abandoned()) {
        fflush(NULL);
        _exit(code);
    }
    return code;
}

static uint32_t utilization(void *user, double *ret_percent, uint32_t cap)
{
    struct serve *s = user;

    return devices_sampler_utilization(s->sampler, ret_percent, cap);
}

/* Where the machine has accelerator cards, /health and /metrics show them. */
static enum status start_sampler(struct serve *s, struct error *err)
{
    struct devices_options o = {0};
    enum status rc = cmd_devices_environment(&o, err);

    if (rc != OK) {
        return rc;
    }
    s->sampler = devices_sampler_create(&o, DEVICES_PERIOD_MS, s->gateway_options.metrics);
    if (s->sampler != NULL) {
        s->gateway_options.utilization = utilization;
    }
    return OK;
}

static int serve(struct serve *s)
{
    struct error err = {0};
    enum status rc;

    rc = engine_options_read(s->values, &s->engine_options, &err);
    if (rc != OK) {
        fprintf(stderr, "kontor serve: %s\n", err.text);
        return rc == E_INVALID ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
    }
    read_gateway(s);
    s->gateway_options.metrics = metrics_create();
    s->engine_options.config.metrics = s->gateway_options.metrics;
    s->engine_options.config.served_model_name = s->gateway_options.served_names[0];
    progress_init(&s->progress);
    s->engine_options.config.on_progress = progress_show;
    s->engine_options.config.user = &s->progress;
    rc = start_sampler(s, &err);
    if (rc == OK) {
        rc = gateway_run(&s->gateway_options, &err);
    }
    finish_loader(s);
    devices_sampler_destroy(s->sampler);
    metrics_destroy(s->gateway_options.metrics);
    return finish(rc, &err);
}

int cmd_serve_run(int argc, char **argv)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct serve *s = calloc(1, sizeof(*s));
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL && s != NULL);
    switch (option_parse(&serve_options, argc, argv, arena, &s->values)) {
    case OPTION_EXIT_0:
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    case OPTION_RUN:
        code = serve(s);
        break;
    }
    free(s);
    arena_destroy(arena);
    return code;
}
