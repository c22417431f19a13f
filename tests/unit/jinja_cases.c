/* Every feature of chat templates by a small template of its own: tests/unit/jinja_cases.
 *
 * A case is {name, template, messages?, tools?, kwargs?, add_generation_prompt?} with the expected
 * "text", or the class of the expected "error" and what its message "contains".  The texts are
 * those of Jinja2 (tests/peers/jinja_test.py checks that), "peer": false marks what Jinja2 does
 * otherwise.
 */
#include "base/arena.h"
#include "base/json.h"
#include "text/chat_template.h"

#include "support/test.h"

#include <stdio.h>

struct outcome {
    struct buf text;
    struct error err;
    enum status rc;
};

static struct outcome render(const struct json_value *c)
{
    struct outcome o = {.rc = OK};
    struct chat_template *t = NULL;
    struct chat_template_args args = {
        .messages = json_get(c, STR("messages")),
        .tools = json_get(c, STR("tools")),
        .kwargs = json_get(c, STR("kwargs")),
        .add_generation_prompt = json_bool_or(json_get(c, STR("add_generation_prompt")), false),
    };

    buf_init(&o.text, (size_t)1 << 20);
    o.rc = chat_template_compile(json_string_or(json_get(c, STR("template")), STR("")), &t, &o.err);
    if (o.rc == OK) {
        o.rc = chat_template_render(t, &args, NULL, &o.text, &o.err);
    }
    chat_template_destroy(t);
    return o;
}

static void check_text(const char *file, const struct json_value *c, const struct json_value *text)
{
    struct str name = json_string_or(json_get(c, STR("name")), STR("?"));
    struct outcome o = render(c);

    if (o.rc != OK) {
        FAIL("%s: %.*s: %s", file, STR_ARG(name), o.err.text);
    }
    if (!str_eq(buf_str(&o.text), text->string)) {
        FAIL("%s: %.*s:\n  got  \"%.*s\"\n  want \"%.*s\"", file, STR_ARG(name),
             STR_ARG(buf_str(&o.text)), STR_ARG(text->string));
    }
    buf_done(&o.text);
}

static void check_error(const char *file, const struct json_value *c)
{
    struct str name = json_string_or(json_get(c, STR("name")), STR("?"));
    struct str want = json_string_or(json_get(c, STR("error")), STR("text or error"));
    struct str contains = json_string_or(json_get(c, STR("contains")), STR("line "));
    struct outcome o = render(c);

    if (o.rc == OK) {
        FAIL("%s: %.*s: rendered \"%.*s\"", file, STR_ARG(name), STR_ARG(buf_str(&o.text)));
    }
    if (!str_eq(str_from_c(status_name(o.rc)), want) ||
        str_find(str_from_c(o.err.text), contains, 0) == SIZE_MAX || o.err.status != o.rc) {
        FAIL("%s: %.*s: %s: %s", file, STR_ARG(name), status_name(o.rc), o.err.text);
    }
    EXPECT_EQ_SIZE(o.text.len, 0);
    buf_done(&o.text);
}

static void check_file(const char *file, uint32_t at_least)
{
    char relative[128];
    struct arena *arena = arena_create((size_t)64 << 20);
    const struct json_value *cases = NULL;
    struct error err;

    snprintf(relative, sizeof(relative), "unit/jinja_cases/%s.json", file);
    if (json_parse(arena, test_read_file(test_path(relative)), NULL, &cases, &err) != OK) {
        FAIL("%s: %s", file, err.text);
    }
    EXPECT_TRUE(cases->n_items >= at_least);
    for (uint32_t i = 0; i < cases->n_items; i++) {
        const struct json_value *text = json_get(&cases->items[i], STR("text"));

        if (text != NULL) {
            check_text(file, &cases->items[i], text);
        } else {
            check_error(file, &cases->items[i]);
        }
    }
    arena_destroy(arena);
}

TEST(whitespace_around_tags)
{
    check_file("whitespace", 40);
}

TEST(printing_values)
{
    check_file("print", 20);
}

TEST(operators)
{
    check_file("operators", 25);
}

TEST(attributes_elements_and_slices)
{
    check_file("access", 20);
}

TEST(conditions_and_loops)
{
    check_file("control", 30);
}

TEST(scopes_and_namespaces)
{
    check_file("scope", 20);
}

TEST(macros)
{
    check_file("macros", 20);
}

TEST(tests_of_values)
{
    check_file("tests", 10);
}

TEST(filters)
{
    check_file("filters", 12);
}

TEST(methods)
{
    check_file("methods", 10);
}

TEST(tojson)
{
    check_file("tojson", 8);
}

TEST(undefined_values)
{
    check_file("undefined", 5);
}

TEST(what_python_refuses_is_refused_with_its_line)
{
    check_file("errors", 70);
}

TEST(syntax_errors_name_their_line)
{
    check_file("syntax", 35);
}

TEST(what_is_not_built_is_refused_by_name)
{
    check_file("refused", 30);
}
