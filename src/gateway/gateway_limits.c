/* gateway_limits.c - which limits are in force: those of the settings and those of the keys; and
 * the money that was spent before a budget came into force. */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_internal.h"

#include <stdlib.h>
#include <string.h>

#define FLUSH_MS 2000                 // for rows on their way into the database
#define RETRY_NS UINT64_C(1000000000) // between questions to books that do not answer

static bool limits_anything(const struct limits_rule *r)
{
    return r->requests_per_minute > 0 || r->tokens_per_minute > 0 || r->parallel > 0 ||
           r->money_nano > 0;
}

/* [*ret_n] rules; the caller frees them.  NULL: no memory. */
static struct limits_rule *collect(const struct settings *s, const struct keys *keys,
                                   uint32_t *ret_n)
{
    const uint32_t n_keys = keys == NULL ? 0 : keys_count(keys);
    struct limits_rule *rules = calloc((size_t)s->n_limits + n_keys + 1, sizeof(*rules));
    uint32_t n = 0;

    for (uint32_t i = 0; rules != NULL && i < s->n_limits; i++) {
        rules[n++] = s->limits[i];
    }
    for (uint32_t i = 0; rules != NULL && i < n_keys; i++) {
        const struct keys_key *key = keys_at(keys, i);

        if (limits_anything(&key->limits)) {
            rules[n++] = key->limits;
        }
    }
    *ret_n = n;
    return rules;
}

/* --- what was spent --- */

/* A question to the books.  Its rules have texts of their own, so that settings and keys may change
 * while the worker reads. */
struct reading {
    struct gateway *gw;
    struct limits_rule *rules; // [n]
    int64_t *spent_nano;       // [n]
    char *texts;
    uint32_t n;
    uint64_t serial; // of the rules
    int64_t now_ms;
    enum status rc;
    struct error err;
};

/* A call that waits for the answer; in its arena. */
struct limits_waiting {
    struct call *call;
    struct ledger_reservation *reservation;
    struct limits_waiting *next;
};

static void reading_destroy(struct reading *reading)
{
    free(reading->rules);
    free(reading->spent_nano);
    free(reading->texts);
    free(reading);
}

static bool own_texts(struct reading *reading)
{
    size_t len = 1;
    char *at;

    for (uint32_t i = 0; i < reading->n; i++) {
        len += reading->rules[i].subject.len;
    }
    reading->texts = malloc(len);
    if (reading->texts == NULL) {
        return false;
    }
    at = reading->texts;
    for (uint32_t i = 0; i < reading->n; i++) {
        struct str *subject = &reading->rules[i].subject;

        memcpy(at, subject->ptr, subject->len);
        subject->ptr = at;
        at += subject->len;
    }
    return true;
}

/* Of the rules that await the books.  NULL: there are none, or no memory. */
static struct reading *reading_create(struct gateway *gw)
{
    const struct keys *keys = identity_keys(gw->fleet->identity);
    struct reading *reading = calloc(1, sizeof(*reading));

    if (reading == NULL) {
        return NULL;
    }
    reading->gw = gw;
    reading->serial = gw->limits_serial;
    reading->now_ms = kontor_clock_system.unix_ms(NULL);
    reading->rules = collect(gw->fleet->settings, keys, &reading->n);
    if (reading->rules == NULL) {
        reading_destroy(reading);
        return NULL;
    }
    reading->n = limits_awaited(gw->limits, reading->rules, reading->n);
    gw->limits_awaited = reading->n > 0;
    reading->spent_nano = calloc((size_t)reading->n + 1, sizeof(*reading->spent_nano));
    if (reading->spent_nano == NULL || reading->n == 0 || !own_texts(reading)) {
        reading_destroy(reading);
        return NULL;
    }
    return reading;
}

/* On the worker's thread; at the start on the loop's.  Rows that are settled but not yet in the
 * database come first. */
static void reading_work(void *user)
{
    struct reading *reading = user;
    struct ledger *ledger = reading->gw->ledger;

    reading->rc = ledger_flush(ledger, FLUSH_MS);
    if (reading->rc != OK) {
        (void)error_set(&reading->err, reading->rc, "The database takes no rows.");
        return;
    }
    reading->rc = ledger_spent(ledger, reading->rules, reading->n, reading->now_ms,
                               reading->spent_nano, &reading->err);
}

static void apply(struct gateway *gw, const struct reading *reading)
{
    if (reading->rc != OK) {
        log_event(LOG_LEVEL_ERROR, "budgets_not_read", "budgets=%u error=\"%s\"", reading->n,
                  reading->err.text);
        return;
    }
    for (uint32_t i = 0; i < reading->n; i++) {
        limits_preload(gw->limits, reading->rules[i].subject, reading->rules[i].period,
                       reading->spent_nano[i], reading->now_ms);
    }
    gw->limits_awaited = false;
}

static void ask_books(struct gateway *gw);

static void reading_done(void *user)
{
    struct reading *reading = user;
    struct gateway *gw = reading->gw;
    struct limits_waiting *waiting = gw->limits_waiting;
    struct limits_waiting *next;

    gw->limits_reading = false;
    if (reading->serial != gw->limits_serial && !gw->closed) {
        reading_destroy(reading); // the rules have changed: those of now are asked for
        ask_books(gw);
        if (gw->limits_reading) {
            return;
        }
    } else {
        apply(gw, reading);
        reading_destroy(reading);
    }
    gw->limits_waiting = NULL;
    for (; waiting != NULL; waiting = next) {
        next = waiting->next;
        stage_reserve_resume(waiting->call, waiting->reservation); // frees it
    }
}

static void ask_books(struct gateway *gw)
{
    struct reading *reading;
    struct worker_job job = {reading_work, reading_done, NULL};

    gw->limits_retry_ns = loop_now_ns(gw->loop) + RETRY_NS;
    reading = reading_create(gw);
    job.user = reading;
    if (reading != NULL && worker_post(gw->worker, &job) == OK) {
        gw->limits_reading = true;
    } else if (reading != NULL) {
        reading_destroy(reading);
    }
}

bool gateway_limits_wait(struct gateway *gw, struct call *call, struct ledger_reservation *r)
{
    struct limits_waiting *w = arena_alloc(call->arena, sizeof(*w));

    if (!gw->limits_reading && loop_now_ns(gw->loop) >= gw->limits_retry_ns) {
        ask_books(gw);
    }
    if (!gw->limits_reading || w == NULL) {
        return false;
    }
    *w = (struct limits_waiting){call, r, gw->limits_waiting};
    gw->limits_waiting = w;
    return true;
}

/* --- rules --- */

static void begin_reading(struct gateway *gw, bool at_start)
{
    struct reading *reading;

    gw->limits_awaited = true; // until somebody knows better
    if (!at_start) {
        if (!gw->limits_reading) {
            ask_books(gw);
        }
        return;
    }
    reading = reading_create(gw);
    if (reading != NULL) {
        reading_work(reading);
        apply(gw, reading);
        reading_destroy(reading);
    }
}

enum status gateway_limits_refresh(struct gateway *gw, bool at_start)
{
    const struct keys *keys = identity_keys(gw->fleet->identity);
    struct limits_rule *rules;
    uint32_t n;
    enum status rc;

    if (at_start && gw->ledger != NULL) {
        limits_await_books(gw->limits);
    }
    rules = collect(gw->fleet->settings, keys, &n);
    if (rules == NULL) {
        return E_NO_MEMORY;
    }
    rc = limits_configure(gw->limits, rules, n);
    free(rules);
    if (rc != OK) {
        return rc;
    }
    gw->has_limits = n > 0;
    gw->limits_keys = keys_serial(keys);
    gw->limits_serial++;
    if (gw->ledger != NULL) {
        begin_reading(gw, at_start);
    }
    return OK;
}

void gateway_limits_look(struct gateway *gw)
{
    if (keys_serial(identity_keys(gw->fleet->identity)) != gw->limits_keys &&
        gateway_limits_refresh(gw, false) != OK) {
        log_event(LOG_LEVEL_ERROR, "limits_kept", "reason=\"no memory for those of the new keys\"");
    }
}
