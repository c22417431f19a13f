/* A template and the variables it is rendered with: input is `template NUL json`, where the JSON
 * object's members messages, tools and kwargs are what the interface takes.  Rendering twice gives
 * the same. */
#include "base/check.h"
#include "base/json.h"
#include "text/chat_template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static enum status render(const struct chat_template *t, const struct json_value *root,
                          struct buf *out)
{
    /* Time is not limited tightly: two runs must end alike. */
    static const struct chat_template_limits limits = {.loop_turns_max = 1000,
                                                       .output_max = 10000,
                                                       .time_ms_max = 10000,
                                                       .depth_max = 8};
    const struct chat_template_args args = {.messages = json_get(root, STR("messages")),
                                            .tools = json_get(root, STR("tools")),
                                            .kwargs = json_get(root, STR("kwargs"))};
    struct error err = {.status = OK};

    return chat_template_render(t, &args, &limits, out, &err);
}

static void render_twice(const struct chat_template *t, const struct json_value *root)
{
    struct buf first;
    struct buf second;
    enum status rc;

    buf_init(&first, 20000);
    buf_init(&second, 20000);
    rc = render(t, root, &first);
    CHECK(render(t, root, &second) == rc);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_done(&first);
    buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str all = {(const char *)bytes, n_bytes};
    size_t nul = str_find_byte(all, '\0', 0);
    struct arena *arena = arena_create((size_t)16 << 20);
    const struct json_value *root = NULL;
    struct chat_template *t = NULL;
    struct error err = {.status = OK};

    CHECK(arena != NULL);
    if (nul != SIZE_MAX &&
        json_parse(arena, str_slice(all, nul + 1, all.len), NULL, &root, &err) == OK &&
        chat_template_compile(str_slice(all, 0, nul), &t, &err) == OK) {
        render_twice(t, root);
    }
    chat_template_destroy(t);
    arena_destroy(arena);
    return 0;
}
