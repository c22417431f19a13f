/* Rules: the fixed texts taken from patterns, versions, the prefilter against a plain search,
 * scanning in blocks of any size. */
#include "base/buf.h"
#include "base/check.h"
#include "doctor/log_scan.h"
#include "doctor/rules.h"
#include "doctor/rules_filter.h"
#include "doctor/rules_regex.h"
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

static struct rules *load(const char *text)
{
    struct rules *r = rules_create();
    struct buf faults;

    EXPECT_TRUE(r != NULL);
    buf_init(&faults, 1 << 20);
    if (rules_add(r, STR("test.rules"), str_from_c(text), &faults) != OK) {
        FAIL("%s", buf_c(&faults));
    }
    buf_done(&faults);
    return r;
}

/* The literals of a pattern, joined by '|'; "none" when it has none. */
static void expect_literals(const char *regex, const char *want)
{
    struct arena *arena = arena_create(1 << 20);
    struct rules_pattern p = {.nocase = false};
    struct buf got;

    EXPECT_TRUE(arena != NULL);
    buf_init(&got, 4096);
    if (rules_literals(arena, str_from_c(regex), &p)) {
        for (uint32_t i = 0; i < p.n_literals; i++) {
            buf_append_c(&got, i > 0 ? "|" : "");
            buf_append_str(&got, p.literals[i]);
        }
    } else {
        buf_append_c(&got, "none");
    }
    EXPECT_EQ_STR(buf_str(&got), str_from_c(want));
    buf_done(&got);
    arena_destroy(arena);
}

TEST(literals_are_what_must_be_in_the_line)
{
    expect_literals("plain text", "plain text");
    expect_literals("ab|abcdef", "none"); // the first alternative is too short
    expect_literals("alpha|beta5", "alpha|beta5");
    expect_literals("lib\\w+\\.so\\.1: cannot", ".so.1: cannot");
    expect_literals("colou?rful things", "rful things");
    expect_literals("many+ words here", " words here");
    expect_literals("x{2,3}tail part", "tail part");
    expect_literals("[abc]defgh[i-k]", "defgh");
    expect_literals("(?:first|other) end", "first|other"); // " end" is too short
    expect_literals("(?:first|second)? at the end", " at the end");
    expect_literals("(?:no|yes) (long one|short)", "long one|short");
    expect_literals("a(?!xxxxxx)b", "none"); // what must not follow is no fixed text
    expect_literals("(?i)Some Words", "Some Words");
    expect_literals("one\\|two\\(three", "one|two(three");
    expect_literals("", "none");
    expect_literals("(((deeper)))", "deeper");
}

TEST(versions_compare_by_number)
{
    static const struct {
        const char *a, *b;
        int want;
    } rows[] = {
        {"0.10.0", "0.9.2", 1},      {"0.10.1", "0.10.1.1", -1},   {"8.3.RC1", "8.3.0", -1},
        {"8.3.RC1", "8.2.0", 1},     {"v0.11.0", "0.11.0", 0},     {"2.5.1+cu124", "2.5.1", 0},
        {"0.11.0rc1", "0.11.0", -1}, {"4.57.0.dev0", "4.57.0", 0}, {"", "1", -1},
        {"1.0", "1.0.0", 0},         {"99999999999999", "1", 1},   {"2.7.1.post2", "2.7.1", 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int got = rules_compare_versions(str_from_c(rows[i].a), str_from_c(rows[i].b));

        EXPECT_EQ_INT((got > 0) - (got < 0), rows[i].want);
    }
}

/* A small generator is enough here. */
static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static size_t count_literal(void *user, uint32_t pattern_idx, size_t at)
{
    uint32_t *counts = user;

    (void)at;
    counts[pattern_idx]++;
    return 0;
}

/* The rest of the text is of no interest once something was found. */
static size_t count_one_line(void *user, uint32_t pattern_idx, size_t at)
{
    (void)count_literal(user, pattern_idx, at);
    return at / 20 * 20 + 19;
}

TEST(prefilter_goes_on_where_it_is_told)
{
    struct rules *r = load("fact a = yes\nmatch /abcab/\nmatch /xyzzy/\n");
    struct rules_filter *f = rules_filter_create(r);
    struct buf text;
    uint32_t counts[2] = {0};

    EXPECT_TRUE(f != NULL);
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 101; i++) {
        buf_append_c(&text, i % 2 == 0 ? "abcab xyzzy  abcab \n" : "  xyzzy abcab xyzzy\n");
    }
    rules_filter_scan(f, buf_str(&text), count_one_line, counts);
    EXPECT_EQ_U32(counts[0], 51);
    EXPECT_EQ_U32(counts[1], 50);
    buf_done(&text);
    rules_filter_destroy(f);
    rules_destroy(r);
}

/* How often `needle` stands in `text`, overlapping. */
static uint32_t occurrences(struct str text, struct str needle)
{
    uint32_t n = 0;

    for (size_t at = str_find(text, needle, 0); at != SIZE_MAX;
         at = str_find(text, needle, at + 1)) {
        n++;
    }
    return n;
}

TEST(prefilter_finds_every_literal_once)
{
    struct rules *r = load("fact a = yes\nmatch /abcab/\nmatch /bcabca/\nmatch /aabbc/\n"
                           "match /ccccc/\nmatch /(?i)CABCA/\n");
    struct rules_filter *f = rules_filter_create(r);
    uint32_t state = 7;

    EXPECT_TRUE(f != NULL);
    for (int round = 0; round < 200; round++) {
        char bytes[200];
        size_t n = next(&state) % sizeof(bytes);
        struct str text = {bytes, n};
        uint32_t counts[8] = {0};

        for (size_t i = 0; i < n; i++) {
            bytes[i] = "abc"[next(&state) % 3];
        }
        rules_filter_scan(f, text, count_literal, counts);
        for (uint32_t i = 0; i < 4; i++) {
            EXPECT_EQ_U32(counts[i], occurrences(text, r->patterns[i].literals[0]));
        }
        EXPECT_EQ_U32(counts[4], occurrences(text, STR("cabca")));
    }
    rules_filter_destroy(f);
    rules_destroy(r);
}

static const char scanned_rules[] = "rule disk\ntitle t\nmatch /No space left on (\\w+)/\ncause c\n"
                                    "fix f\nexample No space left on device\n"
                                    "fact version\nmatch /engine version (\\S+)/\n";

/* Feed `text` in blocks of whole lines of at least `step` bytes. */
static struct log_scan *scan(const struct rules *r, struct str text, size_t step)
{
    struct log_scan *s = NULL;
    struct error err;
    size_t at = 0;

    EXPECT_OK(log_scan_create(r, &s, &err));
    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at + step < text.len ? at + step : text.len - 1);

        end = end == SIZE_MAX ? text.len : end + 1;
        log_scan_feed(s, str_slice(text, at, end));
        at = end;
    }
    return s;
}

TEST(blocks_of_any_size_give_the_same_lines)
{
    static const char text[] = "one\nengine version 1.2\nthree No space left on device\n\nfive\n"
                               "DEBUG six No space left on device\nNo space left on disk\n";
    struct rules *r;

    if (!rules_regex_is_built()) {
        SKIP("no hardware: built without PCRE2");
    }
    r = load(scanned_rules);
    for (size_t step = 0; step < sizeof(text); step += 5) {
        struct log_scan *s = scan(r, str_from_c(text), step);
        const struct log_scan_hits *h = log_scan_hits(s, 0);
        const struct log_scan_fact *f = log_scan_fact(s, STR("version"));

        EXPECT_EQ_U64(h->times, 2);
        EXPECT_EQ_U64(h->first.line, 3);
        EXPECT_EQ_U64(h->last.line, 7);
        EXPECT_EQ_STR(((struct str){h->last.captures[0], h->last.capture_len[0]}), STR("disk"));
        EXPECT_TRUE(f != NULL && f->n_values == 1);
        EXPECT_EQ_U64(f->values[0].line, 2);
        EXPECT_EQ_U64(log_scan_lines(s), 7);
        log_scan_destroy(s);
    }
    rules_destroy(r);
}

TEST(nearness_is_counted_in_lines)
{
    struct log_scan_hits a = {.times = 2, .first_lines = {10, 500}, .n_first = 2};
    struct log_scan_hits b = {.times = 1, .first_lines = {530}, .n_first = 1};
    struct log_scan_hits none = {.times = 0};

    EXPECT_TRUE(log_scan_near(&a, &b, 30));
    EXPECT_FALSE(log_scan_near(&a, &b, 29));
    EXPECT_TRUE(log_scan_near(&a, &b, 0));
    EXPECT_FALSE(log_scan_near(&a, &none, 0));
}

TEST(built_in_rules_have_no_fault)
{
    struct rules *r = rules_create();
    struct buf faults;

    EXPECT_TRUE(r != NULL);
    buf_init(&faults, 1 << 20);
    if (rules_add_builtin(r, &faults) != OK) {
        FAIL("%s", buf_c(&faults));
    }
    EXPECT_TRUE(r->n_rules > 300 && r->n_patterns > 450);
    buf_done(&faults);
    rules_destroy(r);
}
