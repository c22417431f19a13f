#include "base/utf8.h"
#include "support/guard.h"
#include "support/test.h"

#include <string.h>

static bool is_scalar(uint32_t cp)
{
    return cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF);
}

/* The definition, written differently: decode loosely, then refuse what encodes otherwise. */
static unsigned decode_slowly(const unsigned char *p, size_t left)
{
    unsigned len = p[0] < 0x80       ? 1
                   : p[0] >> 5 == 6  ? 2
                   : p[0] >> 4 == 14 ? 3
                   : p[0] >> 3 == 30 ? 4
                                     : 0;
    uint32_t cp = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    char again[4];

    if (len == 0 || len > left) {
        return 0;
    }
    for (unsigned i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) {
            return 0;
        }
        cp = cp << 6 | (p[i] & 0x3Fu);
    }
    if (!is_scalar(cp) || utf8_encode(cp, again) != len || memcmp(again, p, len) != 0) {
        return 0;
    }
    return len;
}

TEST(every_scalar_value_survives)
{
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char bytes[4];
        uint32_t back = 0;
        unsigned len;

        if (!is_scalar(cp)) {
            continue;
        }
        len = utf8_encode(cp, bytes);
        EXPECT_EQ_U32(utf8_decode((struct str){bytes, len}, 0, &back), len);
        EXPECT_EQ_U32(back, cp);
        EXPECT_TRUE(utf8_valid((struct str){bytes, len}));
        for (unsigned cut = 1; cut < len; cut++) {
            EXPECT_EQ_U32(utf8_decode((struct str){bytes, cut}, 0, &back), 0);
            EXPECT_EQ_U32(back, 0xFFFD);
            EXPECT_EQ_SIZE(utf8_incomplete_tail((struct str){bytes, cut}), cut);
        }
        EXPECT_EQ_SIZE(utf8_incomplete_tail((struct str){bytes, len}), 0);
    }
}

/* All pairs of lead and second byte, the other two from the edges of what they may be. */
TEST(every_sequence_of_four_gets_the_slow_verdict)
{
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};

    for (unsigned ab = 0; ab < 0x10000; ab++) {
        for (unsigned cd = 0; cd < 36; cd++) {
            unsigned char p[4] = {(unsigned char)(ab >> 8), (unsigned char)ab, edges[cd / 6],
                                  edges[cd % 6]};
            uint32_t cp = 0;
            unsigned want = decode_slowly(p, 4);
            unsigned got = utf8_decode((struct str){(const char *)p, 4}, 0, &cp);

            if (got != want) {
                FAIL("%02x %02x %02x %02x: %u, not %u", p[0], p[1], p[2], p[3], got, want);
            }
        }
    }
}

/* The tail of a text is incomplete exactly when some bytes behind it make it a character. */
TEST(incomplete_tails_can_be_completed)
{
    static const unsigned char tries[] = {0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF};
    static const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                          0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                          0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    const unsigned n = sizeof(edges);

    for (unsigned abc = 0; abc < n * n * n; abc++) {
        unsigned char p[6] = {edges[abc / n / n], edges[abc / n % n], edges[abc % n]};
        size_t got = utf8_incomplete_tail((struct str){(const char *)p, 3});
        size_t want = 0;

        for (size_t tail = 1; tail <= 3 && want == 0; tail++) {
            for (unsigned i = 0; i < 216; i++) {
                p[3] = tries[i / 36];
                p[4] = tries[i / 6 % 6];
                p[5] = tries[i % 6];
                if (decode_slowly(p + 3 - tail, tail + 3) > tail) {
                    want = tail;
                }
            }
        }
        if (got != want) {
            FAIL("%02x %02x %02x: tail %zu, not %zu", p[0], p[1], p[2], got, want);
        }
    }
}

TEST(the_first_fault_is_found_at_every_offset)
{
    char text[64];

    for (size_t len = 1; len < sizeof(text); len++) {
        for (size_t at = 0; at < len; at++) {
            struct guard g;

            memset(text, 'a', sizeof(text));
            text[at] = (char)0xC3; // followed by an ASCII byte or the end
            g = guard_copy((struct str){text, len});
            EXPECT_EQ_SIZE(utf8_valid_prefix(g.text), at);
            EXPECT_FALSE(utf8_valid(g.text));
            guard_done(&g);
        }
    }
    EXPECT_EQ_SIZE(utf8_valid_prefix((struct str){NULL, 0}), 0);
    EXPECT_EQ_SIZE(utf8_incomplete_tail((struct str){NULL, 0}), 0);
    EXPECT_EQ_SIZE(utf8_valid_prefix(STR("Z\xC3\xBCrich \xF0\x9F\x98\x80!")), 13);
}

TEST(reading_stops_at_the_end)
{
    struct str whole = STR("\xF0\x9F\x98\x80");

    for (size_t len = 1; len <= whole.len; len++) {
        struct guard g = guard_copy(str_slice(whole, 0, len));
        uint32_t cp = 0;

        EXPECT_EQ_U32(utf8_decode(g.text, 0, &cp), len == 4 ? 4u : 0u);
        EXPECT_EQ_SIZE(utf8_incomplete_tail(g.text), len == 4 ? 0u : len);
        guard_done(&g);
    }
}
