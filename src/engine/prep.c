#include "engine/prep.h"
#include "base/check.h"
#include "base/hash.h"
#include "engine/engine_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RENDER_BYTES_MAX (64u << 20)
#define TAIL_BYTES_MAX 4096 // that a template may write behind the last message

static enum status no_memory(struct chat_failure *f)
{
    chat_failure_set(f, 503, "service_unavailable_error", "server_is_overloaded", NULL,
                     "The server has no memory left for this request. Try again later.");
    return E_NO_MEMORY;
}

static enum status bad(struct chat_failure *f, const char *param, const char *text)
{
    chat_failure_set(f, 400, "invalid_request_error", "invalid_value", param, "%s", text);
    return E_INVALID;
}

/* ---- messages to text ---- */

/* Cut `out` behind the last message's content, so that the model goes on with it.  The template may
 * trim the content, and puts at most an end of turn behind it: looked for from the end, and not
 * far, because each place costs up to the content's length. */
static enum status cut_after_last_message(const struct chat_request *r, size_t begin,
                                          struct buf *out, struct chat_failure *failure)
{
    const struct json_value *last =
        r->messages->n_items > 0 ? &r->messages->items[r->messages->n_items - 1] : NULL;
    struct str content = str_trim(json_string_or(json_get(last, STR("content")), (struct str){0}));
    size_t n_rendered = out->len - begin;

    for (size_t tail = 0; content.len > 0 && tail <= TAIL_BYTES_MAX; tail++) {
        if (tail + content.len > n_rendered) {
            break;
        }
        if (memcmp(out->ptr + out->len - tail - content.len, content.ptr, content.len) == 0) {
            out->len -= tail;
            return OK;
        }
    }
    return bad(failure, "continue_final_message",
               "The last message has no text at the end of the rendered prompt, so it cannot be "
               "continued. Give it a text, or leave continue_final_message out.");
}

/* The limits of the interpreter are the client's fault as well, so INVALID: LIMIT means too many
 * tokens here. */
static enum status template_failed(enum status rc, const struct error *err,
                                   struct chat_failure *failure)
{
    if (rc == E_NO_MEMORY) {
        return no_memory(failure);
    }
    chat_failure_set(failure, 400, "invalid_request_error", "invalid_value", "messages",
                     "The model's chat template did not accept the messages: %s", err->text);
    return E_INVALID;
}

enum status prep_render(const struct engine *e, const struct chat_request *request, struct buf *out,
                        struct chat_failure *failure)
{
    struct chat_template_args args = {
        .messages = request->messages,
        .tools = request->tools,
        .kwargs = request->template_kwargs,
        .add_generation_prompt = request->add_generation_prompt && !request->continue_final_message,
        .clock = e->parts.clock,
    };
    struct chat_template_limits limits = {0};
    struct error err = {0};
    size_t begin = out->len;
    enum status rc;

    if (request->prompt_kind != CHAT_PROMPT_MESSAGES) {
        return bad(failure, NULL, "Only chat messages can be rendered by the template.");
    }
    if (e->parts.template == NULL) {
        return bad(
            failure, "messages",
            "This server runs without a chat template, so it takes no messages. Send a prompt "
            "to /v1/completions, or start the server with --chat-template FILE.");
    }
    rc = chat_template_render(e->parts.template, &args, &limits, out, &err);
    if (rc != OK) {
        return template_failed(rc, &err, failure);
    }
    if (request->continue_final_message) {
        return cut_after_last_message(request, begin, out, failure);
    }
    return OK;
}

/* ---- text to ids ---- */

enum status prep_encode(const struct engine *e, struct str text, bool add_special, struct buf *ids,
                        struct chat_failure *failure)
{
    struct tokenizer_encode_options options = {.parse_special = true, .add_special = add_special};
    enum status rc;

    if (e->parts.tok == NULL) {
        return bad(failure, "prompt",
                   "This server runs a model without a tokenizer, so it takes token ids only.");
    }
    rc = tokenizer_encode(e->parts.tok, text, &options, ids);
    if (rc == E_NO_MEMORY) {
        return no_memory(failure);
    }
    CHECK(rc == OK || rc == E_LIMIT);
    return rc;
}

static enum status too_long(const struct engine *e, const struct chat_request *r, uint64_t n_prompt,
                            bool cut, struct chat_failure *f)
{
    bool chat = r->prompt_kind == CHAT_PROMPT_MESSAGES;

    chat_failure_set(
        f, 400, "invalid_request_error", "context_length_exceeded", chat ? "messages" : "prompt",
        "This model's maximum context length is %u tokens. However, your %s resulted in "
        "%s%llu tokens, and at least one is needed for the answer. Please reduce the "
        "length of the %s.",
        e->parts.max_model_len, chat ? "messages" : "prompt", cut ? "at least " : "",
        (unsigned long long)n_prompt, chat ? "messages" : "prompt");
    return E_INVALID;
}

static enum status check_ids(const struct engine *e, const int32_t *ids, uint32_t n_ids,
                             struct chat_failure *f)
{
    for (uint32_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= e->parts.backend.vocab) {
            chat_failure_set(f, 400, "invalid_request_error", "invalid_value", "prompt",
                             "Token id %d is out of vocabulary; this model has ids 0 to %u.",
                             ids[i], e->parts.backend.vocab - 1);
            return E_INVALID;
        }
    }
    return OK;
}

static enum status encode_request(const struct engine *e, const struct chat_request *r,
                                  struct buf *ids, struct chat_failure *f)
{
    struct buf text;
    enum status rc;

    switch (r->prompt_kind) {
    case CHAT_PROMPT_IDS:
        rc = check_ids(e, r->prompt_ids, r->n_prompt_ids, f);
        if (rc == OK) {
            buf_append(ids, r->prompt_ids, r->n_prompt_ids * sizeof(int32_t));
        }
        return rc;
    case CHAT_PROMPT_TEXT:
        return prep_encode(e, r->prompt_text, r->add_special_tokens, ids, f);
    case CHAT_PROMPT_MESSAGES:
        buf_init(&text, RENDER_BYTES_MAX);
        rc = prep_render(e, r, &text, f);
        if (rc == OK) {
            rc = prep_encode(e, buf_str(&text), false, ids, f); // the template writes the specials
        }
        buf_done(&text);
        return rc;
    }
    CHECK(false && "unknown prompt kind");
}

/* Ids of the prompt in `ids`, at least one and few enough to leave room for an answer. */
static enum status prompt_ids(const struct engine *e, const struct chat_request *r, struct buf *ids,
                              struct chat_failure *f)
{
    enum status rc = encode_request(e, r, ids, f);
    uint64_t n = ids->len / sizeof(int32_t);

    if (rc != OK && rc != E_LIMIT) {
        return rc;
    }
    if (rc == E_LIMIT || buf_status(ids) == E_LIMIT) {
        return too_long(e, r, e->parts.max_model_len + 1ULL, true, f);
    }
    if (buf_status(ids) != OK) {
        return no_memory(f);
    }
    if (n == 0) {
        return bad(f, "prompt", "The prompt is empty. Give at least one token.");
    }
    if (n >= e->parts.max_model_len) {
        return too_long(e, r, n, false, f);
    }
    return OK;
}

/* ---- sampling ---- */

/* What a request may not say; the gateway checks the same with finer words. */
static enum status check_sampling(const struct engine *e, const struct chat_sampling *s,
                                  struct chat_failure *f)
{
    CHECK(s->n_stop <= CHAT_STOP_MAX && s->n_stop_ids <= CHAT_STOP_IDS_MAX);
    if (!(s->temperature >= 0.0 && s->temperature <= 2.0)) {
        return bad(f, "temperature", "temperature must be in [0, 2].");
    }
    if (!(s->top_p > 0.0 && s->top_p <= 1.0)) {
        return bad(f, "top_p", "top_p must be in (0, 1].");
    }
    if (s->top_k < -1) {
        return bad(f, "top_k", "top_k must be 0 (disable), or at least 1.");
    }
    if (!(s->min_p >= 0.0 && s->min_p <= 1.0)) {
        return bad(f, "min_p", "min_p must be in [0, 1].");
    }
    for (uint32_t i = 0; i < s->n_stop_ids; i++) {
        if (s->stop_ids[i] < 0 || (uint32_t)s->stop_ids[i] >= e->parts.backend.vocab) {
            return bad(f, "stop_token_ids", "stop_token_ids holds an id out of vocabulary.");
        }
    }
    return OK;
}

/* Request over checkpoint over OpenAI's defaults. */
static void resolve_sampling(const struct engine *e, struct engine_ticket *t)
{
    struct chat_sampling *s = &t->sampling;

    *s = t->job.request->sampling;
    s->temperature = s->has_temperature ? s->temperature : e->parts.defaults.temperature;
    s->top_p = s->has_top_p ? s->top_p : e->parts.defaults.top_p;
    s->top_k = s->has_top_k ? s->top_k : e->parts.defaults.top_k;
    if (!s->has_seed) {
        s->seed = hash_u64(t->number, e->seed);
    }
}

static enum status init_stop(struct engine_ticket *t, struct chat_failure *f)
{
    const struct chat_sampling *s = &t->sampling;

    if (s->n_stop == 0) {
        return OK;
    }
    t->stop = malloc(sizeof(*t->stop));
    if (t->stop == NULL) {
        return no_memory(f);
    }
    if (stop_init(t->stop, s->stop, s->n_stop) != OK) {
        return bad(f, "stop", "stop cannot contain an empty string, nor one over 1024 bytes.");
    }
    t->stop->include_stop = s->include_stop;
    return OK;
}

/* Ids that may not come before min_tokens: whatever would end the answer. */
static enum status init_banned(const struct engine *e, struct engine_ticket *t,
                               struct chat_failure *f)
{
    const struct chat_sampling *s = &t->sampling;

    if (s->min_tokens == 0) {
        return OK;
    }
    t->banned = malloc((MODEL_EOS_MAX + CHAT_STOP_IDS_MAX) * sizeof(*t->banned));
    if (t->banned == NULL) {
        return no_memory(f);
    }
    for (uint32_t i = 0; i < e->parts.n_eos && !s->ignore_eos; i++) {
        t->banned[t->n_banned++] = e->parts.eos_ids[i];
    }
    for (uint32_t i = 0; i < s->n_stop_ids; i++) {
        t->banned[t->n_banned++] = s->stop_ids[i];
    }
    return OK;
}

/* ---- one ticket ---- */

/* The arrays the engine thread fills, so that it need not allocate. */
static enum status init_arrays(const struct engine *e, struct engine_ticket *t,
                               const struct buf *ids, struct chat_failure *f)
{
    uint32_t n_left;

    t->n_prompt = u32_from_size(ids->len / sizeof(int32_t));
    t->n_tokens = t->n_prompt;
    n_left = e->parts.max_model_len - t->n_prompt;
    t->max_new = t->sampling.max_tokens == 0 || t->sampling.max_tokens > n_left
                     ? n_left
                     : t->sampling.max_tokens;
    t->ids = malloc(((size_t)t->n_prompt + t->max_new) * sizeof(*t->ids));
    t->text_end = malloc(t->max_new * sizeof(*t->text_end));
    t->logprobs = t->sampling.logprobs ? malloc(t->max_new * sizeof(*t->logprobs)) : NULL;
    if (t->ids == NULL || t->text_end == NULL || (t->sampling.logprobs && t->logprobs == NULL)) {
        return no_memory(f);
    }
    memcpy(t->ids, ids->ptr, ids->len);
    return OK;
}

static enum status prepare(const struct engine *e, struct engine_ticket *t)
{
    struct chat_failure *f = &t->failure;
    struct buf ids;
    enum status rc;

    buf_init(&ids, ((size_t)e->parts.max_model_len + 1) * sizeof(int32_t));
    resolve_sampling(e, t);
    rc = check_sampling(e, &t->sampling, f);
    if (rc == OK) {
        rc = prompt_ids(e, t->job.request, &ids, f);
    }
    if (rc == OK) {
        rc = init_arrays(e, t, &ids, f);
    }
    if (rc == OK) {
        rc = init_stop(t, f);
    }
    if (rc == OK) {
        rc = init_banned(e, t, f);
    }
    buf_done(&ids);
    return rc;
}

bool prep_run_one(struct engine *e, bool wait)
{
    struct engine_ticket *t = queue_next_prep(e->queue, wait);
    bool cancelled;

    if (t == NULL) {
        return false;
    }
    cancelled = ticket_is_cancelled(e, t);
    if (!cancelled && prepare(e, t) == OK) {
        t->ready_ns = engine_now(e);
        queue_ready(e->queue, t);
        return true;
    }
    if (cancelled) {
        t->finish = CHAT_FINISH_ABORT;
    } else {
        deliver_fail(t);
    }
    queue_drop(e->queue, t);
    tally_waiting(&e->tally, -1);
    deliver_last(e, t);
    return true;
}
