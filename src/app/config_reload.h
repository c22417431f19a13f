/* config_reload.h - SIGHUP: read the configuration again on a thread of its own, hand over what is
 * good, keep the last good one otherwise.
 *
 * The thread waits for the signal, so no handler runs and no loop blocks.  Every error of a bad
 * file is logged.  Metrics: kontor_config_generation, kontor_config_last_reload_successful,
 * kontor_config_reloads_total{result="ok"|"failed"}.
 */
#ifndef APP_CONFIG_RELOAD_H
#define APP_CONFIG_RELOAD_H

#include "app/config_sources.h"
#include "base/metrics.h"

struct config_reload;

struct config_reload_options {
    struct config_sources sources; // strings borrowed until stop
    struct metrics *metrics;       // borrowed until stop
    /** Put new settings in force; takes them on OK.  Called on the reload thread. */
    enum status (*apply)(void *user, struct settings *settings, struct error *err);
    void *user;
};

/** Keep SIGHUP from ending the process: blocks it in this thread and those it starts.  Call in
 *  main before other threads exist. */
void config_reload_prepare(void);
/** Declare the metrics (generation 1) and start the thread.  Errors: NO_MEMORY. */
MUST_USE enum status config_reload_start(const struct config_reload_options *options,
                                         struct config_reload **ret_reload);
/** Ends the thread; a reload that is under way is finished first.  NULL accepted. */
void config_reload_stop(struct config_reload *r);
/** Log the issues of a report: event config_error or config_warning, one line each. */
void config_reload_log(void *user, const struct config_report *report);

#endif
