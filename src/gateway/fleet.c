#include "gateway/fleet_internal.h"
#include "base/check.h"
#include "base/log.h"
#include "gateway/gateway_internal.h"
#include "gateway/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LABELS_BYTES_MAX 512

static const double first_byte_s[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                      1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};

/* --- making --- */

static struct metric_series *series(struct gateway *gw, enum metric_kind kind, const char *name,
                                    const char *labels, const char *help)
{
    return metrics_series(gw->options.metrics, kind, name, labels, help, NULL, 0);
}

/* Series live as long as the registry: an upstream of the same name finds its own again. */
static void create_meters(struct fleet_upstream *u)
{
    struct gateway *gw = u->fleet->gw;
    struct fleet_meters *m = &u->meters;
    char labels[LABELS_BYTES_MAX];
    struct buf name;

    buf_init(&name, LABELS_BYTES_MAX / 2);
    metrics_escape_label(&name, str_slice(u->conf->name, 0, 100));
    snprintf(labels, sizeof(labels), "upstream=\"%.*s\"", STR_ARG(buf_str(&name)));
    m->outstanding = series(gw, METRIC_GAUGE, "kontor_upstream_outstanding", labels,
                            "Attempts under way at an upstream.");
    m->breaker = series(gw, METRIC_GAUGE, "kontor_upstream_breaker_state", labels,
                        "0 closed, 1 open, 2 half open, 3 ramping up.");
    m->healthy = series(gw, METRIC_GAUGE, "kontor_upstream_healthy", labels,
                        "1: the last look at an upstream found it well.");
    m->slow = series(gw, METRIC_COUNTER, "kontor_upstream_slow_total", labels,
                     "Attempts whose first byte came later than the model's latency gate.");
    m->first_byte =
        metrics_series(gw->options.metrics, METRIC_HISTOGRAM, "kontor_upstream_first_byte_seconds",
                       labels, "Start of an attempt to its first event.", first_byte_s,
                       ARRAY_COUNT(first_byte_s));
    snprintf(labels, sizeof(labels), "upstream=\"%.*s\",outcome=\"answered\"",
             STR_ARG(buf_str(&name)));
    m->answered = series(gw, METRIC_COUNTER, "kontor_upstream_attempts_total", labels,
                         "Attempts by upstream and outcome.");
    snprintf(labels, sizeof(labels), "upstream=\"%.*s\",outcome=\"failed\"",
             STR_ARG(buf_str(&name)));
    m->failed = series(gw, METRIC_COUNTER, "kontor_upstream_attempts_total", labels,
                       "Attempts by upstream and outcome.");
    buf_done(&name);
}

static bool has_tls_wishes(const struct tls_client_options *o)
{
    return o->ca_file != NULL || o->certificate_file != NULL || o->server_name != NULL ||
           o->insecure;
}

static enum status connect_upstream(struct fleet_upstream *u, struct error *err)
{
    const struct settings_upstream *conf = u->conf;
    struct http_origin_options options = {.url = conf->url};
    enum status rc = OK;

    if (has_tls_wishes(&conf->tls)) {
        rc = tls_client_create(&conf->tls, &u->tls, err);
        options.tls = u->tls;
    }
    if (rc == OK) {
        rc = http_client_origin(u->fleet->gw->client, &options, &u->origin, err);
    }
    if (rc == OK && conf->key.len > 0) {
        const size_t len = conf->key.len + 7;
        char *text = malloc(len);

        if (text == NULL) {
            return E_NO_MEMORY;
        }
        memcpy(text, "Bearer ", 7);
        memcpy(text + 7, conf->key.ptr, conf->key.len);
        u->authorization_text = text;
        u->authorization = (struct str){text, len};
    }
    return rc;
}

/* What the fleet before knew about the same server. */
static void inherit(struct fleet_upstream *u, struct fleet *before)
{
    for (uint32_t i = 0; before != NULL && i < before->settings->n_upstreams; i++) {
        const struct fleet_upstream *old = &before->upstreams[i];

        if (str_eq(old->conf->name, u->conf->name) && str_eq(old->conf->url, u->conf->url)) {
            u->breaker = old->breaker;
            u->breaker.trial = false;
            u->resting_until_ns = old->resting_until_ns;
            u->down = old->down && (u->conf->health_path.len > 0 || u->conf->probe);
            u->proved = old->proved;
            u->utilization = old->utilization;
            u->continues_proved = old->continues_proved;
        }
    }
}

static enum status add_upstream(struct fleet *f, uint32_t idx, struct fleet *before,
                                struct error *err)
{
    struct fleet_upstream *u = &f->upstreams[idx];

    u->fleet = f;
    u->conf = &f->settings->upstreams[idx];
    u->idx = idx;
    u->utilization = -1;
    create_meters(u);
    inherit(u, before);
    if (u->conf->kind == SETTINGS_LOCAL) {
        f->has_local = true;
        return OK;
    }
    f->has_remote = true;
    return connect_upstream(u, err);
}

static enum status create_identity(struct fleet *f, const struct fleet *before, struct error *err)
{
    struct gateway *gw = f->gw;
    struct str *literal = calloc((size_t)gw->options.n_api_keys + 1, sizeof(*literal));
    struct identity_options options = {
        .settings = f->settings,
        .literal_keys = literal,
        .n_literal_keys = gw->options.n_api_keys,
        .before = before == NULL ? NULL : before->identity,
    };
    enum status rc;

    if (literal == NULL) {
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < gw->options.n_api_keys; i++) {
        literal[i] = str_from_c(gw->options.api_keys[i]);
    }
    rc = identity_create(&options, &f->identity, err);
    free(literal);
    return rc;
}

static void destroy(struct fleet *f)
{
    fleet_retire(f);
    for (uint32_t i = 0; i < f->settings->n_upstreams; i++) {
        struct fleet_upstream *u = &f->upstreams[i];

        if (u->origin != NULL) {
            http_client_release_origin(u->origin);
        }
        tls_client_destroy(u->tls);
        free(u->authorization_text);
    }
    identity_destroy(f->identity);
    if (f->owns_settings) {
        arena_destroy(f->settings->arena);
    }
    free(f->upstreams);
    free(f);
}

enum status fleet_create(struct gateway *gw, const struct settings *settings, bool owns_settings,
                         struct fleet *before, struct fleet **ret_fleet, struct error *err)
{
    struct fleet *f = calloc(1, sizeof(*f));
    enum status rc = OK;

    if (f == NULL) {
        return error_set(err, E_NO_MEMORY, "No memory for the configuration.");
    }
    f->gw = gw;
    f->settings = settings;
    f->n_refs = 1;
    f->breaker = (struct breaker_options){settings->breaker_failures, settings->breaker_open_ms,
                                          settings->ramp_ms};
    f->upstreams = calloc((size_t)settings->n_upstreams + 1, sizeof(*f->upstreams));
    if (f->upstreams == NULL) {
        free(f);
        return error_set(err, E_NO_MEMORY, "No memory for the configuration.");
    }
    for (uint32_t i = 0; rc == OK && i < settings->n_upstreams; i++) {
        rc = add_upstream(f, i, before, err);
    }
    if (rc == OK) {
        rc = create_identity(f, before, err);
    }
    if (rc != OK) {
        destroy(f);
        return rc;
    }
    f->owns_settings = owns_settings;
    for (uint32_t i = 0; i < settings->n_upstreams; i++) {
        if (f->upstreams[i].origin != NULL) {
            f->upstreams[i].health = health_start(&f->upstreams[i]);
        }
    }
    *ret_fleet = f;
    return OK;
}

struct fleet *fleet_ref(struct fleet *f)
{
    f->n_refs++;
    return f;
}

void fleet_unref(struct fleet *f)
{
    if (f == NULL) {
        return;
    }
    CHECK(f->n_refs > 0);
    f->n_refs--;
    if (f->n_refs == 0) {
        destroy(f);
    }
}

void fleet_retire(struct fleet *f)
{
    for (uint32_t i = 0; i < f->settings->n_upstreams; i++) {
        health_stop(f->upstreams[i].health);
        f->upstreams[i].health = NULL;
    }
}

/* --- looking up --- */

bool fleet_serves_locally(const struct fleet *f, struct str name)
{
    const struct settings *s = f->settings;

    for (uint32_t i = 0; i < s->n_models; i++) {
        const struct settings_model *m = &s->models[i];

        if (!str_eq(m->name, name)) {
            continue;
        }
        for (uint32_t p = 0; p < m->n_pools; p++) {
            const struct settings_pool *pool = &s->pools[m->pools[p]];

            for (uint32_t k = 0; k < pool->n_members; k++) {
                if (s->upstreams[pool->members[k].upstream].kind == SETTINGS_LOCAL) {
                    return true;
                }
            }
        }
    }
    return false;
}

struct str fleet_model_there(const struct fleet_upstream *u, struct str model)
{
    for (uint32_t i = 0; i < u->conf->n_models; i++) {
        if (str_eq(u->conf->models[i].from, model)) {
            return u->conf->models[i].to;
        }
    }
    return model;
}

struct str fleet_day(struct fleet *f, int64_t unix_s)
{
    const int64_t day = unix_s / 86400;

    if (f->day_s != day || f->day[0] == '\0') {
        const time_t t = (time_t)unix_s;
        struct tm tm;

        f->day_s = day;
        if (gmtime_r(&t, &tm) == NULL || strftime(f->day, sizeof(f->day), "%Y-%m-%d", &tm) == 0) {
            return STR("9999-12-31");
        }
    }
    return (struct str){f->day, 10};
}

/* --- verdicts --- */

static bool holds(const struct settings_pool *pool, uint32_t upstream)
{
    for (uint32_t i = 0; i < pool->n_members; i++) {
        if (pool->members[i].upstream == upstream) {
            return true;
        }
    }
    return false;
}

static uint32_t count_open(const struct fleet *f, const struct settings_pool *pool)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < pool->n_members; i++) {
        n += f->upstreams[pool->members[i].upstream].breaker.state == BREAKER_OPEN;
    }
    return n;
}

bool fleet_may_eject(struct fleet_upstream *u)
{
    const struct fleet *f = u->fleet;
    const struct settings *s = f->settings;

    for (uint32_t i = 0; i < s->n_pools; i++) {
        const struct settings_pool *pool = &s->pools[i];
        const uint32_t share = pool->n_members * s->eject_share_max_pct / 100;
        const uint32_t allowed = share > 0 ? share : 1;

        if (holds(pool, u->idx) && count_open(f, pool) >= allowed) {
            return false;
        }
    }
    return true;
}

void fleet_note_success(struct fleet_upstream *u)
{
    const uint64_t now_ns = loop_now_ns(u->fleet->gw->loop);
    const enum breaker_state before = u->breaker.state;

    metrics_add(u->meters.answered, 1);
    breaker_success(&u->breaker, &u->fleet->breaker, now_ns);
    if (before == BREAKER_HALF || before == BREAKER_OPEN) {
        log_event(LOG_LEVEL_INFO, "upstream_back", "upstream=%.*s state=%s", STR_ARG(u->conf->name),
                  breaker_state_name(u->breaker.state));
    }
}

void fleet_note_failure(struct fleet_upstream *u, const char *why)
{
    const uint64_t now_ns = loop_now_ns(u->fleet->gw->loop);

    metrics_add(u->meters.failed, 1);
    if (breaker_failure(&u->breaker, &u->fleet->breaker, now_ns, fleet_may_eject(u))) {
        log_event(LOG_LEVEL_WARN, "upstream_ejected", "upstream=%.*s why=%s failures=%u",
                  STR_ARG(u->conf->name), why, u->breaker.n_failures);
    }
}
