#include "gateway/breaker.h"
#include "support/test.h"

#define MS UINT64_C(1000000)

static const struct breaker_options options = {.failures = 3, .open_ms = 1000, .ramp_ms = 400};

static void fail(struct breaker *b, uint64_t now_ns, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        (void)breaker_failure(b, &options, now_ns, true);
    }
}

TEST(opens_after_failures_in_a_row_only)
{
    struct breaker b = {0};

    fail(&b, 1, 2);
    breaker_success(&b, &options, 1);
    fail(&b, 1, 2);
    EXPECT_TRUE(breaker_allows(&b, &options, 1, 0.99));
    EXPECT_TRUE(breaker_failure(&b, &options, 1, true));
    EXPECT_FALSE(breaker_allows(&b, &options, 1, 0.0));
    EXPECT_FALSE(breaker_failure(&b, &options, 1, true)); // says so once
}

TEST(one_trial_at_a_time_when_half_open)
{
    struct breaker b = {0};

    fail(&b, 0, 3);
    EXPECT_FALSE(breaker_allows(&b, &options, 999 * MS, 0.0));
    EXPECT_TRUE(breaker_allows(&b, &options, 1000 * MS, 0.99));
    breaker_begin(&b);
    EXPECT_FALSE(breaker_allows(&b, &options, 1001 * MS, 0.0));
    breaker_release(&b); // the client left: somebody else may try
    EXPECT_TRUE(breaker_allows(&b, &options, 1002 * MS, 0.0));
}

TEST(success_ramps_up_to_all)
{
    struct breaker b = {0};

    fail(&b, 0, 3);
    EXPECT_TRUE(breaker_allows(&b, &options, 1000 * MS, 0.5));
    breaker_begin(&b);
    breaker_success(&b, &options, 1000 * MS);
    EXPECT_FALSE(breaker_allows(&b, &options, 1000 * MS, 0.2));
    EXPECT_TRUE(breaker_allows(&b, &options, 1000 * MS, 0.05)); // never less than a tenth
    EXPECT_TRUE(breaker_allows(&b, &options, 1200 * MS, 0.45));
    EXPECT_FALSE(breaker_allows(&b, &options, 1200 * MS, 0.55));
    EXPECT_TRUE(breaker_allows(&b, &options, 1400 * MS, 0.999));
    EXPECT_EQ_INT((int)b.state, BREAKER_CLOSED);
}

TEST(a_failed_trial_opens_for_longer)
{
    struct breaker b = {0};
    uint64_t now = 0;
    uint64_t wait = 1000;

    fail(&b, now, 3);
    for (int i = 0; i < 6; i++) {
        EXPECT_FALSE(breaker_allows(&b, &options, now + wait * MS - 1, 0.0));
        now += wait * MS;
        EXPECT_TRUE(breaker_allows(&b, &options, now, 0.0));
        breaker_begin(&b);
        EXPECT_TRUE(breaker_failure(&b, &options, now, true));
        wait = wait < 8000 ? wait * 2 : 8000;
    }
}

TEST(a_failure_during_the_ramp_opens_at_once)
{
    struct breaker b = {0};

    fail(&b, 0, 3);
    EXPECT_TRUE(breaker_allows(&b, &options, 1000 * MS, 0.0));
    breaker_success(&b, &options, 1000 * MS);
    EXPECT_TRUE(breaker_failure(&b, &options, 1001 * MS, true));
}

TEST(does_not_open_when_too_many_are_open)
{
    struct breaker b = {0};

    for (int i = 0; i < 10; i++) {
        EXPECT_FALSE(breaker_failure(&b, &options, 0, false));
    }
    EXPECT_TRUE(breaker_allows(&b, &options, 0, 0.9));
    EXPECT_TRUE(breaker_failure(&b, &options, 0, true));
}

TEST(zero_failures_never_open)
{
    const struct breaker_options never = {0};
    struct breaker b = {0};

    for (int i = 0; i < 100; i++) {
        EXPECT_FALSE(breaker_failure(&b, &never, 0, true));
    }
}

TEST(the_budget_is_a_share_and_a_floor)
{
    struct breaker_budget b = {0};
    uint32_t n = 0;

    EXPECT_FALSE(breaker_budget_take(&b, 0, 0));
    for (int i = 0; i < 10; i++) {
        breaker_budget_earn(&b, 20);
    }
    while (breaker_budget_take(&b, 0, 0)) {
        n++;
    }
    EXPECT_EQ_U32(n, 2);
    n = 0;
    while (breaker_budget_take(&b, 10, UINT64_C(1000000000))) {
        n++;
    }
    EXPECT_EQ_U32(n, 10);
    n = 0;
    while (
        breaker_budget_take(&b, 10, UINT64_C(3600000000000))) { // saved up for ten seconds at most
        n++;
    }
    EXPECT_EQ_U32(n, 100);
}
