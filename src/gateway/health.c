/* health.c - looks at an upstream in intervals: its health page, its metrics, and a probe that has
 * it generate one token.
 *
 *   every interval: health page -> metrics -> probe, each when it is wanted, one after the other
 *
 * Two bad looks in a row take an upstream out, one good look brings it back.  A server that answers
 * the health page with anything below 500 is there: clouds have no such page.  The probe runs at
 * the start and whenever the upstream is down or its breaker is not closed, so that a client's
 * request is not the first to find out; its success counts as the breaker's trial.
 * No byte of any request is in what is sent here.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "gateway/gateway_internal.h"
#include "gateway/load_report.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS UINT64_C(1000000)
#define INTERVAL_MS 10000
#define CONNECT_MS 2000
#define LOOK_MS 5000
#define BODY_BYTES_MAX (4U << 20)
#define BAD_LOOKS_MAX 2
#define JITTER 0.1 // of the interval, so that many gateways do not look at once

enum look { LOOK_PAGE, LOOK_METRICS, LOOK_PROBE, LOOK_COUNT };

struct health {
    struct fleet_upstream *u;   // borrowed
    struct http_origin *origin; // owned: the server's root
    struct arena *arena;        // owned
    const struct permit *permit;
    struct loop_timer timer;
    struct http_call *http; // NULL: none under way
    enum look look;         // under way, or next
    uint64_t due_ns;        // of the next round
    uint32_t n_bad;         // in a row
    bool probed;            // at least once
    int status;
    struct buf body;
    struct str probe_body;
    struct http_field fields[4];
};

static void next_look(struct health *h);

/* --- verdicts --- */

static void note(struct health *h, bool good)
{
    struct fleet_upstream *u = h->u;
    const bool was_down = u->down;

    h->n_bad = good ? 0 : h->n_bad + 1;
    if (good) {
        u->down = false;
    } else if (h->n_bad >= BAD_LOOKS_MAX) {
        u->down = true;
    }
    metrics_set(u->meters.healthy, u->down ? 0 : 1);
    if (u->down != was_down) {
        log_event(u->down ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                  u->down ? "upstream_down" : "upstream_up", "upstream=%.*s",
                  STR_ARG(u->conf->name));
    }
}

static void take_page(struct health *h, bool good)
{
    h->u->utilization = h->status == 200 ? load_report_utilization(buf_str(&h->body)) : -1;
    note(h, good);
}

static void take_metrics(struct health *h, bool good)
{
    const struct load_report r = load_report_metrics(buf_str(&h->body));

    if (good && h->status == 200 && r.known) {
        h->u->running = r.running;
        h->u->waiting = r.waiting;
        h->u->kv_use = r.kv_use;
        h->u->load_ns = loop_now_ns(h->u->fleet->gw->loop);
    }
}

static void take_probe(struct health *h, bool good)
{
    struct fleet_upstream *u = h->u;

    good = good && h->status == 200;
    if (good && u->breaker.state != BREAKER_CLOSED) {
        breaker_success(&u->breaker, &u->fleet->breaker, loop_now_ns(u->fleet->gw->loop));
        log_event(LOG_LEVEL_INFO, "upstream_back", "upstream=%.*s state=%s by=probe",
                  STR_ARG(u->conf->name), breaker_state_name(u->breaker.state));
    }
    if (good || !h->probed || u->down) {
        note(h, good);
    }
    h->probed = true;
}

static void end_look(struct health *h, bool answered)
{
    const bool good = answered && h->status < 500;

    switch (h->look) {
    case LOOK_PAGE:
        take_page(h, good);
        break;
    case LOOK_METRICS:
        take_metrics(h, good);
        break;
    case LOOK_PROBE:
        take_probe(h, good);
        break;
    case LOOK_COUNT:
        break;
    }
    h->look++;
    next_look(h);
}

/* --- one look --- */

static void on_head(void *user, const struct http_head *head)
{
    struct health *h = user;

    h->status = (int)head->status;
}

static void on_body(void *user, struct str piece)
{
    struct health *h = user;

    buf_append_str(&h->body, piece);
}

static void on_end(void *user, enum status rc, enum http_call_phase phase, const struct error *why)
{
    struct health *h = user;

    (void)phase;
    (void)why;
    h->http = NULL;
    end_look(h, rc == OK);
}

static const struct http_call_events events = {on_head, on_body, on_end};

static bool wants(const struct health *h)
{
    const struct settings_upstream *c = h->u->conf;

    switch (h->look) {
    case LOOK_PAGE:
        return c->health_path.len > 0;
    case LOOK_METRICS:
        return c->metrics_path.len > 0 && !h->u->down;
    case LOOK_PROBE:
        return c->probe && h->probe_body.len > 0 &&
               (!h->probed || h->u->down || h->u->breaker.state != BREAKER_CLOSED);
    case LOOK_COUNT:
        break;
    }
    return false;
}

static enum status start_look(struct health *h)
{
    const struct settings_upstream *c = h->u->conf;
    const bool probe = h->look == LOOK_PROBE;
    struct http_call_options o = {
        .permit = h->permit,
        .label = LABEL_PUBLIC,
        .method = probe ? STR("POST") : STR("GET"),
        .target = probe                  ? STR("/chat/completions")
                  : h->look == LOOK_PAGE ? c->health_path
                                         : c->metrics_path,
        .fields = h->fields,
        .connect_timeout_ms = CONNECT_MS,
        .first_byte_timeout_ms = probe ? c->first_byte_timeout_ms : LOOK_MS,
        .idle_timeout_ms = LOOK_MS,
        .body_bytes_max = BODY_BYTES_MAX,
        .events = &events,
        .user = h,
    };
    uint32_t n = 0;

    h->fields[n++] =
        (struct http_field){STR("user-agent"), str_from_c(h->u->fleet->gw->server_name)};
    if (h->u->authorization.len > 0) {
        h->fields[n++] = (struct http_field){STR("authorization"), h->u->authorization};
    }
    if (probe) {
        h->fields[n++] = (struct http_field){STR("content-type"), STR("application/json")};
        o.pieces = &h->probe_body;
        o.n_pieces = 1;
    }
    o.n_fields = n;
    h->status = 0;
    buf_reset(&h->body);
    return http_call_start(probe ? h->u->origin : h->origin, &o, &h->http, NULL);
}

static void next_look(struct health *h)
{
    while (h->look < LOOK_COUNT) {
        if (wants(h)) {
            if (start_look(h) == OK) {
                return;
            }
            h->http = NULL;
        }
        h->look++;
    }
    if (h->body.cap > 65536) {
        buf_done(&h->body);
    }
    loop_timer_set(h->u->fleet->gw->loop, &h->timer, h->due_ns);
}

static void on_due(void *user)
{
    struct health *h = user;
    struct gateway *gw = h->u->fleet->gw;
    const uint32_t ms =
        h->u->conf->health_interval_ms == 0 ? INTERVAL_MS : h->u->conf->health_interval_ms;
    const double jitter = 1 - JITTER + 2 * JITTER * rng_uniform(gw->id_key, 2, gw->chance_count++);

    h->due_ns = loop_now_ns(gw->loop) + (uint64_t)(ms * jitter * (double)NS_PER_MS);
    h->look = LOOK_PAGE;
    next_look(h);
}

/* --- life --- */

/* "http://host:port" of "http://host:port/v1". */
static struct str root_of(struct str url)
{
    const size_t scheme = str_find(url, STR("://"), 0);
    const size_t slash = scheme == SIZE_MAX ? SIZE_MAX : str_find_byte(url, '/', scheme + 3);

    return str_slice(url, 0, slash);
}

/* The first model that may come here. */
static struct str some_model(const struct fleet_upstream *u)
{
    const struct settings *s = u->fleet->settings;

    for (uint32_t i = 0; i < s->n_models; i++) {
        for (uint32_t p = 0; p < s->models[i].n_pools; p++) {
            const struct settings_pool *pool = &s->pools[s->models[i].pools[p]];

            for (uint32_t k = 0; k < pool->n_members; k++) {
                if (pool->members[k].upstream == u->idx) {
                    return fleet_model_there(u, s->models[i].name);
                }
            }
        }
    }
    return (struct str){NULL, 0};
}

static void make_probe(struct health *h)
{
    const struct str model = some_model(h->u);
    struct buf b;

    if (model.len == 0) {
        return;
    }
    buf_init(&b, 4096);
    buf_append_str(&b, STR("{\"model\":"));
    json_write_string(&b, model);
    buf_append_str(&b, STR(",\"messages\":[{\"role\":\"user\",\"content\":\"ping\"}],"
                           "\"max_tokens\":1,\"stream\":false}"));
    if (buf_status(&b) != OK || arena_dup(h->arena, buf_str(&b), &h->probe_body) != OK) {
        h->probe_body = (struct str){NULL, 0};
    }
    buf_done(&b);
}

struct health *health_start(struct fleet_upstream *u)
{
    const struct settings_upstream *c = u->conf;
    const struct http_origin_options options = {.url = root_of(c->url),
                                                .tls = u->tls,
                                                .idle_max = 1};
    struct health *h;

    metrics_set(u->meters.healthy, u->down ? 0 : 1);
    if (c->health_path.len == 0 && c->metrics_path.len == 0 && !c->probe) {
        return NULL;
    }
    h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return NULL;
    }
    h->u = u;
    buf_init(&h->body, BODY_BYTES_MAX);
    h->arena = arena_create(65536);
    h->permit = h->arena == NULL ? NULL : policy_lend_probe(h->arena);
    if (h->permit == NULL ||
        http_client_origin(u->fleet->gw->client, &options, &h->origin, NULL) != OK) {
        health_stop(h);
        return NULL;
    }
    make_probe(h);
    h->timer.on_due = on_due;
    h->timer.user = h;
    loop_timer_set(u->fleet->gw->loop, &h->timer, loop_now_ns(u->fleet->gw->loop));
    return h;
}

void health_stop(struct health *h)
{
    if (h == NULL) {
        return;
    }
    if (h->http != NULL) {
        http_call_cancel(h->http);
    }
    if (h->origin != NULL) {
        http_client_release_origin(h->origin);
    }
    loop_timer_stop(&h->timer);
    buf_done(&h->body);
    arena_destroy(h->arena);
    free(h);
}
