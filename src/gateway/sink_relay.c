/* Sink "relay": the bytes of a remote server that speaks the client's dialect, unchanged.
 *
 *   stream    START: head of the answer       TEXT: its event      DONE: its event, end
 *             ERROR: the server's own event, or one of ours that says how far it came; [DONE]; end
 *   no stream DONE: the whole body            ERROR: stage "reply" answers
 */
#include "gateway/gateway_internal.h"

static bool has_done_mark(const struct call *call)
{
    return call->route->dialect == DIALECT_CHAT || call->route->dialect == DIALECT_COMPLETION;
}

void sink_relay_write_error(struct call *call, struct buf *out, const struct chat_failure *failure)
{
    buf_reset(out);
    if (!has_done_mark(call)) {
        buf_append_str(out, STR("event: error\n"));
    }
    buf_append_str(out, STR("data: "));
    if (call->route->dialect == DIALECT_MESSAGES || call->route->dialect == DIALECT_RESPONSES) {
        buf_append_str(out, STR("{\"type\":\"error\","));
    } else {
        buf_append_byte(out, '{');
    }
    buf_append_str(out, STR("\"usage\":"));
    chat_json_write_usage(out, &call->usage);
    buf_append_byte(out, ',');
    {
        const size_t at = out->len;

        chat_json_write_failure(out, failure, call->gw->options.error_style);
        if (buf_status(out) == OK) { // its opening brace is ours already
            out->ptr[at] = ' ';
        }
    }
    buf_append_str(out, STR("\n\n"));
    if (has_done_mark(call)) {
        buf_append_str(out, STR("data: [DONE]\n\n"));
    }
}

static enum status end_with_error(struct call *call, const struct chat_event *e)
{
    struct buf *out = &call->gw->scratch;

    if (!http_exchange_answered(call->x)) {
        return OK; // stage "reply" tells the client
    }
    if (e->wire.len > 0) {
        (void)http_exchange_write(call->x, e->wire);
        if (has_done_mark(call)) {
            (void)http_exchange_write(call->x, STR("data: [DONE]\n\n"));
        }
    } else {
        sink_relay_write_error(call, out, e->failure);
        (void)http_exchange_write(call->x, buf_str(out));
    }
    http_exchange_end(call->x);
    return OK;
}

static enum status push_stream(struct sink *s, const struct chat_event *e)
{
    struct call *call = s->call;

    switch (e->kind) {
    case CHAT_EVENT_START:
        call_begin(call, call->relay_type);
        return OK;
    case CHAT_EVENT_TEXT:
    case CHAT_EVENT_REASONING:
    case CHAT_EVENT_TOOL_CALL:
        return http_exchange_write(call->x, e->wire);
    case CHAT_EVENT_DONE:
        (void)http_exchange_write(call->x, e->wire);
        http_exchange_end(call->x);
        return OK;
    case CHAT_EVENT_ERROR:
        return end_with_error(call, e);
    }
    return OK;
}

static enum status push_whole(struct sink *s, const struct chat_event *e)
{
    if (e->kind == CHAT_EVENT_DONE) {
        call_reply(s->call, 200, s->call->relay_type, e->wire);
    }
    return OK;
}

static const struct sink_ops stream_ops = {"relay", push_stream, NULL};
static const struct sink_ops whole_ops = {"relay", push_whole, NULL};

struct sink *sink_relay_create(struct call *call)
{
    struct sink *s = arena_zalloc(call->arena, 1, sizeof(*s));

    if (s != NULL) {
        *s = (struct sink){call->relays_stream ? &stream_ops : &whole_ops, NULL, call};
    }
    return s;
}
