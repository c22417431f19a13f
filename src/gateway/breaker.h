/* breaker.h - is an upstream worth a request?  Opens after failures in a row, tries again, ramps
 * up.
 *
 *   CLOSED --failures in a row--> OPEN --open_ms--> HALF (one trial) --success--> RAMP --> CLOSED
 *                                  ^-------------------- failure ------------------'
 *
 * An open time that ends in another failure doubles, up to eight times the first.  During the ramp
 * the share of requests that may pass grows from a tenth to all.  What counts as a failure is the
 * caller's choice: here connect errors, 5xx and timeouts.  Pure: time and chance are passed in.
 */
#ifndef GATEWAY_BREAKER_H
#define GATEWAY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker_options {
    uint32_t failures; // in a row before it opens; 0: never opens
    uint32_t open_ms;
    uint32_t ramp_ms; // 0: none
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF, BREAKER_RAMP };

/* Zero-initialised: closed. */
struct breaker {
    enum breaker_state state;
    uint32_t n_failures; // in a row
    uint32_t n_opened;   // in a row
    bool trial;          // HALF: the one request is under way
    uint64_t until_ns;   // OPEN: trial after that; RAMP: full share from then on
};

/** Bring the state up to date and say whether a request may pass now.  `chance` in [0, 1) decides
 *  during the ramp.  Changes nothing else: say breaker_begin when the request is really sent. */
bool breaker_allows(struct breaker *b, const struct breaker_options *o, uint64_t now_ns,
                    double chance);
/** A request is sent: takes the trial of a half-open breaker. */
void breaker_begin(struct breaker *b);
/** It was answered. */
void breaker_success(struct breaker *b, const struct breaker_options *o, uint64_t now_ns);
/** It failed.  may_open false: too many others are open already; only counts.  True when this
 *  failure opened the breaker. */
bool breaker_failure(struct breaker *b, const struct breaker_options *o, uint64_t now_ns,
                     bool may_open);
/** It ended without a verdict (the client left): gives a trial back. */
void breaker_release(struct breaker *b);
/** "closed", "open", "half_open", "ramp". */
const char *breaker_state_name(enum breaker_state s);

/* A global budget for retries: a share of all requests, and a floor per second. */
struct breaker_budget {
    double percents;   // of a retry: 100 are one
    uint64_t since_ns; // when the floor was last added
};

/** A request came: earns `pct` percent of a retry. */
void breaker_budget_earn(struct breaker_budget *b, uint32_t pct);
/** Take one retry.  False: none is left.  `floor_per_s` are earned per second in any case. */
bool breaker_budget_take(struct breaker_budget *b, uint32_t floor_per_s, uint64_t now_ns);

#endif
