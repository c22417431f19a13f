/* Sink "sse": events become server-sent events on the connection, one write each.
 *
 *   START         head of the answer, role chunk (chat)
 *   TEXT ...      one chunk
 *   DONE          finish chunk, usage event when asked for, [DONE]
 *   ERROR         before the head was sent: nothing, stage "reply" answers; after it: error event,
 *                 [DONE]
 */
#include "gateway/gateway_internal.h"

struct sink_sse {
    struct sink base;
    struct str prefix; // of every chunk
    bool begun;
    uint32_t n_tokens; // seen so far, for continuous usage
};

static void open_event(struct buf *out)
{
    buf_reset(out);
    buf_append_str(out, STR("data: "));
}

static enum status send_event(struct call *call, struct buf *out)
{
    buf_append_str(out, STR("\n\n"));
    if (buf_status(out) != OK) {
        return buf_status(out);
    }
    return http_exchange_write(call->x, buf_str(out));
}

static enum status send_chunk(struct sink_sse *s, const struct chat_event *e)
{
    struct call *call = s->base.call;
    struct buf *out = &call->gw->scratch;
    const struct chat_json_token *tokens = call_tokens(call, e);
    struct chat_usage running = call->usage;
    const bool last = e->kind == CHAT_EVENT_DONE;
    const struct chat_json_chunk chunk = {
        .prefix = s->prefix,
        .kind = e->kind,
        .text = e->text,
        .tokens = tokens,
        .n_tokens = tokens == NULL ? 0 : e->n_tokens,
        .finish = e->finish,
        .stop_reason = e->stop_reason,
        .stop_token = e->stop_token,
        .fingerprint =
            last && !call->request.include_usage ? call->frame.fingerprint : (struct str){NULL, 0},
        .usage = call->request.continuous_usage ? &running : NULL,
        .completion = call->frame.completion,
    };

    if (!last) {
        s->n_tokens += e->n_tokens;
        running.completion_tokens = s->n_tokens;
    }
    open_event(out);
    chat_json_write_chunk(out, &chunk);
    return send_event(call, out);
}

static enum status begin(struct sink_sse *s, const struct chat_event *e)
{
    struct call *call = s->base.call;
    struct buf *out = &call->gw->scratch;

    buf_reset(out);
    chat_json_write_prefix(out, &call->frame);
    if (buf_status(out) != OK || arena_dup(call->arena, buf_str(out), &s->prefix) != OK) {
        return E_NO_MEMORY;
    }
    call_begin(call, "text/event-stream; charset=utf-8");
    s->begun = true;
    if (!call->frame.completion) {
        return send_chunk(s, e);
    }
    if (call->request.echo) {
        const struct chat_event prompt = {
            .kind = CHAT_EVENT_TEXT,
            .text = call->request.chat.prompt_text,
        };

        return send_chunk(s, &prompt);
    }
    return OK;
}

static enum status send_done(struct call *call)
{
    (void)http_exchange_write(call->x, STR("data: [DONE]\n\n"));
    http_exchange_end(call->x);
    return OK;
}

static enum status end(struct sink_sse *s, const struct chat_event *e)
{
    struct call *call = s->base.call;
    struct buf *out = &call->gw->scratch;

    if (!s->begun) {
        return OK; // cancelled before it was admitted
    }
    if (e->finish == CHAT_FINISH_ABORT) {
        return OK; // stage "reply" knows why
    }
    (void)send_chunk(s, e);
    if (call->request.include_usage) {
        open_event(out);
        chat_json_write_usage_chunk(out, s->prefix, call->frame.fingerprint, &e->usage);
        (void)send_event(call, out);
    }
    return send_done(call);
}

/* The status line is out: tell the client in the stream, as vLLM does. */
static enum status fail(struct sink_sse *s, const struct chat_event *e)
{
    struct call *call = s->base.call;
    struct buf *out = &call->gw->scratch;

    if (!s->begun) {
        return OK;
    }
    open_event(out);
    chat_json_write_failure(out, e->failure, call->gw->options.error_style);
    (void)send_event(call, out);
    return send_done(call);
}

static enum status push(struct sink *base, const struct chat_event *e)
{
    struct sink_sse *s = (struct sink_sse *)base;

    switch (e->kind) {
    case CHAT_EVENT_START:
        return begin(s, e);
    case CHAT_EVENT_TEXT:
    case CHAT_EVENT_REASONING:
    case CHAT_EVENT_TOOL_CALL:
        return send_chunk(s, e);
    case CHAT_EVENT_DONE:
        return end(s, e);
    case CHAT_EVENT_ERROR:
        return fail(s, e);
    }
    return OK;
}

static const struct sink_ops ops = {"sse", push, NULL};

struct sink *sink_sse_create(struct call *call)
{
    struct sink_sse *s = arena_zalloc(call->arena, 1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->base = (struct sink){&ops, NULL, call};
    return &s->base;
}
