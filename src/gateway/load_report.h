/* load_report.h - what an engine says about its load: vLLM's metrics text, and the JSON of /health.
 *
 * Pure; any thread.  Untrusted input.
 */
#ifndef GATEWAY_LOAD_REPORT_H
#define GATEWAY_LOAD_REPORT_H

#include "base/str.h"

#include <stdbool.h>

struct load_report {
    bool known;     // at least one of the numbers was there
    double running; // requests, all engines of the server together
    double waiting;
    double kv_use; // 0..1, of the fullest engine
};

/** Read the Prometheus text of /metrics: vllm:num_requests_running, vllm:num_requests_waiting,
 *  vllm:kv_cache_usage_perc (formerly gpu_cache_usage_perc).  What is malformed is skipped. */
struct load_report load_report_metrics(struct str text);
/** Mean of "gpu_utilization" in percent; negative when there is none. */
double load_report_utilization(struct str json);

#endif
