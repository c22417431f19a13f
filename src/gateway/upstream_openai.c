/* upstream_openai.c - one attempt: the request to one server that speaks the client's dialect, and
 * what becomes of its answer.
 *
 *   start -> on_head: 2xx: the reader is set up          4xx: its body is read, to be passed on
 *                     429, 401, 403, 5xx: failed at once
 *         -> on_body: reader -> push -> sinks            the first event wins the call
 *         -> on_end:  the answer is complete, or what was wrong
 *
 * Of the client's fields only those in `passed_fields` go out; never its credentials.
 */
#include "base/log.h"
#include "gateway/continuation_internal.h"
#include "gateway/gateway_internal.h"
#include "gateway/stage_reserve_internal.h"

#include <stdio.h>
#include <string.h>

#define API_PREFIX_BYTES 3 // "/v1" of our own paths
#define MS_PER_S 1000
#define RETRY_AFTER_DATE_MS 5000 // a date instead of seconds
#define RETRY_AFTER_S_MAX 86400

static const struct str passed_fields[] = {
    {"traceparent", 11},    {"tracestate", 10},        {"openai-beta", 11},
    {"anthropic-beta", 14}, {"anthropic-version", 17},
};

static void fail(struct attempt *a, enum attempt_fault fault, int http_status)
{
    const struct attempt_failure f = {
        .fault = fault,
        .http_status = http_status,
        .retry_after_ms = a->retry_after_ms,
    };

    attempts_failed(a, &f);
}

/* --- events --- */

static void send_up(struct attempt *a, const struct chat_event *e)
{
    struct call *call = a->call;

    if (call->sink->ops->push(call->sink, e) == E_AGAIN && a->http != NULL) {
        http_call_pause(a->http);
    }
}

/* The client must not notice that another server speaks. */
static void push_continued(struct attempt *a, const struct chat_event *e)
{
    struct call *call = a->call;
    struct continuation *c = call->attempts->said;
    struct chat_event own = *e;
    struct chat_usage whole;
    struct buf text;

    if (e->kind == CHAT_EVENT_ERROR) {
        a->failed = true; // nothing of it was relayed: somebody else may go on
        return;
    }
    a->first_byte_ns = a->first_byte_ns == 0 ? loop_now_ns(call->gw->loop) : a->first_byte_ns;
    if (a->reader.has_prompt || a->reader.has_completion) {
        call->usage = a->reader.usage;
        call->usage_known = e->kind == CHAT_EVENT_DONE && response_has_usage(&a->reader);
    }
    if (a->reader.facts == NULL) {
        if (e->kind == CHAT_EVENT_DONE) {
            send_up(a, e);
        }
        return;
    }
    buf_init(&text, RESPONSE_EVENT_BYTES_MAX);
    whole = stage_reserve_whole_usage(call, &a->reader.usage);
    if (continuation_rewrite(c, a->reader.facts, &whole, call->splice.include_usage, &text)) {
        own.wire = buf_str(&text);
        send_up(a, &own);
        continuation_note(c, call->arena, a->reader.facts);
    }
    buf_done(&text);
}

static void push(void *user, const struct chat_event *e)
{
    struct attempt *a = user;
    struct call *call = a->call;

    if (!a->won) {
        if (a->reader.idle || a->failed) {
            return; // a comment is no answer yet
        }
        if (a->first_byte_ns == 0) {
            a->first_byte_ns = loop_now_ns(call->gw->loop);
        }
        if (e->kind == CHAT_EVENT_ERROR || !attempts_won(a)) {
            a->failed = true;
            return;
        }
    }
    if (a->continues) {
        push_continued(a, e);
        return;
    }
    if (e->kind == CHAT_EVENT_ERROR) {
        a->told = true;
    }
    if (a->reader.has_prompt || a->reader.has_completion) {
        call->usage = a->reader.usage; // so far: an answer that breaks off is billed at least that
        call->usage_known |= e->kind == CHAT_EVENT_DONE && response_has_usage(&a->reader);
    }
    if (call->attempts->said != NULL && a->reader.facts != NULL) {
        continuation_note(call->attempts->said, call->arena, a->reader.facts);
    }
    send_up(a, e);
}

/* --- the head of the answer --- */

static uint64_t read_retry_after(const struct http_head *head)
{
    const struct str *ms = http_parse_field(head, STR("retry-after-ms"));
    const struct str *s = http_parse_field(head, STR("retry-after"));
    uint64_t value;
    double seconds;

    if (ms != NULL && str_to_u64(*ms, &value) == OK) {
        return value < RETRY_AFTER_S_MAX * MS_PER_S ? value : RETRY_AFTER_S_MAX * MS_PER_S;
    }
    if (s == NULL) {
        return 0;
    }
    if (str_to_f64(*s, &seconds) != OK) {
        return RETRY_AFTER_DATE_MS;
    }
    if (seconds < 0 || seconds > RETRY_AFTER_S_MAX) {
        seconds = RETRY_AFTER_S_MAX;
    }
    return (uint64_t)(seconds * MS_PER_S);
}

static struct str media_type(const struct http_head *head)
{
    const struct str *type = http_parse_field(head, STR("content-type"));

    return type == NULL ? (struct str){NULL, 0}
                        : str_trim(str_slice(*type, 0, str_find_byte(*type, ';', 0)));
}

/* application/json, text/json, application/problem+json: as clients read it. */
static bool is_json(const struct http_head *head)
{
    const struct str type = media_type(head);

    return type.len > 4 && str_eq_nocase(str_slice(type, type.len - 4, type.len), STR("json"));
}

static bool is_encoded(const struct http_head *head)
{
    const struct str *encoding = http_parse_field(head, STR("content-encoding"));

    return encoding != NULL && !str_eq_nocase(*encoding, STR("identity"));
}

/* A status that is no success.  True: the attempt goes on (its body is read to be passed on). */
static bool take_refusal(struct attempt *a, const struct http_head *head)
{
    const int status = (int)head->status;

    a->retry_after_ms = read_retry_after(head);
    if (status == 429) {
        fail(a, ATTEMPT_FAULT_LIMITED, status);
        return false;
    }
    if (status == 401 || status == 403) {
        fail(a, ATTEMPT_FAULT_KEY, status);
        return false;
    }
    if (status >= 500) {
        fail(a, ATTEMPT_FAULT_STATUS, status);
        return false;
    }
    if (status < 400 || is_encoded(head) || !is_json(head)) {
        fail(a, status < 400 ? ATTEMPT_FAULT_BROKEN : ATTEMPT_FAULT_REFUSED, status);
        return false;
    }
    a->refused_status = status;
    return true;
}

static void on_head(void *user, const struct http_head *head)
{
    struct attempt *a = user;
    const enum dialect dialect = a->call->route->dialect;
    const bool sse = str_eq_nocase(media_type(head), STR("text/event-stream"));

    response_init(&a->reader, a->call->arena, sse, push, a);
    a->reader_open = true;
    if (head->status < 200 || head->status > 299) {
        (void)take_refusal(a, head);
        return;
    }
    if (is_encoded(head) || (!sse && !is_json(head))) {
        fail(a, ATTEMPT_FAULT_BROKEN, (int)head->status);
        return;
    }
    a->call->accepted = true;
    a->reader.done_marks = dialect == DIALECT_CHAT || dialect == DIALECT_COMPLETION;
    a->reader.strip_usage = a->injects_usage;
    if (sse) {
        attempts_head(a);
    } else {
        a->first_byte_ns = loop_now_ns(a->call->gw->loop);
    }
}

/* --- its body --- */

static void on_body(void *user, struct str piece)
{
    struct attempt *a = user;
    const enum status rc = response_feed(&a->reader, piece);

    if (a->failed) {
        fail(a, ATTEMPT_FAULT_BROKEN, 200);
        return;
    }
    if (a->told) {
        attempts_told(a);
        return;
    }
    if (rc == E_CLOSED && !a->answered) {
        a->answered = true;
        attempts_answered(a);
        return;
    }
    if (rc != OK && rc != E_CLOSED) {
        fail(a, ATTEMPT_FAULT_BROKEN, a->refused_status != 0 ? a->refused_status : 200);
    }
}

/* The server says that the request is at fault: its words go to the client. */
static void pass_refusal(struct attempt *a)
{
    struct call *call = a->call;
    const struct str body = buf_str(&a->reader.carry);

    if (body.len <= ATTEMPT_ERROR_BYTES_MAX &&
        arena_dup(call->arena, body, &call->passed_body) == OK) {
        call->passed_status = a->refused_status;
    }
    fail(a, ATTEMPT_FAULT_REFUSED, a->refused_status);
}

static void finish(struct attempt *a)
{
    const bool answered = a->answered;
    const enum status rc = response_end(&a->reader);

    if (a->failed || rc != OK) {
        fail(a, ATTEMPT_FAULT_BROKEN, 200);
    } else if (a->told) {
        attempts_told(a);
    } else {
        if (!answered) {
            fleet_note_success(a->server);
        }
        attempts_ended(a);
    }
}

static enum attempt_fault fault_of(enum status rc, enum http_call_phase phase)
{
    if (rc == E_DENIED || rc == E_NO_MEMORY) {
        return ATTEMPT_FAULT_DENIED;
    }
    if (phase <= HTTP_CALL_CONNECT) {
        return ATTEMPT_FAULT_CONNECT;
    }
    if (rc == E_TIMEOUT) {
        return ATTEMPT_FAULT_TIMEOUT;
    }
    return phase <= HTTP_CALL_WAIT && (rc == E_IO || rc == E_CLOSED) ? ATTEMPT_FAULT_CONNECT
                                                                     : ATTEMPT_FAULT_BROKEN;
}

static void on_end(void *user, enum status rc, enum http_call_phase phase, const struct error *why)
{
    struct attempt *a = user;

    a->http = NULL;
    if (rc == OK && a->refused_status != 0) {
        pass_refusal(a);
    } else if (rc == OK || a->answered) {
        finish(a);
    } else {
        log_event(LOG_LEVEL_INFO, "upstream_error", "id=%.*s upstream=%.*s error=\"%s\"",
                  STR_ARG(a->call->request_id), STR_ARG(a->server->conf->name),
                  why == NULL ? "" : why->text);
        fail(a, fault_of(rc, phase), 0);
    }
}

/* --- sending --- */

static void add_field(struct attempt *a, struct str name, struct str value)
{
    a->fields[a->n_fields++] = (struct http_field){name, value};
}

static void add_fields(struct attempt *a)
{
    struct call *call = a->call;
    const struct http_head *head = http_exchange_head(call->x);

    add_field(a, STR("content-type"), STR("application/json"));
    add_field(a, STR("accept"),
              call->request.stream ? STR("text/event-stream") : STR("application/json"));
    add_field(a, STR("user-agent"), str_from_c(call->gw->server_name));
    add_field(a, STR("x-request-id"), call->record_id);
    if (a->server->authorization.len > 0) {
        add_field(a, STR("authorization"), a->server->authorization);
    }
    if (a->server->authorization.len > 0 && call->route->dialect == DIALECT_MESSAGES) {
        add_field(a, STR("x-api-key"), a->server->conf->key);
    }
    for (size_t i = 0; i < sizeof(passed_fields) / sizeof(passed_fields[0]); i++) {
        const struct str *value = http_parse_field(head, passed_fields[i]);

        if (value != NULL) {
            add_field(a, passed_fields[i], *value);
        }
    }
}

static const struct http_call_events events = {on_head, on_body, on_end};

enum status upstream_openai_start(struct attempt *a, struct attempt_failure *ret_failure)
{
    struct call *call = a->call;
    const struct settings_upstream *conf = a->server->conf;
    const enum dialect dialect = call->route->dialect;
    const struct str path = str_from_c(call->route->path);
    struct error err = {0};
    enum status rc;

    a->injects_usage = (dialect == DIALECT_CHAT || dialect == DIALECT_COMPLETION) &&
                       call->splice.stream && !call->splice.include_usage;
    if (call->attempts->continuing) {
        a->injects_usage = false; // usage events are rewritten or dropped anyway
        rc = continuation_pieces(a, call->attempts->said);
    } else {
        rc = splice_pieces(call->arena, &call->splice,
                           fleet_model_there(a->server, call->splice.model), a->injects_usage,
                           a->pieces, &a->n_pieces);
    }
    if (rc != OK) {
        return rc;
    }
    add_fields(a);
    rc = http_call_start(a->server->origin,
                         &(struct http_call_options){
                             .permit = a->permit,
                             .label = call->facts.label,
                             .method = STR("POST"),
                             .target = str_slice(path, API_PREFIX_BYTES, path.len),
                             .fields = a->fields,
                             .n_fields = a->n_fields,
                             .pieces = a->pieces,
                             .n_pieces = a->n_pieces,
                             .connect_timeout_ms = conf->connect_timeout_ms,
                             .first_byte_timeout_ms = conf->first_byte_timeout_ms,
                             .idle_timeout_ms = conf->idle_timeout_ms,
                             .total_timeout_ms = conf->total_timeout_ms,
                             .events = &events,
                             .user = a,
                         },
                         &a->http, &err);
    if (rc != OK) {
        *ret_failure = (struct attempt_failure){.fault = ATTEMPT_FAULT_DENIED};
        log_event(LOG_LEVEL_ERROR, "attempt_refused", "id=%.*s upstream=%.*s error=\"%s\"",
                  STR_ARG(call->request_id), STR_ARG(conf->name), err.text);
    }
    return rc;
}

void upstream_openai_drop(struct attempt *a)
{
    if (a->http != NULL) {
        http_call_cancel(a->http);
        a->http = NULL;
    }
    if (a->reader_open) {
        a->reader_open = false;
        response_done(&a->reader);
    }
}

void upstream_openai_resume(struct attempt *a)
{
    if (a->http != NULL) {
        http_call_resume(a->http);
    }
}
