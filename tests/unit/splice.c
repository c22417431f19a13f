#include "gateway/splice.h"
#include "base/json.h"
#include "base/rng.h"
#include "support/guard.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static struct arena *arena;
static struct splice splice;
static struct chat_failure failure;

static enum status read_body(struct str body)
{
    arena_destroy(arena);
    arena = arena_create((size_t)64 << 20);
    failure = (struct chat_failure){0};
    return splice_read(arena, body, &splice, &failure);
}

static struct str joined(struct str model, bool usage)
{
    struct str pieces[SPLICE_PIECES_MAX];
    char *text = arena_alloc(arena, splice.body.len + 4096);
    size_t len = 0;
    uint32_t n = 0;

    EXPECT_OK(splice_pieces(arena, &splice, model, usage, pieces, &n));
    for (uint32_t i = 0; i < n; i++) {
        memcpy(text + len, pieces[i].ptr, pieces[i].len);
        len += pieces[i].len;
    }
    return (struct str){text, len};
}

TEST(fields_are_found_and_the_rest_passes)
{
    const struct str body =
        STR(" {\"x\":[1,{\"model\":\"no\"}], \"model\" : \"a\\u0062c\" ,\"stream\":true,"
            "\"max_tokens\":5.0,\"n\":2,\"messages\":[{\"role\":\"user\"}],"
            "\"tools\":[]} ");

    EXPECT_OK(read_body(body));
    EXPECT_EQ_STR(splice.model, STR("abc"));
    EXPECT_EQ_STR(splice.model_source, STR("\"a\\u0062c\""));
    EXPECT_TRUE(splice.stream && !splice.include_usage && splice.has_tools);
    EXPECT_EQ_U64(splice.max_tokens, 5);
    EXPECT_EQ_U32(splice.n, 2);
    EXPECT_EQ_STR(splice.prompt_source, STR("[{\"role\":\"user\"}]"));
    EXPECT_EQ_STR(joined(STR("abc"), false), body);
    EXPECT_EQ_STR(joined((struct str){NULL, 0}, false), body);
}

static void expect_answers(const char *body, uint32_t n, uint32_t n_prompts, bool has_token_ids)
{
    EXPECT_OK(read_body(str_from_c(body)));
    EXPECT_EQ_U32(splice.n, n);
    EXPECT_EQ_U32(splice.n_prompts, n_prompts);
    EXPECT_EQ_INT(splice.has_token_ids, has_token_ids);
}

TEST(answers_and_prompts_are_counted)
{
    expect_answers("{}", 1, 1, false);
    expect_answers("{\"n\":0,\"best_of\":null}", 1, 1, false);
    expect_answers("{\"n\":2,\"best_of\":7}", 7, 1, false);
    expect_answers("{\"best_of\":7.0,\"n\":9}", 9, 1, false);
    expect_answers("{\"prompt\":\"a\"}", 1, 1, false);
    expect_answers("{\"prompt\":[]}", 1, 1, false);
    expect_answers("{\"prompt\":[\"a\",\"b\" , \"c\"]}", 1, 3, false);
    expect_answers("{\"prompt\":[1,22,3]}", 1, 1, true);
    expect_answers("{\"prompt\":[[1,2],[3]]}", 1, 2, true);
    expect_answers("{\"input\":[[1,2],[3]]}", 1, 1, true);
    expect_answers("{\"messages\":[{\"a\":[1]},{\"a\":2}],\"prompt\":null}", 1, 1, false);
}

TEST(only_spans_are_replaced)
{
    EXPECT_OK(read_body(STR("{\"a\":1e2,\"model\":\"m\",\"stream\":true}")));
    EXPECT_EQ_STR(joined(STR("q\"x"), true),
                  STR("{\"stream_options\":{\"include_usage\":true},\"a\":1e2,\"model\":\"q\\\"x\","
                      "\"stream\":true}"));
    EXPECT_OK(read_body(STR("{\"model\":\"m\",\"stream_options\":{\"z\":0},\"stream\":true}")));
    EXPECT_EQ_STR(joined(STR("longer"), true),
                  STR("{\"model\":\"longer\",\"stream_options\":{\"include_usage\":true,\"z\":0},"
                      "\"stream\":true}"));
    EXPECT_OK(read_body(
        STR("{\"stream_options\":{\"include_usage\":null},\"model\":\"m\",\"stream\":true}")));
    EXPECT_EQ_STR(joined(STR("n"), true), STR("{\"stream_options\":{\"include_usage\":true},"
                                              "\"model\":\"n\",\"stream\":true}"));
    EXPECT_OK(read_body(STR("{\"stream_options\":{ },\"model\":\"m\",\"stream\":true}")));
    EXPECT_EQ_STR(joined(STR("m"), true), STR("{\"stream_options\":{\"include_usage\":true},"
                                              "\"model\":\"m\",\"stream\":true}"));
    EXPECT_OK(read_body(
        STR("{\"stream_options\":{\"include_usage\":true},\"model\":\"m\",\"stream\":true}")));
    EXPECT_TRUE(splice.include_usage);
    EXPECT_EQ_STR(joined(STR("m"), true), splice.body);
}

TEST(without_stream_no_usage_is_asked_for)
{
    EXPECT_OK(read_body(STR("{\"model\":\"m\",\"stream\":false}")));
    EXPECT_EQ_STR(joined(STR("m"), true), splice.body);
}

static void expect_refused(const char *body, const char *needle)
{
    struct guard copy = guard_copy(str_from_c(body));

    if (read_body(copy.text) == OK) {
        FAIL("%s was taken", body);
    }
    guard_done(&copy);
    EXPECT_EQ_INT(failure.http_status, 400);
    EXPECT_CONTAINS(failure.message, needle);
}

TEST(what_two_readers_could_understand_differently_is_refused)
{
    expect_refused("{\"model\":\"a\",\"model\":\"b\"}", "twice");
    expect_refused("{\"model\":\"a\",\"m\\u006fdel\":\"b\"}", "twice");
    expect_refused("{\"model\":\"a\",\"MODEL\":\"b\"}", "case only");
    expect_refused("{\"Stream\":true}", "case only");
    expect_refused("{\"\\u017ftream\":true}", "case only");
    expect_refused("{\"\xC5\xBFtream\":true}", "case only");
    expect_refused("{\"max_to\xE2\x84\xAA"
                   "ens\":1}",
                   "case only");
    expect_refused("{\"stream_options\":{\"Include_Usage\":true}}", "case only");
    expect_refused("{\"a\":{\"b\":1,\"b\":2}}", "twice");
    expect_refused("{\"a\":[{\"b\":1,\"c\":{},\"b\":2}]}", "twice");
    expect_refused("{\"a\":\"\\ud800\"}", "surrogate");
    expect_refused("{\"a\":\"\xff\"}", "UTF-8");
    expect_refused("{\"a\":\"\xed\xa0\x80\"}", "UTF-8");
    expect_refused("{\"a\":1}{", "");
    expect_refused("{\"a\":1,}", "");
    expect_refused("{\"a\":01}", "number");
    expect_refused("{\"a\":1e999}", "number");
    expect_refused("{\"a\":\"\x01\"}", "control");
    expect_refused("[]", "not a JSON object");
    expect_refused("{\"model\":1}", "'model'");
    expect_refused("{\"stream\":\"true\"}", "'stream'");
    expect_refused("{\"n\":-1}", "'n'");
    expect_refused("{\"n\":99999}", "'n'");
    expect_refused("{\"best_of\":99999}", "'best_of'");
    expect_refused("{\"prompt\":[1,{\"a\":1,\"a\":2}]}", "twice");
    expect_refused("{\"max_tokens\":[]}", "'max_tokens'");
    expect_refused("", "JSON");
}

TEST(the_same_key_in_different_objects_passes)
{
    EXPECT_OK(
        read_body(STR("{\"a\":{\"b\":1},\"c\":[{\"b\":1},{\"b\":1}],\"b\":{\"a\":{\"a\":1}}}")));
}

TEST(objects_with_many_keys_pass_and_repeats_in_them_do_not)
{
    static char text[65536];
    int len = snprintf(text, sizeof(text), "{\"model\":\"m\",\"logit_bias\":{");

    for (int i = 0; i < 3000; i++) {
        len += snprintf(text + len, sizeof(text) - (size_t)len, "\"%d\":1,", i);
    }
    len += snprintf(text + len, sizeof(text) - (size_t)len, "\"x\":1}}");
    EXPECT_OK(read_body((struct str){text, (size_t)len}));
    EXPECT_EQ_STR(splice.model, STR("m"));
    memcpy(text + len - 7, "\"7\"", 3); // "x" becomes "7"
    EXPECT_STATUS(read_body((struct str){text, (size_t)len}), E_INVALID);
    EXPECT_CONTAINS(failure.message, "twice");
}

TEST(depth_is_limited)
{
    char text[512] = "{\"a\":";
    size_t len = 5;

    memset(text + len, '[', 100);
    memset(text + len + 100, ']', 100);
    len += 200;
    text[len++] = '}';
    EXPECT_TRUE(read_body((struct str){text, len}) != OK);
}

TEST(every_prefix_is_refused_without_reading_on)
{
    const char body[] =
        "{\"model\":\"m\xC3\xA9\\ud83d\\ude00\",\"stream_options\":{\"include_usage\":true},"
        "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":12,\"t\":-0.5e3}";

    for (size_t len = 0; len < sizeof(body); len++) {
        struct guard copy = guard_copy((struct str){body, len});

        EXPECT_TRUE((read_body(copy.text) == OK) == (len == sizeof(body) - 1));
        guard_done(&copy);
    }
}

/* --- differential: random JSON against the strict parser --- */

static uint64_t n_drawn;

static uint32_t draw(uint32_t below)
{
    uint32_t words[4];

    rng_block(20261125, 0, n_drawn++, words);
    return words[0] % below;
}

static void put_random(struct buf *out, int depth);

static void put_key(struct buf *out)
{
    static const char *const keys[] = {"model",  "stream", "messages",    "stream_options", "a",
                                       "n",      "b",      "m\\u006fdel", "Model",          "tools",
                                       "prompt", "x\\n",   "max_tokens",  "include_usage"};

    buf_printf(out, "\"%s\":", keys[draw(14)]);
}

static void put_object(struct buf *out, int depth)
{
    const uint32_t n = draw(5);

    buf_append_byte(out, '{');
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(out, i == 0 ? "" : ",");
        put_key(out);
        put_random(out, depth + 1);
    }
    buf_append_byte(out, '}');
}

static void put_random(struct buf *out, int depth)
{
    static const char *const atoms[] = {"1",
                                        "true",
                                        "null",
                                        "\"s\"",
                                        "-0.5e2",
                                        "\"\\u00e9\"",
                                        "false",
                                        "[1,2]",
                                        "\"\"",
                                        "{}",
                                        "\"\\ud83d\\ude00\"",
                                        "7",
                                        "\"\xE4\xBD\xA0\"",
                                        " 3 "};

    if (depth > 4 || draw(3) > 0) {
        buf_append_c(out, atoms[draw(14)]);
    } else if (draw(2) == 0) {
        put_object(out, depth);
    } else {
        buf_append_byte(out, '[');
        put_random(out, depth + 1);
        buf_append_byte(out, ',');
        put_random(out, depth + 1);
        buf_append_byte(out, ']');
    }
}

/* Damage about a third of the documents by a byte. */
static void damage(struct buf *b)
{
    static const char bytes[] = "\"\\{}[],:x\x01\xff"
                                "9 u";

    if (draw(3) == 0 && b->len > 0) {
        b->ptr[draw((uint32_t)b->len)] = bytes[draw(sizeof(bytes) - 1)];
    }
}

static void expect_agrees(struct str body)
{
    const struct json_value *root = NULL;
    const struct json_value *v;

    if (json_parse(arena, body, NULL, &root, NULL) != OK) {
        FAIL("taken, but no strict JSON: %.*s", STR_ARG(body));
    }
    v = json_get(root, STR("model"));
    if (v != NULL && v->kind == JSON_STRING) {
        EXPECT_EQ_STR(splice.model, v->string);
        EXPECT_TRUE(splice.model_source.ptr == v->source.ptr &&
                    splice.model_source.len == v->source.len);
    }
    EXPECT_TRUE(splice.stream == json_bool_or(json_get(root, STR("stream")), false));
    v = json_get(json_get(root, STR("stream_options")), STR("include_usage"));
    EXPECT_TRUE(splice.include_usage == json_bool_or(v, false));
}

static void expect_edit_agrees(void)
{
    const struct json_value *root = NULL;
    const struct str out = joined(STR("other"), true);
    const struct json_value *v;

    if (json_parse(arena, out, NULL, &root, NULL) != OK) {
        FAIL("edited to no JSON: %.*s", STR_ARG(out));
    }
    v = json_get(root, STR("model"));
    EXPECT_TRUE(v == NULL || v->kind != JSON_STRING || str_eq(v->string, STR("other")));
    v = json_get(json_get(root, STR("stream_options")), STR("include_usage"));
    EXPECT_TRUE(!splice.stream || json_bool_or(v, false));
}

TEST(what_is_taken_a_strict_parser_takes_and_spans_agree)
{
    uint32_t n_taken = 0;
    uint32_t n_refused = 0;
    struct buf b;

    buf_init(&b, 1 << 20);
    for (int i = 0; i < 60000; i++) {
        const struct json_value *root;
        enum status rc;

        buf_reset(&b);
        put_object(&b, 0);
        damage(&b);
        rc = read_body(buf_str(&b));
        if (rc == OK) {
            n_taken++;
            expect_agrees(buf_str(&b));
            if (i % 4 == 0) {
                expect_edit_agrees();
            }
        } else {
            n_refused++;
            // what the parser takes may be refused for the gateway's own reasons only
            EXPECT_TRUE(json_parse(arena, buf_str(&b), NULL, &root, NULL) != OK ||
                        failure.http_status == 400);
        }
    }
    EXPECT_TRUE(n_taken > 10000 && n_refused > 5000);
    buf_done(&b);
}
