/* config_restart.h - which settings of a reloaded configuration come into force with a restart
 * only.
 *
 * Metric: kontor_config_needs_restart{setting="..."}, 1 while the configuration in force says
 * something else there than the process does.
 */
#ifndef APP_CONFIG_RESTART_H
#define APP_CONFIG_RESTART_H

#include "base/metrics.h"
#include "gateway/settings.h"

#define CONFIG_RESTART_SETTINGS 9

/* Zero-initialised; the series are owned by the metrics. */
struct config_restart {
    struct metric_series *series[CONFIG_RESTART_SETTINGS];
};

/** Declare the metric, 0 everywhere. */
void config_restart_declare(struct config_restart *r, struct metrics *m);
/** Settings in which what the process started with and `now` differ, one bit each.  Any thread. */
uint32_t config_restart_find(const struct settings *started, const struct settings *now);
/** Those settings wait: one log line config_needs_restart for each, and the metric.  Any thread. */
void config_restart_show(const struct config_restart *r, uint32_t waiting);

#endif
