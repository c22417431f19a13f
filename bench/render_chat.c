/* How long a chat template takes: 50 messages with tool calls and 20 tools through a template in
 * the manner of GLM-5, beside parsing the JSON of that request in the same run. */
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "text/chat_template.h"

#include <stdio.h>

#define N_ROUNDS 200
#define N_TURNS 12 // of four messages, and one before and after: 50
#define N_TOOLS 20
#define N_PARAMS 6

static const char source[] =
    "[start]\n"
    "{%- if tools -%}\n"
    "<|system|>\n"
    "# Functions\n"
    "{% for tool in tools %}\n"
    "{{ tool | tojson(ensure_ascii=False) }}\n"
    "{% endfor %}\n"
    "{%- endif -%}\n"
    "{%- macro plain(content) -%}\n"
    "    {%- if content is string -%}\n"
    "        {{- content }}\n"
    "    {%- elif content is sequence -%}\n"
    "        {%- for part in content -%}\n"
    "            {%- if part is mapping and part.type == 'text' -%}\n"
    "                {{- part.text }}\n"
    "            {%- endif -%}\n"
    "        {%- endfor -%}\n"
    "    {%- endif -%}\n"
    "{%- endmacro -%}\n"
    "{%- set ns = namespace(last=-1) %}\n"
    "{%- for m in messages %}\n"
    "    {%- if m.role == 'user' %}\n"
    "        {% set ns.last = loop.index0 -%}\n"
    "    {%- endif %}\n"
    "{%- endfor %}\n"
    "{% for m in messages %}\n"
    "{%- if m.role == 'user' -%}<|user|>{{ plain(m.content) }}\n"
    "{%- elif m.role == 'assistant' -%}\n"
    "<|assistant|>\n"
    "{%- set thought = '' %}\n"
    "{%- set content = plain(m.content) %}\n"
    "{%- if m.reasoning_content is string %}\n"
    "    {%- set thought = m.reasoning_content %}\n"
    "{%- elif '</think>' in content %}\n"
    "    {%- set thought = content.split('</think>')[0].split('<think>')[-1] %}\n"
    "    {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n"
    "{%- endif %}\n"
    "{%- if loop.index0 > ns.last and thought -%}\n"
    "{{ '<think>' + thought.strip() + '</think>' }}\n"
    "{%- endif -%}\n"
    "{{- content.strip() -}}\n"
    "{%- for call in m.tool_calls or [] -%}\n"
    "<tool_call>{{ call.function.name }}\n"
    "{%- for k, v in call.function.arguments.items() -%}\n"
    "<arg_key>{{ k }}</arg_key><arg_value>{{ v | tojson if v is not string else v }}</arg_value>\n"
    "{%- endfor -%}\n"
    "</tool_call>\n"
    "{%- endfor -%}\n"
    "{%- elif m.role == 'tool' -%}\n"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}"
    "<|observation|>{%- endif -%}\n"
    "<tool_response>{{ plain(m.content) }}</tool_response>\n"
    "{%- else -%}\n"
    "<|system|>{{ plain(m.content) }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}<|assistant|><think>{%- endif -%}\n";

static void repeat(struct buf *out, const char *sentence, int times)
{
    for (int i = 0; i < times; i++) {
        buf_append_c(out, sentence);
    }
}

static void make_turn(struct buf *out, int turn)
{
    buf_printf(out, ",{\"role\":\"user\",\"content\":\"What happened on account %d? ", turn);
    repeat(out, "Please be precise. ", 20);
    buf_append_c(out, "\"},{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"");
    repeat(out, "I should look this up. ", 20);
    buf_printf(out,
               "\",\"tool_calls\":[{\"id\":\"c%d\",\"function\":{\"name\":\"tool_1\","
               "\"arguments\":{\"p0\":\"a string\",\"p1\":%d,\"p2\":[1,2,{\"a\":1.5}]}}}]}",
               turn, turn);
    buf_printf(out, ",{\"role\":\"tool\",\"tool_call_id\":\"c%d\",\"content\":\"", turn);
    repeat(out, "{\\\"balance\\\": 12.50} ", 10);
    buf_append_c(out, "\"},{\"role\":\"assistant\",\"content\":\"");
    repeat(out, "It is 12.50. ", 40);
    buf_append_c(out, "\"}");
}

static void make_tool(struct buf *out, int tool)
{
    buf_printf(out,
               "%s{\"type\":\"function\",\"function\":{\"name\":\"tool_%d\",\"description\":\"",
               tool == 0 ? "" : ",", tool);
    repeat(out, "Look up an account and list its last bookings, oldest first. ", 4);
    buf_append_c(out, "\",\"parameters\":{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < N_PARAMS; i++) {
        buf_printf(out, "%s\"p%d\":{\"type\":\"string\",\"description\":\"one parameter\"}",
                   i == 0 ? "" : ",", i);
    }
    buf_append_c(out, "},\"required\":[\"p0\",\"p1\"]}}}");
}

static void make_request(struct buf *out)
{
    buf_append_c(out, "{\"messages\":[{\"role\":\"system\",\"content\":\"");
    repeat(out, "You are the assistant of a bank. ", 10);
    buf_append_c(out, "\"}");
    for (int i = 0; i < N_TURNS; i++) {
        make_turn(out, i);
    }
    buf_append_c(out, ",{\"role\":\"user\",\"content\":\"Thanks.\"}],\"tools\":[");
    for (int i = 0; i < N_TOOLS; i++) {
        make_tool(out, i);
    }
    buf_append_c(out, "]}");
    CHECK(buf_status(out) == OK);
}

static uint64_t now_ns(void)
{
    return kontor_clock_now_ns(&kontor_clock_system);
}

static const struct json_value *parse(struct arena *arena, struct str text, uint64_t *io_best_ns)
{
    const struct json_value *root = NULL;
    uint64_t begin = now_ns();
    uint64_t took;

    arena_reset(arena);
    CHECK(json_parse(arena, text, NULL, &root, NULL) == OK);
    took = now_ns() - begin;
    *io_best_ns = took < *io_best_ns ? took : *io_best_ns;
    return root;
}

static struct chat_template *compile(uint64_t *io_best_ns)
{
    struct chat_template *t = NULL;
    uint64_t begin = now_ns();
    uint64_t took;

    CHECK(chat_template_compile(str_from_c(source), &t, NULL) == OK);
    took = now_ns() - begin;
    *io_best_ns = took < *io_best_ns ? took : *io_best_ns;
    return t;
}

static void render(const struct chat_template *t, const struct json_value *root, struct buf *out,
                   uint64_t *io_best_ns)
{
    struct chat_template_args args = {.messages = json_get(root, STR("messages")),
                                      .tools = json_get(root, STR("tools")),
                                      .add_generation_prompt = true};
    uint64_t begin = now_ns();
    uint64_t took;

    buf_reset(out);
    CHECK(chat_template_render(t, &args, NULL, out, NULL) == OK);
    took = now_ns() - begin;
    *io_best_ns = took < *io_best_ns ? took : *io_best_ns;
}

static void print_row(const char *name, size_t n_bytes, uint64_t ns, uint64_t parse_ns)
{
    printf("| %-14s | %6.1f kB | %6.1f us | %.2f |\n", name, (double)n_bytes / 1e3,
           (double)ns / 1e3, (double)ns / (double)parse_ns);
}

int main(void)
{
    uint64_t parse_ns = UINT64_MAX;
    uint64_t compile_ns = UINT64_MAX;
    uint64_t render_ns = UINT64_MAX;
    struct arena *arena = arena_create((size_t)1 << 24);
    struct buf request;
    struct buf out;

    buf_init(&request, (size_t)1 << 24);
    buf_init(&out, (size_t)1 << 24);
    make_request(&request);
    for (int i = 0; i < N_ROUNDS; i++) {
        const struct json_value *root = parse(arena, buf_str(&request), &parse_ns);
        struct chat_template *t = compile(&compile_ns);

        render(t, root, &out, &render_ns);
        chat_template_destroy(t);
    }
    printf("| step | bytes | best of %d | time / JSON |\n|---|---|---|---|\n", N_ROUNDS);
    print_row("parse the JSON", request.len, parse_ns, parse_ns);
    print_row("compile", sizeof(source) - 1, compile_ns, parse_ns);
    print_row("render", out.len, render_ns, parse_ns);
    buf_done(&request);
    buf_done(&out);
    arena_destroy(arena);
    return 0;
}
