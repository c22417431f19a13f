#include "base/check.h"
#include "net/http_internal.h"
#include "net/tls_stream.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_BUF_BYTES 8192 // an idle connection keeps no larger buffer
#define TURNS_MAX 64        // requests and reads of one connection per batch
#define NS_PER_MS UINT64_C(1000000)
#define SMALL_BODY_BYTES 65536   // passes when the memory for bodies is used up
#define DIRECT_READ_BYTES 262144 // largest piece of a body read in one go

static void on_ready(void *user, unsigned what);
static void on_due(void *user);
static void on_work(void *user);

static const struct http_server_limits *limits_of(const struct http_conn *c)
{
    return &c->server->options.limits;
}

static void enter(struct http_conn *c, enum http_conn_state state)
{
    c->state = state;
    c->since_ns = loop_now_ns(c->server->loop);
}

struct http_conn *http_conn_open(struct http_server *s, int fd, const char *peer, bool overfull)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    struct tls_stream *tls = s->options.tls != NULL ? tls_stream_accept(s->options.tls, fd) : NULL;

    if (c == NULL || (s->options.tls != NULL && tls == NULL)) {
        struct transport t = {.fd = fd, .tls = tls};

        transport_close(&t);
        free(c);
        return NULL;
    }
    c->server = s;
    c->transport = (struct transport){.fd = fd, .tls = tls};
    c->overfull = overfull;
    c->watch.on_ready = on_ready;
    c->watch.user = c;
    c->timer.on_due = on_due;
    c->timer.user = c;
    c->work.run = on_work;
    c->work.user = c;
    memcpy(c->peer, peer, strlen(peer) + 1);
    buf_init(&c->in, s->options.limits.head_bytes_max + 2 * (size_t)HTTP_SCRATCH_BYTES);
    buf_init(&c->out, SIZE_MAX);
    c->next = s->conns;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    s->conns = c;
    s->n_conns++;
    enter(c, tls != NULL ? HTTP_CONN_SHAKE : HTTP_CONN_IDLE);
    if (loop_watch_start(s->loop, &c->watch, fd) != OK) {
        http_conn_die(c);
        return NULL;
    }
    c->readable = true; // often the request is there already
    c->writable = true;
    loop_defer(s->loop, &c->work);
    return c;
}

void http_conn_die(struct http_conn *c)
{
    struct http_exchange *x = c->exchange;

    if (c->state == HTTP_CONN_DEAD) {
        return;
    }
    c->state = HTTP_CONN_DEAD;
    loop_watch_stop(&c->watch);
    loop_timer_stop(&c->timer);
    transport_close(&c->transport);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        c->server->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    c->server->n_conns--;
    c->exchange = NULL;
    if (x != NULL) {
        http_exchange_cut(x);
    }
    loop_defer(c->server->loop, &c->work);
}

void http_conn_touch(struct http_conn *c)
{
    loop_defer(c->server->loop, &c->work);
}

/* --- output --- */

static void tell_room(struct http_conn *c)
{
    struct http_exchange *x = c->exchange;

    if (x != NULL && x->wants_room && c->out.len <= limits_of(c)->out_low_bytes) {
        x->wants_room = false;
        if (x->events != NULL && x->events->on_room != NULL) {
            x->events->on_room(x->user);
        }
    }
}

/* Send what fits.  May kill the connection. */
static void flush(struct http_conn *c)
{
    while (c->state != HTTP_CONN_DEAD && c->writable && c->out.len > 0) {
        size_t n;
        const enum status rc = transport_write(&c->transport, c->out.ptr, c->out.len, &n);

        if (rc == E_AGAIN) {
            c->writable = false;
            break;
        }
        if (rc != OK) {
            http_conn_die(c);
            return;
        }
        buf_consume(&c->out, n);
        c->stalled_ns = 0;
        tell_room(c);
    }
    if (c->state == HTTP_CONN_DEAD) {
        return;
    }
    if (buf_status(&c->out) != OK) {
        http_conn_die(c); // no memory for output: a hole in the stream would be worse
        return;
    }
    if (c->out.len == 0) {
        if (c->out.cap > KEEP_BUF_BYTES) {
            buf_done(&c->out);
        }
    } else if (c->stalled_ns == 0) {
        c->stalled_ns = loop_now_ns(c->server->loop);
    }
}

/* --- input --- */

/* What a step of the input side came to. */
enum turn {
    TURN_AGAIN, // go on with the next step
    TURN_WAIT,  // an event must come first
};

static void end_of_input(struct http_conn *c)
{
    c->peer_closed = true;
    c->readable = false;
    if (c->out.len > 0) {
        enter(c, HTTP_CONN_FLUSH); // answers to earlier requests are still on their way
        return;
    }
    http_conn_die(c);
}

/* One read into `in`.  False when nothing came. */
static bool fill(struct http_conn *c)
{
    size_t n;
    enum status rc;

    if (!c->readable) {
        return false;
    }
    rc = transport_read(&c->transport, c->server->scratch, HTTP_SCRATCH_BYTES, &n);
    if (rc == OK) {
        c->readable = !c->transport.empty || c->peer_closed; // else the next edge tells of more
        buf_append(&c->in, c->server->scratch, n);
        if (buf_status(&c->in) == OK) {
            return true;
        }
        http_conn_die(c);
        return false;
    }
    if (rc == E_AGAIN) {
        c->readable = false;
    } else if (rc == E_CLOSED) {
        end_of_input(c);
    } else {
        http_conn_die(c);
    }
    return false;
}

static void refuse(struct http_conn *c, const struct http_fault *fault)
{
    struct http_server *s = c->server;
    struct http_exchange *x = c->exchange;

    x->keep = false;
    enter(c, HTTP_CONN_RUNNING);
    s->options.events.on_fault(s->options.user, x, fault);
    CHECK(c->state == HTTP_CONN_DEAD || c->state == HTTP_CONN_FLUSH); // must answer at once
}

/* Hand the whole request over.  The callback may answer at once: then the state has moved on. */
static enum turn deliver(struct http_conn *c)
{
    struct http_server *s = c->server;

    enter(c, HTTP_CONN_RUNNING);
    c->unsure = true;
    s->options.events.on_request(s->options.user, c->exchange);
    return TURN_AGAIN;
}

/* Copy the head into the exchange's arena, so that it outlives the input buffer, and parse it. */
static enum status read_head(struct http_conn *c, size_t head_bytes, struct http_fault *fault)
{
    struct http_exchange *x = c->exchange;
    struct http_head *head = arena_alloc(x->arena, sizeof(*head));
    char *path;
    struct str copy;
    struct http_field *fields;
    enum status rc;

    *fault = (struct http_fault){503, "The server has no memory for this request."};
    if (head == NULL ||
        arena_dup(x->arena, str_slice(buf_str(&c->in), 0, head_bytes), &copy) != OK) {
        return E_NO_MEMORY;
    }
    buf_consume(&c->in, head_bytes);
    head->fields = c->server->fields;
    rc = http_parse_request(copy, head, fault);
    if (rc != OK) {
        return rc;
    }
    fields = arena_alloc(x->arena, head->n_fields * sizeof(*fields));
    path = arena_alloc(x->arena, head->path.len);
    if (fields == NULL || path == NULL) {
        return E_NO_MEMORY;
    }
    memcpy(fields, head->fields, head->n_fields * sizeof(*fields));
    head->fields = fields;
    if (http_parse_path(head->path, path, &x->path) != OK) {
        *fault = (struct http_fault){400, "The path has a malformed percent-escape."};
        return E_INVALID;
    }
    x->head = head;
    x->keep = head->keep_alive && !c->server->draining;
    x->no_body = str_eq(head->method, STR("HEAD"));
    return OK;
}

/* The head is here: refuse, deliver, or go on to the body. */
static enum turn begin_body(struct http_conn *c)
{
    static const struct http_fault too_large = {413, "The request body is too large."};
    struct http_server *s = c->server;
    struct http_exchange *x = c->exchange;

    if (x->head->body == HTTP_BODY_NONE) {
        return deliver(c);
    }
    if (x->head->body == HTTP_BODY_LENGTH &&
        x->head->content_length > limits_of(c)->body_bytes_max) {
        refuse(c, &too_large);
        return TURN_AGAIN;
    }
    // A body that is here already is refused after it was read, with the connection kept.
    if (s->options.events.on_head != NULL &&
        !(x->head->body == HTTP_BODY_LENGTH && x->head->content_length <= c->in.len)) {
        const bool keep = x->keep;

        x->keep = false; // an early answer leaves the body unread
        enter(c, HTTP_CONN_RUNNING);
        s->options.events.on_head(s->options.user, x);
        if (c->state != HTTP_CONN_RUNNING) {
            return TURN_AGAIN;
        }
        x->keep = keep;
    }
    if (x->head->expect_continue && c->in.len == 0) {
        buf_append_str(&c->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    memset(&c->chunked, 0, sizeof(c->chunked));
    enter(c, HTTP_CONN_BODY);
    return TURN_AGAIN;
}

static bool begin_request(struct http_conn *c)
{
    struct http_exchange *x = http_exchange_renew(c);

    if (x == NULL) {
        http_conn_die(c);
        return false;
    }
    x->begun_ns = loop_now_ns(c->server->loop);
    return true;
}

static enum turn turn_shake(struct http_conn *c)
{
    static const struct http_fault plain = {400, "This port speaks TLS. Use https://."};
    const enum status rc = transport_handshake(&c->transport);

    if (rc == OK) {
        c->readable = true; // the first request may have come along
        enter(c, HTTP_CONN_IDLE);
        return TURN_AGAIN;
    }
    if (rc == E_AGAIN) {
        return TURN_WAIT;
    }
    if (rc != E_UNSUPPORTED) {
        http_conn_die(c);
        return TURN_WAIT;
    }
    transport_unsecure(&c->transport);
    if (!begin_request(c)) {
        return TURN_WAIT;
    }
    refuse(c, &plain);
    return TURN_AGAIN;
}

static enum turn turn_idle(struct http_conn *c)
{
    static const struct http_fault overfull = {503, "The server has too many connections."};

    if (c->in.len == 0 && !fill(c)) {
        if (c->retiring && c->state == HTTP_CONN_IDLE) {
            enter(c, HTTP_CONN_FLUSH);
            return TURN_AGAIN;
        }
        return TURN_WAIT;
    }
    if (!c->skipped_line && c->in.ptr[0] == '\r') {
        if (c->in.len < 2) {
            return fill(c) ? TURN_AGAIN : TURN_WAIT;
        }
        if (c->in.ptr[1] == '\n') {
            buf_consume(&c->in, 2);
            c->skipped_line = true;
            return TURN_AGAIN;
        }
    }
    if (!begin_request(c)) {
        return TURN_WAIT;
    }
    c->seen = 0;
    c->skipped_line = false;
    if (c->overfull) {
        refuse(c, &overfull);
        return TURN_AGAIN;
    }
    enter(c, HTTP_CONN_HEAD);
    return TURN_AGAIN;
}

static enum turn turn_head(struct http_conn *c)
{
    struct http_fault fault = {400, ""};
    size_t head_bytes;
    enum status rc =
        http_parse_end(buf_str(&c->in), c->seen, limits_of(c)->head_bytes_max, &head_bytes, &fault);

    if (rc == E_AGAIN) {
        c->seen = c->in.len;
        return fill(c) ? TURN_AGAIN : TURN_WAIT;
    }
    if (rc == OK) {
        rc = read_head(c, head_bytes, &fault);
    }
    if (rc != OK) {
        refuse(c, &fault);
        return TURN_AGAIN;
    }
    return begin_body(c);
}

/* The sum of all bodies has a limit, too: many clients with large ones must not fill the memory.
 * Small bodies pass, so that everyday requests go on.  False after a refusal. */
static bool has_room(struct http_conn *c)
{
    static const struct http_fault too_many =
        {503, "The server holds many large requests at the moment. Try again later."};

    if (http_exchange_count(c->exchange) <= limits_of(c)->bodies_bytes_max ||
        c->exchange->body.cap <= SMALL_BODY_BYTES) {
        return true;
    }
    http_exchange_drop_body(c->exchange);
    refuse(c, &too_many);
    return false;
}

/* Append payload to the body.  False after a refusal. */
static bool grow_body(struct http_conn *c, struct str payload)
{
    static const struct http_fault too_large = {413, "The request body is too large."};
    static const struct http_fault no_memory = {503, "The server has no memory for this request."};

    buf_append_str(&c->exchange->body, payload);
    if (buf_status(&c->exchange->body) == OK) {
        return has_room(c);
    }
    refuse(c, buf_status(&c->exchange->body) == E_LIMIT ? &too_large : &no_memory);
    return false;
}

/* Everything that was received is taken before the buffer is moved up, so that a body of very many
 * tiny chunks costs no more than its bytes. */
static enum turn turn_chunked(struct http_conn *c)
{
    struct http_fault fault;
    struct str in;
    size_t at = 0;
    enum status rc = OK;

    if (c->in.len == 0 && !fill(c)) {
        return TURN_WAIT;
    }
    in = buf_str(&c->in);
    while (rc == OK && at < in.len) {
        struct str payload;
        size_t used;

        rc = http_chunked_next(&c->chunked, str_slice(in, at, in.len), &used, &payload, &fault);
        at += used;
        if (rc != OK && rc != E_CLOSED) {
            refuse(c, &fault);
            return TURN_AGAIN;
        }
        if (!grow_body(c, payload)) {
            return TURN_AGAIN;
        }
    }
    buf_consume(&c->in, at);
    return rc == E_CLOSED ? deliver(c) : TURN_AGAIN;
}

/* Read the rest of a body of known length straight into its buffer. */
static bool fill_body(struct http_conn *c, uint64_t left)
{
    struct buf *body = &c->exchange->body;
    const size_t want = left < DIRECT_READ_BYTES ? (size_t)left : DIRECT_READ_BYTES;
    char *room;
    size_t n;
    enum status rc;

    if (!c->readable) {
        return false;
    }
    room = buf_reserve(body, want);
    if (room == NULL) {
        return grow_body(c, (struct str){NULL, 0});
    }
    rc = transport_read(&c->transport, room, want, &n);
    if (rc == OK) {
        buf_commit(body, n);
        c->readable = !c->transport.empty || c->peer_closed;
        return has_room(c);
    }
    if (rc == E_AGAIN) {
        c->readable = false;
    } else if (rc == E_CLOSED) {
        end_of_input(c);
    } else {
        http_conn_die(c);
    }
    return false;
}

static enum turn turn_length(struct http_conn *c)
{
    struct http_exchange *x = c->exchange;
    uint64_t left = x->head->content_length - x->body.len;

    if (left > 0 && c->in.len > 0) {
        const size_t n = left < c->in.len ? (size_t)left : c->in.len;

        if (!grow_body(c, str_slice(buf_str(&c->in), 0, n))) {
            return TURN_AGAIN;
        }
        buf_consume(&c->in, n);
        left -= n;
    }
    if (left == 0) {
        return deliver(c);
    }
    return fill_body(c, left) || c->state != HTTP_CONN_BODY ? TURN_AGAIN : TURN_WAIT;
}

/* Read on without looking, so that the client gets our last answer before it sees a reset. */
static enum turn turn_linger(struct http_conn *c)
{
    size_t n;
    enum status rc;

    if (!c->readable) {
        return TURN_WAIT;
    }
    rc = transport_read(&c->transport, c->server->scratch, HTTP_SCRATCH_BYTES, &n);
    if (rc == OK) {
        return TURN_AGAIN;
    }
    if (rc == E_AGAIN) {
        c->readable = false;
    } else {
        http_conn_die(c);
    }
    return TURN_WAIT;
}

static enum turn take_turn(struct http_conn *c)
{
    switch (c->state) {
    case HTTP_CONN_SHAKE:
        return turn_shake(c);
    case HTTP_CONN_IDLE:
        if (c->out.len > limits_of(c)->out_high_bytes) {
            return TURN_WAIT; // a client that pipelines must also read
        }
        return turn_idle(c);
    case HTTP_CONN_HEAD:
        return turn_head(c);
    case HTTP_CONN_BODY:
        return c->exchange->head->body == HTTP_BODY_CHUNKED ? turn_chunked(c) : turn_length(c);
    case HTTP_CONN_FLUSH:
        if (c->out.len > 0) {
            return TURN_WAIT;
        }
        transport_finish(&c->transport);
        enter(c, HTTP_CONN_LINGER);
        return TURN_AGAIN;
    case HTTP_CONN_LINGER:
        return turn_linger(c);
    case HTTP_CONN_RUNNING:
    case HTTP_CONN_DEAD:
        break;
    }
    return TURN_WAIT;
}

/* --- deadlines --- */

static void set_deadline(struct http_conn *c)
{
    const struct http_server_limits *l = limits_of(c);
    uint64_t from_ns = c->since_ns;
    uint32_t wait_ms = 0;

    switch (c->state) {
    case HTTP_CONN_SHAKE:
        wait_ms = l->handshake_timeout_ms;
        break;
    case HTTP_CONN_IDLE:
        wait_ms = l->idle_timeout_ms;
        break;
    case HTTP_CONN_HEAD:
        wait_ms = l->head_timeout_ms;
        break;
    case HTTP_CONN_BODY:
        wait_ms = l->body_timeout_ms;
        break;
    case HTTP_CONN_RUNNING:
    case HTTP_CONN_FLUSH:
        wait_ms = c->stalled_ns != 0 ? l->stall_timeout_ms : 0;
        from_ns = c->stalled_ns;
        break;
    case HTTP_CONN_LINGER:
        wait_ms = l->linger_timeout_ms;
        break;
    case HTTP_CONN_DEAD:
        return;
    }
    loop_timer_set(c->server->loop, &c->timer, wait_ms == 0 ? 0 : from_ns + wait_ms * NS_PER_MS);
}

static void go_on(struct http_conn *c)
{
    int turns = 0;

    flush(c);
    while (turns < TURNS_MAX && take_turn(c) == TURN_AGAIN) {
        turns++;
    }
    if (c->state == HTTP_CONN_RUNNING && c->unsure) {
        // A reset in the same wake-up as the end of the request looks like input and makes no
        // further event.  Asked once, and only for requests that are not answered at once.
        c->unsure = false;
        c->peer_closed |= !transport_alive(&c->transport);
    }
    if (c->state == HTTP_CONN_RUNNING && c->peer_closed) {
        http_conn_die(c);
    }
    flush(c);
    if (c->state == HTTP_CONN_DEAD) {
        return;
    }
    if (turns == TURNS_MAX || (c->state == HTTP_CONN_FLUSH && c->out.len == 0)) {
        loop_defer(c->server->loop, &c->work);
    }
    if (c->in.len == 0 && c->in.cap > KEEP_BUF_BYTES) {
        buf_done(&c->in);
    }
    set_deadline(c);
}

static void on_ready(void *user, unsigned what)
{
    struct http_conn *c = user;

    c->writable |= (what & LOOP_WRITE) != 0;
    if ((what & (LOOP_READ | LOOP_CLOSED)) != 0) {
        c->readable = true;
        c->peer_closed |= (what & LOOP_CLOSED) != 0;
        if (c->state == HTTP_CONN_RUNNING && !transport_alive(&c->transport)) {
            c->peer_closed = true; // a reset comes without LOOP_CLOSED
        }
    }
    if (transport_is_tls(&c->transport)) {
        c->readable = true; // TLS may wait for the one to do the other
        c->writable = true;
    }
    go_on(c);
}

static void on_due(void *user)
{
    static const struct http_fault too_slow = {408, "The request did not arrive in time."};
    struct http_conn *c = user;

    if (c->state == HTTP_CONN_HEAD || c->state == HTTP_CONN_BODY) {
        refuse(c, &too_slow);
        go_on(c);
        return;
    }
    http_conn_die(c);
}

static void on_work(void *user)
{
    struct http_conn *c = user;

    if (c->state != HTTP_CONN_DEAD) {
        go_on(c);
        return;
    }
    buf_done(&c->in);
    buf_done(&c->out);
    free(c);
}

void http_conn_answered(struct http_conn *c)
{
    const bool keep = c->exchange->keep && !c->server->draining;

    CHECK(c->state == HTTP_CONN_RUNNING);
    enter(c, keep ? HTTP_CONN_IDLE : HTTP_CONN_FLUSH);
    http_conn_touch(c);
}

bool http_conn_retire(struct http_conn *c)
{
    const bool waits = c->state == HTTP_CONN_IDLE && c->in.len == 0 && c->exchange != NULL;

    if (waits) {
        c->retiring = true; // decided after a last look for input
        c->readable = true;
        http_conn_touch(c);
    }
    return waits;
}
