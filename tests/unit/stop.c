#include "text/stop.h"
#include "base/rng.h"
#include "support/test.h"

#include <string.h>

#define OUT_MAX ((size_t)1 << 20)

struct outcome {
    struct buf out;
    bool matched;
    uint32_t idx;
};

/* Feed `text` cut into pieces by `rng` (0: one piece). */
static struct outcome feed(struct stop_matcher *m, struct str text, uint64_t seed)
{
    struct outcome o = {.matched = false};
    size_t at = 0;

    buf_init(&o.out, OUT_MAX);
    for (uint64_t i = 0; at < text.len; i++) {
        size_t left = text.len - at;
        size_t n = seed == 0 ? left : 1 + (size_t)(rng_uniform(seed, 0, i) * 4);

        n = n > left ? left : n;
        if (stop_push(m, str_slice(text, at, at + n), &o.out, &o.idx)) {
            o.matched = true;
        }
        at += n;
    }
    stop_finish(m, &o.out);
    return o;
}

static void expect_feed(const struct str *stops, uint32_t n_stops, const char *text,
                        const char *want, int want_idx)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct stop_matcher m;
        struct outcome o;

        EXPECT_OK(stop_init(&m, stops, n_stops));
        o = feed(&m, str_from_c(text), seed);
        EXPECT_EQ_STR(buf_str(&o.out), str_from_c(want));
        EXPECT_EQ_INT(o.matched ? (int)o.idx : -1, want_idx);
        buf_done(&o.out);
    }
}

TEST(cuts_at_the_stop_string)
{
    const struct str stops[] = {STR("END"), STR("\n\n")};

    expect_feed(stops, 2, "one two END three", "one two ", 0);
    expect_feed(stops, 2, "one\ntwo\n\nthree END", "one\ntwo", 1);
    expect_feed(stops, 2, "one EN two", "one EN two", -1);
    expect_feed(stops, 2, "one EN", "one EN", -1);
    expect_feed(stops, 2, "ENEND", "EN", 0);
    expect_feed(stops, 2, "END", "", 0);
    expect_feed(stops, 2, "", "", -1);
}

TEST(retreats_inside_one_string)
{
    const struct str stops[] = {STR("aabaaab")};

    expect_feed(stops, 1, "aabaabaaab!", "aab", 0);
    expect_feed(stops, 1, "aabaaaabaaab", "aabaa", 0);
    expect_feed(stops, 1, "aabaaaabaaaab", "aabaaaabaaaab", -1);
}

TEST(first_end_wins_then_the_longest)
{
    const struct str stops[] = {STR("cd"), STR("abcd"), STR("bc")};
    const struct str nested[] = {STR("d"), STR("abcd"), STR("cd")};

    expect_feed(stops, 3, "xabcdx", "xa", 2); // "bc" ends before "abcd"
    expect_feed(nested, 3, "xabcdx", "x", 1); // all end at once: the longest, so no part remains
}

TEST(text_is_held_only_while_it_may_be_a_stop)
{
    const struct str stops[] = {STR("</answer>")};
    struct stop_matcher m;
    struct buf out;

    buf_init(&out, OUT_MAX);
    EXPECT_OK(stop_init(&m, stops, 1));
    EXPECT_FALSE(stop_push(&m, STR("fine </ans"), &out, NULL));
    EXPECT_EQ_STR(buf_str(&out), STR("fine "));
    EXPECT_FALSE(stop_push(&m, STR("w"), &out, NULL));
    EXPECT_EQ_STR(buf_str(&out), STR("fine "));
    EXPECT_FALSE(stop_push(&m, STR("!<"), &out, NULL));
    EXPECT_EQ_STR(buf_str(&out), STR("fine </answ!"));
    buf_done(&out);
}

TEST(held_text_begins_with_a_whole_character)
{
    const struct str stops[] = {STR("\u7ed3\u675f")}; // two Chinese characters
    struct stop_matcher m;
    struct buf out;

    buf_init(&out, OUT_MAX);
    EXPECT_OK(stop_init(&m, stops, 1));
    // U+7ED4 shares two bytes with U+7ED3; pieces are whole characters, so it leaves at once.
    EXPECT_FALSE(stop_push(&m, STR("a\u7ed4"), &out, NULL));
    EXPECT_EQ_STR(buf_str(&out), STR("a\u7ed4"));
    EXPECT_FALSE(stop_push(&m, STR("\u7ed3"), &out, NULL));
    EXPECT_EQ_STR(buf_str(&out), STR("a\u7ed4"));
    EXPECT_TRUE(stop_push(&m, STR("\u675fb"), &out, NULL));
    EXPECT_EQ_STR(buf_str(&out), STR("a\u7ed4"));
    buf_done(&out);
}

TEST(include_stop_keeps_the_string)
{
    const struct str stops[] = {STR("END")};
    struct stop_matcher m;
    struct outcome o;

    for (uint64_t seed = 0; seed < 4; seed++) {
        EXPECT_OK(stop_init(&m, stops, 1));
        m.include_stop = true;
        o = feed(&m, STR("one END two"), seed);
        EXPECT_EQ_STR(buf_str(&o.out), STR("one END"));
        EXPECT_TRUE(o.matched);
        buf_done(&o.out);
    }
}

TEST(nothing_follows_a_match)
{
    const struct str stops[] = {STR("x")};
    struct stop_matcher m;
    uint32_t idx = 7;
    struct buf out;

    buf_init(&out, OUT_MAX);
    EXPECT_OK(stop_init(&m, stops, 1));
    EXPECT_TRUE(stop_push(&m, STR("axb"), &out, NULL));
    EXPECT_TRUE(stop_push(&m, STR("c"), &out, &idx));
    stop_finish(&m, &out);
    EXPECT_EQ_U32(idx, 0);
    EXPECT_EQ_STR(buf_str(&out), STR("a"));
    buf_done(&out);
}

TEST(limits_of_init)
{
    static char long_text[STOP_BYTES_MAX + 1];
    struct str stops[STOP_STRINGS_MAX + 1];
    struct stop_matcher m;

    memset(long_text, 'a', sizeof(long_text));
    for (size_t i = 0; i <= STOP_STRINGS_MAX; i++) {
        stops[i] = (struct str){long_text, STOP_BYTES_MAX};
    }
    EXPECT_OK(stop_init(&m, stops, STOP_STRINGS_MAX));
    EXPECT_STATUS(stop_init(&m, stops, STOP_STRINGS_MAX + 1), E_LIMIT);
    stops[1].len++;
    EXPECT_STATUS(stop_init(&m, stops, 2), E_LIMIT);
    stops[1].len = 0;
    EXPECT_STATUS(stop_init(&m, stops, 2), E_INVALID);
    EXPECT_OK(stop_init(&m, NULL, 0));
}

/* ---- Against a naive search ---- */

static struct str random_text(uint64_t seed, uint64_t stream, size_t n_max, char *out)
{
    size_t n = (size_t)(rng_uniform(seed, stream, 0) * (double)(n_max + 1));

    for (size_t i = 0; i < n; i++) {
        out[i] = "aaab\xC3"[(size_t)(rng_uniform(seed, stream, i + 1) * 5)];
    }
    return (struct str){out, n};
}

/* The definition: the earliest end; of those, the longest string. */
static bool naive(struct str text, const struct str *stops, uint32_t n, size_t *ret_end,
                  uint32_t *ret_idx)
{
    for (size_t end = 1; end <= text.len; end++) {
        bool found = false;

        for (uint32_t i = 0; i < n; i++) {
            if (str_ends(str_slice(text, 0, end), stops[i]) &&
                (!found || stops[i].len > stops[*ret_idx].len)) {
                found = true;
                *ret_idx = i;
            }
        }
        if (found) {
            *ret_end = end;
            return true;
        }
    }
    return false;
}

/* Text that was sent must not be needed later: with nothing matched so far, what is held back is
 * the longest end of the text that begins a stop string. */
static size_t naive_held(struct str text, const struct str *stops, uint32_t n)
{
    for (size_t held = text.len; held > 0; held--) {
        for (uint32_t i = 0; i < n; i++) {
            if (held < stops[i].len && str_ends(text, str_slice(stops[i], 0, held))) {
                return held;
            }
        }
    }
    return 0;
}

static void check_one(uint64_t seed)
{
    char bytes[STOP_STRINGS_MAX][6];
    char text_bytes[64];
    struct str stops[STOP_STRINGS_MAX];
    struct str text = random_text(seed, 1, sizeof(text_bytes), text_bytes);
    uint32_t n = (uint32_t)(rng_uniform(seed, 2, 0) * 5);
    struct stop_matcher m;
    struct buf out;
    size_t end = 0;
    uint32_t idx = 0;
    uint32_t got_idx = 99;
    bool expected;
    bool matched = false;

    for (uint32_t i = 0; i < n; i++) {
        stops[i] = random_text(seed, 10 + i, 5, bytes[i] + 1);
        bytes[i][0] = 'a';
        stops[i] = (struct str){bytes[i], stops[i].len + 1};
    }
    expected = naive(text, stops, n, &end, &idx);
    EXPECT_OK(stop_init(&m, stops, n));
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < text.len && !matched; i++) {
        matched = stop_push(&m, str_slice(text, i, i + 1), &out, &got_idx);
        if (!matched) {
            EXPECT_EQ_SIZE(out.len, i + 1 - naive_held(str_slice(text, 0, i + 1), stops, n));
        }
    }
    stop_finish(&m, &out);
    EXPECT_EQ_INT(matched, expected);
    if (matched) {
        EXPECT_EQ_SIZE(stops[got_idx].len, stops[idx].len); // equal strings may be listed twice
        EXPECT_EQ_STR(buf_str(&out), str_slice(text, 0, end - stops[idx].len));
    } else {
        EXPECT_EQ_STR(buf_str(&out), text);
    }
    buf_done(&out);
}

TEST(agrees_with_naive_search)
{
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        check_one(seed);
    }
}

TEST(pieces_do_not_matter)
{
    const struct str stops[] = {STR("aab"), STR("abab"), STR("b\xC3")};
    char bytes[64];

    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct str text = random_text(seed, 3, sizeof(bytes), bytes);
        struct stop_matcher a;
        struct stop_matcher b;
        struct outcome whole;
        struct outcome cut;

        EXPECT_OK(stop_init(&a, stops, 3));
        EXPECT_OK(stop_init(&b, stops, 3));
        whole = feed(&a, text, 0);
        cut = feed(&b, text, seed);
        EXPECT_EQ_STR(buf_str(&cut.out), buf_str(&whole.out));
        EXPECT_EQ_INT(cut.matched, whole.matched);
        buf_done(&whole.out);
        buf_done(&cut.out);
    }
}
