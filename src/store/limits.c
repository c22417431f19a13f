#include "store/limits.h"
#include "base/check.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_NS (60000000000u / LIMITS_BUCKETS)
#define PIECES (LIMITS_BUCKETS + 1) // one more: the piece that is partly out of the minute
#define DAY_MS 86400000
#define PARALLEL_RETRY_MS 1000

/* A sliding minute.  Piece `head % PIECES` is the current one. */
struct window {
    uint64_t pieces[PIECES];
    uint64_t total;
    uint64_t head; // number of the current piece: time / BUCKET_NS
};

/* Money of the current period, and of the one before in case the clock goes back. */
struct money {
    int64_t period; // start, unix ms
    int64_t spent;
    int64_t before_period;
    int64_t before_spent;
    int64_t reserved;  // open claims, whatever the period
    bool known;        // `spent` began with what the books say
    int64_t meanwhile; // spent since they were asked
};

struct rule {
    struct limits_rule limits; // subject in `name`
    char *name;                // owned
    uint64_t hash;             // of the subject
    uint64_t generation;       // claims older than that are not counted here
    struct rule *next;         // same slot
    struct window requests;
    struct window tokens;
    struct money money;
    uint64_t parallel;
    bool kept; // by the configure that is going on
};

struct table {
    struct rule *rules;  // owned, [n_rules]
    struct rule **slots; // owned, [mask + 1]; in a slot in the order of the rules
    uint32_t n_rules;
    uint32_t mask;
};

struct limits {
    const struct kontor_clock *clock; // set before use
    uint64_t seed;                    // immutable
    bool has_books;                   // set before use
    pthread_mutex_t lock;             // guards everything below
    struct table table;
    uint64_t generation;
};

/* --- a sliding minute ----------------------------------------------------------------------- */

static void window_advance(struct window *w, uint64_t now_ns)
{
    uint64_t head = now_ns / BUCKET_NS;

    if (head <= w->head) { // threads read the clock before they take the lock
        return;
    }
    if (head - w->head >= PIECES || w->total == 0) {
        memset(w, 0, sizeof(*w));
    }
    while (w->head < head && w->total > 0) {
        uint64_t *piece = &w->pieces[++w->head % PIECES];

        w->total -= *piece;
        *piece = 0;
    }
    w->head = head;
}

static uint64_t window_add(struct window *w, uint64_t n)
{
    uint64_t room = UINT64_MAX - w->total;
    uint64_t taken = n < room ? n : room;

    w->pieces[w->head % PIECES] += taken;
    w->total += taken;
    return taken;
}

/* Give back what was taken at `then_ns`, if that is still inside. */
static void window_refund(struct window *w, uint64_t then_ns, uint64_t n)
{
    uint64_t then = then_ns / BUCKET_NS;
    uint64_t *piece = &w->pieces[then % PIECES];

    if (then > w->head || w->head - then >= PIECES) {
        return;
    }
    n = n < *piece ? n : *piece;
    *piece -= n;
    w->total -= n;
}

/* Milliseconds until piece number `number` is out of the window. */
static uint64_t leaves_in_ms(uint64_t number, uint64_t now_ns)
{
    uint64_t at_ns = (number + PIECES) * BUCKET_NS;

    return at_ns <= now_ns ? 0 : (at_ns - now_ns + 999999u) / 1000000u;
}

/* Until at most `goal` of the total is left. */
static uint64_t window_wait_ms(const struct window *w, uint64_t goal, uint64_t now_ns)
{
    uint64_t left = w->total;
    uint64_t wait_ms = 0;

    for (uint64_t age = PIECES; left > goal && age-- > 0;) {
        uint64_t number = w->head - age;

        if (age <= w->head && w->pieces[number % PIECES] > 0) {
            left -= w->pieces[number % PIECES];
            wait_ms = leaves_in_ms(number, now_ns);
        }
    }
    return wait_ms;
}

/* --- money ---------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;

    return a % b < 0 ? q - 1 : q;
}

/* Day of the month, 1 to 31, of a day counted from 1970-01-01, proleptic Gregorian calendar: count
 * from 0000-03-01, so that the leap day is the last of its year. */
static int64_t day_of_month(int64_t day)
{
    int64_t shifted = day + 719468;
    int64_t of_era = shifted - floor_div(shifted, 146097) * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; // 0: March

    return of_year - (153 * month + 2) / 5 + 1;
}

int64_t limits_period_start(enum limits_period period, int64_t now_ms)
{
    int64_t day = floor_div(now_ms, DAY_MS);

    switch (period) {
    case LIMITS_DAY:
        return day * DAY_MS;
    case LIMITS_MONTH:
        return (day - day_of_month(day) + 1) * DAY_MS;
    case LIMITS_TOTAL:
        break;
    }
    return INT64_MIN;
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static void money_advance(struct money *m, int64_t period)
{
    int64_t spent = m->spent;
    int64_t was = m->period;

    if (period == was) {
        return;
    }
    m->spent = period == m->before_period ? m->before_spent : 0;
    m->period = period;
    m->before_period = was;
    m->before_spent = spent;
}

/* The clock goes back to where it was: what was spent meanwhile was spent. */
static void money_at(struct rule *r, int64_t now_ms)
{
    int64_t period = limits_period_start(r->limits.period, now_ms);
    bool back = period < r->money.period && period == r->money.before_period;
    int64_t meanwhile = r->money.spent;

    money_advance(&r->money, period);
    if (back) {
        r->money.spent = plus(r->money.spent, meanwhile);
        r->money.before_spent = 0;
    }
}

static uint64_t period_ends_in_ms(enum limits_period period, int64_t now_ms)
{
    int64_t start = limits_period_start(period, now_ms);

    if (period == LIMITS_TOTAL) {
        return 0;
    }
    if (period == LIMITS_DAY) {
        return (uint64_t)(start + DAY_MS - now_ms);
    }
    return (uint64_t)(limits_period_start(LIMITS_MONTH, start + (int64_t)31 * DAY_MS) - now_ms);
}

/* --- rules ---------------------------------------------------------------------------------- */

static void table_done(struct table *t)
{
    for (uint32_t i = 0; i < t->n_rules; i++) {
        free(t->rules[i].name);
    }
    free(t->rules);
    free(t->slots);
    memset(t, 0, sizeof(*t));
}

static void table_link(struct table *t, struct rule *rule)
{
    struct rule **at = &t->slots[rule->hash & t->mask];

    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = rule;
}

static enum status table_init(struct table *t, const struct limits_rule *rules, uint32_t n_rules,
                              uint64_t seed)
{
    uint32_t n_slots = 16;

    memset(t, 0, sizeof(*t));
    while (n_slots < n_rules * 2 && n_slots < (1u << 30)) {
        n_slots *= 2;
    }
    t->mask = n_slots - 1;
    t->rules = calloc(n_rules == 0 ? 1 : n_rules, sizeof(*t->rules));
    t->slots = calloc(n_slots, sizeof(struct rule *));
    if (t->rules == NULL || t->slots == NULL) {
        table_done(t);
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n_rules; i++) {
        struct rule *r = &t->rules[t->n_rules];
        struct str subject = rules[i].subject;

        r->name = malloc(subject.len + 1);
        if (r->name == NULL) {
            table_done(t);
            return E_NO_MEMORY;
        }
        if (subject.len > 0) {
            memcpy(r->name, subject.ptr, subject.len);
        }
        r->limits = rules[i];
        r->limits.subject = (struct str){r->name, subject.len};
        r->hash = hash_bytes(r->name, subject.len, seed);
        r->money.period = INT64_MIN;
        r->money.before_period = INT64_MAX; // no period starts there
        table_link(t, r);
        t->n_rules++;
    }
    return OK;
}

static struct rule *rules_from(struct rule *r, uint64_t hash, struct str subject)
{
    while (r != NULL && (r->hash != hash || !str_eq(r->limits.subject, subject))) {
        r = r->next;
    }
    return r;
}

/* First rule of a subject, or NULL; the next one: rules_from(rule->next, ...). */
static struct rule *first_rule(struct limits *l, struct str subject)
{
    uint64_t hash = hash_bytes(subject.ptr, subject.len, l->seed);

    return rules_from(l->table.slots[hash & l->table.mask], hash, subject);
}

static struct rule *next_rule(struct rule *r)
{
    return rules_from(r->next, r->hash, r->limits.subject);
}

enum status limits_create(struct limits **ret_limits)
{
    struct limits *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return E_NO_MEMORY;
    }
    l->seed = hash_process_seed();
    l->clock = &kontor_clock_system;
    if (table_init(&l->table, NULL, 0, l->seed) != OK) {
        free(l);
        return E_NO_MEMORY;
    }
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    *ret_limits = l;
    return OK;
}

void limits_destroy(struct limits *l)
{
    if (l == NULL) {
        return;
    }
    table_done(&l->table);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void limits_set_clock(struct limits *l, const struct kontor_clock *clock)
{
    l->clock = clock;
}

void limits_await_books(struct limits *l)
{
    l->has_books = true;
}

static bool awaits(const struct limits *l, const struct rule *r)
{
    return l->has_books && r->limits.money_nano != 0 && !r->money.known;
}

bool limits_awaits(struct limits *l, struct str subject)
{
    bool found = false;

    pthread_mutex_lock(&l->lock);
    for (struct rule *r = first_rule(l, subject); r != NULL; r = next_rule(r)) {
        found |= awaits(l, r);
    }
    pthread_mutex_unlock(&l->lock);
    return found;
}

uint32_t limits_awaited(struct limits *l, struct limits_rule *rules, uint32_t n)
{
    uint32_t n_awaited = 0;

    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < n; i++) {
        const struct limits_rule rule = rules[i];
        bool found = false;

        for (struct rule *r = first_rule(l, rule.subject); r != NULL && rule.money_nano != 0;
             r = next_rule(r)) {
            if (r->limits.period == rule.period && awaits(l, r)) {
                r->money.meanwhile = 0;
                found = true;
            }
        }
        if (found) {
            rules[i] = rules[n_awaited];
            rules[n_awaited++] = rule;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return n_awaited;
}

static void keep_counters(struct limits *l, struct rule *fresh)
{
    for (struct rule *old = first_rule(l, fresh->limits.subject); old != NULL;
         old = next_rule(old)) {
        if (old->kept || old->limits.period != fresh->limits.period) {
            continue;
        }
        old->kept = true;
        fresh->generation = old->generation;
        fresh->requests = old->requests;
        fresh->tokens = old->tokens;
        fresh->money = old->money;
        fresh->parallel = old->parallel;
        return;
    }
    fresh->generation = l->generation;
}

enum status limits_configure(struct limits *l, const struct limits_rule *rules, uint32_t n_rules)
{
    struct table fresh;
    struct table old;
    enum status rc = table_init(&fresh, rules, n_rules, l->seed);

    if (rc != OK) {
        return rc;
    }
    pthread_mutex_lock(&l->lock);
    l->generation++;
    for (uint32_t i = 0; i < fresh.n_rules; i++) {
        keep_counters(l, &fresh.rules[i]);
    }
    old = l->table;
    l->table = fresh;
    pthread_mutex_unlock(&l->lock);
    table_done(&old);
    return OK;
}

/* --- reserve and settle --------------------------------------------------------------------- */

static uint64_t left_of(uint64_t limit, uint64_t used)
{
    return used < limit ? limit - used : 0;
}

static void show(const struct rule *r, uint64_t now_ns, struct limits_state *s)
{
    uint64_t left;

    if (r->limits.requests_per_minute != 0) {
        left = left_of(r->limits.requests_per_minute, r->requests.total);
        if (s->limit_requests == 0 || left < s->remaining_requests) {
            s->limit_requests = r->limits.requests_per_minute;
            s->remaining_requests = left;
            s->reset_requests_ms = window_wait_ms(&r->requests, 0, now_ns);
        }
    }
    if (r->limits.tokens_per_minute != 0) {
        left = left_of(r->limits.tokens_per_minute, r->tokens.total);
        if (s->limit_tokens == 0 || left < s->remaining_tokens) {
            s->limit_tokens = r->limits.tokens_per_minute;
            s->remaining_tokens = left;
            s->reset_tokens_ms = window_wait_ms(&r->tokens, 0, now_ns);
        }
    }
}

static void refuse(struct limits_state *s, enum limits_kind kind, uint64_t retry_after_ms)
{
    s->refused = kind;
    s->retry_after_ms = retry_after_ms;
}

/* Does the claim fit under this rule?  Says so in `s` when not. */
static void look(const struct rule *r, uint64_t tokens, int64_t money, uint64_t now_ns,
                 int64_t now_ms, struct limits_state *s)
{
    const struct limits_rule *limit = &r->limits;

    if (limit->requests_per_minute != 0 && r->requests.total >= limit->requests_per_minute) {
        refuse(s, LIMITS_REQUESTS,
               window_wait_ms(&r->requests, limit->requests_per_minute - 1, now_ns));
    } else if (limit->tokens_per_minute != 0 &&
               (r->tokens.total > limit->tokens_per_minute || // overdrawn: not even none
                tokens > limit->tokens_per_minute - r->tokens.total)) {
        refuse(s, LIMITS_TOKENS,
               tokens > limit->tokens_per_minute
                   ? 0
                   : window_wait_ms(&r->tokens, limit->tokens_per_minute - tokens, now_ns));
    } else if (limit->parallel != 0 && r->parallel >= limit->parallel) {
        refuse(s, LIMITS_PARALLEL, PARALLEL_RETRY_MS);
    } else if (limit->money_nano != 0 &&
               plus(plus(r->money.spent, r->money.reserved), money) > limit->money_nano) {
        refuse(s, LIMITS_MONEY,
               money > limit->money_nano ? 0 : period_ends_in_ms(limit->period, now_ms));
    }
}

/* A subject that is named twice counts once. */
static bool named_before(const struct limits_claim *claim, uint32_t idx)
{
    for (uint32_t i = 0; i < idx; i++) {
        if (str_eq(claim->subjects[i], claim->subjects[idx])) {
            return true;
        }
    }
    return false;
}

static struct rule *claim_rules(struct limits *l, const struct limits_claim *claim, uint32_t idx)
{
    return named_before(claim, idx) ? NULL : first_rule(l, claim->subjects[idx]);
}

static void take(struct rule *r, const struct limits_claim *claim, int64_t money)
{
    window_add(&r->requests, 1);
    window_add(&r->tokens, claim->tokens);
    r->parallel++;
    r->money.reserved = plus(r->money.reserved, money);
}

enum status limits_reserve(struct limits *l, struct limits_claim *claim, int64_t now_ms,
                           struct limits_state *ret_state)
{
    struct limits_state s = {.refused = LIMITS_NONE};
    int64_t money = claim->money_nano < 0 ? 0 : claim->money_nano;
    uint64_t now_ns = kontor_clock_now_ns(l->clock);
    bool busy = false; // a budget is not known yet

    CHECK(claim->n_subjects <= LIMITS_SUBJECTS_MAX);
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < claim->n_subjects; i++) {
        for (struct rule *r = claim_rules(l, claim, i); r != NULL; r = next_rule(r)) {
            window_advance(&r->requests, now_ns);
            window_advance(&r->tokens, now_ns);
            money_at(r, now_ms);
            if (s.refused == LIMITS_NONE && !busy) {
                s.subject = claim->subjects[i];
                busy = awaits(l, r);
                look(r, claim->tokens, money, now_ns, now_ms, &s);
            }
        }
    }
    if (s.refused == LIMITS_NONE && !busy) {
        s.subject = (struct str){NULL, 0};
    }
    for (uint32_t i = 0; i < claim->n_subjects; i++) {
        for (struct rule *r = claim_rules(l, claim, i); r != NULL; r = next_rule(r)) {
            if (s.refused == LIMITS_NONE && !busy) {
                take(r, claim, money);
            }
            show(r, now_ns, &s);
        }
    }
    claim->reserved_ns = now_ns;
    claim->generation = l->generation;
    pthread_mutex_unlock(&l->lock);
    *ret_state = s;
    if (s.refused != LIMITS_NONE) {
        return E_LIMIT;
    }
    return busy ? E_BUSY : OK;
}

static void spend(const struct limits *l, struct rule *r, int64_t used_nano)
{
    int64_t money = used_nano < 0 ? 0 : used_nano;

    r->money.spent = plus(r->money.spent, money);
    r->money.meanwhile = plus(r->money.meanwhile, awaits(l, r) ? money : 0);
}

static void give_back(const struct limits *l, struct rule *r, const struct limits_claim *claim,
                      uint64_t used_tokens, int64_t used_nano)
{
    int64_t money = claim->money_nano < 0 ? 0 : claim->money_nano;

    if (used_tokens < claim->tokens) {
        window_refund(&r->tokens, claim->reserved_ns, claim->tokens - used_tokens);
    } else {
        window_add(&r->tokens, used_tokens - claim->tokens);
    }
    CHECK(r->parallel > 0);
    r->parallel--;
    r->money.reserved = r->money.reserved > money ? r->money.reserved - money : 0;
    spend(l, r, used_nano);
}

void limits_settle(struct limits *l, const struct limits_claim *claim, uint64_t used_tokens,
                   int64_t used_nano, int64_t now_ms)
{
    uint64_t now_ns = kontor_clock_now_ns(l->clock);

    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < claim->n_subjects; i++) {
        for (struct rule *r = claim_rules(l, claim, i); r != NULL; r = next_rule(r)) {
            money_at(r, now_ms);
            if (r->generation > claim->generation) {
                if (l->has_books) {
                    spend(l, r, used_nano);
                }
                continue;
            }
            window_advance(&r->tokens, now_ns);
            give_back(l, r, claim, used_tokens, used_nano);
        }
    }
    pthread_mutex_unlock(&l->lock);
}

void limits_preload(struct limits *l, struct str subject, enum limits_period period,
                    int64_t spent_nano, int64_t now_ms)
{
    pthread_mutex_lock(&l->lock);
    for (struct rule *r = first_rule(l, subject); r != NULL; r = next_rule(r)) {
        if (r->limits.period == period) {
            money_at(r, now_ms);
            r->money.spent = plus(spent_nano, r->money.meanwhile);
            r->money.known = true;
        }
    }
    pthread_mutex_unlock(&l->lock);
}
