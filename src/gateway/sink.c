/* sink.c - which sinks the events of a call go through; decided once, when it is known who
 * answers. */
#include "gateway/call_internal.h"

enum status sink_build(struct call *call, enum sink_kind kind)
{
    struct sink *last;

    if (kind == SINK_RELAY) {
        last = sink_relay_create(call);
    } else {
        last = call->request.stream ? sink_sse_create(call) : sink_json_create(call);
    }
    if (last == NULL) {
        return E_NO_MEMORY;
    }
    call->sink = sink_meter_create(call, last);
    if (call->sink == NULL) {
        call->sink = last; // so that it is closed
        return E_NO_MEMORY;
    }
    return OK;
}
