/* The main thread opens the ports and runs the loop; the reload thread waits for SIGHUP; with a
 * local upstream a loader thread creates its engine. */
#include "app/cmd_gateway.h"
#include "app/command.h"
#include "app/config_reload.h"
#include "base/check.h"
#include "base/log.h"
#include "gateway/gateway.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES_MAX (1 << 20)

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

struct run {
    const struct config_sources *sources;
    struct gateway_options options;
    struct gateway *gateway;
    struct config_reload *reload;
};

static enum status apply(void *user, struct settings *settings, struct error *err)
{
    struct run *r = user;

    return gateway_reload(r->gateway, settings, err);
}

static void on_listening(void *user, struct gateway *gw, uint16_t port)
{
    struct run *r = user;
    const struct config_reload_options reload = {
        .sources = *r->sources,
        .metrics = r->options.metrics,
        .apply = apply,
        .user = r,
    };

    r->gateway = gw;
    log_event(LOG_LEVEL_INFO, "listening", "port=%u upstreams=%u models=%u", port,
              r->options.settings->n_upstreams, r->options.settings->n_models);
    if (config_reload_start(&reload, &r->reload) != OK) {
        log_event(LOG_LEVEL_ERROR, "no_reload", "reason=\"no memory for its thread\"");
    }
}

static void on_ended(void *user)
{
    struct run *r = user;

    config_reload_stop(r->reload);
}

static int run(const struct config_sources *sources, struct settings *settings)
{
    struct run r = {.sources = sources};
    struct error err = {0};
    enum status rc;

    config_reload_prepare();
    r.options = (struct gateway_options){
        .version = KONTOR_VERSION,
        .settings = settings,
        .metrics = metrics_create(),
        .log_requests = true,
        .on_listening = on_listening,
        .on_ended = on_ended,
        .user = &r,
    };
    rc = gateway_run(&r.options, &err);
    metrics_destroy(r.options.metrics);
    config_file_free(settings);
    return rc == OK ? EXIT_CODE_OK : command_failed("gateway", err.text);
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
    return run(&sources, settings);
}

int cmd_gateway_run(int argc, char **argv)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct option_values *v = NULL;
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL);
    switch (option_parse(&cmd_gateway_options, argc, argv, arena, &v)) {
    case OPTION_EXIT_0:
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    case OPTION_RUN:
        code = gateway(v);
        break;
    }
    arena_destroy(arena);
    return code;
}
