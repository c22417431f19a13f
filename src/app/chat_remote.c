#include "app/chat_peer.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/json.h"
#include "chat/chat_json.h"
#include "net/egress.h"
#include "net/permit.h"
#include "net/sse.h"
#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_BYTES_MAX 2048
#define KEY_BYTES_MAX 4096
#define BODY_BYTES_MAX (64 << 20)
#define ARENA_BYTES_MAX (256 << 20)

/* The operator types into the own terminal and names the server: nothing is held back. */
static const struct permit permit = {LABEL_PRIVATE, "chat"};

struct remote {
    char base[URL_BYTES_MAX]; // without trailing slash, without /v1
    char model[CHAT_PEER_NAME_MAX];
    char authorization[KEY_BYTES_MAX]; // "Bearer KEY", or ""
    struct tls_client *tls;            // owned; NULL: the system's authorities
};

/* One call under way. */
struct call {
    const struct chat_turn *turn; // NULL: the whole body is collected
    struct buf *answer;           // text of the answer
    struct buf body;              // whole body when it is not a stream
    struct sse sse;
    struct arena *arena; // reset after each event
    bool streams;
    bool stopped;
    bool finished; // [DONE] was seen
    struct chat_failure failure;
    bool failed;
};

static void on_head(void *user, const struct http_head *head)
{
    struct call *c = user;

    c->streams = c->turn != NULL && head->status == 200;
}

static bool on_event(void *user, const struct sse_event *event)
{
    struct call *c = user;
    const struct json_value *root;
    struct chat_json_delta delta;
    struct error err;

    if (str_eq(event->data, STR("[DONE]"))) {
        c->finished = true;
        return true;
    }
    arena_reset(c->arena);
    if (json_parse(c->arena, event->data, NULL, &root, &err) != OK) {
        chat_failure_set(&c->failure, 502, "server_error", NULL, NULL,
                         "the server sent an event that is not JSON: %s", err.text);
        c->failed = true;
        return false;
    }
    if (chat_json_read_chunk(root, &delta, &c->failure) != OK) {
        c->failed = true;
        return false;
    }
    buf_append_str(c->answer, delta.content);
    c->turn->on_text(delta.content);
    return true;
}

static bool on_body(void *user, struct str piece)
{
    struct call *c = user;

    if (!c->streams) {
        buf_append_str(&c->body, piece);
        return buf_status(&c->body) == OK;
    }
    return sse_feed(&c->sse, piece, on_event, c) == OK;
}

static bool should_stop(void *user)
{
    struct call *c = user;

    c->stopped = c->turn != NULL && c->turn->should_stop();
    return c->stopped;
}

static enum status call_init(struct call *c, const struct chat_turn *turn, struct buf *answer)
{
    memset(c, 0, sizeof(*c));
    c->turn = turn;
    c->answer = answer;
    buf_init(&c->body, BODY_BYTES_MAX);
    sse_init(&c->sse, 0);
    c->arena = arena_create(ARENA_BYTES_MAX);
    return c->arena == NULL ? E_NO_MEMORY : OK;
}

static void call_done(struct call *c)
{
    buf_done(&c->body);
    sse_done(&c->sse);
    arena_destroy(c->arena);
}

/* An answer with an error status: its message, or the status alone. */
static enum status refused(struct call *c, int http_status, struct error *err)
{
    const struct json_value *root = NULL;

    arena_reset(c->arena);
    if (json_parse(c->arena, buf_str(&c->body), NULL, &root, NULL) != OK) {
        return error_set(err, E_IO, "the server answered %d", http_status);
    }
    chat_json_read_failure(root, http_status, &c->failure);
    return error_set(err, http_status == 401 ? E_DENIED : E_INVALID, "the server answered %d: %s",
                     http_status, c->failure.message);
}

/* Send `method path` and judge the outcome of the call. */
static enum status send_call(const struct remote *r, struct call *c, const char *method,
                             const char *path, struct str body, struct error *err)
{
    char url[URL_BYTES_MAX + 64];
    struct http_field fields[] = {
        {STR("content-type"), STR("application/json")},
        {STR("authorization"), str_from_c(r->authorization)},
    };
    struct egress_request request = {
        .method = str_from_c(method),
        .fields = fields,
        .n_fields = r->authorization[0] != '\0' ? 2 : 1,
        .body = body,
        .tls = r->tls,
        .label = LABEL_PRIVATE,
        .first_byte_timeout_ms = 600000, // a long prompt on a slow machine
        .idle_timeout_ms = 600000,
        .on_head = on_head,
        .on_body = on_body,
        .should_stop = should_stop,
        .user = c,
    };
    int http_status = 0;
    enum status rc;

    snprintf(url, sizeof(url), "%s%s", r->base, path);
    request.url = str_from_c(url);
    rc = egress_call(&permit, &request, &http_status, err);
    if (c->stopped) {
        return E_CANCELLED;
    }
    if (c->failed) {
        return error_set(err, E_IO, "%s", c->failure.message);
    }
    if (rc != OK) {
        return rc;
    }
    return http_status == 200 ? OK : refused(c, http_status, err);
}

static enum status remote_ask(void *self, const struct chat_turn *turn, struct buf *answer,
                              struct error *err)
{
    const struct remote *r = self;
    struct buf body;
    struct call c;
    enum status rc;

    buf_init(&body, BODY_BYTES_MAX);
    buf_append_c(&body, "{\"model\": ");
    json_write_string(&body, str_from_c(r->model));
    buf_append_c(&body, ", \"stream\": true, \"messages\": ");
    buf_append_str(&body, turn->messages);
    if (turn->has_temperature) {
        buf_append_c(&body, ", \"temperature\": ");
        json_write_double(&body, turn->temperature, false);
    }
    if (turn->max_tokens > 0) {
        buf_printf(&body, ", \"max_tokens\": %u", turn->max_tokens);
    }
    buf_append_byte(&body, '}');
    rc = call_init(&c, turn, answer);
    if (rc == OK && buf_status(&body) != OK) {
        rc = error_set(err, E_LIMIT, "the conversation is too long to send; /clear starts over");
    }
    if (rc == OK) {
        rc = send_call(r, &c, "POST", "/v1/chat/completions", buf_str(&body), err);
    }
    if (rc == OK && !c.finished) {
        rc = error_set(err, E_CLOSED,
                       "the server ended the answer without saying that it is complete");
    }
    call_done(&c);
    buf_done(&body);
    return rc;
}

/* The first model that GET /v1/models lists. */
static enum status first_model(struct remote *r, struct error *err)
{
    const struct json_value *root = NULL;
    const struct json_value *list;
    struct str id = {0};
    struct call c;
    enum status rc = call_init(&c, NULL, NULL);

    if (rc == OK) {
        rc = send_call(r, &c, "GET", "/v1/models", STR(""), err);
    }
    if (rc == OK) {
        rc = json_parse(c.arena, buf_str(&c.body), NULL, &root, err);
    }
    list = json_get(root, STR("data"));
    if (list != NULL && list->kind == JSON_ARRAY && list->n_items > 0) {
        id = json_string_or(json_get(&list->items[0], STR("id")), STR(""));
    }
    if (rc == OK && (id.len == 0 || id.len >= sizeof(r->model))) {
        rc = error_set(err, E_NOT_FOUND, "the server lists no model; name one with --model-name");
    }
    if (rc == OK) {
        snprintf(r->model, sizeof(r->model), "%.*s", STR_ARG(id));
    }
    call_done(&c);
    return rc;
}

static void remote_close(void *self)
{
    struct remote *r = self;

    if (r != NULL) {
        tls_client_destroy(r->tls);
        free(r);
    }
}

enum status chat_remote_open(const char *url, const char *model, const char *key,
                             const char *ca_file, struct chat_peer *ret_peer, struct error *err)
{
    struct str base = str_from_c(url);
    struct remote *r = calloc(1, sizeof(*r));
    enum status rc = OK;

    CHECK(r != NULL);
    while (base.len > 0 && base.ptr[base.len - 1] == '/') {
        base.len--;
    }
    if (str_ends(base, STR("/v1"))) {
        base.len -= 3;
    }
    if (base.len >= sizeof(r->base) ||
        (key != NULL && strlen(key) + 8 > sizeof(r->authorization)) ||
        (model != NULL && strlen(model) >= sizeof(r->model))) {
        rc = error_set(err, E_LIMIT, "the URL, the key or the model's name is too long");
        goto out;
    }
    snprintf(r->base, sizeof(r->base), "%.*s", STR_ARG(base));
    if (key != NULL) {
        snprintf(r->authorization, sizeof(r->authorization), "Bearer %s", key);
    }
    if (ca_file != NULL) {
        rc = tls_client_create(&(struct tls_client_options){.ca_file = ca_file}, &r->tls, err);
    }
    if (model != NULL) {
        snprintf(r->model, sizeof(r->model), "%s", model);
    } else if (rc == OK) {
        rc = first_model(r, err);
    }
    if (rc == OK) {
        *ret_peer = (struct chat_peer){.ask = remote_ask, .close = remote_close, .self = r};
        snprintf(ret_peer->name, sizeof(ret_peer->name), "%s", r->model);
        r = NULL;
    }
out:
    remote_close(r);
    return rc;
}
