/* The main thread opens the ports and runs the loop; the reload thread waits for SIGHUP; with a
 * local upstream a loader thread creates its engine. */
#include "app/cmd_gateway.h"
#include "app/command.h"
#include "app/config_reload.h"
#include "app/config_restart.h"
#include "app/engine_loader.h"
#include "app/engine_options.h"
#include "app/version.h"
#include "base/check.h"
#include "base/log.h"
#include "gateway/console.h"
#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define ARENA_BYTES_MAX (1 << 20)
#define BUILTIN_SEQS 32 // a demonstration does not take gigabytes of KV cache

struct command_state {
    struct config_sources sources;
    struct settings *settings; // owned: those of the start, in force until the first reload
    struct metrics *metrics;   // owned
    struct engine_options engine;
    struct engine_loader loader;
    struct config_reload *reload; // from on_listening to on_ended
    struct config_restart restart;
    struct gateway *gateway; // set by on_listening
};

static const struct option rows[] = {
    {"config", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "The configuration (docs/config.md); required. Same as the argument FILE.", NULL, NULL, 0, 0},
    {"check", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Read and check everything, then stop: exit code 0 when it would start.", NULL, NULL, 0, 0},
    {"host", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "ADDRESS",
     "Listen here instead of where the file says; only one listener is left then.", NULL, NULL, 0,
     0},
    {"port", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "PORT",
     "Listen on this port instead; 0 takes a free one.", NULL, NULL, 0, 65535},
    {"state-dir", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR",
     "Folder of the ledger and the keys, instead of state_dir.", NULL, NULL, 0, 0},
    {"auth-config", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "YAML or JSON file with further keys and the header they come in.", NULL, NULL, 0, 0},
    {"log-level", NULL, OPTION_CHOICE, OPTION_HONOUR, "info", "LEVEL",
     "Lines below it are dropped.", "debug|info|warn|error", NULL, 0, 0},
};

const struct option_set cmd_gateway_options = {
    .usage = "kontor gateway --config FILE [options]",
    .about =
        "One door in front of many engines and providers: keys, policy, failover, exact books.",
    .positional = "FILE",
    .options = rows,
    .n_options = ARRAY_COUNT(rows),
    .epilog = "signals: HUP reads the configuration again and keeps the old one when it is bad; "
              "TERM drains,\na second one stops at once\n"
              "exit codes: 0 stopped by a signal after draining, 1 could not start (the message "
              "says why), 2 wrong usage",
};

static void set_log_level(const char *word)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};

    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(words[i], word) == 0) {
            log_set_level((enum log_level)i);
        }
    }
}

static void read_sources(const struct option_values *v, struct config_sources *sources)
{
    const char *flag = option_string(v, "config");

    sources->file = (struct config_file_options){
        .path = flag != NULL ? flag : option_positional(v),
        .host = option_string(v, "host"),
        .has_port = option_is_set(v, "port"),
        .port = (uint16_t)option_count(v, "port"), // the table bounds it
        .state_dir = option_string(v, "state-dir"),
    };
    sources->auth_path = option_string(v, "auth-config");
}

/* The local upstream, or NULL. */
static const struct settings_upstream *local_of(const struct settings *s)
{
    for (uint32_t i = 0; i < s->n_upstreams; i++) {
        if (s->upstreams[i].kind == SETTINGS_LOCAL) {
            return &s->upstreams[i];
        }
    }
    return NULL;
}

static bool same_engine(const struct settings *a, const struct settings *b)
{
    const struct settings_upstream *x = local_of(a);
    const struct settings_upstream *y = local_of(b);

    if (x == NULL || y == NULL) {
        return x == y;
    }
    return str_eq(x->engine.model, y->engine.model) &&
           x->engine.max_model_len == y->engine.max_model_len &&
           x->engine.max_num_seqs == y->engine.max_num_seqs &&
           x->engine.kv_cache_bytes == y->engine.kv_cache_bytes &&
           x->engine.n_threads == y->engine.n_threads;
}

/* On the reload thread. */
static enum status apply(void *user, struct settings *settings, struct error *err)
{
    struct command_state *c = user;
    const uint32_t waiting = config_restart_find(c->settings, settings);
    enum status rc;

    if (!same_engine(c->settings, settings)) {
        return error_set(err, E_UNSUPPORTED,
                         "the engine of the local upstream changes with a restart only");
    }
    rc = gateway_reload(c->gateway, settings, err);
    if (rc == OK) {
        config_restart_show(&c->restart, waiting);
    }
    return rc;
}

static void log_listeners(const struct settings *s, uint16_t first_port)
{
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        const struct settings_listener *l = &s->listeners[i];
        const bool brackets = str_find_byte(l->host, ':', 0) != SIZE_MAX;

        log_event(LOG_LEVEL_INFO, "listening", "url=%s://%s%.*s%s:%u",
                  l->certificate_file.len > 0 ? "https" : "http", brackets ? "[" : "",
                  STR_ARG(l->host), brackets ? "]" : "", i == 0 ? first_port : l->port);
    }
}

static void on_listening(void *user, struct gateway *gw, uint16_t port)
{
    struct command_state *c = user;
    const struct config_reload_options options = {.sources = c->sources,
                                                  .metrics = c->metrics,
                                                  .apply = apply,
                                                  .user = c};

    c->gateway = gw;
    config_restart_declare(&c->restart, c->metrics);
    log_listeners(c->settings, port);
    if (config_reload_start(&options, &c->reload) != OK) {
        log_event(LOG_LEVEL_ERROR, "no_reload", "reason=\"no memory for the thread\"");
    }
    if (local_of(c->settings) != NULL) {
        engine_loader_start(&c->loader, gw);
    }
}

static void on_ended(void *user)
{
    struct command_state *c = user;

    config_reload_stop(c->reload);
    c->reload = NULL;
}

static enum status read_engine(struct command_state *c, struct error *err)
{
    const struct settings_upstream *u = local_of(c->settings);
    struct engine_config *config = &c->engine.config;
    enum status rc;

    if (u == NULL) {
        return OK;
    }
    engine_config_default(config);
    rc = engine_options_model(&c->engine,
                              str_eq(u->engine.model, STR("builtin")) ? NULL : u->engine.model.ptr,
                              err);
    if (rc != OK) {
        return rc;
    }
    config->load_format = config->preset != NULL ? ENGINE_LOAD_DUMMY : ENGINE_LOAD_AUTO;
    config->max_model_len = u->engine.max_model_len;
    config->max_num_seqs = u->engine.max_num_seqs;
    if (c->engine.builtin && config->max_num_seqs == 0) {
        config->max_num_seqs = BUILTIN_SEQS;
    }
    config->kv_cache_bytes = u->engine.kv_cache_bytes;
    config->n_threads = u->engine.n_threads;
    config->metrics = c->metrics;
    config->served_model_name = c->engine.name;
    engine_loader_prepare(&c->loader, config);
    return OK;
}

/* core(5): a pattern that begins with '|' starts a program, whatever the size limit says. */
static bool cores_go_to_a_program(void)
{
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "re");
    const bool piped = f != NULL && fgetc(f) == '|';

    if (f != NULL) {
        (void)fclose(f);
    }
    return piped;
}

static int run(struct command_state *c)
{
    const struct rlimit no_core = {0, 0};
    const struct gateway_options options = {
        .version = KONTOR_VERSION,
        .settings = c->settings,
        .metrics = c->metrics,
        .console_page = console_page(),
        .log_requests = true,
        .on_listening = on_listening,
        .on_ended = on_ended,
        .user = c,
    };
    struct error err = {0};
    enum status rc;

    (void)setrlimit(RLIMIT_CORE, &no_core); // a core file holds requests and keys
    if (cores_go_to_a_program()) {
        (void)prctl(PR_SET_DUMPABLE, 0); // which the limit does not hold back
    }
    config_reload_prepare();
    rc = read_engine(c, &err);
    if (rc == OK) {
        rc = gateway_run(&options, &err);
    }
    engine_loader_finish(&c->loader);
    return rc == OK ? EXIT_CODE_OK : command_failed("gateway", err.text);
}

static int start(const struct config_sources *sources, struct settings *settings)
{
    struct command_state *c = calloc(1, sizeof(*c));
    int code;

    CHECK(c != NULL);
    c->sources = *sources;
    c->settings = settings;
    c->metrics = metrics_create();
    CHECK(c->metrics != NULL);
    code = run(c);
    metrics_destroy(c->metrics);
    config_file_free(settings);
    free(c);
    return code;
}

static int gateway(const struct option_values *v)
{
    struct config_sources sources;
    struct settings *settings = NULL;
    enum status rc;

    read_sources(v, &sources);
    if (sources.file.path == NULL) {
        fprintf(stderr, "kontor gateway: name the configuration: --config FILE\n");
        return EXIT_CODE_USAGE;
    }
    set_log_level(option_string(v, "log-level"));
    rc = config_sources_load(&sources, config_report_print_stderr, NULL, &settings);
    if (rc != OK) {
        return command_failed("gateway", rc == E_INVALID ? "the configuration has errors"
                                                         : "no memory for the configuration");
    }
    if (option_flag(v, "check")) {
        printf("%s: ok\n", sources.file.path);
        config_file_free(settings);
        return EXIT_CODE_OK;
    }
    return start(&sources, settings);
}

int cmd_gateway_run(int argc, char **argv)
{
    return command_run(&cmd_gateway_options, argc, argv, ARENA_BYTES_MAX, gateway);
}
