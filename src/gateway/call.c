#include "base/check.h"
#include "gateway/gateway_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COMMON_FIELDS_MAX 24
#define FIELD_TEXT_BYTES 256 // values of all common fields of one answer
#define NANO 1000000000

/* The client stopped listening: stop the work.  The call itself ends when the upstream says so. */
static void on_gone(void *user)
{
    struct call *call = user;

    if (call->cause == CAUSE_DONE) {
        call->cause = CAUSE_CLIENT_GONE;
    }
    call->gone_ns = loop_now_ns(call->gw->loop);
    if (call->upstream != NULL) {
        call->upstream->cancel(call);
    }
}

static void on_room(void *user)
{
    struct call *call = user;

    if (call->upstream != NULL) {
        call->upstream->room(call);
    }
}

static const struct http_exchange_events exchange_events = {on_gone, on_room};

bool call_id_is_plain(struct str id)
{
    if (id.len == 0 || id.len > CALL_ID_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        const char c = id.ptr[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !(c >= '0' && c <= '9') && strchr("-_.:/+=@", c) == NULL) {
            return false;
        }
    }
    return true;
}

/* The id that the client chose is shown to it; records and upstreams get one that is unique. */
static void choose_ids(struct call *call)
{
    const struct http_head *head = http_exchange_head(call->x);
    const struct str *given = head == NULL ? NULL : http_parse_field(head, STR("x-request-id"));

    call->record_id = gateway_new_id(call->gw, call->arena);
    call->request_id = given != NULL && call_id_is_plain(*given) ? *given : call->record_id;
}

struct call *call_create(struct gateway *gw, struct http_exchange *x)
{
    static const struct http_reply no_memory = {.status = 503,
                                                .content_type = "application/json",
                                                .close = true};
    struct call *call = arena_zalloc(http_exchange_arena(x), 1, sizeof(*call));

    if (call == NULL) {
        http_exchange_reply(x, &no_memory,
                            STR("{\"error\":{\"message\":\"The server has no memory "
                                "for this request.\",\"type\":\"server_error\","
                                "\"param\":null,\"code\":null}}"));
        return NULL;
    }
    call->gw = gw;
    call->x = x;
    call->arena = http_exchange_arena(x);
    call->route = &routes_none;
    call->fleet = fleet_ref(gw->fleet);
    call->cost_nano = -1;
    choose_ids(call);
    call->next = gw->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    gw->calls = call;
    gw->n_calls++;
    http_exchange_hold(x);
    http_exchange_listen(x, &exchange_events, call);
    return call;
}

void call_destroy(struct call *call)
{
    struct gateway *gw = call->gw;
    struct http_exchange *x = call->x;

    for (struct sink *s = call->sink; s != NULL; s = s->next) {
        if (s->ops->close != NULL) {
            s->ops->close(s);
        }
    }
    loop_timer_stop(&call->deadline);
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        gw->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    gw->n_calls--;
    fleet_unref(call->fleet);
    http_exchange_listen(x, NULL, NULL);
    http_exchange_release(x); // the call's own memory goes with it
    gateway_check_stop(gw);
}

/* --- refusals --- */

static enum cause cause_of(int http_status)
{
    if (http_status == 503) {
        return CAUSE_UNAVAILABLE;
    }
    return http_status >= 500 ? CAUSE_FAILED : CAUSE_REFUSED;
}

static const char *type_of(int http_status)
{
    if (http_status == 503) {
        return "service_unavailable_error";
    }
    return http_status >= 500 ? "server_error" : "invalid_request_error";
}

enum stage_verdict call_refuse_with(struct call *call, const struct chat_failure *failure)
{
    struct chat_failure *copy = arena_alloc(call->arena, sizeof(*copy));
    static const struct chat_failure no_memory = {
        .http_status = 503,
        .type = "server_error",
        .message = "The server has no memory for this request.",
    };

    if (copy != NULL) {
        *copy = *failure;
    }
    call->failure = copy == NULL ? &no_memory : copy;
    if (call->cause == CAUSE_DONE) {
        call->cause = cause_of(call->failure->http_status);
    }
    return STAGE_STOP;
}

enum stage_verdict call_refuse(struct call *call, int http_status, const char *code,
                               const char *param, const char *fmt, ...)
{
    struct chat_failure f;
    va_list args;

    chat_failure_set(&f, http_status, type_of(http_status), code, param, "%s", "");
    va_start(args, fmt);
    vsnprintf(f.message, sizeof(f.message), fmt, args);
    va_end(args);
    return call_refuse_with(call, &f);
}

enum stage_verdict call_unavailable(struct call *call, const char *code, uint32_t retry_after_s,
                                    const char *text)
{
    call->retry_after_s = retry_after_s;
    return call_refuse(call, 503, code, NULL, "%s", text);
}

void call_explain_abort(struct call *call)
{
    if (call->cause == CAUSE_TIMEOUT) {
        (void)call_refuse(call, 504, "request_timeout", NULL,
                          "The request ran longer than this server allows.");
    } else if (call->cause == CAUSE_STOPPED) {
        (void)call_unavailable(call, "server_is_draining", 10,
                               "The server was shut down before the answer was complete.");
    } else {
        (void)call_refuse(call, 500, NULL, NULL,
                          "The server had an error while processing your request: the engine ended "
                          "the answer early.");
    }
}

int call_status(const struct call *call)
{
    const int sent = http_exchange_status(call->x);

    if (call->cause == CAUSE_CLIENT_GONE) {
        return 499;
    }
    if (sent != 0) {
        return sent;
    }
    if (call->passed_status != 0) {
        return call->passed_status;
    }
    if (call->failure != NULL) {
        return call->failure->http_status;
    }
    return call->answered ? 200 : 499;
}

/* --- answers --- */

struct fields {
    struct http_field *list; // [COMMON_FIELDS_MAX]
    uint32_t n;
    char text[FIELD_TEXT_BYTES];
    size_t text_len;
};

static void put(struct fields *f, struct str name, struct str value)
{
    f->list[f->n++] = (struct http_field){name, value};
}

/* Append a number to the text of the value that began at `from`; without printf, for every answer
 * has a handful of them. */
static void put_digits(struct fields *f, uint64_t value, unsigned n_min)
{
    char digits[20];
    unsigned at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 || sizeof(digits) - at < n_min);
    for (; at < sizeof(digits) && f->text_len < sizeof(f->text); at++) {
        f->text[f->text_len++] = digits[at];
    }
}

static void put_unit(struct fields *f, const char *unit)
{
    for (; *unit != '\0' && f->text_len < sizeof(f->text); unit++) {
        f->text[f->text_len++] = *unit;
    }
}

/* The field whose value is the text since `from`. */
static void put_since(struct fields *f, struct str name, size_t from)
{
    put(f, name, (struct str){f->text + from, f->text_len - from});
}

static void put_number(struct fields *f, struct str name, uint64_t value)
{
    const size_t from = f->text_len;

    put_digits(f, value, 1);
    put_since(f, name, from);
}

/* "6m0s", "1s", "174ms", as OpenAI writes them. */
static void put_duration(struct fields *f, struct str name, uint64_t ms)
{
    const uint64_t s = (ms + 999) / 1000;
    const size_t from = f->text_len;

    if (ms < 1000) {
        put_digits(f, ms, 1);
        put_unit(f, "ms");
        put_since(f, name, from);
        return;
    }
    if (s >= 3600) {
        put_digits(f, s / 3600, 1);
        put_unit(f, "h");
    }
    if (s >= 60) {
        put_digits(f, s / 60 % 60, 1);
        put_unit(f, "m");
    }
    put_digits(f, s % 60, 1);
    put_unit(f, "s");
    put_since(f, name, from);
}

static void put_limits(struct fields *f, const struct limits_state *l)
{
    if (l->limit_requests > 0) {
        put_number(f, STR("x-ratelimit-limit-requests"), l->limit_requests);
        put_number(f, STR("x-ratelimit-remaining-requests"), l->remaining_requests);
        put_duration(f, STR("x-ratelimit-reset-requests"), l->reset_requests_ms);
    }
    if (l->limit_tokens > 0) {
        put_number(f, STR("x-ratelimit-limit-tokens"), l->limit_tokens);
        put_number(f, STR("x-ratelimit-remaining-tokens"), l->remaining_tokens);
        put_duration(f, STR("x-ratelimit-reset-tokens"), l->reset_tokens_ms);
    }
}

/* Who answered, how fast, at what price.  The cost of a stream is known behind its head only. */
static void put_origin(struct fields *f, const struct call *call)
{
    const uint64_t now_ns = loop_now_ns(call->gw->loop);

    put(f, STR("x-kontor-provider"), call->server->conf->provider);
    put_number(f, STR("x-kontor-latency-ms"), (now_ns - http_exchange_begun_ns(call->x)) / 1000000);
    put_number(f, STR("x-kontor-attempts"), call->n_attempts);
    if (call->cost_nano >= 0 && call->price != NULL) {
        const size_t from = f->text_len;

        put_digits(f, (uint64_t)call->cost_nano / NANO, 1);
        put_unit(f, ".");
        put_digits(f, (uint64_t)call->cost_nano % NANO, 9);
        put_since(f, STR("x-kontor-cost"), from);
        put(f, STR("x-kontor-currency"), call->price->currency);
    }
}

/* Fields of every answer.  Browsers of any origin may call, without credentials, as with vLLM. */
static void common_fields(const struct call *call, struct fields *f)
{
    const struct http_head *head = http_exchange_head(call->x);

    put(f, STR("x-request-id"), call->request_id);
    if (head != NULL && http_parse_field(head, STR("origin")) != NULL) {
        put(f, STR("access-control-allow-origin"), STR("*"));
        put(f, STR("access-control-expose-headers"), STR("x-request-id"));
    }
    if (call->server != NULL && call->gw->options.settings != NULL) {
        put_origin(f, call);
    }
    if (call->limits != NULL) {
        put_limits(f, call->limits);
    }
}

void call_reply_fields(struct call *call, int http_status, const char *content_type,
                       const struct http_field *fields, uint32_t n_fields, struct str body)
{
    struct http_field all[COMMON_FIELDS_MAX];
    struct fields f = {.list = all};

    common_fields(call, &f);
    CHECK(f.n + n_fields <= COMMON_FIELDS_MAX);
    for (uint32_t i = 0; i < n_fields; i++) {
        all[f.n++] = fields[i];
    }
    http_exchange_reply(call->x,
                        &(struct http_reply){.status = http_status,
                                             .content_type = content_type,
                                             .fields = all,
                                             .n_fields = f.n},
                        body);
}

void call_reply(struct call *call, int http_status, const char *content_type, struct str body)
{
    call_reply_fields(call, http_status, content_type, NULL, 0, body);
}

void call_begin(struct call *call, const char *content_type)
{
    struct http_field all[COMMON_FIELDS_MAX];
    struct fields f = {.list = all};

    common_fields(call, &f);
    put(&f, STR("cache-control"), STR("no-cache"));
    put(&f, STR("x-accel-buffering"), STR("no"));
    http_exchange_begin(call->x, &(struct http_reply){.status = 200,
                                                      .content_type = content_type,
                                                      .fields = all,
                                                      .n_fields = f.n});
}

/* As Anthropic words it: the type follows from the status. */
static void write_messages_failure(struct buf *out, const struct chat_failure *f)
{
    static const struct {
        int http_status;
        const char *type;
    } types[] = {
        {400, "invalid_request_error"}, {401, "authentication_error"}, {403, "permission_error"},
        {404, "not_found_error"},       {413, "request_too_large"},    {429, "rate_limit_error"},
        {503, "overloaded_error"},
    };
    const char *type = f->http_status < 500 ? "invalid_request_error" : "api_error";

    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        type = types[i].http_status == f->http_status ? types[i].type : type;
    }
    buf_append_str(out, STR("{\"type\":\"error\",\"error\":{\"type\":"));
    json_write_string(out, str_from_c(type));
    buf_append_str(out, STR(",\"message\":"));
    json_write_string(out, str_from_c(f->message));
    buf_append_str(out, STR("}}"));
}

void call_reply_failure(struct call *call)
{
    struct http_field fields[2];
    char seconds[16];
    uint32_t n = 0;
    struct buf *out = &call->gw->scratch;

    if (call->retry_after_s > 0) {
        const int len = snprintf(seconds, sizeof(seconds), "%u", call->retry_after_s);

        fields[n++] = (struct http_field){STR("retry-after"), {seconds, (size_t)len}};
    }
    if (call->failure->http_status == 401) {
        fields[n++] = (struct http_field){STR("www-authenticate"), STR("Bearer")};
    }
    buf_reset(out);
    if (call->route->dialect == DIALECT_MESSAGES) {
        write_messages_failure(out, call->failure);
    } else {
        chat_json_write_failure(out, call->failure, call->gw->options.error_style);
    }
    call_reply_fields(call, call->failure->http_status, "application/json", fields, n,
                      buf_str(out));
}

const struct chat_json_token *call_tokens(struct call *call, const struct chat_event *e)
{
    struct chat_json_token *tokens;

    if (e->logprobs == NULL || e->n_tokens == 0) {
        return NULL;
    }
    tokens = arena_zalloc(call->arena, e->n_tokens, sizeof(*tokens));
    for (uint32_t i = 0; tokens != NULL && i < e->n_tokens; i++) {
        tokens[i].text = call->upstream->token_text(call, e->token_ids[i]);
        tokens[i].logprob = e->logprobs[i];
    }
    return tokens;
}

const char *call_cause_name(enum cause cause)
{
    static const char *const names[CAUSE_COUNT] = {"done",    "refused",          "unavailable",
                                                   "failed",  "client_gone",      "client_slow",
                                                   "timeout", "stopped",          "denied",
                                                   "limited", "upstream_limited", "upstream_broke"};

    return names[cause];
}
