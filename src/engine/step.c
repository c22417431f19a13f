/* step.c - the engine's spine, readable from top to bottom.
 *
 *   retire   finished and cancelled sequences leave: blocks and slot free, then their last event
 *   admit    waiting requests enter, first come first served               sched.c
 *   plan     one token per decoding sequence, then chunks of prompts       sched.c
 *   batch    rows, positions, cache slots                                  batch.c
 *   forward  logits of every row that ends a sequence's known tokens       the backend
 *   sample   one token per row of logits                                   sample.c
 *   deliver  text, stop strings, ends                                      deliver.c
 */
#include "engine/step.h"
#include "base/check.h"
#include "base/log.h"
#include "engine/engine_internal.h"

/* Cancelled while waiting: nothing to free. */
static bool retire_waiting(struct engine *e)
{
    bool all = atomic_load(&e->cancel_all);
    struct engine_ticket *t = queue_pop_cancelled(e->queue, all);
    bool any = t != NULL;

    while (t != NULL) {
        tally_waiting(&e->tally, -1);
        t->finish = CHAT_FINISH_ABORT;
        deliver_last(e, t);
        t = queue_pop_cancelled(e->queue, all);
    }
    return any;
}

static bool retire(struct engine *e)
{
    bool any = retire_waiting(e);
    uint32_t i = 0;

    while (i < e->sched.n_running) {
        struct engine_ticket *t = e->sched.running[i];

        if (!t->finished && ticket_is_cancelled(e, t)) {
            t->finished = true;
            t->finish = CHAT_FINISH_ABORT;
        }
        if (t->finished) {
            sched_remove(e, t); // the next one moves to i
            deliver_last(e, t);
            any = true;
        } else {
            i++;
        }
    }
    return any;
}

static void advance(struct engine *e)
{
    for (uint32_t p = 0; p < e->sched.n_parts; p++) {
        struct sched_part *part = &e->sched.parts[p];

        part->ticket->n_computed += part->n_tokens;
    }
}

static void sample(struct engine *e)
{
    for (uint32_t row = 0; row < e->batch.model.n_logits; row++) {
        const struct engine_ticket *t = e->sched.parts[e->batch.logit_parts[row]].ticket;
        const struct chat_sampling *s = &t->sampling;
        struct sample_args args = {
            .logits = e->logits + (size_t)row * e->parts.backend.vocab,
            .temperature = s->temperature,
            .top_p = s->top_p,
            .top_k = s->top_k,
            .min_p = s->min_p,
            .banned = t->banned,
            .n_banned = ticket_n_new(t) < s->min_tokens ? t->n_banned : 0,
            .seed = s->seed,
            .stream = 0,
            .position = t->n_tokens,
            .want_logprob = s->logprobs,
        };

        e->sampled_status[row] = sample_row(e->sampler, &args, &e->sampled[row]);
    }
}

/* Logits that are no numbers: weights or kernels are broken, every answer from here on is
 * suspect. */
static void fail_on_fault(struct engine *e, struct engine_ticket *t)
{
    chat_failure_set(
        &t->failure, 500, "server_error", NULL, NULL,
        "The model computed values that are not numbers, so the answer was stopped. The "
        "server takes no further requests; restart it, and check the checkpoint with "
        "'kontor inspect' if this repeats.");
    deliver_fail(t);
    if (!atomic_exchange(&e->failed, true)) {
        log_event(LOG_LEVEL_ERROR, "engine_failed", "reason=logits_not_finite position=%u",
                  t->n_tokens);
        queue_close(e->queue);
    }
}

static void deliver_sampled(struct engine *e)
{
    for (uint32_t row = 0; row < e->batch.model.n_logits; row++) {
        struct engine_ticket *t = e->sched.parts[e->batch.logit_parts[row]].ticket;

        switch ((int)e->sampled_status[row]) {
        case OK:
            if (!ticket_is_cancelled(e, t)) {
                deliver_token(e, t, &e->sampled[row]);
            }
            break;
        case E_INVALID:
            fail_on_fault(e, t);
            break;
        case E_LIMIT:
            chat_failure_set(&t->failure, 400, "invalid_request_error", "invalid_value",
                             "min_tokens",
                             "Every token that may come next is a stop token that min_tokens rules "
                             "out. Lower min_tokens.");
            deliver_fail(t);
            break;
        default:
            CHECK(false && "sample_row has no other status");
        }
    }
}

bool step_run(struct engine *e)
{
    uint64_t begin_ns = engine_now(e);
    bool any = retire(e);
    uint64_t step_ns;
    uint32_t n_tokens;

    sched_admit(e);
    n_tokens = sched_plan(e);
    if (n_tokens == 0) {
        return any;
    }
    batch_fill(e);
    e->parts.backend.forward(e->parts.backend.user, &e->batch.model, e->logits);
    advance(e);
    sample(e);
    deliver_sampled(e);
    step_ns = engine_now(e) - begin_ns;
    sched_adapt(e, n_tokens, step_ns);
    tally_step(&e->tally, n_tokens, step_ns);
    DCHECK(sched_check(e) == NULL);
    return true;
}
