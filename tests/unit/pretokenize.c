#include "base/check.h"
#include "text/pretokenize.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "support/guard.h"
#include "support/test.h"
#include "text/unicode.h"

#include <string.h>

/* Pieces joined by '|' must be `want`. */
static void expect_pieces(struct str text, struct str want)
{
    char joined[512];
    size_t n = 0;
    size_t at = 0;

    while (at < text.len) {
        size_t end = pretokenize_next(text, at);

        EXPECT_TRUE(end > at && end <= text.len && n + end - at + 1 < sizeof(joined));
        if (at > 0) {
            joined[n++] = '|';
        }
        memcpy(joined + n, text.ptr + at, end - at);
        n += end - at;
        at = end;
    }
    EXPECT_EQ_STR(((struct str){joined, n}), want);
}

static void expect_cut(const char *text, const char *want)
{
    expect_pieces(str_from_c(text), str_from_c(want));
}

TEST(words_and_contractions)
{
    expect_cut("Hello world", "Hello| world");
    expect_cut("I've it's he'll we'd I'm don't you're",
               "I|'ve| it|'s| he|'ll| we|'d| I|'m| don|'t| you|'re");
    expect_cut("'RE 'Ll 'VE 'S", "'RE| '|Ll| '|VE| '|S");
    expect_cut("a'\u017fx", "a|'\u017f|x"); // long s counts as s
    expect_cut("'lx 'rt 'vb 'x", "'lx| '|rt| '|vb| '|x");
    expect_cut("'s'", "'s|'");
    expect_cut("'l", "'l");
    expect_cut("'", "'");
    expect_cut("_abc#def", "_abc|#def");
    expect_cut("\tabc", "\tabc");
}

TEST(numbers_in_threes)
{
    expect_cut("1234567", "123|456|7");
    expect_cut(" 42", " |42");
    expect_cut("a1b", "a|1|b");
    expect_cut("\u0661\u0662\u0663\u0664", "\u0661\u0662\u0663|\u0664");
    expect_cut("x=10.5", "x|=|10|.|5");
}

TEST(others_take_line_ends_along)
{
    expect_cut("!!\n\nx", "!!\n\n|x");
    expect_cut(" ...\r\n!", " ...\r\n|!");
    expect_cut("a  !b", "a| | !|b");
    expect_cut("(a)", "(a|)");
    expect_cut("!\n \nx", "!\n| \n|x");
}

TEST(white_space)
{
    expect_cut("a  b", "a| | b");
    expect_cut("a   ", "a|   ");
    expect_cut("  \n  b", "  \n| | b");
    expect_cut(" \n \n  ", " \n \n|  ");
    expect_cut("a\n\n\nb", "a|\n\n\n|b");
    expect_cut("\nb", "\n|b");
    expect_cut("\r\n", "\r\n");
    expect_cut("a \u3000b", "a| |\u3000b");
    expect_cut("1 \u00a02", "1| |\u00a0|2");
    expect_cut("a\u00a0\u00a0!", "a|\u00a0|\u00a0|!");
    expect_cut("a\xC2\x85z", "a|\xC2\x85z");
    expect_cut("a\u200bb", "a|\u200bb");
}

TEST(stray_bytes_are_single_others)
{
    // 0xFF never occurs in UTF-8, 0x80 only continues, "\xE4\xB8" is cut short.
    expect_cut("a\xFFz", "a|\xFFz");
    expect_cut("ab\x80\x80 1", "ab|\x80\x80| |1");
    expect_cut("\xE4\xB8 x", "\xE4\xB8| x");
    expect_cut("\xED\xA0\x80z", "\xED\xA0\x80|z"); // a surrogate is three stray bytes
    expect_cut("'\xC5", "'\xC5");                  // the first byte of U+017F
    expect_cut(" \xFF\n", " \xFF\n");
}

/* ---- Against a small backtracking matcher that reads the expression as it stands ---- */

enum atom_kind { CLASS, LITERAL_NOCASE, NOT_BEFORE_TEXT };

/* Which characters an atom of kind CLASS takes. */
enum {
    M_LETTER = 1,
    M_NUMBER = 2,
    M_SPACE = 4,
    M_OTHER = 8,
    M_CRLF = 16, // the line ends among M_SPACE
    M_BLANK = 32 // U+0020 alone
};

struct atom {
    enum atom_kind kind;
    unsigned mask;
    unsigned without; // taken away from mask
    size_t min;
    size_t max;
    char letter;
};

#define ANY ((size_t)-1)
#define END_ATOM                                                                                   \
    {                                                                                              \
        .kind = CLASS, .min = ANY                                                                  \
    }

static const struct atom alternatives[][4] = {
    {{LITERAL_NOCASE, .letter = '\''}, {LITERAL_NOCASE, .letter = 's'}, END_ATOM},
    {{LITERAL_NOCASE, .letter = '\''}, {LITERAL_NOCASE, .letter = 't'}, END_ATOM},
    {{LITERAL_NOCASE, .letter = '\''},
     {LITERAL_NOCASE, .letter = 'r'},
     {LITERAL_NOCASE, .letter = 'e'},
     END_ATOM},
    {{LITERAL_NOCASE, .letter = '\''},
     {LITERAL_NOCASE, .letter = 'v'},
     {LITERAL_NOCASE, .letter = 'e'},
     END_ATOM},
    {{LITERAL_NOCASE, .letter = '\''}, {LITERAL_NOCASE, .letter = 'm'}, END_ATOM},
    {{LITERAL_NOCASE, .letter = '\''},
     {LITERAL_NOCASE, .letter = 'l'},
     {LITERAL_NOCASE, .letter = 'l'},
     END_ATOM},
    {{LITERAL_NOCASE, .letter = '\''}, {LITERAL_NOCASE, .letter = 'd'}, END_ATOM},
    {{CLASS, M_SPACE | M_OTHER, M_CRLF, 0, 1, 0}, {CLASS, M_LETTER, 0, 1, ANY, 0}, END_ATOM},
    {{CLASS, M_NUMBER, 0, 1, 3, 0}, END_ATOM},
    {{CLASS, M_BLANK, 0, 0, 1, 0},
     {CLASS, M_OTHER, 0, 1, ANY, 0},
     {CLASS, M_CRLF, 0, 0, ANY, 0},
     END_ATOM},
    {{CLASS, M_SPACE, 0, 0, ANY, 0}, {CLASS, M_CRLF, 0, 1, ANY, 0}, END_ATOM},
    {{CLASS, M_SPACE, 0, 1, ANY, 0}, {NOT_BEFORE_TEXT, .min = 0}, END_ATOM},
    {{CLASS, M_SPACE, 0, 1, ANY, 0}, END_ATOM},
};

struct chars {
    uint32_t cp[64];
    size_t n;
};

static unsigned mask_of(uint32_t cp)
{
    enum unicode_class class = unicode_class_of(cp);
    unsigned mask = class == UNICODE_LETTER   ? M_LETTER
                    : class == UNICODE_NUMBER ? M_NUMBER
                    : class == UNICODE_SPACE  ? M_SPACE
                                              : M_OTHER;

    return mask | (cp == '\r' || cp == '\n' ? M_CRLF : 0u) | (cp == ' ' ? M_BLANK : 0u);
}

static bool takes(const struct atom *a, uint32_t cp)
{
    if (a->kind == LITERAL_NOCASE) {
        return a->letter == '\'' ? cp == '\'' : unicode_fold_ascii(cp) == a->letter;
    }
    return (mask_of(cp) & a->mask) != 0 && (mask_of(cp) & a->without) == 0;
}

/* End of the match of atoms[0..] at `at`, greedy with backtracking, or ANY. */
static size_t match(const struct atom *a, const struct chars *c, size_t at)
{
    size_t n = 0;
    size_t min = a->kind == LITERAL_NOCASE ? 1 : a->min;
    size_t max = a->kind == LITERAL_NOCASE ? 1 : a->max;

    if (a->kind == CLASS && a->min == ANY) {
        return at;
    }
    if (a->kind == NOT_BEFORE_TEXT) {
        return at < c->n && (mask_of(c->cp[at]) & M_SPACE) == 0 ? ANY : match(a + 1, c, at);
    }
    while (n < max && at + n < c->n && takes(a, c->cp[at + n])) {
        n++;
    }
    for (size_t k = n + 1; k-- > min;) {
        size_t end = match(a + 1, c, at + k);

        if (end != ANY) {
            return end;
        }
    }
    return ANY;
}

static size_t oracle_next(const struct chars *c, size_t at)
{
    for (size_t i = 0; i < sizeof(alternatives) / sizeof(alternatives[0]); i++) {
        size_t end = match(alternatives[i], c, at);

        if (end != ANY && end > at) {
            return end;
        }
    }
    return ANY;
}

static const uint32_t samples[] = {'a',    's',    'S',    't',      'r',  'e',  'v',   'l',
                                   'm',    'd',    0x17F,  0x4E2D,   0xE9, '1',  '2',   0xBD,
                                   ' ',    ' ',    ' ',    '\n',     '\n', '\r', '\t',  0x85,
                                   0xA0,   0x3000, '!',    '\'',     '\'', '.',  0x301, 0x1F600,
                                   0x200B, 0x2028, 0xFFFD, 0x10FFFF, '_',  '\0'};

static void compare_with_oracle(uint64_t seed)
{
    struct chars c = {.n = 1 + (size_t)(rng_uniform(seed, 0, 0) * 24)};
    char bytes[64 * 4];
    size_t ends[64 + 1] = {0}; // byte offset where character i begins
    size_t n_bytes = 0;
    size_t at = 0;
    struct str text;

    for (size_t i = 0; i < c.n; i++) {
        c.cp[i] = samples[(size_t)(rng_uniform(seed, 1, i) * (double)ARRAY_COUNT(samples))];
        n_bytes += utf8_encode(c.cp[i], bytes + n_bytes);
        ends[i + 1] = n_bytes;
    }
    text = (struct str){bytes, n_bytes};
    while (at < c.n) {
        size_t end = oracle_next(&c, at);

        EXPECT_TRUE(end != ANY);
        if (pretokenize_next(text, ends[at]) != ends[end]) {
            FAIL("seed %llu, character %zu: ends at byte %zu, expected %zu",
                 (unsigned long long)seed, at, pretokenize_next(text, ends[at]), ends[end]);
        }
        at = end;
    }
}

TEST(agrees_with_a_backtracking_matcher)
{
    for (uint64_t seed = 1; seed <= 200000; seed++) {
        compare_with_oracle(seed);
    }
}

TEST(random_bytes_in_front_of_an_unreadable_page)
{
    char bytes[48];

    for (uint64_t seed = 1; seed <= 3000; seed++) {
        size_t n = 1 + (size_t)(rng_uniform(seed, 0, 0) * 47);
        struct guard g;
        size_t at = 0;

        for (size_t i = 0; i < n; i++) {
            bytes[i] = (char)(unsigned char)(rng_uniform(seed, 1, i) * 256);
        }
        g = guard_copy((struct str){bytes, n});
        while (at < n) {
            size_t end = pretokenize_next(g.text, at);

            EXPECT_TRUE(end > at && end <= n);
            at = end;
        }
        guard_done(&g);
    }
}
