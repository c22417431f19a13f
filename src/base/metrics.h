/* metrics.h - the list of metrics and its Prometheus text form.
 *
 * A metric is declared once at start-up (name, help, type, label names) and updated with relaxed
 * atomics from any thread; rendering reads while others write.  Names and label sets are fixed at
 * declaration: no unbounded label values.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics;       // the registry
struct metric_series; // one (name, label values) pair

/** An empty registry; NULL without memory. */
struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *m);

/**
 * Declare one series.  The same name with other labels adds a series to the family; help and kind
 * must then agree (CHECK).  The same name and labels again give the series that exists.
 *
 * labels   Prometheus form without braces, e.g. `model_name="glm-4",engine="0"`, or ""; values must
 *          be escaped already (metrics_escape_label).  Copied.
 * bounds   [n_bounds] ascending upper bounds, histograms only; copied.
 * Returns a pointer that lives as long as the registry.  Start-up only; CHECKs on no memory.
 */
struct metric_series *metrics_series(struct metrics *m, enum metric_kind kind, const char *name,
                                     const char *labels, const char *help, const double *bounds,
                                     uint32_t n_bounds);
void metrics_add(struct metric_series *s, double v);     // counter, gauge
void metrics_set(struct metric_series *s, double v);     // gauge
void metrics_observe(struct metric_series *s, double v); // histogram
double metrics_value(const struct metric_series *s);     // counter, gauge; histogram: count
void metrics_escape_label(struct buf *out, struct str value);
/** The whole registry in Prometheus text format 0.0.4, families in order of declaration. */
void metrics_render(struct metrics *m, struct buf *out);

#endif
