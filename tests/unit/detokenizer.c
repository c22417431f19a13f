#include "text/detokenizer.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "support/test.h"

#include <string.h>

#define OUT_MAX ((size_t)1 << 20)
#define REPLACEMENT "\xEF\xBF\xBD"

static struct tokenizer *load(void)
{
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (tokenizer_load(test_path("data/tokenizer"), &t, &err) != OK) {
        FAIL("%s", err.text);
    }
    return t;
}

/* Ids of single bytes, so that tests can write bytes. */
static uint32_t byte_ids(const struct tokenizer *t, struct str bytes, int32_t *ids)
{
    for (size_t i = 0; i < bytes.len; i++) {
        ids[i] = tokenizer_id(t, str_slice(bytes, i, i + 1));
        EXPECT_TRUE(ids[i] >= 0);
    }
    return (uint32_t)bytes.len;
}

static void expect_bytes(const struct tokenizer *t, const char *bytes, const char *want)
{
    int32_t ids[64];
    uint32_t n = byte_ids(t, str_from_c(bytes), ids);
    struct detokenizer d;
    struct buf out;

    buf_init(&out, OUT_MAX);
    detokenizer_init(&d, t, false);
    for (uint32_t i = 0; i < n; i++) {
        detokenizer_push(&d, ids[i], &out);
        EXPECT_TRUE(utf8_valid(buf_str(&out))); // never half a character
        EXPECT_TRUE(d.n_held <= 3);
    }
    detokenizer_finish(&d, &out);
    EXPECT_EQ_STR(buf_str(&out), str_from_c(want));
    buf_reset(&out);
    EXPECT_OK(tokenizer_decode(t, ids, n, false, &out));
    EXPECT_EQ_STR(buf_str(&out), str_from_c(want));
    buf_done(&out);
}

/* The examples of the WHATWG encoding standard's decoder, and of Unicode table 3-8. */
TEST(maximal_prefixes_become_one_replacement)
{
    struct tokenizer *t = load();

    expect_bytes(t, "plain", "plain");
    expect_bytes(t, "\xE4\xBD\xA0\xE5\xA5\xBD", "\xE4\xBD\xA0\xE5\xA5\xBD");
    expect_bytes(t, "\xF0\x9F\x91\x8B", "\xF0\x9F\x91\x8B");
    expect_bytes(t, "\xF0\x9F\x91", REPLACEMENT);
    expect_bytes(t, "\xF0\x9F\x91x", REPLACEMENT "x");
    expect_bytes(t, "\x80\x80", REPLACEMENT REPLACEMENT);
    expect_bytes(t, "\xC0\xAF", REPLACEMENT REPLACEMENT);
    expect_bytes(t, "\xE0\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT);
    expect_bytes(t, "\xED\xA0\x80", REPLACEMENT REPLACEMENT REPLACEMENT);
    expect_bytes(t, "\xF4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT);
    expect_bytes(t,
                 "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                 "A",
                 REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT "A");
    expect_bytes(t, "\xE4\xE4\xBD\xA0", REPLACEMENT "\xE4\xBD\xA0");
    expect_bytes(t, "\xFF\xC3\xA9\xFF", REPLACEMENT "\xC3\xA9" REPLACEMENT);
    tokenizer_destroy(t);
}

TEST(text_leaves_as_soon_as_it_is_complete)
{
    struct tokenizer *t = load();
    int32_t ids[8];
    struct detokenizer d;
    struct buf out;

    buf_init(&out, OUT_MAX);
    byte_ids(t, STR("\xE4\xBD\xA0\xE5 "), ids);
    detokenizer_init(&d, t, false);
    detokenizer_push(&d, ids[0], &out);
    detokenizer_push(&d, ids[1], &out);
    EXPECT_EQ_SIZE(out.len, 0);
    detokenizer_push(&d, ids[2], &out);
    EXPECT_EQ_STR(buf_str(&out), STR("\xE4\xBD\xA0"));
    detokenizer_push(&d, ids[3], &out);
    EXPECT_EQ_SIZE(out.len, 3);
    detokenizer_push(&d, ids[4], &out); // now known to be broken
    EXPECT_EQ_STR(buf_str(&out), STR("\xE4\xBD\xA0" REPLACEMENT " "));
    detokenizer_finish(&d, &out);
    detokenizer_finish(&d, &out); // twice is harmless
    EXPECT_EQ_STR(buf_str(&out), STR("\xE4\xBD\xA0" REPLACEMENT " "));
    buf_done(&out);
    tokenizer_destroy(t);
}

TEST(special_tokens_are_dropped_on_request)
{
    struct tokenizer *t = load();
    int32_t ids[8];
    struct buf out;

    buf_init(&out, OUT_MAX);
    ids[0] = tokenizer_id(t, STR("<|user|>"));
    byte_ids(t, STR("\xC3"), ids + 1);
    ids[2] = tokenizer_id(t, STR("<sop>"));
    byte_ids(t, STR("\xA9"), ids + 3);
    ids[4] = tokenizer_id(t, STR("<think>")); // not special: stays
    EXPECT_OK(tokenizer_decode(t, ids, 5, true, &out));
    EXPECT_EQ_STR(buf_str(&out), STR("\xC3\xA9<think>"));
    buf_reset(&out);
    EXPECT_OK(tokenizer_decode(t, ids, 5, false, &out));
    EXPECT_EQ_STR(buf_str(&out), STR("<|user|>" REPLACEMENT "<sop>" REPLACEMENT "<think>"));
    buf_done(&out);
    tokenizer_destroy(t);
}

TEST(ids_without_a_token)
{
    static const int32_t bad[] = {-1, 868, 895, INT32_MAX, INT32_MIN};
    struct tokenizer *t = load();
    struct detokenizer d;
    struct buf out;

    buf_init(&out, OUT_MAX);
    detokenizer_init(&d, t, true);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EXPECT_STATUS(tokenizer_decode(t, &bad[i], 1, false, &out), E_INVALID);
        detokenizer_push(&d, bad[i], &out); // padding rows of a model: no text
        EXPECT_EQ_SIZE(tokenizer_bytes(t, bad[i]).len, 0);
        EXPECT_FALSE(tokenizer_is_special(t, bad[i]));
    }
    detokenizer_finish(&d, &out);
    EXPECT_EQ_SIZE(out.len, 0);
    buf_done(&out);
    tokenizer_destroy(t);
}

/* Whole bytes first, then replacement by another way: cut off the valid prefix again and again. */
static void replace_slowly(struct str bytes, struct buf *out)
{
    while (bytes.len > 0) {
        size_t valid = utf8_valid_prefix(bytes);
        size_t broken = 1;

        buf_append(out, bytes.ptr, valid);
        bytes = str_slice(bytes, valid, bytes.len);
        // the longest beginning of a character
        for (size_t n = 3; n > 1; n--) {
            if (n <= bytes.len && utf8_incomplete_tail(str_slice(bytes, 0, n)) == n) {
                broken = n;
                break;
            }
        }
        if (bytes.len > 0) {
            buf_append_c(out, REPLACEMENT);
            bytes = str_slice(bytes, broken, bytes.len);
        }
    }
}

TEST(random_ids_equal_the_whole_decode)
{
    struct tokenizer *t = load();

    for (uint64_t seed = 1; seed <= 5000; seed++) {
        struct buf pushed;
        struct buf joined;
        struct buf want;
        struct detokenizer d;
        int32_t ids[40];
        uint32_t n = (uint32_t)(rng_uniform(seed, 0, 0) * 41);

        buf_init(&pushed, OUT_MAX);
        buf_init(&joined, OUT_MAX);
        buf_init(&want, OUT_MAX);
        detokenizer_init(&d, t, false);
        for (uint32_t i = 0; i < n; i++) {
            // single bytes from 0x80 on have low ids; mix them with longer tokens
            ids[i] = (int32_t)(rng_uniform(seed, 1, i) * (seed % 2 == 0 ? 868 : 256));
            detokenizer_push(&d, ids[i], &pushed);
            EXPECT_TRUE(utf8_valid(buf_str(&pushed)));
            buf_append_str(&joined, tokenizer_bytes(t, ids[i]));
            // never holds what could leave: at most an unfinished character
            EXPECT_EQ_U32(d.n_held, utf8_incomplete_tail(buf_str(&joined)));
        }
        detokenizer_finish(&d, &pushed);
        replace_slowly(buf_str(&joined), &want);
        EXPECT_EQ_STR(buf_str(&pushed), buf_str(&want));
        buf_reset(&pushed);
        EXPECT_OK(tokenizer_decode(t, ids, n, false, &pushed));
        EXPECT_EQ_STR(buf_str(&pushed), buf_str(&want));
        buf_done(&pushed);
        buf_done(&joined);
        buf_done(&want);
    }
    tokenizer_destroy(t);
}
