#include "gateway/route.h"
#include "base/rng.h"
#include "support/test.h"

#include <string.h>

static struct route_member members[8];

static void set_up(uint32_t n)
{
    memset(members, 0, sizeof(members));
    for (uint32_t i = 0; i < n; i++) {
        members[i] = (struct route_member){.key = 1000 + i, .weight = 1, .usable = true};
    }
}

static uint32_t pick(enum settings_balance balance, uint64_t affinity, uint64_t prefix, uint64_t at)
{
    const struct route_request r = {
        .balance = balance,
        .affinity = affinity,
        .prefix = prefix,
        .chance = {rng_uniform(7, 0, at), rng_uniform(7, 1, at)},
    };
    const char *reason = NULL;

    return route_pick(members, 4, &r, &reason);
}

TEST(nobody_usable_is_none)
{
    set_up(4);
    for (uint32_t i = 0; i < 4; i++) {
        members[i].usable = false;
    }
    for (unsigned b = SETTINGS_WEIGHTED; b <= SETTINGS_PREFIX_HASH; b++) {
        EXPECT_EQ_U32(pick((enum settings_balance)b, 0, 5, 1), ROUTE_NONE);
        EXPECT_EQ_U32(pick((enum settings_balance)b, 5, 0, 1), ROUTE_NONE);
    }
}

TEST(never_picks_an_unusable_one)
{
    set_up(4);
    members[1].usable = false;
    for (unsigned b = SETTINGS_WEIGHTED; b <= SETTINGS_PREFIX_HASH; b++) {
        for (uint64_t i = 0; i < 500; i++) {
            const uint32_t got = pick((enum settings_balance)b, i % 3 == 0 ? i + 1 : 0, i + 1, i);

            EXPECT_TRUE(got < 4 && got != 1);
        }
    }
}

TEST(weights_are_shares)
{
    uint32_t n[4] = {0};

    set_up(4);
    members[2].weight = 3;
    for (uint64_t i = 0; i < 6000; i++) {
        n[pick(SETTINGS_WEIGHTED, 0, 0, i)]++;
    }
    EXPECT_NEAR((double)n[2], 3000.0, 200.0);
    EXPECT_NEAR((double)n[0], 1000.0, 150.0);
}

TEST(least_outstanding_counts_weight)
{
    set_up(4);
    members[0].outstanding = 3;
    members[1].outstanding = 4;
    members[1].weight = 10;
    members[2].outstanding = 9;
    members[3].outstanding = 2;
    EXPECT_EQ_U32(pick(SETTINGS_LEAST_OUTSTANDING, 0, 0, 3), 1);
}

TEST(power_of_two_believes_fresh_numbers_of_both)
{
    set_up(2);
    members[0].load_known = members[1].load_known = true;
    members[0].waiting = 50;
    for (uint64_t i = 0; i < 50; i++) {
        EXPECT_EQ_U32(pick(SETTINGS_POWER_OF_TWO, 0, 0, i), 1);
    }
    members[1].load_known = false; // then only our own count is comparable
    members[1].outstanding = 4;
    for (uint64_t i = 0; i < 50; i++) {
        EXPECT_EQ_U32(pick(SETTINGS_POWER_OF_TWO, 0, 0, i), 0);
    }
}

TEST(a_full_kv_pool_counts)
{
    set_up(2);
    members[0].load_known = members[1].load_known = true;
    members[0].waiting = members[1].waiting = 4;
    members[0].kv_use = 0.95;
    members[1].kv_use = 0.10;
    for (uint64_t i = 0; i < 50; i++) {
        EXPECT_EQ_U32(pick(SETTINGS_POWER_OF_TWO, 0, 0, i), 1);
    }
}

TEST(affinity_keeps_and_moves_only_its_own_share)
{
    uint32_t before[400];
    uint32_t n_moved = 0;
    uint32_t n_gone = 0;

    set_up(4);
    for (uint64_t i = 0; i < 400; i++) {
        before[i] = pick(SETTINGS_WEIGHTED, i + 1, 0, i);
        EXPECT_EQ_U32(pick(SETTINGS_WEIGHTED, i + 1, 0, i + 999), before[i]);
    }
    members[3].usable = false;
    for (uint64_t i = 0; i < 400; i++) {
        const uint32_t now = pick(SETTINGS_WEIGHTED, i + 1, 0, i);

        n_gone += before[i] == 3;
        n_moved += now != before[i];
    }
    EXPECT_EQ_U32(n_moved, n_gone);
    EXPECT_NEAR((double)n_gone, 100.0, 35.0);
}

TEST(a_preferred_member_yields_above_its_bound)
{
    uint32_t first;

    set_up(4);
    first = pick(SETTINGS_PREFIX_HASH, 0, 77, 0);
    members[first].outstanding = 1;
    for (uint32_t i = 0; i < 4; i++) {
        members[i].outstanding += 7;
    }
    EXPECT_EQ_U32(pick(SETTINGS_PREFIX_HASH, 0, 77, 0), first); // 8 of a mean of 7.5: within
    members[first].outstanding = 30;
    EXPECT_TRUE(pick(SETTINGS_PREFIX_HASH, 0, 77, 0) != first);
}
