/* render_template - renders chat templates for tests that compare them with another renderer.
 *
 * Reads JSON lines {"template", "messages", "tools", "kwargs", "add_generation_prompt"} on stdin
 * and answers each with one line: {"text": ...} or {"status": ..., "error": ...}.  With --bench N
 * each line is rendered N times and answered {"ns": nanoseconds of the fastest rendering}.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX ((size_t)256 << 20)

static void write_error(struct buf *out, const struct error *err)
{
    buf_append_c(out, "{\"status\": ");
    json_write_string(out, str_from_c(status_name(err->status)));
    buf_append_c(out, ", \"error\": ");
    json_write_string(out, str_from_c(err->text));
    buf_append_c(out, "}\n");
}

static enum status render(const struct chat_template *t, const struct json_value *request,
                          uint64_t times, struct buf *out, struct error *err)
{
    struct chat_template_args args = {
        .messages = json_get(request, STR("messages")),
        .tools = json_get(request, STR("tools")),
        .kwargs = json_get(request, STR("kwargs")),
        .add_generation_prompt =
            json_bool_or(json_get(request, STR("add_generation_prompt")), false),
    };
    struct buf text;
    uint64_t best = UINT64_MAX;
    enum status rc = OK;

    buf_init(&text, (size_t)256 << 20);
    for (uint64_t i = 0; i < (times == 0 ? 1 : times) && rc == OK; i++) {
        uint64_t begin = kontor_clock_now_ns(&kontor_clock_system);
        uint64_t took;

        buf_reset(&text);
        rc = chat_template_render(t, &args, NULL, &text, err);
        took = kontor_clock_now_ns(&kontor_clock_system) - begin;
        best = took < best ? took : best;
    }
    if (rc == OK && times > 0) {
        buf_printf(out, "{\"ns\": %llu, \"bytes\": %zu}\n", (unsigned long long)best, text.len);
    } else if (rc == OK) {
        buf_append_c(out, "{\"text\": ");
        json_write_string(out, buf_str(&text));
        buf_append_c(out, "}\n");
    }
    buf_done(&text);
    return rc;
}

static void answer(struct str line, uint64_t times, struct buf *out)
{
    struct arena *arena = arena_create((size_t)1 << 30);
    const struct json_value *request = NULL;
    struct chat_template *t = NULL;
    struct error err = {.status = OK};
    enum status rc = json_parse(arena, line, NULL, &request, &err);

    if (rc == OK) {
        rc = chat_template_compile(json_string_or(json_get(request, STR("template")), STR("")), &t,
                                   &err);
    }
    rc = rc == OK ? render(t, request, times, out, &err) : rc;
    if (rc != OK) {
        write_error(out, &err);
    }
    chat_template_destroy(t);
    arena_destroy(arena);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    uint64_t times = 0;
    struct buf out;

    if (argc == 3 && strcmp(argv[1], "--bench") == 0 &&
        str_to_u64(str_from_c(argv[2]), &times) != OK) {
        fprintf(stderr, "usage: render_template [--bench N] < lines\n");
        return 2;
    }
    buf_init(&out, LINE_BYTES_MAX);
    while ((len = getline(&line, &cap, stdin)) > 0) {
        answer(str_trim((struct str){line, (size_t)len}), times, &out);
        fwrite(out.ptr, 1, out.len, stdout);
        fflush(stdout);
        buf_reset(&out);
    }
    buf_done(&out);
    free(line);
    return 0;
}
