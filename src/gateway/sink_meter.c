/* Sink "meter": notes times, usage and the end of an answer; passes everything on. */
#include "gateway/gateway_internal.h"
#include "gateway/response.h"
#include "gateway/stage_reserve_internal.h"

static void note_text(struct call *call, const struct chat_event *e)
{
    if (call->reservation != NULL && call->relayed_tokens + e->n_tokens > call->promised_tokens) {
        stage_reserve_promise(call, e->n_tokens);
    }
    call->relayed_tokens += e->n_tokens;
    if (call->first_ns != 0 || (e->n_tokens == 0 && e->text.len == 0)) {
        return;
    }
    call->first_ns = loop_now_ns(call->gw->loop);
    metrics_observe(call->gw->meters.first_text,
                    (double)(call->first_ns - http_exchange_begun_ns(call->x)) / 1e9);
}

/* What was reported counts; else what was seen.  A whole answer is booked before its last byte
 * leaves: what a client has complete is never an estimate, whatever happens to this process. */
static void note_end(struct call *call, const struct chat_event *e)
{
    const bool here = call->upstream == &upstream_local;
    const bool generates = call->route->dialect != DIALECT_EMBEDDING;

    call->relayed_tokens += here ? 0 : e->n_tokens;
    if (e->kind == CHAT_EVENT_DONE && !here && generates && call->relayed_tokens == 0) {
        // a body whose texts are not looked for: all of it
        call->relayed_tokens = response_guess_tokens(e->wire.len);
    }
    if (here || (call->usage_known && e->kind == CHAT_EVENT_DONE)) {
        call->usage = e->usage;
        call->usage_known = true;
    }
    stage_reserve_price(call);
    if (e->kind == CHAT_EVENT_DONE) {
        if (e->finish == CHAT_FINISH_ABORT && call->cause != CAUSE_CLIENT_GONE) {
            call_explain_abort(call);
            return;
        }
        call->answered = true;
        stage_reserve_settle(call);
        return;
    }
    (void)call_refuse_with(call, e->failure);
}

static enum status push(struct sink *s, const struct chat_event *e)
{
    switch (e->kind) {
    case CHAT_EVENT_START:
        s->call->usage = e->usage;
        if (s->call->first_byte_ns == 0) {
            s->call->first_byte_ns = loop_now_ns(s->call->gw->loop);
        }
        break;
    case CHAT_EVENT_TEXT:
    case CHAT_EVENT_REASONING:
    case CHAT_EVENT_TOOL_CALL:
        note_text(s->call, e);
        break;
    case CHAT_EVENT_DONE:
    case CHAT_EVENT_ERROR:
        note_end(s->call, e);
        break;
    }
    return s->next->ops->push(s->next, e);
}

static const struct sink_ops ops = {"meter", push, NULL};

struct sink *sink_meter_create(struct call *call, struct sink *next)
{
    struct sink *s = arena_zalloc(call->arena, 1, sizeof(*s));

    if (s != NULL) {
        *s = (struct sink){&ops, next, call};
    }
    return s;
}
