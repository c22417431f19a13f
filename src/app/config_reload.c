#include "app/config_reload.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LINE_BYTES_MAX 16384

struct config_reload {
    struct config_reload_options options;
    pthread_t thread;
    atomic_bool stopping; // set by stop, read by the thread
    double generation;    // the thread's
    struct metric_series *current;
    struct metric_series *successful;
    struct metric_series *n_ok;
    struct metric_series *n_failed;
};

static sigset_t hangup_only(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    return set;
}

void config_reload_prepare(void)
{
    const sigset_t set = hangup_only();

    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void log_issue(enum log_level level, struct str file, struct yaml_mark mark, struct str text)
{
    struct buf line;

    buf_init(&line, LINE_BYTES_MAX);
    buf_printf(&line, "at=%.*s", STR_ARG(file));
    if (mark.line > 0) {
        buf_printf(&line, ":%u:%u", mark.line, mark.column);
    }
    buf_append_c(&line, " text=");
    json_write_string(&line, text);
    log_event(level, level == LOG_LEVEL_ERROR ? "config_error" : "config_warning", "%s",
              buf_c(&line));
    buf_done(&line);
}

void config_reload_log(void *user, const struct config_report *report)
{
    (void)user;
    for (uint32_t i = 0; i < report->n_issues; i++) {
        const struct config_issue *issue = &report->issues[i];

        log_issue(issue->severity == CONFIG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, report->file,
                  issue->mark, issue->text);
    }
}

static enum status load_and_apply(struct config_reload *r)
{
    struct settings *settings = NULL;
    struct error err = {0};
    enum status rc = config_sources_load(&r->options.sources, config_reload_log, NULL, &settings);

    if (rc != OK) {
        return rc;
    }
    rc = r->options.apply(r->options.user, settings, &err);
    if (rc != OK) {
        log_issue(LOG_LEVEL_ERROR, str_from_c(r->options.sources.file.path),
                  (struct yaml_mark){0, 0}, str_from_c(err.text));
        config_file_free(settings);
    }
    return rc;
}

static void reload(struct config_reload *r)
{
    const enum status rc = load_and_apply(r);

    metrics_set(r->successful, rc == OK ? 1.0 : 0.0);
    metrics_add(rc == OK ? r->n_ok : r->n_failed, 1.0);
    if (rc != OK) {
        log_event(LOG_LEVEL_ERROR, "config_kept", "generation=%.0f reason=%s", r->generation,
                  status_name(rc));
        return;
    }
    r->generation += 1.0;
    metrics_set(r->current, r->generation);
    log_event(LOG_LEVEL_INFO, "config_reloaded", "generation=%.0f", r->generation);
}

static void *thread_main(void *user)
{
    struct config_reload *r = user;
    const sigset_t set = hangup_only();
    int number;

    while (sigwait(&set, &number) == 0 && !atomic_load(&r->stopping)) {
        reload(r);
    }
    return NULL;
}

static void declare_metrics(struct config_reload *r)
{
    static const char help[] = "Readings of the configuration after SIGHUP.";
    struct metrics *m = r->options.metrics;

    r->current =
        metrics_series(m, METRIC_GAUGE, "kontor_config_generation", "",
                       "How many configurations have been in force, this one included.", NULL, 0);
    r->successful =
        metrics_series(m, METRIC_GAUGE, "kontor_config_last_reload_successful", "",
                       "1 when the last reading of the configuration was put in force.", NULL, 0);
    r->n_ok = metrics_series(m, METRIC_COUNTER, "kontor_config_reloads_total", "result=\"ok\"",
                             help, NULL, 0);
    r->n_failed = metrics_series(m, METRIC_COUNTER, "kontor_config_reloads_total",
                                 "result=\"failed\"", help, NULL, 0);
    metrics_set(r->current, r->generation);
    metrics_set(r->successful, 1.0);
}

enum status config_reload_start(const struct config_reload_options *options,
                                struct config_reload **ret_reload)
{
    struct config_reload *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return E_NO_MEMORY;
    }
    r->options = *options;
    r->generation = 1.0;
    atomic_init(&r->stopping, false);
    declare_metrics(r);
    if (pthread_create(&r->thread, NULL, thread_main, r) != 0) {
        free(r);
        return E_NO_MEMORY;
    }
    *ret_reload = r;
    return OK;
}

void config_reload_stop(struct config_reload *r)
{
    if (r == NULL) {
        return;
    }
    atomic_store(&r->stopping, true);
    pthread_kill(r->thread, SIGHUP); // ends its wait
    pthread_join(r->thread, NULL);
    free(r);
}
