#include "engine/deliver.h"
#include "base/check.h"
#include "engine/engine_internal.h"

/* Bytes of U+FFFD: a byte of a token that is no part of a character grows to these. */
#define REPLACEMENT_BYTES 3
#define HELD_BYTES_MAX 4 // of an unfinished character
#define NEVER_TEXT UINT32_MAX

enum status deliver_init(struct deliver *d, const struct engine *e)
{
    uint32_t n_ids = e->parts.tok != NULL ? tokenizer_count(e->parts.tok) : 0;
    size_t longest = 0;
    size_t piece_max;
    size_t out_max;

    for (uint32_t id = 0; id < n_ids; id++) {
        size_t len = tokenizer_bytes(e->parts.tok, i32_from_u32(id)).len;

        longest = len > longest ? len : longest;
    }
    /* A push and the finish after it, both in one step. */
    piece_max = REPLACEMENT_BYTES * (longest + 2 * HELD_BYTES_MAX);
    out_max = STOP_BYTES_MAX + 2 * piece_max;
    buf_init(&d->piece, piece_max);
    buf_init(&d->out, out_max);
    if (buf_reserve(&d->piece, piece_max) == NULL || buf_reserve(&d->out, out_max) == NULL) {
        return E_NO_MEMORY;
    }
    return OK;
}

void deliver_done(struct deliver *d)
{
    buf_done(&d->piece);
    buf_done(&d->out);
}

static void send(const struct engine_ticket *t, const struct chat_event *event)
{
    t->job.on_event(t->job.user, event);
}

/* Put the tokens not reported yet, up to those whose text left, on `event`. */
static void cover(struct engine_ticket *t, struct chat_event *event, bool all)
{
    uint32_t n_new = ticket_n_new(t);
    uint32_t begin = t->n_reported;
    uint32_t end = begin;

    while (end < n_new && (all || t->text_end[end] <= t->text_sent)) {
        end++;
    }
    if (end > begin) {
        event->token_ids = t->ids + t->n_prompt + begin;
        event->logprobs = t->sampling.logprobs ? t->logprobs + begin : NULL;
        event->n_tokens = end - begin;
        t->n_reported = end;
    }
}

void deliver_start(struct engine *e, struct engine_ticket *t)
{
    struct chat_event event = {
        .kind = CHAT_EVENT_START,
        .stop_token = -1,
        .usage = {.prompt_tokens = t->n_prompt},
    };

    if (e->parts.tok != NULL) {
        detokenizer_init(&t->detok, e->parts.tok, t->sampling.skip_special_tokens);
    }
    send(t, &event);
}

/* Let d->piece through the stop matcher into d->out.  Before min_tokens stop strings do not
 * count. */
static void match_stops(struct deliver *d, struct engine_ticket *t)
{
    uint32_t idx = 0;

    t->text_bytes += u32_from_size(d->piece.len);
    if (t->stop == NULL || ticket_n_new(t) <= t->sampling.min_tokens) {
        buf_append_str(&d->out, buf_str(&d->piece));
    } else if (stop_push(t->stop, buf_str(&d->piece), &d->out, &idx) && t->stop_idx == UINT32_MAX) {
        t->stop_idx = idx;
        t->finished = true;
        t->finish = CHAT_FINISH_STOP;
    }
    buf_reset(&d->piece);
}

/* End of the text without a stop string: let go of what is held back. */
static void flush(struct deliver *d, struct engine_ticket *t)
{
    if (t->stop_idx == UINT32_MAX) {
        detokenizer_finish(&t->detok, &d->piece);
        match_stops(d, t);
    }
    if (t->stop_idx == UINT32_MAX && t->stop != NULL) {
        stop_finish(t->stop, &d->out);
    }
}

static bool contains(const int32_t *ids, uint32_t n_ids, int32_t id)
{
    for (uint32_t i = 0; i < n_ids; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* Does `id` end the answer?  Sets finish and stop_token. */
static void judge(const struct engine *e, struct engine_ticket *t, int32_t id)
{
    uint32_t n_new = ticket_n_new(t);

    if (n_new > t->sampling.min_tokens) {
        if (!t->sampling.ignore_eos && contains(e->parts.eos_ids, e->parts.n_eos, id)) {
            t->finished = true;
            t->finish = CHAT_FINISH_STOP;
            return;
        }
        if (contains(t->sampling.stop_ids, t->sampling.n_stop_ids, id)) {
            t->finished = true;
            t->finish = CHAT_FINISH_STOP;
            t->stop_token = id;
            return;
        }
    }
    if (n_new == t->max_new) {
        t->finished = true;
        t->finish = CHAT_FINISH_LENGTH;
    }
}

/* Decode `id` into the text.  An id that ended the answer is no text unless asked for. */
static void decode(struct engine *e, struct engine_ticket *t, int32_t id)
{
    struct deliver *d = &e->deliver;
    bool is_end = t->finished && t->finish == CHAT_FINISH_STOP;
    uint32_t idx = ticket_n_new(t) - 1;

    if (!is_end || t->sampling.include_stop) {
        detokenizer_push(&t->detok, id, &d->piece);
        match_stops(d, t);
        t->text_end[idx] = t->text_bytes + t->detok.n_held;
    } else {
        t->text_end[idx] = NEVER_TEXT;
    }
    if (t->finished) {
        flush(d, t);
    }
    CHECK(buf_status(&d->piece) == OK && buf_status(&d->out) == OK);
}

void deliver_token(struct engine *e, struct engine_ticket *t, const struct sample_result *token)
{
    struct chat_event event = {.kind = CHAT_EVENT_TEXT, .stop_token = -1};
    uint64_t now_ns = engine_now(e);
    uint32_t idx = ticket_n_new(t);

    CHECK(!t->finished && idx < t->max_new);
    t->ids[t->n_tokens] = token->id;
    t->text_end[idx] = 0;
    if (t->sampling.logprobs) {
        t->logprobs[idx] = token->logprob;
    }
    t->n_tokens++;
    tally_token(&e->tally, t, now_ns);
    t->first_ns = idx == 0 ? now_ns : t->first_ns;
    t->last_ns = now_ns;
    judge(e, t, token->id);
    buf_reset(&e->deliver.out);
    if (e->parts.tok != NULL) {
        decode(e, t, token->id);
    }
    if (e->deliver.out.len > 0 || e->parts.tok == NULL) {
        t->text_sent += u32_from_size(e->deliver.out.len);
        event.text = buf_str(&e->deliver.out);
        cover(t, &event, false);
        send(t, &event);
    }
}

void deliver_fail(struct engine_ticket *t)
{
    t->finished = true;
    t->failed = true;
}

void deliver_last(struct engine *e, struct engine_ticket *t)
{
    struct chat_event event = {
        .kind = t->failed ? CHAT_EVENT_ERROR : CHAT_EVENT_DONE,
        .finish = t->finish,
        .stop_token = t->stop_token,
        .usage = {.prompt_tokens = t->n_prompt, .completion_tokens = ticket_n_new(t)},
    };

    CHECK(t->blocks == NULL);
    if (t->failed) {
        event.failure = &t->failure;
    } else if (t->stop_idx != UINT32_MAX) {
        event.stop_reason = t->sampling.stop[t->stop_idx];
    }
    cover(t, &event, true);
    tally_end(&e->tally, t, engine_now(e));
    send(t, &event);
    engine_ticket_unref(t);
}
