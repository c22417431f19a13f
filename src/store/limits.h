/* limits.h - requests, tokens, parallel calls and money: reserve first, settle after.
 *
 * A limit belongs to a subject ("key:k_1", "team:risk", "model:glm-4", "provider:own") and a kind.
 * A request reserves on all its subjects at once or on none.  In memory here; the interface is what
 * a shared store (Redis) will fill.  Thread-safe.
 *
 * Requests and tokens are counted in a sliding minute of LIMITS_BUCKETS pieces on the monotonic
 * clock, the piece that is half out of the minute whole: in no sixty seconds more than the limit is
 * let through, and what was used is free again 60 to 65 seconds later.  Money counts in calendar
 * periods of the unix time that the caller names; open claims count in whatever period it is.
 */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#include "base/clock.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_SUBJECTS_MAX 8 // of one request
#define LIMITS_BUCKETS 12     // of a minute

struct limits;

enum limits_period { LIMITS_DAY, LIMITS_MONTH, LIMITS_TOTAL }; // calendar periods, UTC

/* Zero: not limited.  A subject may have several rules (money a day and a month). */
struct limits_rule {
    struct str subject;
    uint64_t requests_per_minute;
    uint64_t tokens_per_minute;
    uint32_t parallel;
    int64_t money_nano;
    enum limits_period period;
};

/* One request's claim. */
struct limits_claim {
    struct str subjects[LIMITS_SUBJECTS_MAX]; // borrowed until limits_settle
    uint32_t n_subjects;
    uint64_t tokens;    // estimate: prompt plus ceiling of the completion
    int64_t money_nano; // estimate; negative counts as 0
    /* set by limits_reserve, for limits_settle */
    uint64_t reserved_ns; // monotonic
    uint64_t generation;  // of the rules
};

enum limits_kind { LIMITS_NONE, LIMITS_REQUESTS, LIMITS_TOKENS, LIMITS_PARALLEL, LIMITS_MONEY };

/* What the rate-limit headers show, of the rule with the least left; and why a claim was refused.
 * limit_x 0: no rule.  reset_x_ms: until nothing of the limit is used any more. */
struct limits_state {
    enum limits_kind refused; // LIMITS_NONE: it was not
    struct str subject;       // of the rule that refused: one of the claim's subjects
    uint64_t limit_requests, remaining_requests, reset_requests_ms;
    uint64_t limit_tokens, remaining_tokens, reset_tokens_ms;
    uint64_t retry_after_ms; // when refused: 0 means that waiting does not help
};

/** No rules: everything passes.  Errors: NO_MEMORY. */
MUST_USE enum status limits_create(struct limits **ret_limits);
/** Claims that are not settled are forgotten. */
void limits_destroy(struct limits *l);
/** Tests: another clock for the minutes.  Before the first reserve. */
void limits_set_clock(struct limits *l, const struct kontor_clock *clock);
/** Before the first configure: books know what was spent.  From then on a money limit that has no
 *  counters to keep refuses with E_BUSY until limits_preload has said what they know. */
void limits_await_books(struct limits *l);
/** Move the rules among rules[n] that await limits_preload to the front and return how many they
 *  are.  What is settled from now on is added to what limits_preload will say. */
uint32_t limits_awaited(struct limits *l, struct limits_rule *rules, uint32_t n);
/** Does a rule of the subject await limits_preload? */
bool limits_awaits(struct limits *l, struct str subject);
/** First millisecond of the period that holds `now_ms` (unix, UTC); INT64_MIN for LIMITS_TOTAL. */
int64_t limits_period_start(enum limits_period period, int64_t now_ms);
/** Replace all rules; counters of rules whose subject and period stay are kept.
 *  Errors: NO_MEMORY (nothing changed). */
MUST_USE enum status limits_configure(struct limits *l, const struct limits_rule *rules,
                                      uint32_t n_rules);
/** Take all or nothing; ret_state is filled in all cases.  Errors: LIMIT (ret_state says which),
 *  BUSY (a rule of ret_state->subject awaits limits_preload).
 *  now_ms: unix, for money.  A subject that has no rule passes. */
MUST_USE enum status limits_reserve(struct limits *l, struct limits_claim *claim, int64_t now_ms,
                                    struct limits_state *ret_state);
/** Give back the claim and book what was used; exactly once per successful reserve.  Tokens not
 *  used are free at once, tokens over the claim count from now; rules that came after the reserve
 *  are not touched, but for their money with limits_await_books. */
void limits_settle(struct limits *l, const struct limits_claim *claim, uint64_t used_tokens,
                   int64_t used_nano, int64_t now_ms);
/** Money that a subject spent in the period that holds `now_ms`, read back from the ledger
 *  (ledger_spent); replaces what was counted before limits_awaited.  Nothing happens without such a
 *  rule. */
void limits_preload(struct limits *l, struct str subject, enum limits_period period,
                    int64_t spent_nano, int64_t now_ms);

#endif
