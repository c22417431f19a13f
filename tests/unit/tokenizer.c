/* What the tokenizer promises beyond the reference vectors; refusals are in
 * tokenizer_refusals.c. */
#include "text/tokenizer.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "support/guard.h"
#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX ((size_t)64 << 20)

static struct tokenizer *load(void)
{
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (tokenizer_load(test_path("data/tokenizer"), &t, &err) != OK) {
        FAIL("%s", err.text);
    }
    return t;
}

static struct buf encode(const struct tokenizer *t, struct str text, bool parse, bool add)
{
    struct tokenizer_encode_options o = {.parse_special = parse, .add_special = add};
    struct buf ids;

    buf_init(&ids, IDS_MAX);
    EXPECT_OK(tokenizer_encode(t, text, &o, &ids));
    EXPECT_EQ_SIZE(ids.len % sizeof(int32_t), 0);
    return ids;
}

static int32_t id_at(const struct buf *ids, size_t i)
{
    int32_t id;

    EXPECT_TRUE((i + 1) * sizeof(id) <= ids->len);
    memcpy(&id, ids->ptr + i * sizeof(id), sizeof(id));
    return id;
}

/* All bytes of the ids joined are the text, whatever the text is. */
static void expect_bytes_survive(const struct tokenizer *t, struct str text)
{
    struct buf ids = encode(t, text, false, false);
    size_t at = 0;

    for (size_t i = 0; i < ids.len / sizeof(int32_t); i++) {
        struct str bytes = tokenizer_bytes(t, id_at(&ids, i));

        EXPECT_TRUE(bytes.len > 0 && bytes.len <= text.len - at);
        EXPECT_TRUE(memcmp(bytes.ptr, text.ptr + at, bytes.len) == 0);
        at += bytes.len;
    }
    EXPECT_EQ_SIZE(at, text.len);
    EXPECT_TRUE(text.len <= (size_t)tokenizer_token_bytes_max(t) * (ids.len / sizeof(int32_t)));
    buf_done(&ids);
}

TEST(random_bytes_survive)
{
    struct tokenizer *t = load();
    char bytes[200];

    for (uint64_t seed = 1; seed <= 3000; seed++) {
        size_t n = (size_t)(rng_uniform(seed, 0, 0) * 200);
        struct guard g;

        for (size_t i = 0; i < n; i++) {
            bytes[i] = (char)(unsigned char)(rng_uniform(seed, 1, i) * 256);
        }
        g = guard_copy((struct str){bytes, n});
        expect_bytes_survive(t, g.text);
        guard_done(&g);
    }
    tokenizer_destroy(t);
}

TEST(random_valid_text_comes_back)
{
    struct tokenizer *t = load();
    char bytes[200 * 4];

    for (uint64_t seed = 1; seed <= 3000; seed++) {
        size_t n_chars = (size_t)(rng_uniform(seed, 0, 0) * 200);
        size_t n = 0;
        struct buf ids;
        struct buf out;

        for (size_t i = 0; i < n_chars; i++) {
            uint32_t top = seed % 3 == 0 ? 0x110000 : seed % 3 == 1 ? 0x3000 : 0x80;
            uint32_t cp = (uint32_t)(rng_uniform(seed, 1, i) * top);

            n += utf8_encode(cp >= 0xD800 && cp < 0xE000 ? 0x4E2D : cp, bytes + n);
        }
        ids = encode(t, (struct str){bytes, n}, seed % 2 == 0, false);
        buf_init(&out, IDS_MAX);
        EXPECT_OK(tokenizer_decode(t, (const int32_t *)(const void *)ids.ptr,
                                   (uint32_t)(ids.len / sizeof(int32_t)), false, &out));
        EXPECT_EQ_STR(buf_str(&out), ((struct str){bytes, n}));
        buf_done(&ids);
        buf_done(&out);
    }
    tokenizer_destroy(t);
}

TEST(added_tokens_are_ordinary_text_unless_asked_for)
{
    struct tokenizer *t = load();
    struct buf ids = encode(t, STR("<|user|>\nhi<|user|"), true, false);
    struct buf plain = encode(t, STR("<|user|>\nhi<|user|"), false, false);

    EXPECT_EQ_INT(id_at(&ids, 0), 839);
    for (size_t i = 1; i < ids.len / sizeof(int32_t); i++) {
        EXPECT_TRUE(id_at(&ids, i) < 832); // the second one is cut short
    }
    for (size_t i = 0; i < plain.len / sizeof(int32_t); i++) {
        EXPECT_TRUE(id_at(&plain, i) < 832);
    }
    buf_done(&ids);
    buf_done(&plain);
    tokenizer_destroy(t);
}

TEST(every_added_token_is_found_between_others)
{
    struct tokenizer *t = load();
    struct buf text;
    struct buf ids;

    buf_init(&text, IDS_MAX);
    for (int32_t id = 832; id < 868; id++) {
        buf_append_str(&text, tokenizer_bytes(t, id));
        EXPECT_EQ_INT(tokenizer_id(t, tokenizer_bytes(t, id)), id);
    }
    ids = encode(t, buf_str(&text), true, true); // nothing is prepended by this file
    EXPECT_EQ_SIZE(ids.len / sizeof(int32_t), 36);
    for (int32_t i = 0; i < 36; i++) {
        EXPECT_EQ_INT(id_at(&ids, (size_t)i), 832 + i);
    }
    buf_done(&text);
    buf_done(&ids);
    tokenizer_destroy(t);
}

TEST(ids_are_appended_and_the_ceiling_is_kept)
{
    struct tokenizer *t = load();
    struct tokenizer_encode_options o = {.parse_special = true};
    struct buf ids;

    buf_init(&ids, 5 * sizeof(int32_t));
    EXPECT_OK(tokenizer_encode(t, STR("!"), &o, &ids));
    EXPECT_OK(tokenizer_encode(t, STR("!"), &o, &ids));
    EXPECT_EQ_SIZE(ids.len, 2 * sizeof(int32_t));
    EXPECT_EQ_INT(id_at(&ids, 1), 0);
    EXPECT_STATUS(tokenizer_encode(t, STR("1 2 3 4 5 6 7 8"), &o, &ids), E_LIMIT);
    buf_done(&ids);
    tokenizer_destroy(t);
}

/* Texts long enough for the cache give the same ids as their pieces encoded one by one. */
TEST(the_cache_changes_nothing)
{
    struct tokenizer *t = load();
    struct buf text;
    struct buf parts;
    struct buf whole;
    struct tokenizer_encode_options o = {.parse_special = false};

    buf_init(&text, IDS_MAX);
    buf_init(&parts, IDS_MAX);
    for (uint64_t i = 0; i < 20000; i++) {
        char word[16];
        size_t n = 1;

        word[0] = ' ';
        for (; n < 3 + (size_t)(rng_uniform(5, 0, i) * 8); n++) {
            word[n] = (char)('a' + (int)(rng_uniform(5, 1 + n, i) * 3));
        }
        buf_append(&text, word, n);
        EXPECT_OK(tokenizer_encode(t, (struct str){word, n}, &o, &parts));
    }
    whole = encode(t, buf_str(&text), false, false);
    EXPECT_EQ_SIZE(whole.len, parts.len);
    EXPECT_TRUE(memcmp(whole.ptr, parts.ptr, whole.len) == 0);
    buf_done(&text);
    buf_done(&parts);
    buf_done(&whole);
    tokenizer_destroy(t);
}

struct worker {
    const struct tokenizer *tok;
    struct str text;
    struct buf ids;
    enum status rc;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct tokenizer_encode_options o = {.parse_special = true};

    w->rc = OK;
    for (unsigned i = 0; i < 20 && w->rc == OK; i++) {
        buf_reset(&w->ids);
        w->rc = tokenizer_encode(w->tok, w->text, &o, &w->ids);
    }
    return NULL;
}

TEST(many_threads_share_one_tokenizer)
{
    struct tokenizer *t = load();
    struct str text = test_read_file(test_path("data/tokenizer/vectors.jsonl"));
    struct buf want = encode(t, text, true, false);
    pthread_t threads[4];
    struct worker workers[4];

    for (size_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){.tok = t, .text = text};
        buf_init(&workers[i].ids, IDS_MAX);
        EXPECT_EQ_INT(pthread_create(&threads[i], NULL, worker_main, &workers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        EXPECT_EQ_INT(pthread_join(threads[i], NULL), 0);
        EXPECT_OK(workers[i].rc);
        EXPECT_EQ_SIZE(workers[i].ids.len, want.len);
        EXPECT_TRUE(memcmp(workers[i].ids.ptr, want.ptr, want.len) == 0);
        buf_done(&workers[i].ids);
    }
    buf_done(&want);
    tokenizer_destroy(t);
}

TEST(a_megabyte_without_a_break)
{
    struct tokenizer *t = load();
    size_t n = (size_t)1 << 20;
    char *text = malloc(n);

    EXPECT_TRUE(text != NULL);
    memset(text, 'a', n);
    expect_bytes_survive(t, (struct str){text, n});
    memset(text, ' ', n);
    expect_bytes_survive(t, (struct str){text, n});
    memset(text, '<', n); // begins added tokens everywhere
    expect_bytes_survive(t, (struct str){text, n});
    memset(text, 0xFF, n);
    expect_bytes_survive(t, (struct str){text, n});
    free(text);
    tokenizer_destroy(t);
}

TEST(ids_by_text)
{
    struct tokenizer *t = load();

    EXPECT_EQ_INT(tokenizer_id(t, STR("!")), 0);
    EXPECT_EQ_INT(tokenizer_id(t, STR(" ")), 220);
    EXPECT_EQ_INT(tokenizer_id(t, STR("<think>")), 853);
    EXPECT_EQ_INT(tokenizer_id(t, STR("")), -1);
    EXPECT_EQ_INT(tokenizer_id(t, STR("no such token")), -1);
    EXPECT_EQ_INT(tokenizer_id(t, STR("\xC4\xA0")),
                  -1); // the alphabet is the file's, not the caller's
    EXPECT_TRUE(tokenizer_is_special(t, 839));
    EXPECT_FALSE(tokenizer_is_special(t, 853));
    EXPECT_FALSE(tokenizer_is_special(t, 0));
    tokenizer_destroy(t);
    tokenizer_destroy(NULL);
}
