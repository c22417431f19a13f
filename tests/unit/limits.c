#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"
#include "store/limits.h"
#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000u
#define DAY_MS ((int64_t)86400000)

/* 2026-03-10 12:00:00 UTC */
#define NOON ((int64_t)1773144000000)

static uint64_t hands_ns;

static uint64_t read_hands(void *user)
{
    (void)user;
    return hands_ns;
}

static int64_t read_unix(void *user)
{
    (void)user;
    return NOON;
}

static const struct kontor_clock hands = {read_hands, read_unix, NULL};

static struct limits *start(const struct limits_rule *rules, uint32_t n)
{
    struct limits *l = NULL;

    hands_ns = 1000 * (uint64_t)SECOND;
    EXPECT_OK(limits_create(&l));
    limits_set_clock(l, &hands);
    EXPECT_OK(limits_configure(l, rules, n));
    return l;
}

static struct limits_claim claim_of(const char *subject, uint64_t tokens, int64_t money)
{
    return (struct limits_claim){.subjects = {str_from_c(subject)},
                                 .n_subjects = 1,
                                 .tokens = tokens,
                                 .money_nano = money};
}

TEST(nothing_is_limited_without_rules)
{
    struct limits *l = start(NULL, 0);
    struct limits_claim c = claim_of("key:a", 1000000, 5);
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    EXPECT_EQ_U64(s.limit_requests, 0);
    EXPECT_EQ_U64(s.limit_tokens, 0);
    limits_settle(l, &c, 10, 5, NOON);
    limits_destroy(l);
}

TEST(requests_of_a_minute_and_their_headers)
{
    const struct limits_rule rule = {.subject = STR("key:a"), .requests_per_minute = 3};
    struct limits *l = start(&rule, 1);
    struct limits_claim c = claim_of("key:a", 0, 0);
    struct limits_state s;

    for (uint64_t i = 0; i < 3; i++) {
        EXPECT_OK(limits_reserve(l, &c, NOON, &s));
        EXPECT_EQ_U64(s.limit_requests, 3);
        EXPECT_EQ_U64(s.remaining_requests, 2 - i);
        EXPECT_EQ_U64(s.reset_requests_ms, 65000);
        limits_settle(l, &c, 0, 0, NOON);
    }
    hands_ns += 10 * (uint64_t)SECOND;
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
    EXPECT_EQ_INT(s.refused, LIMITS_REQUESTS);
    EXPECT_EQ_STR(s.subject, STR("key:a"));
    EXPECT_EQ_U64(s.retry_after_ms, 55000);
    EXPECT_EQ_U64(s.remaining_requests, 0);
    hands_ns += 55 * (uint64_t)SECOND - 1;
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
    hands_ns += 1;
    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    limits_destroy(l);
}

TEST(tokens_are_refunded_to_the_minute_of_the_reserve)
{
    const struct limits_rule rule = {.subject = STR("team:t"), .tokens_per_minute = 1000};
    struct limits *l = start(&rule, 1);
    struct limits_claim a = claim_of("team:t", 900, 0);
    struct limits_claim b = claim_of("team:t", 200, 0);
    struct limits_claim huge = claim_of("team:t", 1001, 0);
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &a, NOON, &s));
    EXPECT_STATUS(limits_reserve(l, &b, NOON, &s), E_LIMIT);
    EXPECT_EQ_INT(s.refused, LIMITS_TOKENS);
    EXPECT_EQ_U64(s.retry_after_ms, 65000);
    hands_ns += 20 * (uint64_t)SECOND;
    limits_settle(l, &a, 100, 0, NOON); // 800 free again, at once
    EXPECT_OK(limits_reserve(l, &b, NOON, &s));
    EXPECT_EQ_U64(s.remaining_tokens, 700);
    limits_settle(l, &b, 500, 0, NOON); // over the claim: overdraw counts
    EXPECT_STATUS(limits_reserve(l, &huge, NOON, &s), E_LIMIT);
    EXPECT_EQ_U64(s.remaining_tokens, 400);
    EXPECT_EQ_U64(s.retry_after_ms, 0); // never fits
    hands_ns += 45 * (uint64_t)SECOND;  // the first 100 are out
    EXPECT_STATUS(limits_reserve(l, &huge, NOON, &s), E_LIMIT);
    EXPECT_EQ_U64(s.remaining_tokens, 500);
    limits_destroy(l);
}

TEST(refund_after_the_minute_changes_nothing)
{
    const struct limits_rule rule = {.subject = STR("team:t"), .tokens_per_minute = 1000};
    struct limits *l = start(&rule, 1);
    struct limits_claim slow = claim_of("team:t", 1000, 0);
    struct limits_claim b = claim_of("team:t", 600, 0);
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &slow, NOON, &s));
    hands_ns += 70 * (uint64_t)SECOND;
    EXPECT_OK(limits_reserve(l, &b, NOON, &s));
    limits_settle(l, &slow, 0, 0, NOON);
    EXPECT_STATUS(limits_reserve(l, &b, NOON, &s), E_LIMIT);
    EXPECT_EQ_U64(s.remaining_tokens, 400);
    limits_destroy(l);
}

TEST(parallel_calls)
{
    const struct limits_rule rule = {.subject = STR("key:a"), .parallel = 2};
    struct limits *l = start(&rule, 1);
    struct limits_claim c = claim_of("key:a", 0, 0);
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
    EXPECT_EQ_INT(s.refused, LIMITS_PARALLEL);
    EXPECT_TRUE(s.retry_after_ms > 0);
    limits_settle(l, &c, 0, 0, NOON);
    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    limits_destroy(l);
}

TEST(all_subjects_or_none)
{
    const struct limits_rule rules[] = {
        {.subject = STR("key:a"), .requests_per_minute = 10, .money_nano = 100},
        {.subject = STR("team:t"), .parallel = 1},
    };
    struct limits *l = start(rules, 2);
    struct limits_claim both = {.subjects = {STR("key:a"), STR("team:t")},
                                .n_subjects = 2,
                                .money_nano = 60};
    struct limits_claim team = claim_of("team:t", 0, 0);
    struct limits_claim key = claim_of("key:a", 0, 60);
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &team, NOON, &s));
    EXPECT_STATUS(limits_reserve(l, &both, NOON, &s), E_LIMIT);
    EXPECT_EQ_STR(s.subject, STR("team:t"));
    EXPECT_EQ_U64(s.remaining_requests, 10); // the key was not touched
    EXPECT_OK(limits_reserve(l, &key, NOON, &s));
    limits_destroy(l);
}

TEST(money_of_day_month_and_total)
{
    const enum limits_period periods[] = {LIMITS_DAY, LIMITS_MONTH, LIMITS_TOTAL};
    /* at noon of March 10: the day ends in 12 hours, the month in 21.5 days */
    const uint64_t retry[] = {12 * 3600000u, (uint64_t)(21 * DAY_MS + DAY_MS / 2), 0};
    const int64_t later[] = {NOON + DAY_MS / 2, NOON + 21 * DAY_MS + DAY_MS / 2,
                             NOON + 4000 * DAY_MS};

    for (size_t i = 0; i < ARRAY_COUNT(periods); i++) {
        const struct limits_rule rule = {.subject = STR("key:a"),
                                         .money_nano = 100,
                                         .period = periods[i]};
        struct limits *l = start(&rule, 1);
        struct limits_claim c = claim_of("key:a", 0, 60);
        struct limits_state s;

        EXPECT_OK(limits_reserve(l, &c, NOON, &s));
        EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
        EXPECT_EQ_INT(s.refused, LIMITS_MONEY);
        EXPECT_EQ_U64(s.retry_after_ms, retry[i]);
        limits_settle(l, &c, 0, 30, NOON); // refund
        EXPECT_OK(limits_reserve(l, &c, NOON, &s));
        limits_settle(l, &c, 0, 70, NOON); // overdraw
        EXPECT_STATUS(limits_reserve(l, &c, later[i] - 1, &s), E_LIMIT);
        EXPECT_STATUS(limits_reserve(l, &c, later[i], &s),
                      periods[i] == LIMITS_TOTAL ? E_LIMIT : OK);
        limits_destroy(l);
    }
}

TEST(clock_steps_forget_no_money)
{
    const struct limits_rule rule = {.subject = STR("key:a"), .money_nano = 100};
    struct limits *l = start(&rule, 1);
    struct limits_claim c = claim_of("key:a", 0, 40);
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    limits_settle(l, &c, 0, 40, NOON);
    EXPECT_OK(limits_reserve(l, &c, NOON + 400 * DAY_MS, &s)); // a step into next year
    limits_settle(l, &c, 0, 40, NOON + 400 * DAY_MS);
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT); // and back: 80 are spent
    EXPECT_EQ_INT(s.refused, LIMITS_MONEY);
    limits_destroy(l);
}

TEST(periods_begin_where_the_calendar_says)
{
    /* days from 1970-01-01, computed with another calendar */
    EXPECT_EQ_I64(limits_period_start(LIMITS_DAY, NOON), 20522 * DAY_MS);
    EXPECT_EQ_I64(limits_period_start(LIMITS_MONTH, NOON), 20513 * DAY_MS);
    EXPECT_EQ_I64(limits_period_start(LIMITS_MONTH, 11016 * DAY_MS), 10988 * DAY_MS); // 2000-02-29
    EXPECT_EQ_I64(limits_period_start(LIMITS_MONTH, 11017 * DAY_MS), 11017 * DAY_MS); // 2000-03-01
    EXPECT_EQ_I64(limits_period_start(LIMITS_MONTH, 47540 * DAY_MS), 47513 * DAY_MS); // 2100-02-28
    EXPECT_EQ_I64(limits_period_start(LIMITS_MONTH, 47541 * DAY_MS), 47541 * DAY_MS); // 2100-03-01
    EXPECT_EQ_I64(limits_period_start(LIMITS_DAY, -1), -DAY_MS);
    EXPECT_EQ_I64(limits_period_start(LIMITS_MONTH, -1), -31 * DAY_MS);
    EXPECT_EQ_I64(limits_period_start(LIMITS_TOTAL, NOON), INT64_MIN);
}

TEST(preload_replaces_what_was_counted)
{
    const struct limits_rule rules[] = {
        {.subject = STR("key:a"), .money_nano = 100, .period = LIMITS_DAY},
        {.subject = STR("key:a"), .money_nano = 1000, .period = LIMITS_MONTH},
    };
    struct limits *l = start(rules, 2);
    struct limits_claim c = claim_of("key:a", 0, 40);
    struct limits_state s;

    limits_preload(l, STR("key:a"), LIMITS_MONTH, 970, NOON);
    limits_preload(l, STR("key:nobody"), LIMITS_MONTH, 970, NOON);
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
    limits_preload(l, STR("key:a"), LIMITS_MONTH, 960, NOON);
    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    limits_destroy(l);
}

TEST(configure_keeps_what_stays)
{
    const struct limits_rule before[] = {
        {.subject = STR("key:a"), .parallel = 2, .requests_per_minute = 5},
        {.subject = STR("key:b"), .parallel = 1},
    };
    const struct limits_rule after[] = {
        {.subject = STR("key:c"), .parallel = 1},
        {.subject = STR("key:a"), .parallel = 1, .requests_per_minute = 2},
    };
    struct limits *l = start(before, 2);
    struct limits_claim a = claim_of("key:a", 0, 0);
    struct limits_claim b = claim_of("key:b", 0, 0);
    struct limits_claim c = claim_of("key:c", 0, 0);
    struct limits_claim early;
    struct limits_state s;

    EXPECT_OK(limits_reserve(l, &a, NOON, &s));
    EXPECT_OK(limits_reserve(l, &b, NOON, &s));
    EXPECT_OK(limits_reserve(l, &c, NOON, &s)); // no rule yet
    early = c;
    EXPECT_OK(limits_configure(l, after, 2));
    EXPECT_STATUS(limits_reserve(l, &a, NOON, &s), E_LIMIT); // still in flight
    EXPECT_EQ_INT(s.refused, LIMITS_PARALLEL);
    EXPECT_EQ_U64(s.remaining_requests, 1);
    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    limits_settle(l, &early, 0, 0, NOON); // older than the rule: frees nothing of it
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
    limits_settle(l, &a, 0, 0, NOON);
    limits_settle(l, &b, 0, 0, NOON);
    EXPECT_OK(limits_reserve(l, &a, NOON, &s));
    limits_destroy(l);
}

TEST(a_budget_waits_for_the_books)
{
    struct limits_rule rules[] = {
        {.subject = STR("key:a"), .parallel = 9},
        {.subject = STR("key:b"), .money_nano = 100, .period = LIMITS_DAY},
        {.subject = STR("key:a"), .money_nano = 100, .period = LIMITS_DAY},
    };
    struct limits *l = NULL;
    struct limits_claim early = claim_of("key:b", 0, 10);
    struct limits_claim c = claim_of("key:b", 0, 40);
    struct limits_state s;

    EXPECT_OK(limits_create(&l));
    limits_await_books(l);
    EXPECT_OK(limits_configure(l, rules, 1));
    EXPECT_OK(limits_reserve(l, &early, NOON, &s));
    EXPECT_FALSE(limits_awaits(l, STR("key:a")));
    EXPECT_OK(limits_configure(l, rules, 3));
    EXPECT_TRUE(limits_awaits(l, STR("key:a")) && limits_awaits(l, STR("key:b")));
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_BUSY);
    EXPECT_EQ_STR(s.subject, STR("key:b"));
    EXPECT_EQ_U32(limits_awaited(l, rules, 2), 1);
    EXPECT_EQ_STR(rules[0].subject, STR("key:b"));
    limits_settle(l, &early, 0, 11, NOON); // while the books are read
    limits_preload(l, STR("key:b"), LIMITS_DAY, 50, NOON);
    EXPECT_FALSE(limits_awaits(l, STR("key:b")));
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT); // 50 + 11 + 40
    c.money_nano = 39;
    EXPECT_OK(limits_reserve(l, &c, NOON, &s));
    EXPECT_OK(limits_configure(l, rules, 1)); // stays, with its counters
    EXPECT_FALSE(limits_awaits(l, STR("key:b")));
    limits_settle(l, &c, 0, 39, NOON);
    c.money_nano = 1;
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_LIMIT);
    rules[0].period = LIMITS_MONTH;
    EXPECT_OK(limits_configure(l, rules, 1));
    EXPECT_STATUS(limits_reserve(l, &c, NOON, &s), E_BUSY);
    limits_destroy(l);
}

/* --- against a slow reference --------------------------------------------------------------- */

#define N_RULES 6
#define CLAIMS_MAX 40
#define EVENTS_MAX 4000

struct event {
    uint64_t at_ns;
    uint64_t amount;
};

/* Keeps every event for ever and adds up. */
struct reference_rule {
    struct limits_rule rule;
    struct event requests[EVENTS_MAX];
    uint32_t n_requests;
    struct event tokens[EVENTS_MAX];
    uint32_t n_tokens;
    uint64_t parallel;
    int64_t reserved;
    struct {
        int64_t start;
        int64_t spent;
    } periods[64];
    uint32_t n_periods;
};

static uint64_t sum_of_minute(const struct event *events, uint32_t n, uint64_t now_ns)
{
    const uint64_t piece = 5 * (uint64_t)SECOND;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (events[i].at_ns / piece + 12 >= now_ns / piece) {
            sum += events[i].amount;
        }
    }
    return sum;
}

static int64_t *spent_of(struct reference_rule *r, int64_t now_ms)
{
    int64_t start = limits_period_start(r->rule.period, now_ms);

    for (uint32_t i = 0; i < r->n_periods; i++) {
        if (r->periods[i].start == start) {
            return &r->periods[i].spent;
        }
    }
    EXPECT_TRUE(r->n_periods < ARRAY_COUNT(r->periods));
    r->periods[r->n_periods].start = start;
    r->periods[r->n_periods].spent = 0;
    return &r->periods[r->n_periods++].spent;
}

static bool fits(struct reference_rule *r, const struct limits_claim *c, int64_t now_ms)
{
    const struct limits_rule *rule = &r->rule;
    uint64_t requests = sum_of_minute(r->requests, r->n_requests, hands_ns);
    uint64_t tokens = sum_of_minute(r->tokens, r->n_tokens, hands_ns);

    return (rule->requests_per_minute == 0 || requests < rule->requests_per_minute) &&
           (rule->tokens_per_minute == 0 || tokens + c->tokens <= rule->tokens_per_minute) &&
           (rule->parallel == 0 || r->parallel < rule->parallel) &&
           (rule->money_nano == 0 ||
            *spent_of(r, now_ms) + r->reserved + c->money_nano <= rule->money_nano);
}

static bool applies(const struct reference_rule *r, const struct limits_claim *c)
{
    for (uint32_t i = 0; i < c->n_subjects; i++) {
        if (str_eq(c->subjects[i], r->rule.subject)) {
            return true;
        }
    }
    return false;
}

static uint32_t random_below(uint64_t seed, uint64_t *step, uint32_t n)
{
    uint32_t words[4];

    rng_block(seed, 0, (*step)++, words);
    return words[0] % n;
}

static const char *const subject_names[] = {"key:a", "key:b", "team:t", "model:m", "provider:p"};

static void make_rules(struct reference_rule *reference, struct limits_rule *rules, uint64_t seed,
                       uint64_t *step)
{
    for (uint32_t i = 0; i < N_RULES; i++) {
        struct limits_rule *r = &rules[i];

        memset(&reference[i], 0, sizeof(reference[i]));
        memset(r, 0, sizeof(*r));
        r->subject = str_from_c(subject_names[random_below(seed, step, 5)]);
        r->requests_per_minute = random_below(seed, step, 2) * (1 + random_below(seed, step, 30));
        r->tokens_per_minute = random_below(seed, step, 2) * (1 + random_below(seed, step, 5000));
        r->parallel = random_below(seed, step, 2) * (1 + random_below(seed, step, 10));
        r->money_nano = random_below(seed, step, 2) * (1 + random_below(seed, step, 20000));
        r->period = (enum limits_period)random_below(seed, step, 3);
        reference[i].rule = *r;
    }
}

static void reference_settle(struct reference_rule *reference, const struct limits_claim *c,
                             uint64_t used, int64_t cost, int64_t now_ms)
{
    for (uint32_t i = 0; i < N_RULES; i++) {
        struct reference_rule *r = &reference[i];

        if (!applies(r, c)) {
            continue;
        }
        r->parallel--;
        r->reserved -= c->money_nano;
        *spent_of(r, now_ms) += cost;
        if (used > c->tokens) {
            r->tokens[r->n_tokens++] = (struct event){hands_ns, used - c->tokens};
            continue;
        }
        for (uint32_t k = 0; k < r->n_tokens; k++) {
            /* events of one moment are equal but for their amount: any that has enough */
            if (r->tokens[k].at_ns == c->reserved_ns && r->tokens[k].amount >= c->tokens - used) {
                r->tokens[k].amount -= c->tokens - used;
                break;
            }
        }
    }
}

static void reference_take(struct reference_rule *reference, const struct limits_claim *c)
{
    for (uint32_t i = 0; i < N_RULES; i++) {
        struct reference_rule *r = &reference[i];

        if (applies(r, c)) {
            r->parallel++;
            r->reserved += c->money_nano;
            r->requests[r->n_requests++] = (struct event){hands_ns, 1};
            r->tokens[r->n_tokens++] = (struct event){hands_ns, c->tokens};
        }
    }
}

static void random_run(struct reference_rule *reference, uint64_t seed)
{
    struct limits_rule rules[N_RULES];
    struct limits_claim open[CLAIMS_MAX];
    uint32_t n_open = 0;
    uint64_t step = 0;
    int64_t now_ms = NOON;
    struct limits *l;

    make_rules(reference, rules, seed, &step);
    l = start(rules, N_RULES);
    for (uint32_t i = 0; i < 1000; i++) {
        struct limits_claim c = {.n_subjects = 1 + random_below(seed, &step, 4)};
        struct limits_state s;
        bool want = true;

        hands_ns += random_below(seed, &step, 3) == 0
                        ? (uint64_t)random_below(seed, &step, 20000) * 1000000u
                        : random_below(seed, &step, 1000000);
        now_ms += random_below(seed, &step, 100) == 0 ? DAY_MS : 1;
        if (n_open == CLAIMS_MAX || (n_open > 0 && random_below(seed, &step, 2) == 0)) {
            uint32_t which = random_below(seed, &step, n_open);
            uint64_t used = random_below(seed, &step, (uint32_t)open[which].tokens * 3 / 2 + 1);
            int64_t cost = random_below(seed, &step, 2000);

            limits_settle(l, &open[which], used, cost, now_ms);
            reference_settle(reference, &open[which], used, cost, now_ms);
            open[which] = open[--n_open];
            continue;
        }
        for (uint32_t k = 0; k < c.n_subjects; k++) {
            c.subjects[k] = str_from_c(subject_names[random_below(seed, &step, 5)]);
        }
        c.tokens = random_below(seed, &step, 900);
        c.money_nano = random_below(seed, &step, 3000);
        for (uint32_t k = 0; k < N_RULES; k++) {
            want = want && (!applies(&reference[k], &c) || fits(&reference[k], &c, now_ms));
        }
        if ((limits_reserve(l, &c, now_ms, &s) == OK) != want) {
            FAIL("seed %" PRIu64 " step %u: the reference says %s", seed, i, want ? "yes" : "no");
        }
        if (want) {
            reference_take(reference, &c);
            open[n_open++] = c;
        }
    }
    limits_destroy(l);
}

TEST(decides_as_a_slow_reference_does)
{
    struct reference_rule *reference = calloc(N_RULES, sizeof(*reference));

    for (uint64_t seed = 1; seed <= 200; seed++) {
        random_run(reference, seed);
    }
    free(reference);
}

/* --- threads -------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 20000

static struct limits *shared;
static _Atomic int in_flight;
static _Atomic int most_in_flight;
static _Atomic int64_t spent_total;
static _Atomic uint64_t n_passed;

static void *hammer(void *user)
{
    uint64_t seed = *(const uint64_t *)user;
    uint64_t step = 0;

    for (int i = 0; i < ROUNDS; i++) {
        struct limits_claim c = {.subjects = {STR("key:a"), STR("team:t"), STR("model:m")},
                                 .n_subjects = 3,
                                 .tokens = 10,
                                 .money_nano = 5};
        struct limits_state s;
        int64_t cost = random_below(seed, &step, 6);
        int now;

        if (limits_reserve(shared, &c, NOON, &s) != OK) {
            continue;
        }
        now = ++in_flight;
        if (now > most_in_flight) {
            most_in_flight = now;
        }
        spent_total += cost;
        n_passed++;
        in_flight--;
        limits_settle(shared, &c, 7, cost, NOON);
    }
    return NULL;
}

TEST(threads_never_pass_a_limit_together)
{
    const struct limits_rule rules[] = {
        {.subject = STR("key:a"), .parallel = 3},
        {.subject = STR("team:t"), .money_nano = 60000, .period = LIMITS_TOTAL},
        {.subject = STR("model:m"), .requests_per_minute = 20000, .tokens_per_minute = 139000},
    };
    struct limits_claim look = claim_of("model:m", 200000, 0);
    struct limits_claim rest = claim_of("team:t", 0, 0);
    struct limits_state s;
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];

    EXPECT_OK(limits_create(&shared));
    limits_set_clock(shared, &hands); // the minute does not end
    EXPECT_OK(limits_configure(shared, rules, 3));
    for (uint64_t i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        EXPECT_EQ_INT(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    }
    for (int i = 0; i < 50; i++) { // reloads meanwhile
        EXPECT_OK(limits_configure(shared, rules, 3));
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    EXPECT_TRUE(most_in_flight <= 3);
    EXPECT_TRUE(spent_total <= 60000);
    EXPECT_STATUS(limits_reserve(shared, &look, NOON, &s), E_LIMIT);
    EXPECT_EQ_U64(s.remaining_requests, 20000 - n_passed);
    EXPECT_EQ_U64(s.remaining_tokens, 139000 - 7 * n_passed);
    /* The sum is exact: what is left fits, one more does not. */
    rest.money_nano = 60000 - spent_total;
    EXPECT_OK(limits_reserve(shared, &rest, NOON, &s));
    limits_settle(shared, &rest, 0, 0, NOON);
    rest.money_nano++;
    EXPECT_STATUS(limits_reserve(shared, &rest, NOON, &s), E_LIMIT);
    limits_destroy(shared);
}
