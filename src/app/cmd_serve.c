/* Two threads at start: the main thread opens the port and runs the loop at once (so that a taken
 * port fails before a long load, and probes get 503 `loading`); a loader thread creates the
 * engine. */
#include "app/cmd_serve.h"
#include "app/cmd_devices.h"
#include "app/command.h"
#include "app/config_auth.h"
#include "app/engine_loader.h"
#include "app/engine_options.h"
#include "app/version.h"
#include "base/check.h"
#include "base/log.h"
#include "devices/devices_sampler.h"
#include "gateway/console.h"
#include "gateway/gateway.h"
#include "options/serve_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT_TRIES_FALLBACK 100
#define ARENA_BYTES_MAX (8 << 20)
#define DEVICES_PERIOD_MS 5000

struct serve {
    struct option_values *values;
    struct engine_options engine_options;
    struct gateway_options gateway_options;
    const char *default_name; // when no --served-model-name was given
    const char *env_key;      // of KONTOR_API_KEY or VLLM_API_KEY
    struct settings auth;     // of --auth-config: its keys and header
    struct engine_loader loader;
    struct devices_sampler *sampler; // NULL: no accelerator card here
};

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0;
}

static void on_listening(void *user, struct gateway *gw, uint16_t port)
{
    struct serve *s = user;
    const char *host = s->gateway_options.host;
    uint64_t wanted = option_count(s->values, "port");

    if (wanted != 0 && port != wanted) {
        log_event(LOG_LEVEL_WARN, "port_taken", "wanted=%u listening=%u", (unsigned)wanted, port);
    }
    log_event(LOG_LEVEL_INFO, "listening", "url=%s://%s%s%s:%u model=%s",
              s->gateway_options.tls != NULL ? "https" : "http",
              strchr(host, ':') != NULL ? "[" : "", host, strchr(host, ':') != NULL ? "]" : "",
              port, s->gateway_options.served_names[0]);
    if (!is_loopback(host) && s->gateway_options.tls == NULL) {
        log_event(LOG_LEVEL_WARN, "plain_http",
                  "reason=\"other machines reach this port without TLS\" keys=%u%s",
                  s->gateway_options.n_api_keys,
                  s->gateway_options.n_api_keys == 0
                      ? " advice=\"set --api-key, and --ssl-certfile\""
                      : "");
    }
    engine_loader_start(&s->loader, gw);
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

/* Errors: INVALID. */
static enum status read_tls(struct serve *s, struct error *err)
{
    const char *requests = option_string(s->values, "ssl-cert-reqs");
    const bool ask = requests == NULL || strcmp(requests, "0") != 0;
    const struct tls_server_options o = {
        .certificate_file = option_string(s->values, "ssl-certfile"),
        .key_file = option_string(s->values, "ssl-keyfile"),
        .client_ca_file = ask ? option_string(s->values, "ssl-ca-certs") : NULL,
    };

    if (o.certificate_file == NULL) {
        return o.key_file == NULL && o.client_ca_file == NULL
                   ? OK
                   : error_set(err, E_INVALID,
                               "--ssl-keyfile and --ssl-ca-certs need --ssl-certfile.");
    }
    return tls_server_create(&o, &s->gateway_options.tls, err);
}

/* Keys of --auth-config, behind the others. */
static enum status read_auth_config(struct serve *s, struct error *err)
{
    struct config_file_options options = {.path = option_string(s->values, "auth-config")};
    struct gateway_options *g = &s->gateway_options;
    struct config_report report;
    const char **keys;
    enum status rc;

    if (options.path == NULL) {
        return OK;
    }
    config_report_init(&report, options.path);
    rc = config_auth_load(&options, &report, &s->auth);
    config_report_print_stderr(NULL, &report);
    config_report_done(&report);
    if (rc != OK) {
        return error_set(err, rc, "--auth-config %s has errors", options.path);
    }
    g->auth_header = s->auth.auth_header;
    g->auth_prefix = s->auth.auth_prefix;
    keys = arena_zalloc(s->auth.arena, (size_t)g->n_api_keys + s->auth.n_auth_keys, sizeof(*keys));
    if (keys == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the keys");
    }
    for (uint32_t i = 0; i < g->n_api_keys; i++) {
        keys[i] = g->api_keys[i];
    }
    for (uint32_t i = 0; i < s->auth.n_auth_keys; i++) {
        struct str copy;

        if (arena_dup(s->auth.arena, s->auth.auth_keys[i], &copy) != OK) {
            return error_set(err, E_NO_MEMORY, "no memory for the keys");
        }
        keys[g->n_api_keys + i] = copy.ptr;
    }
    g->api_keys = keys;
    g->n_api_keys += s->auth.n_auth_keys;
    return OK;
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
    if (rc == OK) {
        rc = read_tls(s, &err);
    }
    if (rc != OK) {
        fprintf(stderr, "kontor serve: %s\n", err.text);
        return rc == E_INVALID ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
    }
    read_gateway(s);
    rc = read_auth_config(s, &err);
    if (rc != OK) {
        tls_server_destroy(s->gateway_options.tls);
        return command_failed("serve", err.text);
    }
    s->gateway_options.metrics = metrics_create();
    s->engine_options.config.metrics = s->gateway_options.metrics;
    s->engine_options.config.served_model_name = s->gateway_options.served_names[0];
    engine_loader_prepare(&s->loader, &s->engine_options.config);
    rc = start_sampler(s, &err);
    if (rc == OK) {
        rc = gateway_run(&s->gateway_options, &err);
    }
    engine_loader_finish(&s->loader);
    devices_sampler_destroy(s->sampler);
    metrics_destroy(s->gateway_options.metrics);
    tls_server_destroy(s->gateway_options.tls);
    return finish(rc, &err);
}

int cmd_serve_run(int argc, char **argv)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct serve *s = calloc(1, sizeof(*s));
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL && s != NULL);
    s->auth.arena = arena;
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
