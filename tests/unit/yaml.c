/* base/yaml: the tree, its marks, and everything that is refused with its place. */
#include "base/yaml.h"
#include "base/buf.h"
#include "support/guard.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES (16 << 20)

static struct yaml_mark last_mark; // of the last outcome

/* "LINE:COLUMN text" of the refusal, or "ok". */
static const char *outcome(struct str text)
{
    static char line[2048];
    struct arena *arena = arena_create(ARENA_BYTES);
    struct yaml_node *root = NULL;
    struct yaml_mark mark = {0, 0};
    struct error err = {0};
    enum status rc = yaml_parse(arena, text, &root, &mark, &err);

    if (rc == OK) {
        snprintf(line, sizeof(line), "ok");
    } else {
        snprintf(line, sizeof(line), "%u:%u %s", mark.line, mark.column, err.text);
    }
    last_mark = mark;
    arena_destroy(arena);
    return line;
}

TEST(tree_keeps_text_order_and_places)
{
    struct arena *arena = arena_create(ARENA_BYTES);
    struct str text = STR("# comment\n"
                          "name: rack-1\n"
                          "\"ke y\":\n"
                          "  - 1.10\n"
                          "  - \"two\"\n"
                          "empty:\n"
                          "flow: {a: b, c: [d]}\n");
    struct yaml_node *root = NULL;
    struct yaml_mark mark;
    struct error err;
    const struct yaml_node *n;

    EXPECT_OK(yaml_parse(arena, text, &root, &mark, &err));
    EXPECT_EQ_U32(root->n_items, 4);
    n = yaml_get(root, STR("name"));
    EXPECT_EQ_STR(n->text, STR("rack-1"));
    EXPECT_EQ_U32(n->key_mark.line, 2);
    EXPECT_EQ_U32(n->key_mark.column, 1);
    EXPECT_EQ_U32(n->mark.line, 2);
    EXPECT_EQ_U32(n->mark.column, 7);
    n = yaml_get(root, STR("ke y"));
    EXPECT_EQ_U32(n->n_items, 2);
    EXPECT_EQ_STR(n->first->text, STR("1.10"));
    EXPECT_TRUE(n->first->plain);
    EXPECT_FALSE(n->first->next->plain);
    EXPECT_EQ_U32(n->first->next->mark.line, 5);
    EXPECT_EQ_U32(n->first->next->mark.column, 5);
    EXPECT_TRUE(yaml_is_null(yaml_get(root, STR("empty"))));
    n = yaml_get(yaml_get(root, STR("flow")), STR("c"));
    EXPECT_EQ_STR(n->first->text, STR("d"));
    EXPECT_TRUE(yaml_get(root, STR("nothing")) == NULL);
    EXPECT_TRUE(yaml_get(n, STR("d")) == NULL);
    EXPECT_TRUE(yaml_get(NULL, STR("d")) == NULL);
    arena_destroy(arena);
}

TEST(columns_count_characters_not_bytes)
{
    EXPECT_EQ_C_STR(outcome(STR("\"\xc3\xa4\xc3\xb6\": {a: 1, a: 2}\n")),
                    "1:14 duplicate key \"a\"; the first one is on line 1");
    EXPECT_EQ_C_STR(outcome(STR("\xef\xbb\xbf"
                                "a: 1\na: 2\n")),
                    "2:1 duplicate key \"a\"; the first one is on line 1");
    EXPECT_EQ_C_STR(outcome(STR("a: 1\r\nb: 2\r\nb: 3\r\n")),
                    "3:1 duplicate key \"b\"; the first one is on line 2");
}

TEST(refusals_name_the_place)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"a: &x 1\n", "1:4 anchors (&x) are not supported; write the value out"},
        {"a: &x [1]\n", "1:4 anchors (&x) are not supported; write the value out"},
        {"a: *x\n", "1:4 aliases (*x) are not supported; write the value out"},
        {"a:\n  - !!str 1\n", "2:5 tags (tag:yaml.org,2002:str) are not supported; leave it out"},
        {"a: !x {b: c}\n", "1:4 tags (!x) are not supported; leave it out"},
        {"&k a: 1\n", "1:1 anchors (&k) are not supported; write the value out"},
        {"[a]: 1\n", "1:1 a key must be a word, not a list or mapping"},
        {"a: 1\n---\nb: 2\n", "2:1 a second document begins here; one file holds one document"},
        {"a: 1\n...\nb: 2\n", "3:1 a second document begins here; one file holds one document"},
        {"", "1:1 the file is empty"},
        {"# only a comment\n", "1:17 the file is empty"},
        {"a: 1\nb: \"\\0\"\n", "2:4 text with a NUL character; remove it"},
        {"a: \x01\n", "1:4 a control character; remove it (U+0001)"},
        {"a: 1\nb: \xff\n", "2:4 byte 0xff is not UTF-8; save the file as UTF-8"},
        {"a: \xc3", "1:4 byte 0xc3 is not UTF-8; save the file as UTF-8"},
        {"a: 1\rb: 2\n",
         "1:5 a carriage return without a line feed; save the file with LF or CRLF (U+000D)"},
        {"a: \xe2\x80\xa8\n", "1:4 an exotic line break; save the file with LF or CRLF (U+2028)"},
        {"a:\n\t- b\n",
         "2:1 a value cannot begin with this character; indent with spaces, not tabs, and put "
         "quotes around text that begins with @, ` or %"},
        {"a: [1, 2\n", "1:9 not YAML: did not find expected ',' or ']' while parsing a flow "
                       "sequence"},
        {"a: \"b\n", "1:6 not YAML: found unexpected end of stream while scanning a quoted "
                     "scalar"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EXPECT_EQ_C_STR(outcome(str_from_c(cases[i].text)), cases[i].want);
    }
}

static void repeat(struct buf *b, const char *piece, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        buf_append_c(b, piece);
    }
}

TEST(limits_are_refused_with_their_number)
{
    struct buf b;

    buf_init(&b, 8 << 20);
    repeat(&b, "[", 40);
    repeat(&b, "]", 40);
    EXPECT_EQ_C_STR(outcome(buf_str(&b)), "1:33 nested deeper than 32 levels");
    buf_reset(&b);
    repeat(&b, "[", 500000);
    EXPECT_CONTAINS(outcome(buf_str(&b)), "1:33 nested deeper than 32 levels");
    buf_reset(&b);
    repeat(&b, "- a\n", 70000);
    EXPECT_EQ_C_STR(outcome(buf_str(&b)), "65536:3 more than 65536 values in one file");
    buf_reset(&b);
    for (unsigned i = 0; i < 5000; i++) {
        buf_printf(&b, "k%u: 1\n", i);
    }
    EXPECT_EQ_C_STR(outcome(buf_str(&b)), "4097:1 more than 4096 keys in one mapping");
    buf_reset(&b);
    buf_append_c(&b, "a: ");
    repeat(&b, "xxxxxxxx", 10000);
    EXPECT_EQ_C_STR(outcome(buf_str(&b)), "1:4 text longer than 65536 bytes");
    buf_reset(&b);
    repeat(&b, "# xxxxx\n", (1 << 17) + 1);
    EXPECT_EQ_C_STR(outcome(buf_str(&b)), "1:1 larger than 1048576 bytes");
    buf_done(&b);
}

TEST(billion_laughs_ends_at_the_first_anchor)
{
    EXPECT_EQ_C_STR(outcome(STR("a: &a [lol, lol]\nb: &b [*a, *a]\nc: [*b, *b]\n")),
                    "1:4 anchors (&a) are not supported; write the value out");
}

/* Every prefix, at an unreadable page: ends with a tree or a refusal inside the text. */
TEST(prefixes_never_read_beyond_the_end)
{
    struct str text =
        STR("a: [1, {b: 'c'}]\n\"d\": |\n  text\n  more\ne: >-\n  folded\nf: \xc3\xa4\n");

    for (size_t n = 0; n <= text.len; n++) {
        struct guard g = guard_copy(str_slice(text, 0, n));
        bool ok = strcmp(outcome(g.text), "ok") == 0;

        EXPECT_TRUE(ok || (last_mark.line >= 1 && last_mark.line <= 8 && last_mark.column >= 1 &&
                           last_mark.column <= 20));
        guard_done(&g);
    }
}

TEST(a_small_arena_is_no_memory)
{
    struct arena *arena = arena_create(1024);
    struct yaml_node *root = NULL;
    struct yaml_mark mark;
    struct error err;
    struct buf b;

    buf_init(&b, 1 << 16);
    repeat(&b, "- a\n", 1000);
    EXPECT_STATUS(yaml_parse(arena, buf_str(&b), &root, &mark, &err), E_NO_MEMORY);
    buf_done(&b);
    arena_destroy(arena);
}
