/* health.c - looks at an upstream in intervals: its health page, its metrics, and a probe that has
 * it generate one token.
 *
 *   every interval: health page -> metrics -> probe, each when it is wanted, one after the other
 *
 * Page and probe are two verdicts, and an upstream is out while either is bad: a page that answers
 * says nothing about a probe that failed.  Two bad looks in a row make a verdict bad, one good look
 * makes it good again; a server that no probe has found good yet is out with the first bad probe.
 * A server that answers the health page with anything below 500 is there: clouds have no such page.
 * The probe runs at the start and then in every round until it was good, and again while the
 * upstream is down or its breaker is not closed, so that a client's request is not the first to
 * find out; its success counts as the breaker's trial.  Rounds come every two seconds at least
 * while something is bad.
 * A server that declares to continue unfinished answers has to prove it once: the prompt of an
 * unfinished answer must be shorter than that of the same answer as a finished one, for it has no
 * end of the turn and no beginning of the next.  A server that ignores the fields counts both
 * alike.
 * No byte of any request is in what is sent here.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "gateway/gateway_internal.h"
#include "gateway/load_report.h"
#include "gateway/response.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS UINT64_C(1000000)
#define INTERVAL_MS 10000
#define INTERVAL_UNWELL_MS 2000 // while it is not: so that it is missed, and back, soon
#define CONNECT_MS 2000
#define LOOK_MS 5000
#define BODY_BYTES_MAX (4U << 20)
#define BAD_LOOKS_MAX 2
#define CONTINUE_TRIES_MAX 3
#define JITTER 0.1 // of the interval, so that many gateways do not look at once

enum look {
    LOOK_PAGE,
    LOOK_METRICS,
    LOOK_PROBE,
    LOOK_OPEN,   // an unfinished answer that is to be continued: how long is its prompt?
    LOOK_CLOSED, // the same as a finished one
    LOOK_COUNT,
};

struct health {
    struct fleet_upstream *u;   // borrowed
    struct http_origin *origin; // owned: the server's root
    struct arena *arena;        // owned
    const struct permit *permit;
    struct loop_timer timer;
    struct http_call *http; // NULL: none under way
    enum look look;         // under way, or next
    uint64_t due_ns;        // of the next round
    uint32_t n_bad_pages;   // in a row
    uint32_t n_bad_probes;  // in a row
    bool probe_good;        // the last one that said anything
    bool refusal_logged;
    uint32_t n_tries;     // of the proof that it continues
    uint32_t open_tokens; // prompt of the unfinished answer
    struct str open_body;
    struct str closed_body;
    int status;
    struct buf body;
    struct str probe_body;
    struct http_field fields[4];
};

static void next_look(struct health *h);

/* --- verdicts --- */

/* Both verdicts together. */
static void note(struct health *h)
{
    struct fleet_upstream *u = h->u;
    const uint32_t bad_probes_max = u->proved ? BAD_LOOKS_MAX : 1;
    const bool was_down = u->down;
    const bool page_bad = h->n_bad_pages >= BAD_LOOKS_MAX;
    const bool probe_bad = h->n_bad_probes >= bad_probes_max;

    u->down = page_bad || probe_bad;
    metrics_set(u->meters.healthy, u->down ? 0 : 1);
    if (u->down != was_down) {
        log_event(u->down ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                  u->down ? "upstream_down" : "upstream_up", "upstream=%.*s by=%s",
                  STR_ARG(u->conf->name), h->look == LOOK_PROBE ? "probe" : "page");
    }
}

static void take_page(struct health *h, bool good)
{
    h->u->utilization = h->status == 200 ? load_report_utilization(buf_str(&h->body)) : -1;
    h->n_bad_pages = good ? 0 : h->n_bad_pages + 1;
    note(h);
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

static bool is_closed(const struct fleet_upstream *u)
{
    return breaker_state(&u->breaker, loop_now_ns(u->fleet->gw->loop)) == BREAKER_CLOSED;
}

static void close_breaker(struct fleet_upstream *u)
{
    if (!is_closed(u)) {
        breaker_success(&u->breaker, &u->fleet->breaker, loop_now_ns(u->fleet->gw->loop));
        log_event(LOG_LEVEL_INFO, "upstream_back", "upstream=%.*s state=%s by=probe",
                  STR_ARG(u->conf->name), breaker_state_name(u->breaker.state));
    }
}

/* A server that finds fault with the probe itself (no such model, too few tokens, too often) is
 * there, and may well answer its clients: not good, not bad.  One that refuses the key is bad. */
static bool is_refusal(int status)
{
    return status >= 400 && status < 500 && status != 401 && status != 403;
}

static void log_refusal(struct health *h)
{
    if (!h->refusal_logged) {
        log_event(LOG_LEVEL_WARN, "probe_refused", "upstream=%.*s status=%d",
                  STR_ARG(h->u->conf->name), h->status);
    }
    h->refusal_logged = true;
}

static void take_probe(struct health *h, bool answered)
{
    h->probe_good = answered && h->status == 200;
    if (h->probe_good) {
        h->u->proved = true;
        h->refusal_logged = false;
        h->n_bad_probes = 0;
        close_breaker(h->u);
    } else if (answered && is_refusal(h->status)) {
        h->n_bad_probes = 0;
        log_refusal(h);
    } else {
        h->n_bad_probes++;
    }
    note(h);
}

static uint32_t prompt_tokens(const struct health *h, bool good)
{
    struct response_facts f;

    if (!good || h->status != 200 || response_scan(buf_str(&h->body), &f) != OK) {
        return 0;
    }
    return f.usage.prompt_tokens;
}

static void take_closed(struct health *h, bool good)
{
    struct fleet_upstream *u = h->u;
    const uint32_t closed = prompt_tokens(h, good);

    h->n_tries++;
    u->continues_proved = h->open_tokens > 0 && h->open_tokens < closed;
    if (u->continues_proved || (h->open_tokens > 0 && closed > 0)) {
        log_event(u->continues_proved ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
                  u->continues_proved ? "upstream_continues" : "upstream_does_not_continue",
                  "upstream=%.*s open_tokens=%u closed_tokens=%u", STR_ARG(u->conf->name),
                  h->open_tokens, closed);
    }
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
    case LOOK_OPEN:
        h->open_tokens = prompt_tokens(h, good);
        break;
    case LOOK_CLOSED:
        take_closed(h, good);
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
               (!h->probe_good || h->u->down || !is_closed(h->u));
    case LOOK_OPEN:
    case LOOK_CLOSED:
        return c->continues && h->closed_body.len > 0 && !h->u->continues_proved &&
               h->n_tries < CONTINUE_TRIES_MAX && !h->u->down;
    case LOOK_COUNT:
        break;
    }
    return false;
}

static enum status start_look(struct health *h)
{
    const struct settings_upstream *c = h->u->conf;
    const bool probe = h->look >= LOOK_PROBE;
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
        o.pieces = h->look == LOOK_PROBE  ? &h->probe_body
                   : h->look == LOOK_OPEN ? &h->open_body
                                          : &h->closed_body;
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
    const uint32_t wanted =
        h->u->conf->health_interval_ms == 0 ? INTERVAL_MS : h->u->conf->health_interval_ms;
    const bool well = h->n_bad_pages + h->n_bad_probes == 0 && !h->u->down && is_closed(h->u);
    const uint32_t ms = well || wanted < INTERVAL_UNWELL_MS ? wanted : INTERVAL_UNWELL_MS;
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

static struct str make_body(struct health *h, struct str model, struct str rest)
{
    struct str body = {NULL, 0};
    struct buf b;

    buf_init(&b, 4096);
    buf_append_str(&b, STR("{\"model\":"));
    json_write_string(&b, model);
    buf_append_str(&b, STR(",\"max_tokens\":1,\"stream\":false,"));
    buf_append_str(&b, rest);
    if (buf_status(&b) != OK || arena_dup(h->arena, buf_str(&b), &body) != OK) {
        body = (struct str){NULL, 0};
    }
    buf_done(&b);
    return body;
}

#define UNFINISHED                                                                                 \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Count to ten.\"},"                             \
    "{\"role\":\"assistant\",\"content\":\"one two three\"}]"

static void make_probes(struct health *h)
{
    const struct str model = some_model(h->u);

    if (model.len == 0) {
        return;
    }
    h->probe_body =
        make_body(h, model, STR("\"messages\":[{\"role\":\"user\",\"content\":\"ping\"}]}"));
    h->open_body =
        make_body(h, model,
                  STR("\"continue_final_message\":true,\"add_generation_prompt\":false," UNFINISHED
                      "}"));
    h->closed_body = make_body(h, model, STR(UNFINISHED "}"));
}

/* The fleet before found it bad: whoever looks from now on has to find it good first. */
static void stay_down(struct health *h)
{
    const struct settings_upstream *c = h->u->conf;

    h->n_bad_pages = c->health_path.len > 0 ? BAD_LOOKS_MAX : 0;
    h->n_bad_probes = c->probe && h->probe_body.len > 0 ? BAD_LOOKS_MAX : 0;
    h->u->down = h->n_bad_pages + h->n_bad_probes > 0;
}

struct health *health_start(struct fleet_upstream *u)
{
    const struct settings_upstream *c = u->conf;
    const struct http_origin_options options = {.url = root_of(c->url),
                                                .tls = u->tls,
                                                .idle_max = 1};
    struct health *h;

    metrics_set(u->meters.healthy, u->down ? 0 : 1);
    if (c->health_path.len == 0 && c->metrics_path.len == 0 && !c->probe && !c->continues) {
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
    make_probes(h);
    if (u->down) {
        stay_down(h);
    }
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
