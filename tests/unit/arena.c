#include "base/arena.h"
#include "support/test.h"

#include <string.h>

TEST(everything_is_aligned_and_apart)
{
    struct arena *a = arena_create((size_t)1 << 20);
    char *before = NULL;
    size_t before_len = 0;

    for (size_t n = 0; n < 300; n++) {
        char *p = arena_alloc(a, n);

        EXPECT_TRUE(p != NULL);
        EXPECT_EQ_U64((uintptr_t)p % 16, 0);
        memset(p, (int)n, n);
        for (size_t i = 0; i < before_len; i++) {
            EXPECT_EQ_U32((unsigned char)before[i], (unsigned char)(n - 1));
        }
        before = p;
        before_len = n;
    }
    arena_destroy(a);
}

TEST(the_ceiling_is_exact)
{
    struct arena *a = arena_create(64);

    EXPECT_TRUE(arena_alloc(a, 40) != NULL);
    EXPECT_EQ_SIZE(arena_used(a), 48);
    EXPECT_TRUE(arena_alloc(a, 17) == NULL);
    EXPECT_TRUE(arena_alloc(a, SIZE_MAX) == NULL);
    EXPECT_TRUE(arena_alloc(a, SIZE_MAX - 15) == NULL);
    EXPECT_TRUE(arena_alloc(a, 16) != NULL);
    EXPECT_TRUE(arena_alloc(a, 1) == NULL);
    EXPECT_TRUE(arena_alloc(a, 0) != NULL);
    EXPECT_EQ_SIZE(arena_used(a), 64);
    arena_destroy(a);
}

TEST(reset_gives_the_memory_back)
{
    struct arena *a = arena_create((size_t)1 << 24);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            char *p = arena_zalloc(a, 1000, 7);

            EXPECT_TRUE(p != NULL && p[0] == 0 && p[6999] == 0);
            memset(p, 0xFF, 7000); // the next round must see zeros again
        }
        EXPECT_EQ_SIZE(arena_used(a), 100 * 7008);
        arena_reset(a);
        EXPECT_EQ_SIZE(arena_used(a), 0);
    }
    arena_destroy(a);
}

TEST(zalloc_checks_the_product)
{
    struct arena *a = arena_create(SIZE_MAX);

    EXPECT_TRUE(arena_zalloc(a, SIZE_MAX / 2, 3) == NULL);
    EXPECT_TRUE(arena_zalloc(a, (size_t)1 << 32, (size_t)1 << 32) == NULL);
    arena_destroy(a);
}

TEST(dup_adds_an_uncounted_nul)
{
    struct arena *a = arena_create(1000);
    struct str copy = {NULL, 0};

    EXPECT_OK(arena_dup(a, STR("glm"), &copy));
    EXPECT_EQ_STR(copy, STR("glm"));
    EXPECT_EQ_INT(copy.ptr[3], 0);
    EXPECT_OK(arena_dup(a, (struct str){NULL, 0}, &copy));
    EXPECT_EQ_SIZE(copy.len, 0);
    EXPECT_EQ_INT(copy.ptr[0], 0);
    arena_destroy(a);
    arena_destroy(NULL);
}
