/* Limits, hostile templates, error texts, and loading from a checkpoint's folder. */
#include "base/arena.h"
#include "base/check.h"
#include "base/json.h"
#include "text/chat_template.h"

#include "support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct chat_template_args no_args;

/* Renders and returns the status; the text or the error stays in the statics. */
static struct buf text;
static struct error err;

static enum status render(const char *source, const struct chat_template_args *args,
                          const struct chat_template_limits *limits)
{
    struct chat_template *t = NULL;
    enum status rc = chat_template_compile(str_from_c(source), &t, &err);

    buf_done(&text);
    buf_init(&text, (size_t)256 << 20);
    if (rc == OK) {
        rc = chat_template_render(t, args, limits, &text, &err);
    }
    chat_template_destroy(t);
    return rc;
}

static void expect_limit(const char *source, const char *contains)
{
    EXPECT_STATUS(render(source, &no_args, NULL), E_LIMIT);
    EXPECT_CONTAINS(err.text, contains);
    EXPECT_CONTAINS(err.text, "line ");
    EXPECT_EQ_SIZE(text.len, 0);
}

/* The time limit is out of the way: what is tested is another one. */
static void expect_limit_without_time(const char *source, const char *contains)
{
    static const struct chat_template_limits limits = {.time_ms_max = 100000};

    EXPECT_STATUS(render(source, &no_args, &limits), E_LIMIT);
    EXPECT_CONTAINS(err.text, contains);
}

/* head, `times` x part, tail; the caller frees. */
static char *repeat(const char *head, const char *part, size_t times, const char *tail)
{
    struct buf all;

    buf_init(&all, (size_t)64 << 20);
    buf_append_c(&all, head);
    for (size_t i = 0; i < times; i++) {
        buf_append_c(&all, part);
    }
    buf_append_c(&all, tail);
    EXPECT_TRUE(buf_c(&all) != NULL);
    return all.ptr;
}

TEST(loop_turns_are_limited)
{
    expect_limit_without_time("\n{% for i in range(100000) %}\n{% for j in range(100000) %}"
                              "{% endfor %}{% endfor %}",
                              "template line 3: the limit of 1000000 loop turns");
}

TEST(own_limit_of_loop_turns)
{
    static const struct chat_template_limits limits = {.loop_turns_max = 5};

    EXPECT_OK(render("{% for i in range(5) %}{{ i }}{% endfor %}", &no_args, &limits));
    EXPECT_EQ_STR(buf_str(&text), STR("01234"));
    EXPECT_STATUS(render("{% for i in range(6) %}{{ i }}{% endfor %}", &no_args, &limits), E_LIMIT);
    EXPECT_CONTAINS(err.text, "5 loop turns");
}

TEST(output_is_limited)
{
    static const struct chat_template_limits limits = {.output_max = 10};

    EXPECT_OK(render("0123456789", &no_args, &limits));
    EXPECT_STATUS(render("\n0123456789", &no_args, &limits), E_LIMIT);
    EXPECT_CONTAINS(err.text, "the output limit of 10 bytes");
    expect_limit_without_time("{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
                              "output limit of 67108864 bytes");
}

TEST(output_limit_counts_what_is_appended)
{
    static const struct chat_template_limits limits = {.output_max = 10};
    struct chat_template *t = NULL;
    struct buf out;

    buf_init(&out, 100);
    buf_append_c(&out, "before ");
    EXPECT_OK(chat_template_compile(STR("0123456789"), &t, &err));
    EXPECT_OK(chat_template_render(t, &no_args, &limits, &out, &err));
    EXPECT_EQ_STR(buf_str(&out), STR("before 0123456789"));
    chat_template_destroy(t);
    EXPECT_OK(chat_template_compile(STR("012345{{ 1 / 0 }}"), &t, &err));
    EXPECT_STATUS(chat_template_render(t, &no_args, &limits, &out, &err), E_INVALID);
    EXPECT_EQ_STR(buf_str(&out), STR("before 0123456789"));
    EXPECT_OK(buf_status(&out));
    chat_template_destroy(t);
    buf_done(&out);
}

TEST(a_small_buffer_of_the_caller_is_a_limit)
{
    struct chat_template *t = NULL;
    struct buf out;

    buf_init(&out, 5);
    EXPECT_OK(chat_template_compile(STR("012345"), &t, &err));
    EXPECT_STATUS(chat_template_render(t, &no_args, NULL, &out, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "no more than 5 bytes");
    EXPECT_EQ_SIZE(out.len, 0);
    chat_template_destroy(t);
    buf_done(&out);
}

/* A clock that moves a millisecond whenever it is asked. */
static uint64_t ticking_ns(void *user)
{
    uint64_t *ns = user;

    *ns += 1000000;
    return *ns;
}

static int64_t fixed_unix_ms(void *user)
{
    (void)user;
    return INT64_C(1755216000000); // 2025-08-15 00:00:00 UTC
}

TEST(time_is_limited)
{
    uint64_t now_ns = 0;
    struct kontor_clock clock = {ticking_ns, fixed_unix_ms, &now_ns};
    struct chat_template_args args = {.clock = &clock};
    static const struct chat_template_limits limits = {.time_ms_max = 7};

    EXPECT_OK(render("{% for i in range(100) %}{% endfor %}", &args, &limits));
    EXPECT_STATUS(render("\n\n{% for i in range(100000) %}{% endfor %}", &args, &limits), E_LIMIT);
    EXPECT_CONTAINS(err.text, "template line 3: the time limit of 7 ms");
}

TEST(time_of_day_comes_from_the_clock)
{
    uint64_t now_ns = 0;
    struct kontor_clock clock = {ticking_ns, fixed_unix_ms, &now_ns};
    struct chat_template_args args = {.clock = &clock};

    EXPECT_TRUE(setenv("TZ", "UTC", 1) == 0);
    EXPECT_OK(render("{{ strftime_now('%d %b %Y') }}", &args, NULL));
    EXPECT_EQ_STR(buf_str(&text), STR("15 Aug 2025"));
    EXPECT_STATUS(render("{{ strftime_now(5) }}", &args, NULL), E_INVALID);
}

TEST(memory_is_limited)
{
    expect_limit_without_time("{% set ns = namespace(l=[1]) %}{% for i in range(64) %}"
                              "{% set ns.l = ns.l + ns.l %}{% endfor %}",
                              "the memory limit of 268435456 bytes");
}

TEST(a_string_that_doubles_hits_a_limit)
{
    expect_limit_without_time("{% set ns = namespace(s='x') %}{% for i in range(64) %}"
                              "{% set ns.s = ns.s + ns.s %}{% endfor %}",
                              "67108864 bytes");
    expect_limit_without_time("{% set ns = namespace(s='x') %}{% for i in range(64) %}"
                              "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                              "67108864 bytes");
    expect_limit_without_time("{{ 'x' * 9223372036854775807 }}", "67108864 bytes");
    expect_limit_without_time("{{ [1] * 9223372036854775807 }}", "limit");
    expect_limit_without_time("{{ ('a' * 100000) | replace('a', 'b' * 1000) }}", "67108864 bytes");
    expect_limit_without_time("{{ ('b' * 1000).join(('a' * 100000) | list) }}", "67108864 bytes");
}

TEST(macros_that_call_themselves_hit_the_depth_limit)
{
    static const struct chat_template_limits limits = {.depth_max = 3};

    expect_limit("{% macro m() %}\n{{ m() }}{% endmacro %}{{ m() }}",
                 "template line 2: the limit of 64 nested macro calls");
    expect_limit("{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}{{ a(a(x)) }}"
                 "{% endmacro %}{{ a(1) }}",
                 "nested macro calls");
    EXPECT_OK(render("{% macro f(n) %}{% if n > 1 %}{{ f(n - 1) }}{% endif %}{% endmacro %}"
                     "{{ f(3) }}",
                     &no_args, &limits));
    EXPECT_STATUS(render("{% macro f(n) %}{% if n > 1 %}{{ f(n - 1) }}{% endif %}{% endmacro %}"
                         "{{ f(4) }}",
                         &no_args, &limits),
                  E_LIMIT);
    EXPECT_CONTAINS(err.text, "3 nested macro calls");
}

TEST(recursion_that_branches_ends_in_time)
{
    expect_limit("{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
                 "{% endmacro %}{{ f(60) }}",
                 "limit");
}

TEST(values_that_hold_themselves_hit_a_limit)
{
    expect_limit("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
                 "values are nested deeper than the limit of 200");
    expect_limit("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}", "nested deeper");
    EXPECT_STATUS(render("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x | tojson }}",
                         &no_args, NULL),
                  E_INVALID);
    EXPECT_OK(
        render("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns == ns.x }}", &no_args, NULL));
    EXPECT_EQ_STR(buf_str(&text), STR("True"));
}

TEST(lists_of_shared_lists_end_in_time)
{
    static const char grow[] = "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
                               "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}"
                               "{% endfor %}";
    char *source = repeat(grow, "", 0, "{{ ns.a == ns.b }}");

    expect_limit(source, "time limit");
    free(source);
    source = repeat(grow, "", 0, "{{ ns.a < ns.b }}");
    expect_limit(source, "time limit");
    free(source);
    source = repeat(grow, "", 0, "{{ ns.a | tojson | length }}");
    expect_limit(source, "limit");
    free(source);
}

TEST(nesting_is_limited_when_compiling)
{
    char *source = repeat("\n{{ ", "(", 5000, "");

    expect_limit(source, "line 2: more than");
    free(source);
    source = repeat("{{ ", "(", 100, "");
    expect_limit(source, "64 nested expressions");
    free(source);
    source = repeat("{{ ", "-", 5000, "1 }}");
    expect_limit(source, "nested expressions");
    free(source);
    source = repeat("{{ ", "not ", 5000, "1 }}");
    expect_limit(source, "nested expressions");
    free(source);
    source = repeat("{{ x", ".a", 5000, " }}");
    expect_limit(source, "nested expressions");
    free(source);
    source = repeat("{{ x", " | trim", 5000, " }}");
    expect_limit(source, "nested expressions");
    free(source);
    source = repeat("{{ 1", " if 1 else 1", 5000, " }}");
    expect_limit(source, "nested expressions");
    free(source);
    source = repeat("{{ 1", " if 1", 5000, " }}");
    expect_limit(source, "nested expressions");
    free(source);
    source = repeat("", "{% if 1 %}", 5000, "");
    expect_limit(source, "64 nested blocks");
    free(source);
}

TEST(long_flat_templates_are_no_nesting)
{
    char *source = repeat("{{ 0", " + 1", 5000, " }}");

    EXPECT_OK(render(source, &no_args, NULL));
    EXPECT_EQ_STR(buf_str(&text), STR("5000"));
    free(source);
    source = repeat("{{ ''", " ~ 'ab'", 5000, " }}");
    EXPECT_OK(render(source, &no_args, NULL));
    EXPECT_EQ_SIZE(text.len, 10000);
    free(source);
    source = repeat("{{ 1", " and 1", 5000, " }}");
    EXPECT_OK(render(source, &no_args, NULL));
    free(source);
    source = repeat("{% if 0 %}", "{% elif 0 %}", 5000, "{% else %}x{% endif %}");
    EXPECT_OK(render(source, &no_args, NULL));
    EXPECT_EQ_STR(buf_str(&text), STR("x"));
    free(source);
    source = repeat("{{ [", "1,", 5000, "] | length }}");
    EXPECT_OK(render(source, &no_args, NULL));
    EXPECT_EQ_STR(buf_str(&text), STR("5000"));
    free(source);
}

TEST(deep_but_allowed_nesting_renders)
{
    char *source = repeat("{{ ", "(", 60, "1");
    char *all = repeat(source, ")", 60, " }}");

    EXPECT_OK(render(all, &no_args, NULL));
    EXPECT_EQ_STR(buf_str(&text), STR("1"));
    free(source);
    free(all);
    source = repeat("{% macro m(n) %}{% if n > 0 %}{{ ", "(", 40, "m(n - 1)");
    all = repeat(source, ")", 40, " }}{% endif %}{% endmacro %}{{ m(60) }}");
    EXPECT_OK(render(all, &no_args, NULL));
    free(source);
    free(all);
}

TEST(sizes_are_limited_when_compiling)
{
    char *source = repeat("", "0123456789abcdef", 65536, "x");

    expect_limit_without_time(source, "larger than 1048576 bytes");
    free(source);
    source = repeat("{{ f(", "1,", 65, ") }}");
    expect_limit(source, "64 arguments");
    free(source);
    source = repeat("{% set a", ", b", 64, " = 1 %}");
    expect_limit(source, "64 names");
    free(source);
}

TEST(errors_of_compiling_say_line_and_find)
{
    struct chat_template *t = NULL;

    EXPECT_STATUS(chat_template_compile(STR("a\n{% if x %}\n{{ y z }}"), &t, &err), E_INVALID);
    EXPECT_EQ_C_STR(err.text, "line 3: expected '}}', found 'z'");
    EXPECT_STATUS(chat_template_compile(STR("a\n{% if x %}\nb\n"), &t, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "the block of line 2 has no 'endif'");
    EXPECT_STATUS(chat_template_compile(STR("a\xff"), &t, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "line 1: bytes that are not UTF-8");
    EXPECT_TRUE(t == NULL);
}

TEST(errors_of_rendering_say_line_and_reason)
{
    EXPECT_STATUS(render("\n\n{{ raise_exception('roles must alternate') }}", &no_args, NULL),
                  E_INVALID);
    EXPECT_EQ_C_STR(err.text, "template line 3: the template refuses: roles must alternate");
    EXPECT_STATUS(render("{{ 1 }}\n{{ 'a'\n + 1 }}", &no_args, NULL), E_INVALID);
    EXPECT_EQ_C_STR(err.text, "template line 3: 'str' + 'int' is not possible");
    EXPECT_STATUS(render("{{ messages[0].role }}", &no_args, NULL), E_INVALID);
    EXPECT_EQ_C_STR(err.text, "template line 1: 'messages' is undefined, so it has no elements");
}

TEST(a_template_renders_again_after_an_error)
{
    struct chat_template *t = NULL;
    struct arena *arena = arena_create((size_t)1 << 20);
    const struct json_value *kwargs[2];
    struct buf out;

    EXPECT_OK(json_parse(arena, STR("{\"x\": 0}"), NULL, &kwargs[0], &err));
    EXPECT_OK(json_parse(arena, STR("{\"x\": 2}"), NULL, &kwargs[1], &err));
    EXPECT_OK(chat_template_compile(STR("{{ 10 // x }}"), &t, &err));
    buf_init(&out, 1000);
    for (int i = 0; i < 4; i++) {
        struct chat_template_args args = {.kwargs = kwargs[i % 2]};

        EXPECT_STATUS(chat_template_render(t, &args, NULL, &out, &err),
                      i % 2 == 0 ? E_INVALID : OK);
    }
    EXPECT_EQ_STR(buf_str(&out), STR("55"));
    chat_template_destroy(t);
    buf_done(&out);
    arena_destroy(arena);
}

static void *render_often(void *arg)
{
    const struct chat_template *t = arg;
    struct buf out;

    buf_init(&out, 1000);
    for (int i = 0; i < 200; i++) {
        buf_reset(&out);
        CHECK(chat_template_render(t, &no_args, NULL, &out, NULL) == OK);
        CHECK(str_eq(buf_str(&out), STR("0,1,2,macro")));
    }
    buf_done(&out);
    return NULL;
}

TEST(one_template_renders_in_several_threads)
{
    struct chat_template *t = NULL;
    pthread_t threads[3];

    EXPECT_OK(chat_template_compile(STR("{% macro m() %}macro{% endmacro %}{% for i in range(3) %}"
                                        "{{ i }},{% endfor %}{{ m() }}"),
                                    &t, &err));
    for (int i = 0; i < 3; i++) {
        EXPECT_TRUE(pthread_create(&threads[i], NULL, render_often, t) == 0);
    }
    for (int i = 0; i < 3; i++) {
        EXPECT_TRUE(pthread_join(threads[i], NULL) == 0);
    }
    chat_template_destroy(t);
}

/* A checkpoint's folder with the files that are given. */
static const char *folder(const char *jinja, const char *config)
{
    static char dir[64];
    char path[128];
    const char *names[2] = {"chat_template.jinja", "tokenizer_config.json"};
    const char *texts[2] = {jinja, config};

    snprintf(dir, sizeof(dir), "/tmp/kontor-template-XXXXXX");
    EXPECT_TRUE(mkdtemp(dir) != NULL);
    for (int i = 0; i < 2; i++) {
        FILE *f;

        if (texts[i] == NULL) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        f = fopen(path, "w");
        EXPECT_TRUE(f != NULL);
        EXPECT_TRUE(fputs(texts[i], f) >= 0);
        EXPECT_TRUE(fclose(f) == 0);
    }
    return dir;
}

static void remove_folder(const char *dir)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/chat_template.jinja", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/tokenizer_config.json", dir);
    unlink(path);
    rmdir(dir);
}

static void expect_loaded(const char *jinja, const char *config, const char *want)
{
    const char *dir = folder(jinja, config);
    struct chat_template *t = NULL;

    buf_done(&text);
    buf_init(&text, 1000);
    EXPECT_OK(chat_template_load(dir, &t, &err));
    EXPECT_OK(chat_template_render(t, &no_args, NULL, &text, &err));
    EXPECT_EQ_STR(buf_str(&text), str_from_c(want));
    chat_template_destroy(t);
    remove_folder(dir);
}

static void expect_not_loaded(const char *jinja, const char *config, enum status want,
                              const char *contains)
{
    const char *dir = folder(jinja, config);
    struct chat_template *t = NULL;

    EXPECT_STATUS(chat_template_load(dir, &t, &err), want);
    EXPECT_CONTAINS(err.text, contains);
    EXPECT_TRUE(t == NULL);
    remove_folder(dir);
}

TEST(the_template_file_comes_first)
{
    expect_loaded("file", "{\"chat_template\": \"config\"}", "file");
}

TEST(the_template_may_stand_in_the_tokenizer_config)
{
    expect_loaded(NULL, "{\"a\": 1, \"chat_template\": \"con\\nfig{{ 1 }}\"}", "con\nfig1");
    expect_loaded(NULL,
                  "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}, "
                  "{\"name\": \"default\", \"template\": \"d\"}]}",
                  "d");
}

TEST(a_folder_without_template_names_the_option)
{
    expect_not_loaded(NULL, NULL, E_NOT_FOUND, "--chat-template");
    expect_not_loaded(NULL, "{}", E_NOT_FOUND, "--chat-template");
    expect_not_loaded(NULL, "{\"chat_template\": null}", E_NOT_FOUND, "--chat-template");
    expect_not_loaded(NULL, "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"t\"}]}",
                      E_NOT_FOUND, "--chat-template");
}

TEST(faults_of_the_files_name_the_file)
{
    expect_not_loaded("\n{% if", NULL, E_INVALID, "chat_template.jinja: line 2: ");
    expect_not_loaded(NULL, "{\"chat_template\": \"{% if\"}", E_INVALID,
                      "tokenizer_config.json: chat_template: line 1: ");
    expect_not_loaded(NULL, "{", E_INVALID, "tokenizer_config.json");
    EXPECT_STATUS(chat_template_load("/nonexistent", &(struct chat_template *){NULL}, &err),
                  E_NOT_FOUND);
}
