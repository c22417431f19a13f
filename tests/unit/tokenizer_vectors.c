/* Reference vectors of tests/data/tokenizer: ids and ids_plain, for both file forms. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "support/test.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)64 << 20)
#define IDS_MAX ((size_t)16 << 20)

static struct tokenizer *load_json(void)
{
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (tokenizer_load(test_path("data/tokenizer"), &t, &err) != OK) {
        FAIL("%s", err.text);
    }
    return t;
}

static struct tokenizer *load_ranks(void)
{
    struct str ranks = test_read_file(test_path("data/tokenizer/tokenizer.model"));
    struct str config = test_read_file(test_path("data/tokenizer/tokenizer_config.json"));
    struct tokenizer *t = NULL;
    struct error err = {0};

    if (tokenizer_parse_ranks(ranks, config, &t, &err) != OK) {
        FAIL("%s", err.text);
    }
    return t;
}

static void expect_ids(const struct tokenizer *t, struct str text, bool parse_special,
                       const struct json_value *want, unsigned line)
{
    struct tokenizer_encode_options o = {.parse_special = parse_special};
    struct buf ids;
    int32_t id;

    buf_init(&ids, IDS_MAX);
    EXPECT_OK(tokenizer_encode(t, text, &o, &ids));
    for (uint32_t i = 0; i < want->n_items && i < ids.len / sizeof(id); i++) {
        memcpy(&id, ids.ptr + i * sizeof(id), sizeof(id));
        if (id != want->items[i].integer) {
            FAIL("line %u: id %u is %d, expected %lld", line, i, id,
                 (long long)want->items[i].integer);
        }
    }
    if (ids.len / sizeof(id) != want->n_items) {
        FAIL("line %u: %zu ids, expected %u", line, ids.len / sizeof(id), want->n_items);
    }
    buf_done(&ids);
}

static void expect_decodes(const struct tokenizer *t, struct str text, const struct json_value *ids,
                           unsigned line)
{
    int32_t *copy = calloc(ids->n_items + 1, sizeof(*copy));
    struct buf out;

    for (uint32_t i = 0; i < ids->n_items; i++) {
        copy[i] = (int32_t)ids->items[i].integer;
    }
    buf_init(&out, IDS_MAX);
    EXPECT_OK(tokenizer_decode(t, copy, ids->n_items, false, &out));
    if (!str_eq(buf_str(&out), text)) {
        FAIL("line %u does not decode to its text", line);
    }
    buf_done(&out);
    free(copy);
}

static void check_line(const struct tokenizer *t, struct str line, unsigned line_no)
{
    struct arena *arena = arena_create(ARENA_MAX);
    const struct json_value *root;
    const struct json_value *plain;
    struct str text;
    struct error err = {0};

    EXPECT_OK(json_parse(arena, line, NULL, &root, &err));
    text = json_string_or(json_get(root, STR("text")), STR("?"));
    plain = json_get(root, STR("ids_plain"));
    expect_ids(t, text, true, json_get(root, STR("ids")), line_no);
    if (plain == NULL) {
        plain = json_get(root, STR("ids"));
    }
    expect_ids(t, text, false, plain, line_no);
    expect_decodes(t, text, plain, line_no);
    expect_decodes(t, text, json_get(root, STR("ids")), line_no);
    arena_destroy(arena);
}

static void check_all_lines(const struct tokenizer *t)
{
    struct str rest = test_read_file(test_path("data/tokenizer/vectors.jsonl"));
    unsigned n = 0;

    while (rest.len > 0) {
        size_t end = str_find_byte(rest, '\n', 0);

        n++;
        check_line(t, str_slice(rest, 0, end), n);
        rest = end == SIZE_MAX ? STR("") : str_slice(rest, end + 1, rest.len);
    }
    EXPECT_EQ_U32(n, 1555);
}

TEST(vectors_with_tokenizer_json)
{
    struct tokenizer *t = load_json();

    check_all_lines(t);
    tokenizer_destroy(t);
}

TEST(vectors_with_rank_file)
{
    struct tokenizer *t = load_ranks();

    check_all_lines(t);
    tokenizer_destroy(t);
}

TEST(both_forms_have_the_same_tokens)
{
    struct tokenizer *a = load_json();
    struct tokenizer *b = load_ranks();

    EXPECT_EQ_U32(tokenizer_count(a), 868);
    EXPECT_EQ_U32(tokenizer_count(b), 868);
    for (int32_t id = 0; id < 868; id++) {
        EXPECT_EQ_STR(tokenizer_bytes(a, id), tokenizer_bytes(b, id));
        EXPECT_EQ_INT(tokenizer_is_special(a, id), tokenizer_is_special(b, id));
    }
    EXPECT_EQ_INT(tokenizer_id(a, STR("<|user|>")), 839);
    EXPECT_EQ_INT(tokenizer_id(a, STR("<|user|")), -1);
    tokenizer_destroy(a);
    tokenizer_destroy(b);
}
