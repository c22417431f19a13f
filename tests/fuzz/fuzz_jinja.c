/* Compile arbitrary bytes as a chat template and render what compiles, under tight limits. */
#include "base/check.h"
#include "base/json.h"
#include "text/chat_template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static const char request[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi <think>a</think>b\"}, {\"role\": "
    "\"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"\xe4\xb8\xad\"}], "
    "\"tool_calls\": [{\"id\": \"1\", \"function\": {\"name\": \"f\", \"arguments\": {\"a\": "
    "1.5}}}]}], \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}], "
    "\"kwargs\": {\"x\": 1, \"s\": \"ab\", \"d\": {\"a\": null}, \"l\": [1, 2, 3]}}";

static void render(const struct chat_template *t)
{
    static const struct chat_template_limits limits = {.loop_turns_max = 1000,
                                                       .output_max = 10000,
                                                       .time_ms_max = 20,
                                                       .depth_max = 8};
    struct arena *arena = arena_create((size_t)1 << 20);
    const struct json_value *root = NULL;
    struct error err = {.status = OK};
    struct buf out;
    enum status rc;

    CHECK(json_parse(arena, str_from_c(request), NULL, &root, &err) == OK);
    struct chat_template_args args = {.messages = json_get(root, STR("messages")),
                                      .tools = json_get(root, STR("tools")),
                                      .kwargs = json_get(root, STR("kwargs")),
                                      .add_generation_prompt = true};
    buf_init(&out, 20000);
    rc = chat_template_render(t, &args, &limits, &out, &err);
    CHECK(rc == OK || (out.len == 0 && err.status == rc));
    CHECK(rc == OK || strncmp(err.text, "template line ", 14) == 0);
    CHECK(out.len <= limits.output_max);
    buf_done(&out);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct chat_template *t = NULL;
    struct error err = {.status = OK};
    enum status rc = chat_template_compile((struct str){(const char *)bytes, n_bytes}, &t, &err);

    if (rc == OK) {
        render(t);
    } else {
        CHECK(t == NULL && err.status == rc && err.text[0] != '\0');
    }
    chat_template_destroy(t);
    return 0;
}
