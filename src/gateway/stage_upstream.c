/* Stage "upstream": hand the request to the engine and wait for its last event. */
#include "base/check.h"
#include "gateway/gateway_internal.h"

#define NS_PER_MS UINT64_C(1000000)
#define LOADING_RETRY_S 5
#define DRAINING_RETRY_S 10
#define FULL_RETRY_S 1

static void on_deadline(void *user)
{
    struct call *call = user;

    call->cause = CAUSE_TIMEOUT;
    call->upstream->cancel(call);
}

/* Which sinks the events go through is decided here, once. */
static bool build_sinks(struct call *call)
{
    struct sink *last = call->request.stream ? sink_sse_create(call) : sink_json_create(call);

    if (last != NULL) {
        call->sink = last;
        call->sink = sink_meter_create(call, last);
    }
    return call->sink != NULL && call->sink != last;
}

enum stage_verdict stage_upstream(struct call *call)
{
    struct gateway *gw = call->gw;

    if (gw->state == GATEWAY_DRAINING) {
        return call_unavailable(call, "server_is_draining", DRAINING_RETRY_S,
                                "The server is shutting down and takes no new requests. Send the "
                                "request to another server or again later.");
    }
    if (gw->engine == NULL) {
        return call_unavailable(call, "model_loading", LOADING_RETRY_S,
                                "The model is still loading. Try again in a few seconds; "
                                "GET /health answers 200 when it is ready.");
    }
    if (gw->n_calls > gw->options.inflight_max) {
        return call_unavailable(call, "server_is_overloaded", FULL_RETRY_S,
                                "The server is currently overloaded with other requests. Try "
                                "again in a moment.");
    }
    call->frame.fingerprint = engine_model(gw->engine)->fingerprint;
    if (!build_sinks(call)) {
        return call_unavailable(call, "server_is_overloaded", FULL_RETRY_S,
                                "The server has no memory for this request.");
    }
    call->upstream = &upstream_local;
    if (call->upstream->start(call) != OK) {
        return STAGE_STOP; // start has said why
    }
    if (gw->options.request_timeout_ms > 0) {
        call->deadline.on_due = on_deadline;
        call->deadline.user = call;
        loop_timer_set(gw->loop, &call->deadline,
                       http_exchange_begun_ns(call->x) +
                           gw->options.request_timeout_ms * NS_PER_MS);
    }
    return STAGE_WAIT;
}
