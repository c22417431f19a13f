#include "support/test.h"

TEST(slices_are_clamped)
{
    struct str s = STR("kontor");

    EXPECT_EQ_STR(str_slice(s, 1, 3), STR("on"));
    EXPECT_EQ_STR(str_slice(s, 4, 99), STR("or"));
    EXPECT_EQ_STR(str_slice(s, 5, 2), STR(""));
    EXPECT_EQ_STR(str_slice(s, 99, 100), STR(""));
    EXPECT_EQ_STR(str_slice((struct str){NULL, 0}, 0, 1), STR(""));
}
