#include "base/buf.h"
#include "support/test.h"

#include <string.h>

TEST(appends_grow_up_to_the_ceiling)
{
    struct buf b;

    buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++) {
        buf_append_byte(&b, (char)('a' + i % 26));
        EXPECT_TRUE(b.len <= b.cap && b.cap <= b.max);
    }
    EXPECT_OK(buf_status(&b));
    EXPECT_EQ_SIZE(b.len, 1000);
    buf_append_byte(&b, 'x');
    EXPECT_STATUS(buf_status(&b), E_LIMIT);
    EXPECT_EQ_SIZE(b.len, 1000);
    buf_done(&b);
    EXPECT_OK(buf_status(&b));
    EXPECT_EQ_SIZE(b.max, 1000);
}

TEST(a_failed_buffer_ignores_what_follows)
{
    struct buf b;

    buf_init(&b, 4);
    buf_append_c(&b, "abc");
    buf_append_c(&b, "def");
    buf_append_c(&b, "g");
    EXPECT_STATUS(buf_status(&b), E_LIMIT);
    EXPECT_EQ_STR(buf_str(&b), STR("abc"));
    EXPECT_TRUE(buf_reserve(&b, 1) == NULL);
    EXPECT_TRUE(buf_c(&b) == NULL);
    buf_reset(&b);
    buf_append_c(&b, "xyz");
    EXPECT_EQ_C_STR(buf_c(&b), "xyz");
    EXPECT_EQ_SIZE(b.len, 3);
    buf_done(&b);
}

TEST(printf_of_any_length)
{
    struct buf b;
    char longer[3000];

    memset(longer, 'y', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    buf_init(&b, 10000);
    buf_printf(&b, "%d-%s-", 5, "x");
    buf_printf(&b, "%s", longer);
    buf_printf(&b, "!");
    EXPECT_OK(buf_status(&b));
    EXPECT_EQ_SIZE(b.len, 4 + 2999 + 1);
    EXPECT_TRUE(str_starts(buf_str(&b), STR("5-x-yyy")));
    EXPECT_TRUE(str_ends(buf_str(&b), STR("yyy!")));
    buf_done(&b);
}

TEST(printf_uses_the_last_byte_of_the_ceiling)
{
    struct buf b;

    buf_init(&b, 5);
    buf_printf(&b, "%s", "12345");
    EXPECT_OK(buf_status(&b));
    EXPECT_EQ_STR(buf_str(&b), STR("12345"));
    buf_done(&b);
}

TEST(reserve_commit_consume)
{
    struct buf b;
    char *room;

    buf_init(&b, 100);
    room = buf_reserve(&b, 10);
    EXPECT_TRUE(room != NULL);
    memcpy(room, "hello", 5);
    buf_commit(&b, 5);
    buf_append_str(&b, STR(" world"));
    buf_consume(&b, 6);
    EXPECT_EQ_STR(buf_str(&b), STR("world"));
    buf_consume(&b, 5);
    EXPECT_EQ_SIZE(b.len, 0);
    EXPECT_TRUE(buf_reserve(&b, 101) == NULL);
    EXPECT_STATUS(buf_status(&b), E_LIMIT);
    buf_done(&b);
}

TEST(nothing_is_allocated_for_nothing)
{
    struct buf b;

    buf_init(&b, 100);
    buf_append(&b, NULL, 0);
    buf_append_str(&b, (struct str){NULL, 0});
    EXPECT_TRUE(b.ptr == NULL);
    EXPECT_TRUE(buf_reserve(&b, 0) != NULL);
    EXPECT_EQ_C_STR(buf_c(&b), "");
    buf_done(&b);
    buf_done(NULL);
}

TEST(numbers_as_printf_writes_them)
{
    static const uint64_t list[] = {0, 1, 9, 10, 15, 16, 255, 1000, UINT32_MAX, UINT64_MAX};

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct buf got;
        struct buf want;

        buf_init(&got, 64);
        buf_init(&want, 64);
        buf_append_number(&got, list[i], 10);
        buf_append_byte(&got, ' ');
        buf_append_number(&got, list[i], 16);
        buf_printf(&want, "%" PRIu64 " %" PRIx64, list[i], list[i]);
        EXPECT_EQ_STR(buf_str(&got), buf_str(&want));
        buf_done(&got);
        buf_done(&want);
    }
}
