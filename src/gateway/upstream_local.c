/* upstream_local.c - the engine in this process as an upstream.
 *
 * The engine thread calls on_event and must not wait.  It appends the event to the stream's queue
 * under the stream's lock and, when none is on its way, sends one notice (the stream's address) to
 * the loop.  A stream has at most one notice under way, so the mailbox, as large as the number of
 * requests inside, is never full.  The loop swaps the queue for an empty one and pushes the events
 * up the call's sinks.
 *
 *   engine thread: on_event -> queue, notice          loop: on_news -> pump -> sinks
 *
 * A client that reads slowly pauses the pump (the sink says AGAIN, on_room resumes it) while the
 * queue grows: behind MERGE_FROM_BYTES pieces of text are merged, so that only bare text
 * accumulates.  At stream_queue_bytes the request is cancelled: CAUSE_CLIENT_SLOW.
 *
 * A stream may be freed when the last event was pushed and no notice is under way.
 */
#include "base/check.h"
#include "gateway/gateway_internal.h"

#include <pthread.h>
#include <string.h>

#define MERGE_FROM_BYTES 4096
#define STOP_REASON_BYTES_MAX CHAT_STOP_BYTES_MAX

/* One queued piece of text; `text_bytes` of text and then n_tokens ids and logprobs follow it. */
struct record {
    enum chat_event_kind kind;
    uint32_t text_bytes;
    uint32_t n_tokens;
};

struct stream {
    struct call *call;            // loop
    struct engine_ticket *ticket; // loop; given back at the end
    struct buf taken;             // loop: records being pushed
    size_t taken_at;              // loop
    bool paused;                  // loop: the sink is full
    bool started;                 // loop: START was pushed
    bool cancelled;               // loop: engine_cancel was called
    bool keeps_tokens;            // immutable: ids and logprobs are wanted
    struct gateway *gw;           // immutable
    size_t queue_max;             // immutable
    pthread_mutex_t lock;         // guards what follows
    struct {
        struct buf queue;
        size_t last_at;        // of the last record in queue, SIZE_MAX: none
        bool notice;           // a notice is under way
        bool has_start;        // START came
        bool has_end;          // DONE or ERROR came
        bool overflow;         // queue_max was reached, text was lost
        struct chat_event end; // DONE or ERROR; its pointers refer to the copies below
        struct chat_failure failure;
        struct chat_usage prompt; // of START
        char stop_reason[STOP_REASON_BYTES_MAX];
    } shared;
};

/* --- engine thread --- */

static void merge_text_locked(struct stream *s, struct str text)
{
    struct record r;
    char *last = s->shared.queue.ptr + s->shared.last_at;

    memcpy(&r, last, sizeof(r));
    r.text_bytes += u32_from_size(text.len);
    memcpy(last, &r, sizeof(r));
    buf_append_str(&s->shared.queue, text);
}

static bool may_merge_locked(const struct stream *s, enum chat_event_kind kind)
{
    struct record r;

    if (s->keeps_tokens || s->shared.queue.len < MERGE_FROM_BYTES ||
        s->shared.last_at == SIZE_MAX) {
        return false;
    }
    memcpy(&r, s->shared.queue.ptr + s->shared.last_at, sizeof(r));
    return r.kind == kind;
}

static void add_text_locked(struct stream *s, const struct chat_event *e)
{
    struct buf *q = &s->shared.queue;
    const struct record r = {
        .kind = e->kind,
        .text_bytes = u32_from_size(e->text.len),
        .n_tokens = s->keeps_tokens && e->logprobs != NULL ? e->n_tokens : 0,
    };

    if (q->len + e->text.len + sizeof(r) > s->queue_max) {
        s->shared.overflow = true;
    }
    if (s->shared.overflow) {
        return;
    }
    if (may_merge_locked(s, e->kind)) {
        merge_text_locked(s, e->text);
        return;
    }
    s->shared.last_at = q->len;
    buf_append(q, &r, sizeof(r));
    buf_append_str(q, e->text);
    if (r.n_tokens > 0) {
        buf_append(q, e->token_ids, r.n_tokens * sizeof(*e->token_ids));
        buf_append(q, e->logprobs, r.n_tokens * sizeof(*e->logprobs));
    }
    if (buf_status(q) != OK) {
        s->shared.overflow = true;
    }
}

static void end_locked(struct stream *s, const struct chat_event *e)
{
    const size_t n =
        e->stop_reason.len < STOP_REASON_BYTES_MAX ? e->stop_reason.len : STOP_REASON_BYTES_MAX;

    s->shared.has_end = true;
    s->shared.end = *e;
    s->shared.end.text = (struct str){NULL, 0};
    s->shared.end.n_tokens = 0;
    if (n > 0) {
        memcpy(s->shared.stop_reason, e->stop_reason.ptr, n);
    }
    s->shared.end.stop_reason = (struct str){s->shared.stop_reason, n};
    if (e->failure != NULL) {
        s->shared.failure = *e->failure;
        s->shared.end.failure = &s->shared.failure;
    }
}

static void on_event(void *user, const struct chat_event *e)
{
    struct stream *s = user;

    pthread_mutex_lock(&s->lock);
    switch (e->kind) {
    case CHAT_EVENT_START:
        s->shared.has_start = true;
        s->shared.prompt = e->usage;
        break;
    case CHAT_EVENT_TEXT:
    case CHAT_EVENT_REASONING:
        add_text_locked(s, e);
        break;
    case CHAT_EVENT_TOOL_CALL: // no tools are offered to the model yet
        break;
    case CHAT_EVENT_DONE:
    case CHAT_EVENT_ERROR:
        end_locked(s, e);
        break;
    }
    if (!s->shared.notice) {
        s->shared.notice = true;
        CHECK(mailbox_try_send(s->gw->news, &s) == OK);
    }
    pthread_mutex_unlock(&s->lock);
}

/* --- loop --- */

static void pump(struct stream *s);

/* May end the call, when its last event waits behind a full sink already. */
static void cancel(struct call *call)
{
    struct stream *s = call->upstream_state;

    if (s == NULL || s->cancelled || s->ticket == NULL) {
        return;
    }
    s->cancelled = true;
    engine_cancel(s->gw->engine, s->ticket);
    if (s->paused) {
        s->paused = false;
        pump(s);
    }
}

/* Push one record.  Returns what the sink said. */
static enum status push_record(struct stream *s)
{
    const char *at = s->taken.ptr + s->taken_at;
    struct record r;
    struct chat_event e;
    size_t ids_bytes;
    size_t probs_bytes;
    int32_t *ids = NULL;
    float *probs = NULL;

    memcpy(&r, at, sizeof(r));
    ids_bytes = r.n_tokens * sizeof(*ids);
    probs_bytes = r.n_tokens * sizeof(*probs);
    if (r.n_tokens > 0) { // aligned copies
        ids = arena_alloc(s->call->arena, ids_bytes);
        probs = arena_alloc(s->call->arena, probs_bytes);
        if (ids == NULL || probs == NULL) {
            return E_NO_MEMORY;
        }
        memcpy(ids, at + sizeof(r) + r.text_bytes, ids_bytes);
        memcpy(probs, at + sizeof(r) + r.text_bytes + ids_bytes, probs_bytes);
    }
    e = (struct chat_event){
        .kind = r.kind,
        .text = {at + sizeof(r), r.text_bytes},
        .token_ids = ids,
        .logprobs = probs,
        .n_tokens = r.n_tokens,
    };
    s->taken_at += sizeof(r) + r.text_bytes + ids_bytes + probs_bytes;
    return s->call->sink->ops->push(s->call->sink, &e);
}

/* Take what has come.  True: the last event is among it and nobody else refers to s. */
static bool swap_queue(struct stream *s, bool *ret_start, bool *ret_overflow)
{
    const struct buf empty = s->taken;
    bool finished;

    pthread_mutex_lock(&s->lock);
    *ret_start = s->shared.has_start && !s->started;
    *ret_overflow = s->shared.overflow;
    s->taken = s->shared.queue;
    s->taken_at = 0;
    s->shared.queue = empty;
    buf_reset(&s->shared.queue);
    s->shared.last_at = SIZE_MAX;
    finished = s->shared.has_end && !s->shared.notice;
    pthread_mutex_unlock(&s->lock);
    return finished;
}

static void note_full(struct stream *s, enum status rc)
{
    if (rc == E_AGAIN) {
        s->paused = true;
    } else if (rc != OK) {
        cancel(s->call); // CLOSED: nobody listens; the rest is dropped
    }
}

static void finish(struct stream *s)
{
    struct call *call = s->call;
    const struct chat_event end = s->shared.end; // the engine has let go: no lock needed

    (void)call->sink->ops->push(call->sink, &end);
    engine_release(s->gw->engine, s->ticket);
    s->ticket = NULL;
    call->upstream_state = NULL;
    buf_done(&s->taken);
    buf_done(&s->shared.queue);
    pthread_mutex_destroy(&s->lock);
    pipeline_resume(call, end.kind == CHAT_EVENT_DONE ? STAGE_NEXT : STAGE_STOP);
}

static void start_sinks(struct stream *s)
{
    const struct chat_event e = {
        .kind = CHAT_EVENT_START,
        .usage = s->shared.prompt, // written before has_start, which was read under the lock
        .stop_token = -1,
    };

    s->started = true;
    note_full(s, s->call->sink->ops->push(s->call->sink, &e));
}

static void too_slow(struct stream *s)
{
    if (!s->cancelled) {
        s->call->cause = CAUSE_CLIENT_SLOW;
        cancel(s->call);
    }
}

/* Push what there is, as long as there is room. */
static void pump(struct stream *s)
{
    bool finished;
    bool start;
    bool overflow;

    for (;;) {
        while (s->taken_at < s->taken.len && !s->cancelled && !s->paused) {
            note_full(s, push_record(s));
        }
        if (s->paused) {
            return; // on_room comes, or on_gone
        }
        finished = swap_queue(s, &start, &overflow);
        if (start) {
            start_sinks(s);
        }
        if (overflow) {
            too_slow(s);
        }
        if (s->taken.len == 0 || s->cancelled) {
            break;
        }
    }
    if (finished) {
        finish(s); // frees s
    }
}

static void room(struct call *call)
{
    struct stream *s = call->upstream_state;

    if (s != NULL && s->paused) {
        s->paused = false;
        pump(s);
    }
}

/* A notice of the engine thread: see gateway.c. */
void upstream_local_news(struct gateway *gw)
{
    struct stream *s;

    while (mailbox_try_receive(gw->news, &s) == OK) {
        bool overflow;

        pthread_mutex_lock(&s->lock);
        s->shared.notice = false;
        overflow = s->shared.overflow;
        pthread_mutex_unlock(&s->lock);
        if (overflow && s->paused) {
            too_slow(s); // pumps
        } else {
            pump(s);
        }
    }
}

/* Why the engine took nothing: full, draining, or broken for good. */
static enum status refuse_submit(struct call *call, enum status rc)
{
    struct engine_stats st = {0};

    engine_stats(call->gw->engine, &st);
    if (rc == E_LIMIT) {
        (void)call_unavailable(call, "server_is_overloaded", 1,
                               "The engine is currently overloaded: its queue is full. Try again "
                               "in a moment.");
    } else if (st.failed) {
        (void)call_unavailable(call, "engine_failed", 30,
                               "The engine met a fault and serves no more requests until it is "
                               "restarted. Send the request to another server.");
    } else {
        (void)call_unavailable(call, "server_is_draining", 10,
                               "The engine takes no new requests. Send the request to another "
                               "server or again later.");
    }
    return rc;
}

static enum status start(struct call *call)
{
    struct stream *s = arena_zalloc(call->arena, 1, sizeof(*s));
    struct engine_job job = {.request = &call->request.chat, .on_event = on_event, .user = s};
    enum status rc;

    if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        (void)call_unavailable(call, "server_is_overloaded", 1,
                               "The server has no memory for this request.");
        return E_NO_MEMORY;
    }
    s->call = call;
    s->gw = call->gw;
    s->keeps_tokens = call->request.chat.sampling.logprobs;
    s->queue_max = call->gw->options.stream_queue_bytes;
    s->shared.last_at = SIZE_MAX;
    buf_init(&s->taken, s->queue_max + MERGE_FROM_BYTES);
    buf_init(&s->shared.queue, s->queue_max + MERGE_FROM_BYTES);
    call->upstream_state = s;
    rc = engine_submit(call->gw->engine, &job, &s->ticket);
    if (rc != OK) {
        call->upstream_state = NULL;
        pthread_mutex_destroy(&s->lock);
        return refuse_submit(call, rc);
    }
    return OK;
}

static struct str token_text(struct call *call, int32_t id)
{
    return engine_token_text(call->gw->engine, id);
}

const struct upstream_ops upstream_local = {
    .name = "local",
    .start = start,
    .cancel = cancel,
    .room = room,
    .token_text = token_text,
};
