/* Sink "json": collects an answer and sends it whole.  What it holds has a ceiling. */
#include "gateway/gateway_internal.h"

#define ANSWER_BYTES_MAX (64U << 20)

struct sink_json {
    struct sink base;
    struct buf text;
    struct buf reasoning;
    struct buf tokens; // struct chat_json_token, when logprobs are wanted
};

static enum status collect(struct sink_json *s, const struct chat_event *e)
{
    const struct chat_json_token *tokens = call_tokens(s->base.call, e);
    struct buf *text = e->kind == CHAT_EVENT_REASONING ? &s->reasoning : &s->text;

    buf_append_str(text, e->text);
    if (tokens != NULL) {
        buf_append(&s->tokens, tokens, e->n_tokens * sizeof(*tokens));
    }
    return buf_status(text);
}

static enum status send_answer(struct sink_json *s, const struct chat_event *e)
{
    struct call *call = s->base.call;
    struct buf *out = &call->gw->scratch;
    const struct chat_json_answer answer = {
        .text = buf_str(&s->text),
        .reasoning = buf_str(&s->reasoning),
        .tokens = call->request.chat.sampling.logprobs
                      ? (const struct chat_json_token *)(const void *)s->tokens.ptr
                      : NULL,
        .n_tokens = (uint32_t)(s->tokens.len / sizeof(struct chat_json_token)),
        .finish = e->finish,
        .stop_reason = e->stop_reason,
        .stop_token = e->stop_token,
        .usage = e->usage,
    };

    if (e->finish == CHAT_FINISH_ABORT) {
        return OK; // stage "reply" knows why
    }
    buf_reset(out);
    chat_json_write_answer(out, &call->frame, &answer);
    if (buf_status(out) != OK) {
        (void)call_refuse(call, 500, NULL, NULL, "The answer is too large to be sent whole.");
        return buf_status(out);
    }
    call_reply(call, 200, "application/json", buf_str(out));
    return OK;
}

static enum status push(struct sink *base, const struct chat_event *e)
{
    struct sink_json *s = (struct sink_json *)base;

    switch (e->kind) {
    case CHAT_EVENT_START:
        if (s->base.call->request.echo) {
            buf_append_str(&s->text, s->base.call->request.chat.prompt_text);
        }
        return OK;
    case CHAT_EVENT_TEXT:
    case CHAT_EVENT_REASONING:
        return collect(s, e);
    case CHAT_EVENT_DONE:
        return send_answer(s, e);
    case CHAT_EVENT_TOOL_CALL:
    case CHAT_EVENT_ERROR: // stage "reply" tells the client
        break;
    }
    return OK;
}

static void close_sink(struct sink *base)
{
    struct sink_json *s = (struct sink_json *)base;

    buf_done(&s->text);
    buf_done(&s->reasoning);
    buf_done(&s->tokens);
}

static const struct sink_ops ops = {"json", push, close_sink};

struct sink *sink_json_create(struct call *call)
{
    struct sink_json *s = arena_zalloc(call->arena, 1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->base = (struct sink){&ops, NULL, call};
    buf_init(&s->text, ANSWER_BYTES_MAX);
    buf_init(&s->reasoning, ANSWER_BYTES_MAX);
    buf_init(&s->tokens, ANSWER_BYTES_MAX);
    return &s->base;
}
