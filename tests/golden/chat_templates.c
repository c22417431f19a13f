/* The published chat templates of GLM checkpoints against renderings that others made. */
#include "base/arena.h"
#include "base/json.h"
#include "text/chat_template.h"

#include "support/test.h"

#include <stdio.h>

#define CASES_AT_LEAST 128

static const struct json_value *load_vectors(struct arena *arena, const char *material)
{
    char path[4096];
    const struct json_value *root = NULL;
    struct error err;

    snprintf(path, sizeof(path), "%s/glm/template-vectors.json", material);
    if (json_parse(arena, test_read_file(path), NULL, &root, &err) != OK) {
        FAIL("%s: %s", path, err.text);
    }
    return json_get(root, STR("cases"));
}

/* The variables of a case hold what the interface gives apart. */
static struct chat_template_args args_of(const struct json_value *c)
{
    const struct json_value *variables = json_get(c, STR("variables"));

    return (struct chat_template_args){
        .messages = json_get(c, STR("messages")),
        .tools = json_get(variables, STR("tools")),
        .kwargs = variables,
        .add_generation_prompt =
            json_bool_or(json_get(variables, STR("add_generation_prompt")), false),
    };
}

static void check_case(const char *material, const struct json_value *c)
{
    struct str folder = json_string_or(json_get(c, STR("template")), STR("?"));
    struct str name = json_string_or(json_get(c, STR("case")), STR("?"));
    struct chat_template_args args = args_of(c);
    struct chat_template *t = NULL;
    char dir[4096];
    struct buf out;
    struct error err;

    snprintf(dir, sizeof(dir), "%s/glm/%.*s", material, STR_ARG(folder));
    buf_init(&out, (size_t)1 << 24);
    if (chat_template_load(dir, &t, &err) != OK ||
        chat_template_render(t, &args, NULL, &out, &err) != OK) {
        FAIL("%.*s, %.*s: %s", STR_ARG(folder), STR_ARG(name), err.text);
    }
    if (!str_eq(buf_str(&out), json_string_or(json_get(c, STR("text")), STR("")))) {
        FAIL("%.*s, %.*s:\n  got  \"%.*s\"\n  want \"%.*s\"", STR_ARG(folder), STR_ARG(name),
             STR_ARG(buf_str(&out)), STR_ARG(json_string_or(json_get(c, STR("text")), STR(""))));
    }
    chat_template_destroy(t);
    buf_done(&out);
}

TEST(published_templates_render_byte_for_byte)
{
    const char *material = test_material();
    struct arena *arena = arena_create((size_t)64 << 20);
    const struct json_value *cases;

    if (material == NULL) {
        arena_destroy(arena);
        SKIP("no material");
    }
    cases = load_vectors(arena, material);
    EXPECT_TRUE(cases != NULL && cases->n_items >= CASES_AT_LEAST);
    for (uint32_t i = 0; i < cases->n_items; i++) {
        check_case(material, &cases->items[i]);
    }
    printf("# %u renderings compared\n", cases->n_items);
    arena_destroy(arena);
}
