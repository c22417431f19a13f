/* Stage "auth": is a key asked for on this route, and whose is it? */
#include "base/clock.h"
#include "gateway/gateway_internal.h"

enum stage_verdict stage_auth(struct call *call)
{
    const int64_t now_s = kontor_clock_system.unix_ms(NULL) / 1000;
    struct chat_failure failure;
    enum status rc;

    if (!call->route->guarded) {
        call->caller = (struct identity_caller){.label = LABEL_PRIVATE, .ceiling = LABEL_PRIVATE};
        return STAGE_NEXT;
    }
    rc = identity_check(call->fleet->identity, http_exchange_head(call->x), call->arena, now_s,
                        &call->caller, &failure);
    if (rc == OK) {
        gateway_limits_look(call->gw);
        return STAGE_NEXT;
    }
    return rc == E_DENIED ? call_refuse_with(call, &failure)
                          : call_unavailable(call, "no_memory", 1,
                                             "The server has no memory for this request.");
}
