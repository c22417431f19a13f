#include "gateway/breaker.h"

#define NS_PER_MS UINT64_C(1000000)
#define DOUBLINGS_MAX 3
#define RAMP_SHARE_MIN 0.1
#define BUDGET_SECONDS 10  // of the floor that may be saved up
#define PERCENTS 100.0     // of one retry
#define EARNED_MAX 10000.0 // of requests, in percents

/* Share of requests that may pass during the ramp. */
static double ramp_share(const struct breaker *b, const struct breaker_options *o, uint64_t now_ns)
{
    const double left_ms = (double)(b->until_ns - now_ns) / (double)NS_PER_MS;
    const double share = 1.0 - left_ms / (double)o->ramp_ms;

    return share < RAMP_SHARE_MIN ? RAMP_SHARE_MIN : share;
}

bool breaker_allows(struct breaker *b, const struct breaker_options *o, uint64_t now_ns,
                    double chance)
{
    if (b->state == BREAKER_OPEN && now_ns >= b->until_ns) {
        b->state = BREAKER_HALF;
        b->trial = false;
    }
    if (b->state == BREAKER_RAMP && now_ns >= b->until_ns) {
        b->state = BREAKER_CLOSED;
    }
    switch (b->state) {
    case BREAKER_CLOSED:
        return true;
    case BREAKER_OPEN:
        return false;
    case BREAKER_HALF:
        return !b->trial;
    case BREAKER_RAMP:
        return chance < ramp_share(b, o, now_ns);
    }
    return true;
}

void breaker_begin(struct breaker *b)
{
    b->trial = b->state == BREAKER_HALF;
}

void breaker_release(struct breaker *b)
{
    b->trial = false;
}

void breaker_success(struct breaker *b, const struct breaker_options *o, uint64_t now_ns)
{
    b->n_failures = 0;
    if (b->state == BREAKER_CLOSED || b->state == BREAKER_RAMP) {
        return;
    }
    b->n_opened = 0;
    b->trial = false;
    b->state = o->ramp_ms == 0 ? BREAKER_CLOSED : BREAKER_RAMP;
    b->until_ns = now_ns + o->ramp_ms * NS_PER_MS;
}

bool breaker_failure(struct breaker *b, const struct breaker_options *o, uint64_t now_ns,
                     bool may_open)
{
    // one failure is enough for an upstream that is only just being tried again
    const bool again = b->state == BREAKER_HALF || b->state == BREAKER_RAMP;
    uint32_t doublings;

    b->n_failures++;
    b->trial = false;
    if (b->state == BREAKER_OPEN || o->failures == 0 || !may_open ||
        (!again && b->n_failures < o->failures)) {
        return false;
    }
    doublings = b->n_opened < DOUBLINGS_MAX ? b->n_opened : DOUBLINGS_MAX;
    b->state = BREAKER_OPEN;
    b->until_ns = now_ns + ((uint64_t)o->open_ms << doublings) * NS_PER_MS;
    b->n_opened++;
    return true;
}

const char *breaker_state_name(enum breaker_state s)
{
    static const char *const names[] = {"closed", "open", "half_open", "ramp"};

    return names[s];
}

void breaker_budget_earn(struct breaker_budget *b, uint32_t pct)
{
    b->percents += pct;
    if (b->percents > EARNED_MAX) {
        b->percents = EARNED_MAX;
    }
}

bool breaker_budget_take(struct breaker_budget *b, uint32_t floor_per_s, uint64_t now_ns)
{
    const double saved_max = (double)floor_per_s * BUDGET_SECONDS * PERCENTS;
    const double earned = (double)floor_per_s * PERCENTS * (double)(now_ns - b->since_ns) / 1e9;
    const double with_floor = b->percents + (earned < saved_max ? earned : saved_max);

    b->since_ns = now_ns;
    b->percents = with_floor < EARNED_MAX + saved_max ? with_floor : EARNED_MAX + saved_max;
    if (b->percents < PERCENTS) {
        return false;
    }
    b->percents -= PERCENTS;
    return true;
}
