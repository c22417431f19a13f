#include "base/check.h"
#include "net/http_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BODY_BYTES 65536 // a reused exchange keeps no larger body buffer

/* Memory of all request bodies of this process: exchanges may outlive their server. */
static atomic_ullong bodies_bytes;

uint64_t http_exchange_count(struct http_exchange *x)
{
    const uint64_t more = (uint64_t)x->body.cap - x->counted_bytes; // wraps when it is less

    x->counted_bytes = x->body.cap;
    return atomic_fetch_add_explicit(&bodies_bytes, more, memory_order_relaxed) + more;
}

static void destroy(struct http_exchange *x)
{
    arena_destroy(x->arena);
    buf_done(&x->body);
    (void)http_exchange_count(x);
    free(x);
}

static struct http_exchange *create(const struct http_server_limits *limits)
{
    struct http_exchange *x = calloc(1, sizeof(*x));

    if (x == NULL) {
        return NULL;
    }
    x->arena = arena_create(limits->arena_bytes_max);
    if (x->arena == NULL) {
        free(x);
        return NULL;
    }
    buf_init(&x->body, limits->body_bytes_max);
    return x;
}

/* Empty an exchange that only its connection holds. */
static void recycle(struct http_exchange *x)
{
    struct arena *arena = x->arena;

    arena_reset(arena);
    if (x->body.cap > KEEP_BODY_BYTES) {
        buf_done(&x->body);
    } else {
        buf_reset(&x->body);
    }
    (void)http_exchange_count(x);
    *x = (struct http_exchange){.arena = arena, .body = x->body, .counted_bytes = x->counted_bytes};
}

struct http_exchange *http_exchange_renew(struct http_conn *c)
{
    struct http_exchange *x = c->exchange;

    if (x != NULL && x->n_refs == 1) {
        recycle(x);
    } else {
        if (x != NULL) {
            x->conn = NULL;
            http_exchange_release(x);
        }
        x = create(&c->server->options.limits);
    }
    c->exchange = x;
    if (x != NULL) {
        x->n_refs = 1;
        x->conn = c;
        memcpy(x->peer, c->peer, sizeof(x->peer));
    }
    return x;
}

void http_exchange_cut(struct http_exchange *x)
{
    const bool pending = x->status == 0 || x->open;

    x->conn = NULL;
    x->open = false;
    if (pending && x->events != NULL && x->events->on_gone != NULL) {
        x->events->on_gone(x->user);
    }
    http_exchange_release(x);
}

void http_exchange_hold(struct http_exchange *x)
{
    x->n_refs++;
}

void http_exchange_release(struct http_exchange *x)
{
    CHECK(x->n_refs > 0);
    x->n_refs--;
    if (x->n_refs == 0) {
        destroy(x);
    }
}

void http_exchange_listen(struct http_exchange *x, const struct http_exchange_events *events,
                          void *user)
{
    x->events = events;
    x->user = user;
}

const struct http_head *http_exchange_head(const struct http_exchange *x)
{
    return x->head;
}

struct str http_exchange_path(const struct http_exchange *x)
{
    return x->path;
}

struct str http_exchange_body(const struct http_exchange *x)
{
    return buf_str(&x->body);
}

void http_exchange_drop_body(struct http_exchange *x)
{
    buf_done(&x->body);
    (void)http_exchange_count(x);
    if (x->conn != NULL && x->conn->in.len == 0) {
        buf_done(&x->conn->in);
    }
}

struct arena *http_exchange_arena(struct http_exchange *x)
{
    return x->arena;
}

struct str http_exchange_peer(const struct http_exchange *x)
{
    return str_from_c(x->peer);
}

uint64_t http_exchange_begun_ns(const struct http_exchange *x)
{
    return x->begun_ns;
}

bool http_exchange_answered(const struct http_exchange *x)
{
    return x->status != 0;
}

bool http_exchange_complete(const struct http_exchange *x)
{
    return x->conn == NULL || (x->status != 0 && !x->open);
}

int http_exchange_status(const struct http_exchange *x)
{
    return x->status;
}

uint64_t http_exchange_sent_bytes(const struct http_exchange *x)
{
    return x->sent_bytes;
}

/* --- answer --- */

/* A value never breaks out of its line, whatever a caller passes. */
static void put_value(struct buf *out, struct str value)
{
    size_t begin = 0;

    for (size_t i = 0; i < value.len; i++) {
        const unsigned char c = (unsigned char)value.ptr[i];

        if (c < ' ' || c == 0x7F) {
            buf_append_str(out, str_slice(value, begin, i));
            buf_append_byte(out, '?');
            begin = i + 1;
        }
    }
    buf_append_str(out, str_slice(value, begin, value.len));
}

static void put_field(struct buf *out, const char *name, struct str value)
{
    buf_append_c(out, name);
    buf_append_str(out, STR(": "));
    put_value(out, value);
    buf_append_str(out, STR("\r\n"));
}

static void put_head(struct http_exchange *x, const struct http_reply *reply)
{
    struct http_server *s = x->conn->server;
    struct buf *out = &x->conn->out;

    buf_append_str(out, STR("HTTP/1.1 "));
    buf_append_number(out, (uint64_t)reply->status, 10);
    buf_append_byte(out, ' ');
    buf_append_c(out, http_parse_reason(reply->status));
    buf_append_str(out, STR("\r\n"));
    put_field(out, "server", str_from_c(s->options.server_name));
    put_field(out, "date", str_from_c(http_server_date(s)));
    if (reply->content_type != NULL) {
        put_field(out, "content-type", str_from_c(reply->content_type));
    }
    for (uint32_t i = 0; i < reply->n_fields; i++) {
        DCHECK(http_parse_is_token(reply->fields[i].name));
        buf_append_str(out, reply->fields[i].name);
        buf_append_str(out, STR(": "));
        put_value(out, reply->fields[i].value);
        buf_append_str(out, STR("\r\n"));
    }
    if (!x->keep) {
        buf_append_str(out, STR("connection: close\r\n"));
    } else if (x->head != NULL && x->head->version_minor == 0) {
        buf_append_str(out, STR("connection: keep-alive\r\n"));
    }
}

/* Common beginning of reply and begin.  False when the client is gone. */
static bool open_answer(struct http_exchange *x, const struct http_reply *reply)
{
    CHECK(x->status == 0);
    x->status = reply->status;
    if (x->conn == NULL) {
        return false;
    }
    x->keep = x->keep && !reply->close && !x->conn->server->draining;
    return true;
}

void http_exchange_reply(struct http_exchange *x, const struct http_reply *reply, struct str body)
{
    struct http_conn *c = x->conn;

    if (!open_answer(x, reply)) {
        return;
    }
    put_head(x, reply);
    if (reply->status != 204) {
        buf_append_str(&c->out, STR("content-length: "));
        buf_append_number(&c->out, body.len, 10);
        buf_append_str(&c->out, STR("\r\n"));
    }
    buf_append_str(&c->out, STR("\r\n"));
    if (!x->no_body) {
        buf_append_str(&c->out, body);
        x->sent_bytes = body.len;
    }
    http_conn_answered(c);
}

void http_exchange_begin(struct http_exchange *x, const struct http_reply *reply)
{
    if (!open_answer(x, reply)) {
        return;
    }
    x->open = true;
    x->chunked = x->head != NULL && x->head->version_minor >= 1;
    x->keep = x->keep && x->chunked;
    put_head(x, reply);
    if (x->chunked) {
        buf_append_str(&x->conn->out, STR("transfer-encoding: chunked\r\n"));
    }
    buf_append_str(&x->conn->out, STR("\r\n"));
    http_conn_touch(x->conn);
}

enum status http_exchange_write(struct http_exchange *x, struct str bytes)
{
    struct http_conn *c = x->conn;

    if (c == NULL || !x->open) {
        return E_CLOSED;
    }
    if (bytes.len == 0 || x->no_body) {
        return OK; // an empty chunk would end the body
    }
    if (x->chunked) {
        buf_append_number(&c->out, bytes.len, 16);
        buf_append_str(&c->out, STR("\r\n"));
    }
    buf_append_str(&c->out, bytes);
    if (x->chunked) {
        buf_append_str(&c->out, STR("\r\n"));
    }
    x->sent_bytes += bytes.len;
    http_conn_touch(c);
    if (c->out.len > c->server->options.limits.out_high_bytes) {
        x->wants_room = true;
        return E_AGAIN;
    }
    return OK;
}

void http_exchange_end(struct http_exchange *x)
{
    struct http_conn *c = x->conn;

    if (c == NULL || !x->open) {
        return;
    }
    x->open = false;
    if (x->chunked && !x->no_body) {
        buf_append_str(&c->out, STR("0\r\n\r\n"));
    }
    http_conn_answered(c);
}

void http_exchange_break(struct http_exchange *x)
{
    struct http_conn *c = x->conn;

    if (c == NULL || !x->open) {
        return;
    }
    x->open = false;
    x->keep = false;
    http_conn_answered(c);
}
