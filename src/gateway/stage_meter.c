/* Stage "meter": settles what was reserved, and the counters of a finished call.  Runs exactly once
 * for each. */
#include "base/check.h"
#include "gateway/gateway_internal.h"
#include "gateway/stage_reserve_internal.h"

static struct route_meter *route_meter(struct call *call)
{
    for (uint32_t i = 0; i < routes_count(); i++) {
        if (routes_at(i) == call->route) {
            return &call->gw->meters.routes[i];
        }
    }
    return &call->gw->meters.no_route;
}

static void count_tokens(struct call *call)
{
    struct gateway_meters *m = &call->gw->meters;

    if (call->usage.prompt_tokens > 0) {
        metrics_add(m->tokens_in, call->usage.prompt_tokens);
    }
    if (call->usage.completion_tokens > 0) {
        metrics_add(m->tokens_out, call->usage.completion_tokens);
    }
    if (call->sent_ns != 0) {
        metrics_observe(m->before_upstream,
                        (double)(call->sent_ns - http_exchange_begun_ns(call->x)) / 1e9);
    }
}

enum stage_verdict stage_meter(struct call *call)
{
    struct route_meter *m = route_meter(call);
    const uint64_t now_ns = loop_now_ns(call->gw->loop);
    int status = http_exchange_status(call->x);

    attempts_close(call);
    stage_reserve_settle(call);
    metrics_add(call->gw->meters.causes[call->cause], 1);
    if (status == 0) {
        status = call_status(call);
    }
    metrics_add(m->requests[status / 100], 1);
    metrics_observe(m->duration, (double)(now_ns - http_exchange_begun_ns(call->x)) / 1e9);
    if (call->route->dialect != DIALECT_NONE) {
        count_tokens(call);
    }
    return STAGE_NEXT;
}
