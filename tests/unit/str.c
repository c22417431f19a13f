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

TEST(equality_and_order)
{
    EXPECT_TRUE(str_eq(STR("a"), STR("a")));
    EXPECT_TRUE(str_eq((struct str){NULL, 0}, STR("")));
    EXPECT_FALSE(str_eq(STR("a"), STR("A")));
    EXPECT_TRUE(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    EXPECT_FALSE(str_eq_nocase(STR("\xC3\x84"), STR("\xC3\xA4"))); // only ASCII folds
    EXPECT_FALSE(str_eq_nocase(STR("[a"), STR("{a")));
    EXPECT_TRUE(str_cmp(STR("ab"), STR("abc")) < 0);
    EXPECT_TRUE(str_cmp(STR("b"), STR("abc")) > 0);
    EXPECT_TRUE(str_cmp(STR("\xFF"), STR("a")) > 0); // bytes are unsigned
    EXPECT_EQ_INT(str_cmp(STR(""), (struct str){NULL, 0}), 0);
}

TEST(prefix_and_suffix)
{
    EXPECT_TRUE(str_starts(STR("/v1/models"), STR("/v1/")));
    EXPECT_TRUE(str_starts(STR("x"), STR("")));
    EXPECT_FALSE(str_starts(STR("/v"), STR("/v1")));
    EXPECT_TRUE(str_ends(STR("model.safetensors"), STR(".safetensors")));
    EXPECT_FALSE(str_ends(STR("s"), STR("ss")));
}

TEST(find_reports_offsets_or_size_max)
{
    struct str s = STR("abcabc");

    EXPECT_EQ_SIZE(str_find(s, STR("bc"), 0), 1);
    EXPECT_EQ_SIZE(str_find(s, STR("bc"), 2), 4);
    EXPECT_EQ_SIZE(str_find(s, STR("bc"), 5), SIZE_MAX);
    EXPECT_EQ_SIZE(str_find(s, STR(""), 6), 6);
    EXPECT_EQ_SIZE(str_find(s, STR(""), 7), SIZE_MAX);
    EXPECT_EQ_SIZE(str_find(s, STR("abcabcd"), 0), SIZE_MAX);
    EXPECT_EQ_SIZE(str_find_byte(s, 'c', 3), 5);
    EXPECT_EQ_SIZE(str_find_byte(s, 'c', 6), SIZE_MAX);
    EXPECT_EQ_SIZE(str_find_byte((struct str){NULL, 0}, 'c', 0), SIZE_MAX);
}

TEST(trim_takes_ascii_blanks_only)
{
    EXPECT_EQ_STR(str_trim(STR(" \t\r\n a b \n")), STR("a b"));
    EXPECT_EQ_STR(str_trim(STR(" \n ")), STR(""));
    EXPECT_EQ_STR(str_trim(STR("\xC2\xA0x")), STR("\xC2\xA0x"));
}

TEST(unsigned_numbers_are_whole_and_in_range)
{
    uint64_t v = 7;

    EXPECT_OK(str_to_u64(STR("18446744073709551615"), &v));
    EXPECT_EQ_U64(v, UINT64_MAX);
    EXPECT_OK(str_to_u64(STR("007"), &v));
    EXPECT_EQ_U64(v, 7);
    EXPECT_STATUS(str_to_u64(STR("18446744073709551616"), &v), E_LIMIT);
    EXPECT_STATUS(str_to_u64(STR("99999999999999999999999"), &v), E_LIMIT);
    EXPECT_STATUS(str_to_u64(STR("99999999999999999999x"), &v), E_INVALID);
    EXPECT_STATUS(str_to_u64(STR(""), &v), E_INVALID);
    EXPECT_STATUS(str_to_u64(STR("+1"), &v), E_INVALID);
    EXPECT_STATUS(str_to_u64(STR("-1"), &v), E_INVALID);
    EXPECT_STATUS(str_to_u64(STR(" 1"), &v), E_INVALID);
    EXPECT_STATUS(str_to_u64(STR("1 "), &v), E_INVALID);
    EXPECT_EQ_U64(v, 7); // untouched on failure
}

TEST(signed_numbers_reach_both_ends)
{
    int64_t v = 7;

    EXPECT_OK(str_to_i64(STR("-9223372036854775808"), &v));
    EXPECT_EQ_I64(v, INT64_MIN);
    EXPECT_OK(str_to_i64(STR("9223372036854775807"), &v));
    EXPECT_EQ_I64(v, INT64_MAX);
    EXPECT_OK(str_to_i64(STR("-0"), &v));
    EXPECT_EQ_I64(v, 0);
    EXPECT_STATUS(str_to_i64(STR("9223372036854775808"), &v), E_LIMIT);
    EXPECT_STATUS(str_to_i64(STR("-9223372036854775809"), &v), E_LIMIT);
    EXPECT_STATUS(str_to_i64(STR("-"), &v), E_INVALID);
    EXPECT_STATUS(str_to_i64(STR("--1"), &v), E_INVALID);
}

TEST(floating_numbers_follow_the_json_grammar)
{
    static const char *const bad[] = {"",    ".5",  "1.", "+1", "01", "1e",  "0x1p3", "inf",
                                      "nan", "1,5", " 1", "1 ", "-",  "--1", "1e+",   "1.5f"};
    double v = 7.0;

    EXPECT_OK(str_to_f64(STR("-12.5e-1"), &v));
    EXPECT_NEAR(v, -1.25, 0.0);
    EXPECT_OK(str_to_f64(STR("0"), &v));
    EXPECT_NEAR(v, 0.0, 0.0);
    EXPECT_OK(str_to_f64(STR("1e-400"), &v)); // rounds to zero
    EXPECT_NEAR(v, 0.0, 0.0);
    EXPECT_STATUS(str_to_f64(STR("1e400"), &v), E_LIMIT);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (str_to_f64(str_from_c(bad[i]), &v) != E_INVALID) {
            FAIL("\"%s\" was accepted", bad[i]);
        }
    }
}

TEST(distance_counts_edits_and_swaps)
{
    char longer[65];

    EXPECT_EQ_SIZE(str_distance(STR("port"), STR("port")), 0);
    EXPECT_EQ_SIZE(str_distance(STR("prot"), STR("port")), 1);
    EXPECT_EQ_SIZE(str_distance(STR("pot"), STR("port")), 1);
    EXPECT_EQ_SIZE(str_distance(STR("--max-modellen"), STR("--max-model-len")), 1);
    EXPECT_EQ_SIZE(str_distance(STR("kitten"), STR("sitting")), 3);
    EXPECT_EQ_SIZE(str_distance(STR(""), STR("abc")), 3);
    for (size_t i = 0; i < sizeof(longer); i++) {
        longer[i] = 'a';
    }
    EXPECT_EQ_SIZE(str_distance((struct str){longer, 64}, STR("b")), 64);
    EXPECT_EQ_SIZE(str_distance((struct str){longer, 65}, STR("b")), SIZE_MAX);
}
