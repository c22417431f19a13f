#include "base/json.h"
#include "support/guard.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static struct arena *arena;
static struct error err;

static enum status parse(struct str text, const struct json_value **ret_root)
{
    arena_destroy(arena);
    arena = arena_create((size_t)64 << 20);
    err = (struct error){.status = OK};
    return json_parse(arena, text, NULL, ret_root, &err);
}

static const struct json_value *parse_ok(struct str text)
{
    const struct json_value *root = NULL;

    if (parse(text, &root) != OK) {
        FAIL("%.*s: %s", STR_ARG(text), err.text);
    }
    return root;
}

TEST(kinds_and_views)
{
    const struct json_value *v =
        parse_ok(STR(" {\"s\":\"x\\n\",\"i\":-5,\"d\":1.5,\"b\":true,"
                     "\"n\":null,\"a\":[1,[],{}],\"big\":9223372036854775808} "));

    EXPECT_EQ_INT((int)v->kind, JSON_OBJECT);
    EXPECT_EQ_U32(v->n_items, 7);
    EXPECT_EQ_STR(json_string_or(json_get(v, STR("s")), STR("?")), STR("x\n"));
    EXPECT_EQ_I64(json_int_or(json_get(v, STR("i")), 0), -5);
    EXPECT_NEAR(json_double_or(json_get(v, STR("i")), 0.0), -5.0, 0.0);
    EXPECT_NEAR(json_double_or(json_get(v, STR("d")), 0.0), 1.5, 0.0);
    EXPECT_TRUE(json_bool_or(json_get(v, STR("b")), false));
    EXPECT_EQ_INT((int)json_get(v, STR("big"))->kind, JSON_DOUBLE);
    EXPECT_EQ_U32(json_get(v, STR("a"))->n_items, 3);
    EXPECT_EQ_INT((int)json_get(v, STR("a"))->items[2].kind, JSON_OBJECT);
    EXPECT_TRUE(json_get(v, STR("missing")) == NULL);
    EXPECT_TRUE(json_get(NULL, STR("s")) == NULL);
    EXPECT_TRUE(json_get(json_get(v, STR("a")), STR("s")) == NULL);
}

TEST(views_fall_back_on_null_and_other_kinds)
{
    const struct json_value *v = parse_ok(STR("{\"n\":null,\"s\":\"5\",\"d\":2.0}"));

    EXPECT_EQ_I64(json_int_or(json_get(v, STR("n")), 9), 9);
    EXPECT_EQ_I64(json_int_or(json_get(v, STR("s")), 9), 9);
    EXPECT_EQ_I64(json_int_or(json_get(v, STR("d")), 9), 9);
    EXPECT_EQ_STR(json_string_or(NULL, STR("d")), STR("d"));
    EXPECT_TRUE(json_bool_or(json_get(v, STR("s")), true));
    EXPECT_EQ_C_STR(json_kind_name(JSON_INT), "integer");
    EXPECT_EQ_C_STR(json_kind_name(JSON_OBJECT), "object");
}

TEST(every_value_knows_its_bytes)
{
    struct str text = STR("{ \"a\" : [ 1 , \"\\u0041\" ] , \"b\" : {} }");
    const struct json_value *v = parse_ok(text);

    EXPECT_EQ_STR(v->source, text);
    EXPECT_EQ_STR(v->members[0].value.source, STR("[ 1 , \"\\u0041\" ]"));
    EXPECT_EQ_STR(v->members[0].value.items[1].source, STR("\"\\u0041\""));
    EXPECT_EQ_STR(v->members[1].value.source, STR("{}"));
}

TEST(plain_strings_point_into_the_source)
{
    struct str text = STR("[\"plain \xC3\xA4\",\"esc\\u0061ped\"]");
    const struct json_value *v = parse_ok(text);

    EXPECT_TRUE(v->items[0].string.ptr == text.ptr + 2);
    EXPECT_EQ_STR(v->items[1].string, STR("escaped"));
    EXPECT_TRUE(v->items[1].string.ptr < text.ptr || v->items[1].string.ptr >= text.ptr + text.len);
}

TEST(escapes)
{
    const struct json_value *v =
        parse_ok(STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00E9\\u4e2d\\ud83d\\uDE00\\uFFFF\""));

    EXPECT_EQ_STR(v->string,
                  STR("\"\\/\b\f\n\r\t\0\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xEF\xBF\xBF"));
}

static void expect_refused(const char *text, enum status want, const char *needle)
{
    const struct json_value *root = NULL;
    enum status rc = parse(str_from_c(text), &root);

    if (rc != want || root != NULL || err.status != want) {
        FAIL("%s gave %s, not %s", text, status_name(rc), status_name(want));
    }
    EXPECT_CONTAINS(err.text, needle);
}

TEST(errors_say_what_and_where)
{
    expect_refused("", E_INVALID, "empty");
    expect_refused(" \n", E_INVALID, "line 2 column 1 (byte 2)");
    expect_refused("{\n  \"a\": tru\n}", E_INVALID, "expected a value at line 2 column 8 (byte 9)");
    expect_refused("[1,]", E_INVALID, "expected a value at line 1 column 4");
    expect_refused("{\"a\":1,}", E_INVALID, "expected a key");
    expect_refused("{a:1}", E_INVALID, "expected a key");
    expect_refused("{\"a\" 1}", E_INVALID, "expected ':'");
    expect_refused("[1 2]", E_INVALID, "expected ',' or ']'");
    expect_refused("{\"a\":1 \"b\":2}", E_INVALID, "expected ',' or '}'");
    expect_refused("1 2", E_INVALID, "unexpected bytes");
    expect_refused("\"a\nb\"", E_INVALID, "control character");
    expect_refused("\"a\x80\"", E_INVALID, "UTF-8");
    expect_refused("\"\xED\xA0\x80\"", E_INVALID, "UTF-8");
    expect_refused("\"\\x\"", E_INVALID, "unknown escape");
    expect_refused("\"\\u12g4\"", E_INVALID, "hexadecimal");
    expect_refused("\"\\ud800\"", E_INVALID, "surrogate");
    expect_refused("\"\\udc00\\ud800\"", E_INVALID, "surrogate");
    expect_refused("\"\\ud800\\u0041\"", E_INVALID, "surrogate");
    expect_refused("\"abc", E_INVALID, "inside a string");
    expect_refused("[", E_INVALID, "too early");
    expect_refused("{\"a\"", E_INVALID, "too early");
    expect_refused("\xEF\xBB\xBF{}", E_INVALID, "expected a value");
    expect_refused("NaN", E_INVALID, "expected a value");
    expect_refused("1e999", E_INVALID, "too large");
}

TEST(numbers_outside_the_grammar_are_refused)
{
    static const char *const bad[] = {"01",   "-",   "+1",   "1.",    ".5",  "1e", "1e+",  "0x1",
                                      "1.e5", "-01", "1..2", "1e5.5", "--1", "1-", "1_000"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct json_value *root = NULL;

        if (parse(str_from_c(bad[i]), &root) != E_INVALID) {
            FAIL("%s was accepted", bad[i]);
        }
    }
}

TEST(duplicate_keys_are_compared_after_unescaping)
{
    char many[4096] = "{";
    size_t len;

    expect_refused("{\"a\":1,\"\\u0061\":2}", E_INVALID, "the key \"a\" appears twice");
    expect_refused("[{\"x\":{\"k\":1,\"k\":2}}]", E_INVALID, "\"k\"");
    for (int i = 0; i < 50; i++) { // above the bound of the linear check
        snprintf(many + strlen(many), 32, "\"key%d\":%d,", i, i);
    }
    len = strlen(many);
    snprintf(many + len, 32, "\"key7\":0}");
    expect_refused(many, E_INVALID, "\"key7\"");
    snprintf(many + len, 32, "\"key50\":0}");
    EXPECT_EQ_U32(parse_ok(str_from_c(many))->n_items, 51);
}

TEST(duplicates_can_be_folded_as_python_does)
{
    const struct json_value *root = NULL;
    struct json_limits limits = {.allow_duplicate_keys = true};
    struct str text = STR("{\"a\":1,\"b\":2,\"a\":3,\"c\":4,\"b\":5}");

    arena_destroy(arena);
    arena = arena_create(10000);
    EXPECT_OK(json_parse(arena, text, &limits, &root, &err));
    EXPECT_EQ_U32(root->n_items, 3);
    EXPECT_EQ_STR(root->members[0].key, STR("a"));
    EXPECT_EQ_I64(root->members[0].value.integer, 3);
    EXPECT_EQ_I64(json_int_or(json_get(root, STR("b")), 0), 5);
    EXPECT_EQ_I64(json_int_or(json_get(root, STR("c")), 0), 4);
}

TEST(limits_are_ordinary_failures)
{
    const struct json_value *root = NULL;
    struct json_limits limits = {.depth_max = 2, .values_max = 4};
    struct arena *small = arena_create(200);

    arena_destroy(arena);
    arena = arena_create(10000);
    EXPECT_OK(json_parse(arena, STR("[[1,2]]"), &limits, &root, &err));
    EXPECT_STATUS(json_parse(arena, STR("[[[]]]"), &limits, &root, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "too deep at line 1 column 3");
    EXPECT_STATUS(json_parse(arena, STR("[1,2,3,4]"), &limits, &root, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "too many values");
    EXPECT_STATUS(json_parse(small, STR("[1,2,3,4]"), NULL, &root, &err), E_NO_MEMORY);
    EXPECT_STATUS(json_parse(small, STR("[1,2,3,4]"), NULL, &root, NULL), E_NO_MEMORY);
    arena_destroy(small);
}

static const char sample[] =
    "{\"model\":\"glm-4\",\"messages\":[{\"role\":\"user\",\"content\":\"Gr\xC3\xBC\xC3\x9F "
    "\\ud83d\\ude00 \\\"x\\\"\"}],\"n\":1,\"t\":-0.25e+2,\"s\":[true,false,null],\"o\":{}}";

/* Nothing that is cut off parses, and nothing behind the end is looked at. */
TEST(every_prefix_is_refused_at_a_guard_page)
{
    for (size_t len = 0; len < sizeof(sample) - 1; len++) {
        struct guard g = guard_copy((struct str){sample, len});
        const struct json_value *root = NULL;

        EXPECT_STATUS(parse(g.text, &root), E_INVALID);
        guard_done(&g);
    }
}

TEST(the_whole_parses_at_a_guard_page)
{
    struct guard g = guard_copy((struct str){sample, sizeof(sample) - 1});
    struct guard number = guard_copy(STR("12"));
    struct buf out;

    buf_init(&out, 4096);
    json_write_value(&out, parse_ok(g.text), 0);
    EXPECT_EQ_STR(
        buf_str(&out),
        STR("{\"model\": \"glm-4\", \"messages\": [{\"role\": \"user\", \"content\": "
            "\"Gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80 \\\"x\\\"\"}], \"n\": 1, \"t\": -25.0, "
            "\"s\": [true, false, null], \"o\": {}}"));
    EXPECT_EQ_I64(parse_ok(number.text)->integer, 12);
    buf_done(&out);
    guard_done(&g);
    guard_done(&number);
}

/* The vector scan and the byte loop agree wherever the special byte lies. */
TEST(special_bytes_are_seen_at_every_offset)
{
    char text[80];

    for (size_t len = 1; len < 70; len++) {
        for (size_t at = 0; at < len; at++) {
            struct str s = {text, len + 2};
            const struct json_value *root = NULL;

            memset(text, 'a', sizeof(text));
            text[0] = '"';
            text[len + 1] = '"';
            EXPECT_EQ_SIZE(parse_ok(s)->string.len, len);
            text[1 + at] = 0x1F;
            EXPECT_STATUS(parse(s, &root), E_INVALID);
            text[1 + at] = (char)0xFF;
            EXPECT_STATUS(parse(s, &root), E_INVALID);
            text[1 + at] = '"';
            EXPECT_STATUS(parse(s, &root), E_INVALID);
            text[1 + at] = 0x7F;
            EXPECT_EQ_SIZE(parse_ok(s)->string.len, len);
        }
    }
}

TEST(the_writer_escapes_and_repairs)
{
    struct buf out;

    buf_init(&out, 1000);
    json_write_string(&out, STR("a\"\\/\b\f\n\r\t\x01\x7F\xC3\xA4\xFF\xE2\x82"));
    EXPECT_EQ_STR(buf_str(&out), STR("\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7F\xC3\xA4"
                                     "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""));
    buf_done(&out);
}

static void expect_double(double v, const char *python, const char *plain)
{
    struct buf out;

    buf_init(&out, 100);
    json_write_double(&out, v, true);
    EXPECT_EQ_C_STR(buf_c(&out), python);
    buf_reset(&out);
    json_write_double(&out, v, false);
    EXPECT_EQ_C_STR(buf_c(&out), plain);
    buf_done(&out);
}

TEST(doubles_are_short_and_exact)
{
    expect_double(1.0, "1.0", "1");
    expect_double(-0.0, "-0.0", "-0");
    expect_double(0.1, "0.1", "0.1");
    expect_double(1e-5, "1e-05", "1e-05");
    expect_double(0.0001, "0.0001", "0.0001");
    expect_double(1e15, "1000000000000000.0", "1000000000000000");
    expect_double(1e16, "1e+16", "1e+16");
    expect_double(123456.789, "123456.789", "123456.789");
    expect_double(1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308");
    expect_double(5e-324, "5e-324", "5e-324");
    expect_double(9007199254740993.0, "9007199254740992.0", "9007199254740992");
    expect_double(__builtin_inf(), "null", "null");
    expect_double(__builtin_nan(""), "null", "null");
}

TEST(indented_print_is_pythons)
{
    struct buf out;

    buf_init(&out, 1000);
    json_write_value(&out, parse_ok(STR("{\"a\":[1,{\"b\":[]}],\"c\":{}}")), 2);
    EXPECT_EQ_STR(buf_str(&out), STR("{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n"
                                     "  \"c\": {}\n}"));
    buf_done(&out);
    arena_destroy(arena);
    arena = NULL;
}
