/* An origin: its addresses and its pool of idle connections. */
#include "base/check.h"
#include "net/http_client_internal.h"

#include <stdlib.h>
#include <string.h>

#define FAILED_FOR_MS 30000 // an address that failed is tried last for that long
#define IDLE_MAX 64
#define IDLE_TIMEOUT_MS 55000 // below the 60 s after which many servers close
#define RESOLVE_INTERVAL_MS 30000

static void default_u32(uint32_t *value, uint32_t fallback)
{
    *value = *value == 0 ? fallback : *value;
}

/* --- life --- */

static void take_url(struct http_origin *o, const struct egress_url *u)
{
    o->port = u->port;
    o->host = u->host;
    o->authority = u->authority;
    o->prefix = u->target;
    while (o->prefix.len > 0 && o->prefix.ptr[o->prefix.len - 1] == '/') {
        o->prefix.len--;
    }
    o->literal = http_resolve_literal(o->host, o->port, &o->addresses[0]);
    o->n_addresses = o->literal ? 1 : 0;
}

enum status http_origin_create(struct http_client *c, const struct http_origin_options *options,
                               struct http_origin **ret_origin, struct error *err)
{
    struct http_origin *o = calloc(1, sizeof(*o) + options->url.len + 1);
    struct egress_url url;
    enum status rc;

    if (o == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for an upstream.");
    }
    memcpy(o->text, options->url.ptr, options->url.len);
    rc = egress_parse_url((struct str){o->text, options->url.len}, &url, err);
    if (rc == OK && str_find_byte(url.target, '?', 0) != SIZE_MAX) {
        rc = error_set(err, E_INVALID, "\"%.*s\": the base URL of an upstream has no query.",
                       STR_ARG(options->url));
    }
    if (rc == OK && url.tls) {
        o->tls = options->tls;
        rc = o->tls == NULL ? http_client_default_tls(c, &o->tls, err) : OK;
    }
    if (rc != OK) {
        free(o);
        return rc;
    }
    o->client = c;
    o->options = *options;
    o->options.url = (struct str){o->text, options->url.len};
    default_u32(&o->options.idle_max, IDLE_MAX);
    default_u32(&o->options.idle_timeout_ms, IDLE_TIMEOUT_MS);
    default_u32(&o->options.resolve_interval_ms, RESOLVE_INTERVAL_MS);
    take_url(o, &url);
    c->n_origins_ever++;
    o->id = c->n_origins_ever;
    o->next = c->origins;
    c->origins = o;
    *ret_origin = o;
    return OK;
}

static void end(struct http_origin *o)
{
    struct http_origin **at = &o->client->origins;

    while (*at != o) {
        at = &(*at)->next;
    }
    *at = o->next;
    tls_stream_forget(&o->session);
    free(o);
}

void http_origin_release(struct http_origin *o)
{
    o->released = true;
    while (o->idle_first != NULL) {
        http_link_close(o->idle_first);
    }
    if (o->n_links == 0) {
        end(o);
    }
}

void http_origin_drop(struct http_origin *o)
{
    CHECK(o->n_links > 0);
    o->n_links--;
    if (o->released && o->n_links == 0) {
        end(o);
    }
}

/* --- lists of links --- */

void http_origin_unlist(struct http_origin *o, struct http_link *l)
{
    if (l->state == HTTP_LINK_IDLE) {
        *(l->prev != NULL ? &l->prev->next : &o->idle_first) = l->next;
        *(l->next != NULL ? &l->next->prev : &o->idle_last) = l->prev;
        o->n_idle--;
    } else if (l->listed) {
        *(l->prev != NULL ? &l->prev->next : &o->waiting) = l->next;
        if (l->next != NULL) {
            l->next->prev = l->prev;
        }
        l->listed = false;
    }
    l->prev = NULL;
    l->next = NULL;
}

void http_origin_list_waiting(struct http_origin *o, struct http_link *l)
{
    CHECK(!l->listed && l->state == HTTP_LINK_NAME);
    l->listed = true;
    l->next = o->waiting;
    if (l->next != NULL) {
        l->next->prev = l;
    }
    o->waiting = l;
}

struct http_link *http_origin_take_idle(struct http_origin *o)
{
    struct http_link *l = o->idle_first;

    if (l != NULL) {
        http_origin_unlist(o, l);
    }
    return l;
}

/* --- addresses --- */

static void on_result(void *user, const struct http_resolved *r)
{
    struct http_client *c = user;

    for (struct http_origin *o = c->origins; o != NULL; o = o->next) {
        if (o->id == r->id) {
            http_origin_on_resolved(o, r);
            return;
        }
    }
}

static enum status start_lookup(struct http_origin *o)
{
    struct http_client *c = o->client;
    enum status rc = OK;

    if (c->resolver == NULL) {
        rc = http_resolve_create(c->loop, c->lookup, on_result, c, &c->resolver);
    }
    if (rc == OK) {
        rc = http_resolve_start(c->resolver, o->host, o->port, o->id);
    }
    o->resolving = rc == OK;
    return rc;
}

void http_origin_refresh(struct http_origin *o, uint64_t now_ns)
{
    const uint64_t interval_ns = o->options.resolve_interval_ms * HTTP_NS_PER_MS;

    if (!o->literal && !o->resolving && o->n_addresses > 0 &&
        now_ns - o->resolved_ns >= interval_ns) {
        o->resolved_ns = now_ns; // also when it fails: not before the next interval
        if (start_lookup(o) != OK) {
            return; // the old addresses must do
        }
    }
}

enum status http_origin_resolve(struct http_origin *o)
{
    enum status rc = OK;

    if (!o->resolving && o->n_addresses == 0) {
        rc = start_lookup(o);
    }
    if (o->n_addresses > 0) {
        return OK; // old addresses do until the new ones are there
    }
    return rc == OK ? E_AGAIN : rc;
}

static bool has_address(const struct http_origin *o, const struct http_address *a,
                        uint32_t *ret_idx)
{
    for (uint32_t i = 0; i < o->n_addresses; i++) {
        if (http_resolve_equal(&o->addresses[i], a)) {
            *ret_idx = i;
            return true;
        }
    }
    return false;
}

void http_origin_put_idle(struct http_origin *o, struct http_link *l)
{
    uint32_t idx;

    if (l->generation != o->generation && !has_address(o, &l->address, &idx)) {
        http_link_close(l); // the name has moved on meanwhile
        return;
    }
    l->generation = o->generation;
    if (o->n_idle == o->options.idle_max) {
        http_link_close(o->idle_last);
    }
    l->state = HTTP_LINK_IDLE;
    l->next = o->idle_first;
    *(l->next != NULL ? &l->next->prev : &o->idle_last) = l;
    o->idle_first = l;
    o->n_idle++;
}

/* Take over a list that may be the same one in another order. */
static void replace_addresses(struct http_origin *o, const struct http_resolved *r)
{
    uint64_t failed_ns[HTTP_ADDRESSES_MAX] = {0};
    bool same = r->n_addresses == o->n_addresses;
    struct http_link *l = o->idle_first;
    uint32_t idx;

    for (uint32_t i = 0; i < r->n_addresses; i++) {
        if (has_address(o, &r->addresses[i], &idx)) {
            failed_ns[i] = o->failed_ns[idx];
        } else {
            same = false;
        }
    }
    if (same) {
        return; // name servers rotate the order; ours turns by itself
    }
    memcpy(o->failed_ns, failed_ns, sizeof(failed_ns));
    memcpy(o->addresses, r->addresses, sizeof(o->addresses));
    o->n_addresses = r->n_addresses;
    o->next_address = 0;
    o->generation++;
    while (l != NULL) { // connections to servers that the name no longer means
        struct http_link *next = l->next;

        if (!has_address(o, &l->address, &idx)) {
            http_link_close(l);
        }
        l = next;
    }
}

void http_origin_on_resolved(struct http_origin *o, const struct http_resolved *r)
{
    o->resolving = false;
    if (r->rc == OK) {
        o->resolved_ns = loop_now_ns(o->client->loop);
        replace_addresses(o, r);
    }
    // They go on in their own deferred calls: what one of them causes cannot touch this list.
    while (o->waiting != NULL) {
        struct http_link *l = o->waiting;

        http_origin_unlist(o, l);
        http_link_resolved(l, o->n_addresses > 0 ? NULL : r->text);
    }
}

static void forget_failures(struct http_origin *o)
{
    const uint64_t now_ns = loop_now_ns(o->client->loop);

    for (uint32_t i = 0; i < o->n_addresses; i++) {
        if (o->failed_ns[i] != 0 && now_ns - o->failed_ns[i] >= FAILED_FOR_MS * HTTP_NS_PER_MS) {
            o->failed_ns[i] = 0;
        }
    }
}

static void sync_tried(const struct http_origin *o, struct http_link *l)
{
    if (l->generation != o->generation) {
        l->generation = o->generation;
        l->tried = 0;
    }
}

bool http_origin_pick(struct http_origin *o, struct http_link *l)
{
    uint32_t best = HTTP_ADDRESSES_MAX;

    sync_tried(o, l);
    forget_failures(o);
    for (uint32_t i = 0; i < o->n_addresses; i++) {
        const uint32_t at = (o->next_address + i) % o->n_addresses;

        if ((l->tried >> at & 1) != 0) {
            continue;
        }
        // the first one that has not failed, else the one whose failure is longest ago
        if (best == HTTP_ADDRESSES_MAX || o->failed_ns[at] < o->failed_ns[best]) {
            best = at;
        }
        if (o->failed_ns[at] == 0) {
            break;
        }
    }
    if (best == HTTP_ADDRESSES_MAX) {
        return false;
    }
    l->tried |= UINT32_C(1) << best;
    l->address = o->addresses[best];
    o->next_address = (best + 1) % o->n_addresses;
    return true;
}

uint32_t http_origin_untried(const struct http_origin *o, const struct http_link *l)
{
    const uint32_t tried = l->generation == o->generation ? l->tried : 0;

    return o->n_addresses - (uint32_t)__builtin_popcount(tried);
}

void http_origin_note(struct http_origin *o, const struct http_address *a, bool failed)
{
    uint32_t idx;

    if (has_address(o, a, &idx)) {
        o->failed_ns[idx] = failed ? loop_now_ns(o->client->loop) : 0;
    }
}
