/* Stage "meter": counters of a finished call.  Runs exactly once for each. */
#include "base/check.h"
#include "gateway/gateway_internal.h"

/* Tokens and times of a call that reached the engine. */
static void meter_inference(struct call *call, uint64_t now_ns)
{
    struct gateway_meters *m = &call->gw->meters;
    const struct chat_usage *u = &call->usage;
    const size_t reason = call->has_finish ? (size_t)call->finish : GATEWAY_REASONS - 1;

    metrics_add(m->success[reason], 1);
    metrics_add(m->prompt_tokens, u->prompt_tokens);
    metrics_add(m->generation_tokens, u->completion_tokens);
    metrics_observe(m->prompt_size, u->prompt_tokens);
    metrics_observe(m->generation_size, u->completion_tokens);
    metrics_observe(m->end_to_end, (double)(now_ns - http_exchange_begun_ns(call->x)) / 1e9);
    if (u->completion_tokens > 1 && call->first_ns != 0) {
        metrics_observe(m->per_output_token, (double)(call->last_ns - call->first_ns) / 1e9 /
                                                 (u->completion_tokens - 1));
    }
}

static struct route_meter *route_meter(struct call *call)
{
    for (uint32_t i = 0; i < routes_count(); i++) {
        if (routes_at(i) == call->route) {
            return &call->gw->meters.routes[i];
        }
    }
    return &call->gw->meters.no_route;
}

enum stage_verdict stage_meter(struct call *call)
{
    struct route_meter *m = route_meter(call);
    const uint64_t now_ns = loop_now_ns(call->gw->loop);
    int status = http_exchange_status(call->x);

    if (call->upstream != NULL) {
        meter_inference(call, now_ns);
    }
    metrics_add(call->gw->meters.causes[call->cause], 1);
    if (status == 0) {
        status = call->failure == NULL ? 499 : call->failure->http_status;
    }
    metrics_add(m->requests[status / 100], 1);
    metrics_observe(m->duration, (double)(now_ns - http_exchange_begun_ns(call->x)) / 1e9);
    return STAGE_NEXT;
}
