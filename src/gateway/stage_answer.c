/* Stage "answer": the route's own function, or what there is to say without a route. */
#include "gateway/gateway_internal.h"

#define PREFLIGHT_AGE "600" // seconds a browser may remember the answer

/* A browser asks whether it may call: it may, as with vLLM. */
static enum stage_verdict answer_preflight(struct call *call)
{
    const struct http_head *head = http_exchange_head(call->x);
    const struct str *wanted = http_parse_field(head, STR("access-control-request-headers"));
    struct http_field fields[] = {
        {STR("access-control-allow-methods"), call->allowed},
        {STR("access-control-allow-headers"), wanted == NULL ? STR("*") : *wanted},
        {STR("access-control-max-age"), STR(PREFLIGHT_AGE)},
    };

    call_reply_fields(call, 200, "text/plain; charset=utf-8", fields, 3, STR("OK"));
    return STAGE_NEXT;
}

enum stage_verdict stage_answer_no_route(struct call *call)
{
    const struct http_head *head = http_exchange_head(call->x);
    struct http_field allow = {STR("allow"), call->allowed};
    struct chat_failure f;

    if (call->allowed.len == 0) {
        return call_refuse(call, 404, NULL, NULL, "Invalid URL (%.*s %.*s)", STR_ARG(head->method),
                           (int)(head->path.len < 256 ? head->path.len : 256), head->path.ptr);
    }
    if (str_eq(head->method, STR("OPTIONS")) &&
        http_parse_field(head, STR("access-control-request-method")) != NULL) {
        return answer_preflight(call);
    }
    chat_failure_set(&f, 405, "invalid_request_error", NULL, NULL,
                     "Not allowed to %.*s on %.*s. (HINT: Perhaps you meant to make a different "
                     "HTTP method? Allowed: %.*s.)",
                     STR_ARG(head->method), (int)(head->path.len < 256 ? head->path.len : 256),
                     head->path.ptr, STR_ARG(call->allowed));
    call->cause = CAUSE_REFUSED;
    buf_reset(&call->gw->scratch);
    chat_json_write_failure(&call->gw->scratch, &f, call->gw->options.error_style);
    call_reply_fields(call, 405, "application/json", &allow, 1, buf_str(&call->gw->scratch));
    return STAGE_STOP;
}

enum stage_verdict stage_answer(struct call *call)
{
    return call->route->answer(call);
}
