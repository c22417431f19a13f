/* One connection of the client: addresses, connecting, the socket's events, the deadline. */
#include "base/check.h"
#include "net/http_client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000

static void on_ready(void *user, unsigned what);
static void on_due(void *user);
static void on_work(void *user);

struct http_link *http_link_create(struct http_origin *o, struct http_call *c)
{
    struct http_link *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->origin = o;
    l->call = c;
    l->transport.fd = -1;
    l->watch.on_ready = on_ready;
    l->watch.user = l;
    l->timer.on_due = on_due;
    l->timer.user = l;
    l->work.run = on_work;
    l->work.user = l;
    buf_init(&l->in, SIZE_MAX); // bounded by the head's limit and one read
    o->n_links++;
    loop_defer(o->client->loop, &l->work);
    return l;
}

static void drop_socket(struct http_link *l)
{
    loop_watch_stop(&l->watch);
    transport_close(&l->transport);
    l->readable = false;
    l->writable = false;
    l->peer_closed = false;
    l->starved = false;
    l->in_at = 0;
    buf_reset(&l->in);
}

void http_link_renew(struct http_link *l)
{
    drop_socket(l);
    l->state = HTTP_LINK_NAME;
    l->reused = false;
    l->tried = 0;
    loop_defer(l->origin->client->loop, &l->work);
    http_link_arm(l);
}

void http_link_close(struct http_link *l)
{
    if (l->state == HTTP_LINK_DEAD) {
        return;
    }
    http_origin_unlist(l->origin, l);
    drop_socket(l);
    loop_timer_stop(&l->timer);
    l->state = HTTP_LINK_DEAD;
    l->call = NULL;
    loop_defer(l->origin->client->loop, &l->work);
}

static void destroy(struct http_link *l)
{
    struct http_origin *o = l->origin;

    buf_done(&l->in);
    free(l);
    http_origin_drop(o);
}

void http_link_keep(struct http_link *l)
{
    l->call = NULL;
    l->reused = true;
    l->readable = false;
    l->starved = false;
    l->in_at = 0;
    buf_done(&l->in); // an idle connection keeps no memory for input
    l->idle_ns = loop_now_ns(l->origin->client->loop);
    http_origin_put_idle(l->origin, l);
    http_link_arm(l);
}

struct str http_link_buffered(const struct http_link *l)
{
    return str_slice(buf_str(&l->in), l->in_at, l->in.len);
}

/* --- connecting --- */

static uint64_t connect_deadline_ns(const struct http_link *l)
{
    const struct http_call *c = l->call;
    const uint32_t ms = c->options.connect_timeout_ms;

    return c->begun_ns + (ms == 0 ? CONNECT_TIMEOUT_MS : ms) * HTTP_NS_PER_MS;
}

static void ready(struct http_link *l)
{
    l->state = HTTP_LINK_BUSY;
    l->writable = true;
    http_call_go_on(l->call);
}

/* No connection to be had. */
static void refused(struct http_link *l)
{
    const struct http_origin *o = l->origin;
    const char *reason = l->last_errno == 0 ? "no answer in time" : strerror(l->last_errno);
    struct error err;
    const enum status rc = l->last_errno == 0 ? E_TIMEOUT : E_IO;

    (void)error_set(&err, rc, "Cannot connect to %.*s port %u: %s. Is the server running?",
                    STR_ARG(o->host), (unsigned)o->port, reason);
    http_call_fail(l->call, rc, &err);
}

static void attempt_failed(struct http_link *l, int fault);

static void refuse_handshake(struct http_link *l)
{
    const struct http_origin *o = l->origin;
    struct error err;

    (void)error_set(&err, E_IO, "No TLS connection to %.*s port %u: %s.", STR_ARG(o->host),
                    (unsigned)o->port, tls_stream_why(l->transport.tls));
    http_call_fail(l->call, E_IO, &err);
}

static void shake(struct http_link *l)
{
    const enum status rc = transport_handshake(&l->transport);

    if (rc == OK) {
        l->readable = true; // something may have come along with the handshake
        ready(l);
    } else if (rc == E_AGAIN) {
        http_link_arm(l);
    } else if (rc != E_DENIED && http_origin_untried(l->origin, l) > 0) {
        attempt_failed(l, ECONNRESET); // perhaps one server of several; a certificate is the name's
    } else {
        refuse_handshake(l);
    }
}

/* The socket is connected. */
static void connected(struct http_link *l)
{
    struct http_origin *o = l->origin;
    struct tls_stream *tls;

    http_origin_note(o, &l->address, false);
    if (o->tls == NULL) {
        ready(l);
        return;
    }
    tls = tls_stream_connect(o->tls, l->transport.fd, o->host, &o->session);
    if (tls == NULL) {
        attempt_failed(l, ENOMEM);
        return;
    }
    transport_secure(&l->transport, tls);
    l->state = HTTP_LINK_HANDSHAKE;
    shake(l);
}

/* Take one address.  OK: under way or connected.  IO: try the next. */
static enum status attempt(struct http_link *l, bool *ret_connected)
{
    const struct http_call_options *q = &l->call->options;
    enum status rc = egress_connect(q->permit, q->label, &l->address.to.any, l->address.len,
                                    &l->transport.fd, ret_connected);

    if (rc != OK) {
        l->last_errno = errno;
        return rc;
    }
    http_resolve_format(&l->address, l->peer, sizeof(l->peer));
    rc = loop_watch_start(l->origin->client->loop, &l->watch, l->transport.fd);
    if (rc != OK) {
        l->last_errno = ENOMEM;
        drop_socket(l);
        return rc;
    }
    return OK;
}

/* The time that is left, shared out among the addresses that are left. */
static uint64_t attempt_deadline_ns(const struct http_link *l)
{
    const uint64_t now_ns = loop_now_ns(l->origin->client->loop);
    const uint64_t end_ns = connect_deadline_ns(l);
    const uint32_t n = 1 + http_origin_untried(l->origin, l);

    return end_ns > now_ns ? now_ns + (end_ns - now_ns) / n : end_ns;
}

/* It is this process that cannot: no other address would help, and none is to blame. */
static bool is_own_shortage(int fault)
{
    return fault == EMFILE || fault == ENFILE || fault == ENOBUFS || fault == ENOMEM;
}

static void fail_for_shortage(struct http_link *l)
{
    struct error err;

    (void)error_set(&err, E_LIMIT,
                    "No connection to %.*s port %u: %s in this process. Raise the limit of open "
                    "files (ulimit -n) or lower the number of connections.",
                    STR_ARG(l->origin->host), (unsigned)l->origin->port, strerror(l->last_errno));
    http_call_fail(l->call, E_LIMIT, &err);
}

static void connect_next(struct http_link *l)
{
    l->state = HTTP_LINK_CONNECT;
    while (http_origin_pick(l->origin, l)) {
        bool at_once = false;

        l->attempt_deadline_ns = attempt_deadline_ns(l);
        if (attempt(l, &at_once) != OK) {
            if (is_own_shortage(l->last_errno)) {
                fail_for_shortage(l);
                return;
            }
            http_origin_note(l->origin, &l->address, true);
            continue;
        }
        if (at_once) {
            connected(l);
        } else {
            http_link_arm(l);
        }
        return;
    }
    refused(l);
}

static void attempt_failed(struct http_link *l, int fault)
{
    l->last_errno = fault;
    http_origin_note(l->origin, &l->address, true);
    drop_socket(l);
    if (loop_now_ns(l->origin->client->loop) >= connect_deadline_ns(l)) {
        refused(l);
        return;
    }
    connect_next(l);
}

static void look_connected(struct http_link *l)
{
    const enum status rc = egress_connected(l->transport.fd);

    if (rc == OK) {
        connected(l);
    } else if (rc != E_AGAIN) {
        attempt_failed(l, errno);
    }
}

static void fail_name(struct http_link *l, const char *why)
{
    struct error err;

    (void)error_set(&err, E_IO, "Cannot find host \"%.*s\": %s.", STR_ARG(l->origin->host), why);
    http_call_fail(l->call, E_IO, &err);
}

static void begin(struct http_link *l)
{
    enum status rc;

    if (l->unresolved) {
        fail_name(l, l->why);
        return;
    }
    rc = http_origin_resolve(l->origin);
    if (rc == OK) {
        l->call->phase = HTTP_CALL_CONNECT;
        connect_next(l);
    } else if (rc == E_AGAIN) {
        http_origin_list_waiting(l->origin, l);
        http_link_arm(l);
    } else {
        fail_name(l, "no thread for the lookup");
    }
}

void http_link_resolved(struct http_link *l, const char *why)
{
    l->unresolved = why != NULL;
    if (why != NULL) {
        snprintf(l->why, sizeof(l->why), "%s", why);
    }
    loop_defer(l->origin->client->loop, &l->work);
}

/* --- events --- */

/* Input or an end while nobody asked: the connection is of no use any more.  With TLS it may be a
 * session ticket, which is for the stream itself. */
static void look_idle(struct http_link *l)
{
    struct http_client *client = l->origin->client;
    size_t n;

    if (transport_is_tls(&l->transport) && !l->peer_closed &&
        transport_read(&l->transport, client->scratch, sizeof(client->scratch), &n) == E_AGAIN) {
        l->readable = false;
    }
    if (l->readable || l->peer_closed) {
        http_link_close(l);
    }
}

static void go_on(struct http_link *l)
{
    switch (l->state) {
    case HTTP_LINK_NAME:
        if (!l->listed) {
            begin(l);
        }
        break;
    case HTTP_LINK_CONNECT:
        if (l->writable) {
            look_connected(l);
        }
        break;
    case HTTP_LINK_HANDSHAKE:
        shake(l);
        break;
    case HTTP_LINK_BUSY:
        http_call_go_on(l->call);
        break;
    case HTTP_LINK_IDLE:
        look_idle(l);
        break;
    case HTTP_LINK_DEAD:
        break;
    }
}

static void on_ready(void *user, unsigned what)
{
    struct http_link *l = user;

    l->writable |= (what & LOOP_WRITE) != 0;
    l->readable |= (what & (LOOP_READ | LOOP_CLOSED)) != 0;
    l->peer_closed |= (what & LOOP_CLOSED) != 0;
    if (transport_is_tls(&l->transport)) {
        l->writable = true; // TLS may wait for the one to do the other
        l->readable = true;
    }
    go_on(l);
}

static void on_work(void *user)
{
    struct http_link *l = user;

    if (l->state == HTTP_LINK_DEAD) {
        destroy(l);
    } else {
        go_on(l);
    }
}

/* --- deadline --- */

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
    return b_ns != 0 && b_ns < a_ns ? b_ns : a_ns;
}

void http_link_arm(struct http_link *l)
{
    const struct http_origin *o = l->origin;
    uint64_t at_ns = 0;

    switch (l->state) {
    case HTTP_LINK_NAME:
        at_ns = earlier(connect_deadline_ns(l), http_call_deadline_ns(l->call));
        break;
    case HTTP_LINK_CONNECT:
    case HTTP_LINK_HANDSHAKE:
        at_ns = earlier(l->attempt_deadline_ns, http_call_deadline_ns(l->call));
        break;
    case HTTP_LINK_BUSY:
        at_ns = http_call_deadline_ns(l->call);
        break;
    case HTTP_LINK_IDLE:
        at_ns = l->idle_ns + o->options.idle_timeout_ms * HTTP_NS_PER_MS;
        break;
    case HTTP_LINK_DEAD:
        return;
    }
    loop_timer_set(o->client->loop, &l->timer, at_ns);
}

static void on_due(void *user)
{
    struct http_link *l = user;
    const uint64_t now_ns = loop_now_ns(l->origin->client->loop);

    switch (l->state) {
    case HTTP_LINK_NAME:
    case HTTP_LINK_BUSY:
        http_call_overdue(l->call);
        break;
    case HTTP_LINK_CONNECT:
    case HTTP_LINK_HANDSHAKE:
        if (now_ns >= l->attempt_deadline_ns) {
            attempt_failed(l, 0);
        } else {
            http_call_overdue(l->call);
        }
        break;
    case HTTP_LINK_IDLE:
        http_link_close(l);
        break;
    case HTTP_LINK_DEAD:
        break;
    }
}
