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

/* What a gateway tells beside the front door. */
static void create_gateway_meters(struct gateway *gw)
{
    static const double cancel_s[] = {.0001, .0005, .001, .005, .01, .05, .1};
    static const double before_s[] = {.00001, .00002, .00005, .0001, .0002, .0005, .001, .01, .1};
    static const char *const kinds[] = {"none", "requests", "tokens", "parallel", "money"};
    struct gateway_meters *m = &gw->meters;
    char more[96];

    for (unsigned i = 0; i < POLICY_VERDICT_COUNT; i++) {
        snprintf(more, sizeof(more), "verdict=\"%s\"", policy_verdict_name((enum policy_verdict)i));
        m->verdicts[i] = series(gw, METRIC_COUNTER, "kontor_policy_denials_total", more,
                                "Requests that policy refused.");
    }
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        snprintf(more, sizeof(more), "kind=\"%s\"", kinds[i]);
        m->limited[i] = series(gw, METRIC_COUNTER, "kontor_limited_total", more,
                               "Requests that a limit or budget refused.");
    }
    m->retries = series(gw, METRIC_COUNTER, "kontor_retries_total", "",
                        "Attempts beyond the first of a request.");
    m->retries_refused = series(gw, METRIC_COUNTER, "kontor_retries_refused_total", "",
                                "Retries that the global budget did not allow.");
    m->cancel =
        metrics_series(gw->options.metrics, METRIC_HISTOGRAM, "kontor_upstream_cancel_seconds", "",
                       "A client found gone to its upstream connection closed.", cancel_s,
                       ARRAY_COUNT(cancel_s));
    m->before_upstream =
        metrics_series(gw->options.metrics, METRIC_HISTOGRAM, "kontor_phase_seconds",
                       "phase=\"before_upstream\"",
                       "Own time of a request: first byte to the start of the first attempt.",
                       before_s, ARRAY_COUNT(before_s));
    m->tokens_in = series(gw, METRIC_COUNTER, "gen_ai_client_token_usage",
                          "gen_ai_token_type=\"input\"", "Tokens by type, as booked.");
    m->tokens_out = series(gw, METRIC_COUNTER, "gen_ai_client_token_usage",
                           "gen_ai_token_type=\"output\"", "Tokens by type, as booked.");
    m->log_dropped = series(gw, METRIC_COUNTER, "kontor_access_log_dropped_total", "",
                            "Access-log lines that nobody took in time.");
    m->ledger_open = series(gw, METRIC_GAUGE, "kontor_ledger_reservations", "",
                            "Requests that are reserved and not settled.");
    m->ledger_queued = series(gw, METRIC_GAUGE, "kontor_ledger_queued", "",
                              "Settled rows that are not in the database yet.");
    m->ledger_lag = series(gw, METRIC_GAUGE, "kontor_ledger_lag_seconds", "",
                           "Age of the oldest settled row that is not in the database.");
    m->ledger_failing = series(gw, METRIC_GAUGE, "kontor_ledger_failing", "",
                               "1: the last write of the books failed.");
}

static void refresh_fleet(struct gateway *gw)
{
    for (uint32_t i = 0; i < gw->fleet->settings->n_upstreams; i++) {
        const struct fleet_upstream *u = &gw->fleet->upstreams[i];

        metrics_set(u->meters.outstanding, u->outstanding);
        metrics_set(u->meters.breaker, (double)u->breaker.state);
        metrics_set(u->meters.healthy, u->down ? 0 : 1);
    }
}

static void refresh_ledger(struct gateway *gw)
{
    struct ledger_health h = {0};

    if (gw->ledger == NULL) {
        return;
    }
    ledger_health(gw->ledger, &h);
    metrics_set(gw->meters.ledger_open, (double)h.n_open);
    metrics_set(gw->meters.ledger_queued, (double)h.n_queued);
    metrics_set(gw->meters.ledger_lag, (double)h.lag_ms / 1000);
    metrics_set(gw->meters.ledger_failing, h.failing ? 1 : 0);
}

void gateway_meters_create(struct gateway *gw)
{
    char more[64];

    create_gateway_meters(gw);
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
    uint32_t n = 0;

    for (uint32_t i = 0; i < gw->n_servers; i++) {
        n += http_server_connection_count(gw->servers[i]);
    }
    metrics_set(gw->meters.connections, n);
    refresh_fleet(gw);
    refresh_ledger(gw);
}
