#include "gateway/response.h"
#include "base/check.h"
#include "chat/chat_json.h"

#include <string.h>

#define DATA STR("data:")

void response_init(struct response *r, struct arena *arena, bool sse,
                   void (*push)(void *user, const struct chat_event *event), void *user)
{
    *r = (struct response){.arena = arena, .sse = sse, .push = push, .user = user};
    buf_init(&r->carry, sse ? RESPONSE_EVENT_BYTES_MAX : RESPONSE_BODY_BYTES_MAX);
    buf_init(&r->joined, RESPONSE_EVENT_BYTES_MAX);
}

void response_done(struct response *r)
{
    buf_done(&r->carry);
    buf_done(&r->joined);
}

/* --- events out --- */

static void push_done(struct response *r, struct str wire, uint32_t n_tokens)
{
    const struct chat_event e = {
        .kind = CHAT_EVENT_DONE,
        .n_tokens = n_tokens,
        .finish = CHAT_FINISH_STOP,
        .stop_token = -1,
        .usage = r->usage,
        .wire = wire,
    };

    r->ended = true;
    r->push(r->user, &e);
}

/* The text of an error is read with care and time: it is rare. */
static enum status push_error(struct response *r, struct str json, struct str wire)
{
    struct chat_failure *failure = arena_zalloc(r->arena, 1, sizeof(*failure));
    const struct json_value *root;
    struct chat_event e = {
        .kind = CHAT_EVENT_ERROR,
        .stop_token = -1,
        .usage = r->usage,
        .wire = wire,
        .failure = failure,
    };
    enum status rc;

    if (failure == NULL) {
        return E_NO_MEMORY;
    }
    rc = json_parse(r->arena, json, NULL, &root, NULL);
    if (rc != OK) {
        return rc;
    }
    chat_json_read_failure(root, 502, failure);
    r->ended = true;
    r->push(r->user, &e);
    return OK;
}

static void note(struct response *r, const struct response_facts *f, uint32_t n_tokens)
{
    r->finished |= f->finished;
    r->guessed_tokens += n_tokens;
    r->has_prompt |= f->has_prompt;
    r->has_completion |= f->has_completion;
    // message_start knows the prompt, message_delta the completion
    if (f->usage.prompt_tokens > 0) {
        r->usage.prompt_tokens = f->usage.prompt_tokens;
        r->usage.cached_tokens = f->usage.cached_tokens;
    }
    if (f->has_completion) {
        r->usage.completion_tokens = f->usage.completion_tokens;
        r->usage.reasoning_tokens = f->usage.reasoning_tokens;
    }
}

bool response_has_usage(const struct response *r)
{
    return r->has_prompt && (r->has_completion || r->guessed_tokens == 0);
}

/* --- one event --- */

static enum status take_data(struct response *r, struct str json, struct str wire)
{
    struct response_facts f;
    struct chat_event e = {.kind = CHAT_EVENT_TEXT, .stop_token = -1, .wire = wire};
    enum status rc;

    if (str_eq(json, STR("[DONE]"))) {
        push_done(r, wire, 0);
        return E_CLOSED;
    }
    rc = response_scan(json, &f);
    if (rc != OK) {
        return rc;
    }
    e.n_tokens = response_guess_tokens(f.text_bytes);
    note(r, &f, e.n_tokens);
    if (f.failed) {
        rc = push_error(r, json, wire);
        return rc == OK ? E_CLOSED : rc;
    }
    if (f.ends) {
        push_done(r, wire, 0);
        return E_CLOSED;
    }
    if (r->strip_usage && f.has_choices && f.n_choices == 0 && f.has_usage) {
        return OK;
    }
    e.usage = r->usage;
    r->facts = &f;
    r->push(r->user, &e);
    r->facts = NULL;
    return OK;
}

/* One line of `s` from `at`; moves `at` behind its end.  Lines are complete here. */
static struct str next_line(struct str s, size_t *at)
{
    const size_t begin = *at;
    size_t end = begin;

    while (end < s.len && s.ptr[end] != '\n' && s.ptr[end] != '\r') {
        end++;
    }
    *at = end + 1;
    if (end + 1 < s.len && s.ptr[end] == '\r' && s.ptr[end + 1] == '\n') {
        *at = end + 2;
    }
    return str_slice(s, begin, end);
}

static struct str data_of(struct str line)
{
    struct str v = str_slice(line, DATA.len, line.len);

    return v.len > 0 && v.ptr[0] == ' ' ? str_slice(v, 1, v.len) : v;
}

/* Several lines, comments, an event name: collect what is data. */
static enum status take_lines(struct response *r, struct str wire)
{
    struct str data = {NULL, 0};
    uint32_t n = 0;
    size_t at = 0;

    while (at < wire.len) {
        const struct str line = next_line(wire, &at);

        if (!str_starts(line, DATA) && !str_eq(line, STR("data"))) {
            continue;
        }
        if (n == 1) { // a second line: join them
            buf_reset(&r->joined);
            buf_append_str(&r->joined, data);
        }
        if (n >= 1) {
            buf_append_byte(&r->joined, '\n');
            buf_append_str(&r->joined, data_of(line));
        }
        data = n == 0 ? data_of(line) : buf_str(&r->joined);
        n++;
    }
    if (n > 1 && buf_status(&r->joined) != OK) {
        return buf_status(&r->joined);
    }
    if (n == 0) {
        const struct chat_event e = {.kind = CHAT_EVENT_TEXT, .stop_token = -1, .wire = wire};

        r->idle = true;
        r->push(r->user, &e);
        r->idle = false;
        return OK;
    }
    return take_data(r, data, wire);
}

/* `wire` is one event with its blank line.  Nearly all are one data line. */
static enum status take_event(struct response *r, struct str wire)
{
    const char *end;

    if (!str_starts(wire, DATA)) {
        return take_lines(r, wire);
    }
    end = memchr(wire.ptr, '\n', wire.len);
    if (end != NULL && end + 2 == wire.ptr + wire.len && end[1] == '\n') {
        const struct str line = {wire.ptr, (size_t)(end - wire.ptr)};

        if (memchr(line.ptr, '\r', line.len) == NULL) {
            return take_data(r, data_of(line), wire);
        }
    }
    return take_lines(r, wire);
}

/* --- splitting --- */

/* End of the line that goes on at `from`: offset behind its line end; 0: not here yet. */
static size_t line_end(struct str s, size_t from, size_t *ret_text_end)
{
    const char *lf = memchr(s.ptr + from, '\n', s.len - from);
    const size_t stop = lf == NULL ? s.len : (size_t)(lf - s.ptr);
    const char *cr = memchr(s.ptr + from, '\r', stop - from);

    if (cr == NULL) {
        *ret_text_end = stop;
        return lf == NULL ? 0 : stop + 1;
    }
    *ret_text_end = (size_t)(cr - s.ptr);
    if (*ret_text_end + 1 == s.len) {
        return 0; // a line feed may follow
    }
    return *ret_text_end + 1 + (s.ptr[*ret_text_end + 1] == '\n');
}

/* Take all complete events of `s`; ret_used: how much of it. */
static enum status split(struct response *r, struct str s, size_t *ret_used)
{
    size_t event_at = 0;
    size_t text_end = 0;
    enum status rc = OK;

    while (rc == OK && r->line_at < s.len) {
        const size_t from = r->seen > r->line_at ? r->seen : r->line_at;
        const size_t end = line_end(s, from, &text_end);

        if (end == 0) {
            r->seen = text_end;
            break;
        }
        if (text_end == r->line_at) {
            rc = take_event(r, str_slice(s, event_at, end));
            event_at = end;
        }
        r->line_at = end;
    }
    *ret_used = event_at;
    r->line_at -= event_at;
    r->seen = r->seen > event_at ? r->seen - event_at : 0;
    return rc;
}

static enum status feed_carry(struct response *r, struct str piece)
{
    size_t used;
    enum status rc;

    buf_append_str(&r->carry, piece);
    if (buf_status(&r->carry) != OK) {
        return buf_status(&r->carry);
    }
    rc = split(r, buf_str(&r->carry), &used);
    if (used == r->carry.len && r->carry.cap > RESPONSE_KEEP_BYTES) {
        buf_done(&r->carry);
    } else {
        buf_consume(&r->carry, used);
    }
    return rc;
}

enum status response_feed(struct response *r, struct str piece)
{
    size_t used;
    enum status rc;

    if (r->ended) {
        return E_CLOSED;
    }
    if (!r->sse) {
        buf_append_str(&r->carry, piece);
        return buf_status(&r->carry);
    }
    if (r->carry.len > 0) {
        return feed_carry(r, piece);
    }
    rc = split(r, piece, &used);
    if (rc == OK) {
        buf_append_str(&r->carry, str_slice(piece, used, piece.len));
        rc = buf_status(&r->carry);
    }
    return rc;
}

/* --- the end --- */

static enum status end_json(struct response *r)
{
    const struct str body = buf_str(&r->carry);
    struct response_facts f;
    uint32_t n_tokens;
    enum status rc = response_scan(body, &f);

    if (rc != OK) {
        return rc;
    }
    n_tokens = response_guess_tokens(f.text_bytes);
    note(r, &f, n_tokens);
    if (f.failed) {
        return push_error(r, body, body);
    }
    push_done(r, body, n_tokens);
    return OK;
}

/* A last event may lack its blank line.  A stream that has told why it ends needs no mark; clients
 * that wait for one get it. */
static enum status end_sse(struct response *r)
{
    const struct str rest = buf_str(&r->carry);
    enum status rc = OK;

    if (rest.len > 0 && str_starts(rest, STR("data: [DONE]"))) {
        push_done(r, STR("data: [DONE]\n\n"), 0);
        return OK;
    }
    if (rest.len > 0) {
        return E_CLOSED; // cut off in mid-event
    }
    if (!r->finished || !r->done_marks) {
        return E_CLOSED;
    }
    push_done(r, STR("data: [DONE]\n\n"), 0);
    return rc;
}

enum status response_end(struct response *r)
{
    if (r->ended) {
        return OK;
    }
    return r->sse ? end_sse(r) : end_json(r);
}
