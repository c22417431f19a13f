/* gateway_meters.c - the metrics of the front door: kontor_* and HTTP.  vLLM's names are the
 * engine's (engine/tally.c). */
#include "base/check.h"
#include "gateway/gateway_internal.h"

#include <stdio.h>

/* Buckets of vLLM's dashboards. */
static const double first_text_s[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                      1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
static const double http_s[] = {.1, .5, 1};

static struct metric_series *series(struct gateway *gw, enum metric_kind kind, const char *name,
                                    const char *labels, const char *help)
{
    return metrics_series(gw->options.metrics, kind, name, labels, help, NULL, 0);
}

static void create_route_meter(struct gateway *gw, const struct route *r, struct route_meter *m)
{
    char labels[160];

    for (unsigned class = 1; class <= 5; class ++) {
        snprintf(labels, sizeof(labels), "handler=\"%s\",method=\"%s\",status=\"%uxx\"", r->path,
                 r->method, class);
        m->requests[class] = series(gw, METRIC_COUNTER, "http_requests_total", labels,
                                    "Answered requests by handler, method and status class.");
    }
    snprintf(labels, sizeof(labels), "handler=\"%s\",method=\"%s\"", r->path, r->method);
    m->duration =
        metrics_series(gw->options.metrics, METRIC_HISTOGRAM, "http_request_duration_seconds",
                       labels, "Seconds from the first byte of a request to its end.", http_s,
                       ARRAY_COUNT(http_s));
}

void gateway_meters_create(struct gateway *gw)
{
    char more[64];

    for (unsigned i = 0; i < CAUSE_COUNT; i++) {
        snprintf(more, sizeof(more), "cause=\"%s\"", call_cause_name((enum cause)i));
        gw->meters.causes[i] = series(gw, METRIC_COUNTER, "kontor_requests_total", more,
                                      "Requests by the way they ended.");
    }
    gw->meters.first_text = metrics_series(
        gw->options.metrics, METRIC_HISTOGRAM, "kontor_first_text_seconds", "",
        "First byte of a request to its first text, prompt reading and queueing included.",
        first_text_s, ARRAY_COUNT(first_text_s));
    gw->meters.connections =
        series(gw, METRIC_GAUGE, "kontor_connections", "", "Open client connections.");
    for (uint32_t i = 0; i < routes_count(); i++) {
        create_route_meter(gw, routes_at(i), &gw->meters.routes[i]);
    }
    create_route_meter(gw, &routes_none, &gw->meters.no_route);
}

void gateway_meters_refresh(struct gateway *gw)
{
    metrics_set(gw->meters.connections, http_server_connection_count(gw->server));
}
