/* Stage "upstream": hand the request to whoever answers, and wait for the last event. */
#include "gateway/gateway_internal.h"

#define NS_PER_MS UINT64_C(1000000)
#define DRAINING_RETRY_S 10
#define FULL_RETRY_S 1

static void on_deadline(void *user)
{
    struct call *call = user;

    call->cause = CAUSE_TIMEOUT;
    call->upstream->cancel(call);
}

static uint32_t time_limit_ms(const struct call *call)
{
    const uint32_t own = call->fleet->settings->request_timeout_ms;

    return own != 0 ? own : call->gw->options.request_timeout_ms;
}

enum stage_verdict stage_upstream(struct call *call)
{
    struct gateway *gw = call->gw;

    if (gw->state == GATEWAY_DRAINING) {
        return call_unavailable(call, "server_is_draining", DRAINING_RETRY_S,
                                "The server is shutting down and takes no new requests. Send the "
                                "request to another server or again later.");
    }
    if (gw->n_calls > gw->options.inflight_max) {
        return call_unavailable(call, "server_is_overloaded", FULL_RETRY_S,
                                "The server is currently overloaded with other requests. Try "
                                "again in a moment.");
    }
    call->upstream = &attempts_ops;
    if (call->upstream->start(call) != OK) {
        call->upstream = NULL;
        return STAGE_STOP; // start has said why
    }
    if (time_limit_ms(call) > 0) {
        call->deadline.on_due = on_deadline;
        call->deadline.user = call;
        loop_timer_set(gw->loop, &call->deadline,
                       http_exchange_begun_ns(call->x) + time_limit_ms(call) * NS_PER_MS);
    }
    return STAGE_WAIT;
}
