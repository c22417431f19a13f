/* Stage "reply": whatever the client has not been told yet, and the line in the access log. */
#include "base/log.h"
#include "gateway/gateway_internal.h"

#define SHOWN_PATH_BYTES_MAX 200

/* An answer that was begun and not ended: an error event, then a clean end of the stream. */
static void end_stream(struct call *call)
{
    struct buf *out = &call->gw->scratch;

    if (call->relays_stream) {
        sink_relay_write_error(call, out, call->failure);
    } else {
        buf_reset(out);
        buf_append_str(out, STR("data: "));
        chat_json_write_failure(out, call->failure, call->gw->options.error_style);
        buf_append_str(out, STR("\n\ndata: [DONE]\n\n"));
    }
    (void)http_exchange_write(call->x, buf_str(out));
    http_exchange_end(call->x);
}

static void log_call(struct call *call)
{
    const struct http_head *head = http_exchange_head(call->x);
    const uint64_t begun_ns = http_exchange_begun_ns(call->x);
    const struct str none = STR("-");
    struct str path = head == NULL ? none : str_slice(head->path, 0, SHOWN_PATH_BYTES_MAX);
    struct str method = head == NULL ? none : head->method;
    struct str peer = http_exchange_peer(call->x);

    log_event(LOG_LEVEL_INFO, "request",
              "id=%.*s peer=%.*s method=%.*s path=%.*s status=%d cause=%s prompt_tokens=%u "
              "completion_tokens=%u first_ms=%.1f ms=%.1f bytes=%llu",
              STR_ARG(call->request_id), STR_ARG(peer), STR_ARG(method), STR_ARG(path),
              call_status(call), call_cause_name(call->cause), call->usage.prompt_tokens,
              call->usage.completion_tokens,
              call->first_ns == 0 ? 0.0 : (double)(call->first_ns - begun_ns) / 1e6,
              (double)(loop_now_ns(call->gw->loop) - begun_ns) / 1e6,
              (unsigned long long)http_exchange_sent_bytes(call->x));
}

static void tell_client(struct call *call)
{
    if (call->passed_status != 0 && !http_exchange_answered(call->x)) {
        call_reply(call, call->passed_status, "application/json", call->passed_body);
        return;
    }
    if (call->failure == NULL) {
        call_explain_abort(call);
    }
    if (http_exchange_answered(call->x)) {
        end_stream(call);
    } else {
        call_reply_failure(call);
    }
}

enum stage_verdict stage_reply(struct call *call)
{
    if (call->cause == CAUSE_CLIENT_SLOW) {
        http_exchange_break(call->x);
    } else if (call->cause != CAUSE_CLIENT_GONE && !http_exchange_complete(call->x)) {
        tell_client(call);
    }
    if (call->gw->options.log_requests) {
        if (call->gw->options.settings != NULL) {
            access_log_line(call);
        } else {
            log_call(call);
        }
    }
    return STAGE_NEXT;
}
