/* One request and its answer on a link. */
#include "base/check.h"
#include "net/http_client_internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BYTE_TIMEOUT_MS 60000
#define IDLE_TIMEOUT_MS 60000
#define FREE_CALLS_MAX 256  // ended calls kept for reuse
#define FREE_BUF_BYTES 8192 // and the buffers they keep
#define INTERIM_MAX 16      // 1xx heads before the final one
#define READS_MAX 16        // of one link per batch, so that the others have their turn
#define IOV_MAX_HERE 64     // pieces handed to one system call
#define REUSE_RACE_MS 1000  // a kept connection that ends later than that died of the request

/* What a step came to. */
enum turn {
    TURN_AGAIN,   // go on with the next bytes
    TURN_STARVED, // more bytes are needed than there are
    TURN_OVER,    // the call is gone or has left this link
};

static uint64_t now(const struct http_call *c)
{
    return loop_now_ns(c->link->origin->client->loop);
}

/* --- life --- */

static struct http_call *take_free(struct http_client *client)
{
    struct http_call *c = client->free_calls;
    struct buf out;
    struct buf store;

    if (c == NULL) {
        c = calloc(1, sizeof(*c));
        if (c != NULL) {
            buf_init(&c->out, SIZE_MAX);
            buf_init(&c->store, SIZE_MAX);
        }
        return c;
    }
    client->free_calls = c->next_free;
    client->n_free_calls--;
    out = c->out;
    store = c->store;
    *c = (struct http_call){.out = out, .store = store};
    return c;
}

static void destroy(struct http_call *c)
{
    buf_done(&c->out);
    buf_done(&c->store);
    free(c);
}

static void shrink(struct buf *b)
{
    if (b->cap > FREE_BUF_BYTES) {
        buf_done(b);
    } else {
        buf_reset(b);
    }
}

static void put_free(struct http_client *client, struct http_call *c)
{
    if (client->n_free_calls == FREE_CALLS_MAX) {
        destroy(c);
        return;
    }
    shrink(&c->out);
    shrink(&c->store);
    c->link = NULL;
    c->next_free = client->free_calls;
    client->free_calls = c;
    client->n_free_calls++;
}

void http_call_free_all(struct http_client *client)
{
    while (client->free_calls != NULL) {
        struct http_call *c = client->free_calls;

        client->free_calls = c->next_free;
        destroy(c);
    }
    client->n_free_calls = 0;
}

/* The link has been seen to.  Tell the owner, then let go: the head's strings live until then. */
static void end(struct http_client *client, struct http_call *c, enum status rc,
                const struct error *why)
{
    c->options.events->on_end(c->options.user, rc, c->phase, why);
    put_free(client, c);
}

void http_call_fail(struct http_call *c, enum status rc, const struct error *why)
{
    struct http_client *client = c->link->origin->client;

    http_link_close(c->link);
    end(client, c, rc, why);
}

/* The answer is complete.  `clean`: nothing is left on the connection. */
static void complete(struct http_call *c, bool clean)
{
    struct http_link *l = c->link;
    struct http_client *client = l->origin->client;

    c->phase = HTTP_CALL_END;
    // Where the last read was not short there may be bytes that belong to no answer.
    clean = clean && l->transport.empty && !l->peer_closed;
    if (clean && c->head.keep_alive && c->sent && !l->origin->released) {
        http_link_keep(l);
    } else {
        http_link_close(l);
    }
    end(client, c, OK, NULL);
}

void http_call_cancel(struct http_call *c)
{
    struct http_link *l = c->link;
    struct http_client *client = l->origin->client;

    if (l->call != c) {
        return; // from its own on_end
    }
    http_link_close(l);
    put_free(client, c);
}

/* --- the request's head --- */

static bool value_is_clean(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        const unsigned char ch = (unsigned char)value.ptr[i];

        if ((ch < ' ' && ch != '\t') || ch == 0x7F) {
            return false;
        }
    }
    return true;
}

static bool target_is_clean(struct str target)
{
    for (size_t i = 0; i < target.len; i++) {
        const unsigned char ch = (unsigned char)target.ptr[i];

        if (ch <= ' ' || ch >= 0x7F || ch == '#') {
            return false;
        }
    }
    return target.len > 0 && target.ptr[0] == '/';
}

static enum status check_request(const struct http_call_options *q, struct error *err)
{
    if (!http_parse_is_token(q->method) || !target_is_clean(q->target)) {
        return error_set(err, E_INVALID, "The request line has characters that must be encoded.");
    }
    for (uint32_t i = 0; i < q->n_fields; i++) {
        if (!http_parse_is_token(q->fields[i].name) || !value_is_clean(q->fields[i].value)) {
            return error_set(err, E_INVALID, "The header field \"%.*s\" has a control character.",
                             STR_ARG(q->fields[i].name));
        }
    }
    return OK;
}

static void put_head(const struct http_origin *o, const struct http_call_options *q,
                     struct buf *out)
{
    uint64_t body_bytes = 0;

    for (uint32_t i = 0; i < q->n_pieces; i++) {
        body_bytes += q->pieces[i].len;
    }
    buf_append_str(out, q->method);
    buf_append_byte(out, ' ');
    buf_append_str(out, o->prefix);
    buf_append_str(out, q->target);
    buf_append_str(out, STR(" HTTP/1.1\r\nhost: "));
    buf_append_str(out, o->authority);
    buf_append_str(out, STR("\r\n"));
    for (uint32_t i = 0; i < q->n_fields; i++) {
        buf_append_str(out, q->fields[i].name);
        buf_append_str(out, STR(": "));
        buf_append_str(out, q->fields[i].value);
        buf_append_str(out, STR("\r\n"));
    }
    if (body_bytes > 0 || str_eq(q->method, STR("POST")) || str_eq(q->method, STR("PUT")) ||
        str_eq(q->method, STR("PATCH"))) {
        buf_append_str(out, STR("content-length: "));
        buf_append_number(out, body_bytes, 10);
        buf_append_str(out, STR("\r\n"));
    }
    buf_append_str(out, STR("\r\n"));
}

/* --- sending --- */

/* The unsent rest as pieces.  Returns how many. */
static size_t gather(const struct http_call *c, struct iovec *iov)
{
    size_t n = 0;
    size_t at = c->piece_at;

    for (uint32_t i = c->piece; i <= c->options.n_pieces && n < IOV_MAX_HERE; i++) {
        const struct str all = i == 0 ? buf_str(&c->out) : c->options.pieces[i - 1];
        const struct str rest = str_slice(all, at, all.len);
        const union {
            const char *bytes;
            void *base; // struct iovec has no const; nobody writes through it
        } from = {rest.ptr};

        at = 0;
        if (rest.len > 0) {
            iov[n++] = (struct iovec){from.base, rest.len};
        }
    }
    return n;
}

static void advance(struct http_call *c, size_t n_bytes)
{
    for (;;) {
        const size_t len = c->piece == 0 ? c->out.len : c->options.pieces[c->piece - 1].len;
        const size_t left = len - c->piece_at;

        if (n_bytes < left) {
            c->piece_at += n_bytes;
            return;
        }
        n_bytes -= left;
        c->piece_at = 0;
        c->piece++;
        if (c->piece > c->options.n_pieces) {
            c->sent = true;
            return;
        }
    }
}

static void send_some(struct http_call *c)
{
    struct http_link *l = c->link;
    struct iovec iov[IOV_MAX_HERE];

    while (!c->sent && !c->send_failed && l->writable) {
        const size_t n_iov = gather(c, iov);
        size_t n = 0;
        enum status rc;

        if (n_iov == 0) {
            advance(c, 0); // only empty pieces are left
            continue;
        }
        rc = transport_writev(&l->transport, iov, n_iov, &n);
        if (rc == OK) {
            advance(c, n);
        } else if (rc == E_AGAIN) {
            l->writable = false;
        } else {
            c->send_failed = true; // the server may have answered before it closed: read that
            l->readable = true;
        }
    }
    if (c->sent && c->phase == HTTP_CALL_SEND) {
        c->phase = HTTP_CALL_WAIT;
        c->sent_ns = now(c);
    }
}

/* --- receiving --- */

static enum status refuse(struct http_call *c, enum status rc, const char *text)
{
    struct error err;

    (void)error_set(&err, rc, "%.*s does not answer in HTTP/1.1: %s",
                    STR_ARG(c->link->origin->authority), text);
    http_call_fail(c, rc, &err);
    return rc;
}

static void move(struct str *s, const char *from, const char *to)
{
    s->ptr = to + (s->ptr - from);
}

/* Parse the head, then copy it with its fields to where it lives until the end. */
static enum status store_head(struct http_call *c, struct str bytes, struct http_fault *fault)
{
    const size_t fields_at = (bytes.len + 15) / 16 * 16;
    size_t fields_bytes;
    struct http_field *fields;
    enum status rc;
    char *room;

    c->head.fields = c->link->origin->client->fields;
    rc = http_parse_response(bytes, c->to_head, &c->head, fault);
    if (rc != OK) {
        return rc;
    }
    fields_bytes = c->head.n_fields * sizeof(*fields);
    buf_reset(&c->store);
    room = buf_reserve(&c->store, fields_at + fields_bytes);
    if (room == NULL) {
        *fault = (struct http_fault){502, "There is no memory for its head."};
        return E_NO_MEMORY;
    }
    fields = (struct http_field *)(void *)(room + fields_at);
    memcpy(room, bytes.ptr, bytes.len);
    memcpy(fields, c->head.fields, fields_bytes);
    for (uint32_t i = 0; i < c->head.n_fields; i++) {
        move(&fields[i].name, bytes.ptr, room);
        move(&fields[i].value, bytes.ptr, room);
    }
    c->head.fields = fields;
    return OK;
}

/* The final head is here. */
static enum turn take_head(struct http_call *c, bool rest)
{
    struct http_link *l = c->link;

    c->phase = HTTP_CALL_BODY;
    c->moved_ns = now(c);
    memset(&c->chunked, 0, sizeof(c->chunked));
    c->options.events->on_head(c->options.user, &c->head);
    if (l->call != c) {
        return TURN_OVER;
    }
    if (c->head.body == HTTP_BODY_NONE) {
        complete(c, !rest);
        return TURN_OVER;
    }
    return TURN_AGAIN;
}

static enum turn turn_head(struct http_call *c, struct str in, size_t *ret_used)
{
    const size_t max = c->link->origin->options.head_bytes_max;
    struct http_fault fault = {502, ""};
    size_t n = 0;
    enum status rc = http_parse_end(in, c->seen, max, &n, &fault);

    if (rc == E_AGAIN) {
        c->seen = in.len;
        return TURN_STARVED;
    }
    if (rc == OK) {
        rc = store_head(c, str_slice(in, 0, n), &fault);
    }
    if (rc == OK && c->head.status == 101) {
        fault.text = "It switches to a protocol that nobody asked for.";
        rc = E_INVALID;
    }
    if (rc == OK && c->head.status < 200) {
        c->n_interim++;
        fault.text = "It sends interim answers without end.";
        rc = c->n_interim > INTERIM_MAX ? E_LIMIT : OK;
    }
    if (rc != OK) {
        (void)refuse(c, rc, rc == E_LIMIT && n == 0 ? "The head is too large." : fault.text);
        return TURN_OVER;
    }
    c->seen = 0;
    *ret_used = n;
    return c->head.status < 200 ? TURN_AGAIN : take_head(c, in.len > n);
}

/* Hand payload on.  OVER when the call has ended by that. */
static enum turn deliver(struct http_call *c, struct str piece)
{
    const uint64_t max = c->options.body_bytes_max;
    struct http_link *l = c->link;
    struct error err;

    if (piece.len == 0) {
        return TURN_AGAIN;
    }
    c->body_bytes += piece.len;
    if (max != 0 && c->body_bytes > max) {
        (void)error_set(&err, E_LIMIT, "The answer of %.*s is longer than %llu bytes.",
                        STR_ARG(l->origin->authority), (unsigned long long)max);
        http_call_fail(c, E_LIMIT, &err);
        return TURN_OVER;
    }
    c->options.events->on_body(c->options.user, piece);
    return l->call == c ? TURN_AGAIN : TURN_OVER;
}

static enum turn turn_chunked(struct http_call *c, struct str in, size_t *ret_used)
{
    struct http_fault fault = {502, ""};
    struct str payload;
    enum status rc = http_chunked_next(&c->chunked, in, ret_used, &payload, &fault);

    if (rc != OK && rc != E_CLOSED) {
        (void)refuse(c, rc, fault.text);
        return TURN_OVER;
    }
    if (deliver(c, payload) == TURN_OVER) {
        return TURN_OVER;
    }
    if (rc == E_CLOSED) {
        complete(c, *ret_used == in.len);
        return TURN_OVER;
    }
    return TURN_AGAIN;
}

static enum turn turn_body(struct http_call *c, struct str in, size_t *ret_used)
{
    uint64_t left;

    if (c->head.body == HTTP_BODY_CHUNKED) {
        return turn_chunked(c, in, ret_used);
    }
    left = c->head.body == HTTP_BODY_LENGTH ? c->head.content_length - c->body_bytes : UINT64_MAX;
    *ret_used = left < in.len ? (size_t)left : in.len;
    if (deliver(c, str_slice(in, 0, *ret_used)) == TURN_OVER) {
        return TURN_OVER;
    }
    if (*ret_used == left) {
        complete(c, *ret_used == in.len);
        return TURN_OVER;
    }
    return TURN_AGAIN;
}

/* Use what can be used of `in`. */
static enum turn feed(struct http_call *c, struct str in, size_t *ret_used)
{
    size_t at = 0;
    enum turn turn = TURN_AGAIN;

    while (turn == TURN_AGAIN && !c->paused && at < in.len) {
        const struct str rest = str_slice(in, at, in.len);
        size_t used = 0;

        turn = c->phase == HTTP_CALL_BODY ? turn_body(c, rest, &used) : turn_head(c, rest, &used);
        at += used;
    }
    *ret_used = at;
    return turn;
}

/* The connection ended.  `rc` CLOSED: in order; else by a reset or a fault. */
static void lost(struct http_call *c, enum status rc)
{
    struct http_link *l = c->link;
    const bool race = c->sent_ns == 0 || now(c) - c->sent_ns < REUSE_RACE_MS * HTTP_NS_PER_MS;
    struct error err;

    if (rc == E_CLOSED && c->phase == HTTP_CALL_BODY && c->head.body == HTTP_BODY_UNTIL_EOF) {
        complete(c, false);
        return;
    }
    if (l->reused && !c->begun && !c->retried && race) {
        c->retried = true;
        c->send_failed = false;
        c->sent = false;
        c->piece = 0;
        c->piece_at = 0;
        c->sent_ns = 0;
        c->phase = HTTP_CALL_RESOLVE;
        http_link_renew(l);
        return;
    }
    (void)error_set(&err, rc, "%.*s %s the connection %s.", STR_ARG(l->origin->authority),
                    rc == E_CLOSED ? "closed" : "reset",
                    c->begun ? "before its answer was complete" : "without an answer");
    http_call_fail(c, rc, &err);
}

/* What was received and not used stays in the link's buffer, where it may be already. */
static void keep_rest(struct http_link *l, struct str all, size_t used)
{
    if (l->in.len == 0) {
        buf_append_str(&l->in, str_slice(all, used, all.len));
        return;
    }
    l->in_at += used;
    if (l->in_at == l->in.len) {
        l->in_at = 0;
        shrink(&l->in);                    // a long stream does not hold what its head needed
    } else if (l->in_at > l->in.len / 2) { // moving less than was used: linear on the whole
        buf_consume(&l->in, l->in_at);
        l->in_at = 0;
    }
}

/* One read; what came is in `ret_in`.  False: nothing to do now, or the call is gone. */
static bool read_some(struct http_call *c, struct str *ret_in)
{
    struct http_link *l = c->link;
    struct http_client *client = l->origin->client;
    size_t n;
    enum status rc;

    rc = transport_read(&l->transport, client->scratch, sizeof(client->scratch), &n);
    if (rc == E_AGAIN) {
        l->readable = false;
        return false;
    }
    if (rc != OK) {
        lost(c, rc);
        return false;
    }
    // Stays readable until a read finds nothing: a reset that came together with these bytes makes
    // no further event, and the loop cannot tell it from input.
    *ret_in = (struct str){client->scratch, n};
    if (!c->begun) {
        c->begun = true;
        c->phase = HTTP_CALL_HEAD;
    }
    if (l->in.len > 0) {
        buf_append_str(&l->in, *ret_in);
        *ret_in = http_link_buffered(l);
    }
    return true;
}

/* True when there may be more to do. */
static bool receive(struct http_call *c)
{
    struct http_link *l = c->link;
    struct str in = http_link_buffered(l);
    size_t used = 0;
    enum turn turn;

    if (in.len == 0 || l->starved) {
        if (!l->readable || !read_some(c, &in)) {
            return false;
        }
    }
    if (buf_status(&l->in) != OK) {
        (void)refuse(c, E_NO_MEMORY, "There is no memory for its answer.");
        return false;
    }
    turn = feed(c, in, &used);
    if (turn == TURN_OVER) {
        return false;
    }
    c->moved_ns = now(c);
    l->starved = turn == TURN_STARVED;
    keep_rest(l, in, used);
    return true;
}

void http_call_go_on(struct http_call *c)
{
    struct http_link *l = c->link;
    int reads = 0;

    if (c->phase < HTTP_CALL_SEND) {
        c->phase = HTTP_CALL_SEND;
    }
    send_some(c);
    while (reads < READS_MAX && l->call == c && l->state == HTTP_LINK_BUSY && !c->paused &&
           receive(c)) {
        reads++;
    }
    if (l->state != HTTP_LINK_BUSY) {
        return;
    }
    if (reads == READS_MAX) {
        loop_defer(l->origin->client->loop, &l->work);
    }
    http_link_arm(l);
}

/* --- deadlines --- */

static uint64_t after(uint64_t from_ns, uint32_t ms, uint32_t fallback_ms)
{
    return from_ns + (ms == 0 ? fallback_ms : ms) * HTTP_NS_PER_MS;
}

static uint64_t total_ns(const struct http_call *c)
{
    return c->options.total_timeout_ms == 0 ? UINT64_MAX
                                            : after(c->begun_ns, c->options.total_timeout_ms, 0);
}

uint64_t http_call_deadline_ns(const struct http_call *c)
{
    uint64_t at_ns = UINT64_MAX;
    const uint64_t total = total_ns(c);

    if (c->phase < HTTP_CALL_BODY) {
        at_ns = after(c->begun_ns, c->options.first_byte_timeout_ms, FIRST_BYTE_TIMEOUT_MS);
    } else if (!c->paused) {
        at_ns = after(c->moved_ns, c->options.idle_timeout_ms, IDLE_TIMEOUT_MS);
    }
    at_ns = total < at_ns ? total : at_ns;
    return at_ns == UINT64_MAX ? 0 : at_ns;
}

void http_call_overdue(struct http_call *c)
{
    static const char *const missing[] = {
        [HTTP_CALL_RESOLVE] = "has no known address yet, and the time is over",
        [HTTP_CALL_CONNECT] = "did not take a connection in time",
        [HTTP_CALL_SEND] = "did not take the request in time",
        [HTTP_CALL_WAIT] = "did not answer in time",
        [HTTP_CALL_HEAD] = "did not complete the head of its answer in time",
        [HTTP_CALL_BODY] = "stopped in the middle of its answer",
    };
    const bool total = c->phase == HTTP_CALL_BODY && now(c) >= total_ns(c);
    struct error err;

    (void)error_set(&err, E_TIMEOUT, "%.*s %s.", STR_ARG(c->link->origin->authority),
                    total ? "did not complete its answer in time" : missing[c->phase]);
    http_call_fail(c, E_TIMEOUT, &err);
}

/* --- start, pause, resume --- */

/* A kept connection gets the request at once. */
static void start_on(struct http_call *c, struct http_link *l)
{
    c->link = l;
    l->call = c;
    l->state = HTTP_LINK_BUSY;
    l->writable = true; // everything of the last request was sent
    c->phase = HTTP_CALL_SEND;
    send_some(c);
    if (c->send_failed) {
        loop_defer(l->origin->client->loop, &l->work);
    }
    http_link_arm(l);
}

enum status http_call_start(struct http_origin *o, const struct http_call_options *options,
                            struct http_call **ret_call, struct error *err)
{
    struct http_call *c;
    struct http_link *l;
    enum status rc = egress_admit(options->permit, options->label, err);

    CHECK(!o->released);
    if (rc == OK) {
        rc = check_request(options, err);
    }
    if (rc != OK) {
        return rc;
    }
    c = take_free(o->client);
    if (c == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for a request.");
    }
    c->options = *options;
    c->to_head = str_eq(options->method, STR("HEAD"));
    put_head(o, options, &c->out);
    if (buf_status(&c->out) != OK) {
        put_free(o->client, c);
        return error_set(err, E_NO_MEMORY, "No memory for a request.");
    }
    c->begun_ns = loop_now_ns(o->client->loop);
    http_origin_refresh(o, c->begun_ns);
    l = http_origin_take_idle(o);
    if (l != NULL) {
        start_on(c, l);
        *ret_call = c;
        return OK;
    }
    c->link = http_link_create(o, c);
    if (c->link == NULL) {
        put_free(o->client, c);
        return error_set(err, E_NO_MEMORY, "No memory for a connection.");
    }
    *ret_call = c;
    return OK;
}

void http_call_pause(struct http_call *c)
{
    c->paused = true;
}

void http_call_resume(struct http_call *c)
{
    if (!c->paused) {
        return;
    }
    c->paused = false;
    c->moved_ns = now(c);
    loop_defer(c->link->origin->client->loop, &c->link->work); // not from inside this call
}

bool http_call_sent(const struct http_call *c)
{
    return c->sent;
}

struct str http_call_peer(const struct http_call *c)
{
    return str_from_c(c->link->peer);
}
