/* clock.h - time sources behind one struct, so that tests can turn the hands.
 *
 * Named kontor_clock because libc owns clock_*.  Immutable after init; any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct kontor_clock {
    uint64_t (*now_ns)(void *user); // monotonic, for deadlines and durations
    int64_t (*unix_ms)(void *user); // wall clock, for records only
    void *user;                     // borrowed
};

/** CLOCK_MONOTONIC and CLOCK_REALTIME. */
extern const struct kontor_clock kontor_clock_system;

static inline uint64_t kontor_clock_now_ns(const struct kontor_clock *c)
{
    return c->now_ns(c->user);
}

#endif
