#include "engine/kv.h"
#include "support/test.h"

TEST(blocks_are_handed_out_once_and_come_back)
{
    struct kv_pool *pool = NULL;
    uint32_t a[5];
    uint32_t b[5];
    bool seen[8] = {false};

    EXPECT_OK(kv_create(8, &pool));
    EXPECT_OK(kv_take(pool, 5, a));
    EXPECT_STATUS(kv_take(pool, 4, b), E_LIMIT);
    EXPECT_EQ_U32(kv_free_count(pool), 3); // all or none
    EXPECT_OK(kv_take(pool, 3, b));
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t id = i < 5 ? a[i] : b[i - 5];

        EXPECT_TRUE(id < 8 && !seen[id]);
        seen[id] = true;
    }
    EXPECT_STR_NULL(kv_check(pool));
    kv_give(pool, 5, a);
    EXPECT_EQ_U32(kv_free_count(pool), 5);
    kv_give(pool, 3, b);
    EXPECT_EQ_U32(kv_free_count(pool), kv_capacity(pool));
    EXPECT_STR_NULL(kv_check(pool));
    kv_destroy(pool);
}

TEST(taking_nothing_is_allowed)
{
    struct kv_pool *pool = NULL;
    uint32_t id = 77;

    EXPECT_OK(kv_create(1, &pool));
    EXPECT_OK(kv_take(pool, 0, &id));
    EXPECT_EQ_U32(id, 77);
    EXPECT_OK(kv_take(pool, 1, &id));
    EXPECT_EQ_U32(id, 0);
    EXPECT_OK(kv_take(pool, 0, &id));
    kv_give(pool, 1, &id);
    EXPECT_STR_NULL(kv_check(pool));
    kv_destroy(pool);
    kv_destroy(NULL);
}
