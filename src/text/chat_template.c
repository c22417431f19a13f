#include "text/chat_template.h"
#include "base/check.h"
#include "text/jinja_ast.h"
#include "text/jinja_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOP_TURNS_DEFAULT 1000000
#define OUTPUT_DEFAULT ((uint64_t)64 << 20)
#define TIME_MS_DEFAULT 200
#define DEPTH_DEFAULT 64
#define CONFIG_BYTES_MAX ((size_t)32 << 20) // tokenizer_config.json lists every added token
#define CONFIG_ARENA_BYTES ((size_t)512 << 20)

struct chat_template {
    struct arena *arena; // owned: tokens, nodes, names
    const struct jinja_node *root;
    const struct str *names; // [n_names]
    uint32_t n_names;
    uint32_t loop_id;
};

enum status chat_template_compile(struct str source, struct chat_template **ret_t,
                                  struct error *err)
{
    struct arena *arena = arena_create(JINJA_COMPILE_BYTES);
    struct jinja_parser p = {.arena = arena, .err = err};
    const struct jinja_node *root = NULL;
    struct chat_template *t = NULL;
    enum status rc = E_NO_MEMORY;

    if (arena != NULL) {
        t = arena_zalloc(arena, 1, sizeof(*t));
    }
    if (t == NULL) {
        rc = error_set(err, E_NO_MEMORY, "not enough memory to compile the template");
        goto out;
    }
    rc = jinja_lex(arena, source, &p.tokens, err);
    rc = rc == OK ? jinja_parse(&p, &root) : rc;
    if (rc != OK) {
        goto out;
    }
    *t = (struct chat_template){.arena = arena,
                                .root = root,
                                .names = p.names,
                                .n_names = p.n_names,
                                .loop_id = UINT32_MAX};
    for (uint32_t i = 0; i < p.n_names; i++) {
        if (str_eq(p.names[i], STR("loop"))) {
            t->loop_id = i;
        }
    }
    arena = NULL;
    *ret_t = t;
out:
    arena_destroy(arena);
    return rc;
}

void chat_template_destroy(struct chat_template *t)
{
    if (t != NULL) {
        arena_destroy(t->arena);
    }
}

/* The whole file DIR/NAME.  Errors: NOT_FOUND, LIMIT, IO. */
static enum status read_file(const char *dir, const char *name, size_t max, struct buf *ret_text,
                             struct error *err)
{
    char path[4096];
    ssize_t n;
    char *room;
    int fd;
    enum status rc = OK;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path)) {
        return error_set(err, E_INVALID, "the folder name is too long: %.200s...", dir);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "%s: %s", path,
                         strerror(errno));
    }
    do {
        room = buf_reserve(ret_text, 65536);
        n = room == NULL ? -1 : read(fd, room, 65536);
        if (n > 0) {
            buf_commit(ret_text, (size_t)n);
        }
    } while (n > 0);
    if (buf_status(ret_text) != OK || ret_text->len > max) {
        rc = error_set(err, E_LIMIT, "%s: larger than %zu bytes", path, max);
    } else if (n < 0) {
        rc = error_set(err, E_IO, "%s: %s", path, strerror(errno));
    }
    close(fd);
    return rc;
}

/* The member chat_template of tokenizer_config.json: a string, or a list of named ones. */
static const struct json_value *template_member(const struct json_value *config)
{
    const struct json_value *v = json_get(config, STR("chat_template"));

    if (v == NULL || v->kind != JSON_ARRAY) {
        return v;
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        if (str_eq(json_string_or(json_get(&v->items[i], STR("name")), STR("")), STR("default"))) {
            return json_get(&v->items[i], STR("template"));
        }
    }
    return NULL;
}

static enum status fail_missing(const char *dir, struct error *err)
{
    return error_set(err, E_NOT_FOUND,
                     "%s has no chat template: neither chat_template.jinja nor chat_template in "
                     "tokenizer_config.json.  Name one with --chat-template FILE.",
                     dir);
}

static enum status load_config(const char *dir, struct chat_template **ret_t, struct error *err)
{
    static const struct json_limits limits = {.allow_duplicate_keys = true};
    struct buf text;
    struct arena *arena = arena_create(CONFIG_ARENA_BYTES);
    const struct json_value *config;
    const struct json_value *source;
    enum status rc;

    buf_init(&text, CONFIG_BYTES_MAX + 65536);
    if (arena == NULL) {
        rc = error_set(err, E_NO_MEMORY, "not enough memory to read tokenizer_config.json");
        goto out;
    }
    rc = read_file(dir, "tokenizer_config.json", CONFIG_BYTES_MAX, &text, err);
    if (rc != OK) {
        rc = rc == E_NOT_FOUND ? fail_missing(dir, err) : rc;
        goto out;
    }
    rc = json_parse(arena, buf_str(&text), &limits, &config, err);
    if (rc != OK) {
        rc = error_prefix(err, rc, "%s/tokenizer_config.json", dir);
        goto out;
    }
    source = template_member(config);
    if (source == NULL || source->kind != JSON_STRING) {
        rc = fail_missing(dir, err);
        goto out;
    }
    rc = chat_template_compile(source->string, ret_t, err);
    if (rc != OK) {
        rc = error_prefix(err, rc, "%s/tokenizer_config.json: chat_template", dir);
    }
out:
    arena_destroy(arena);
    buf_done(&text);
    return rc;
}

enum status chat_template_load(const char *dir, struct chat_template **ret_t, struct error *err)
{
    struct buf text;
    enum status rc;

    buf_init(&text, JINJA_SOURCE_MAX + 2 * 65536);
    rc = read_file(dir, "chat_template.jinja", JINJA_SOURCE_MAX, &text, err);
    if (rc == OK) {
        rc = chat_template_compile(buf_str(&text), ret_t, err);
        if (rc != OK) {
            rc = error_prefix(err, rc, "%s/chat_template.jinja", dir);
        }
    } else if (rc == E_NOT_FOUND) {
        rc = load_config(dir, ret_t, err);
    }
    buf_done(&text);
    return rc;
}

/* Fill in limits, clock and variables; no memory yet. */
static void init_run(struct jinja_run *run, const struct chat_template *t,
                     const struct chat_template_args *args,
                     const struct chat_template_limits *limits)
{
    static const struct chat_template_limits none;
    const struct chat_template_limits *l = limits != NULL ? limits : &none;

    run->names = t->names;
    run->n_names = t->n_names;
    run->loop_id = t->loop_id;
    run->messages = args->messages;
    run->tools = args->tools;
    run->kwargs = args->kwargs;
    run->add_generation_prompt = args->add_generation_prompt;
    run->clock = args->clock != NULL ? args->clock : &kontor_clock_system;
    run->time_ms_max = l->time_ms_max != 0 ? l->time_ms_max : TIME_MS_DEFAULT;
    run->deadline_ns = kontor_clock_now_ns(run->clock) + (uint64_t)run->time_ms_max * 1000000;
    run->turns_max = l->loop_turns_max != 0 ? l->loop_turns_max : LOOP_TURNS_DEFAULT;
    run->calls_max = l->depth_max != 0 ? l->depth_max : DEPTH_DEFAULT;
    run->output_max = l->output_max != 0 ? l->output_max : OUTPUT_DEFAULT;
    run->line = 1;
}

enum status chat_template_render(const struct chat_template *t,
                                 const struct chat_template_args *args,
                                 const struct chat_template_limits *limits, struct buf *out,
                                 struct error *err)
{
    struct jinja_run run = {.out = out, .final_out = out, .out_begin = out->len, .err = err};
    enum status rc;

    init_run(&run, t, args, limits);
    buf_init(&run.text, run.output_max);
    run.arena = arena_create(JINJA_RUN_BYTES);
    if (run.arena == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory to render the template");
    }
    rc = jinja_run_alloc(&run, t->n_names, sizeof(*run.globals), &run.globals);
    rc = rc == OK ? jinja_run_alloc(&run, JINJA_STACK_VALUES, sizeof(*run.stack), &run.stack) : rc;
    rc = rc == OK ? jinja_run_push_scope(&run, NULL) : rc;
    if (rc == OK) {
        if (t->n_names > 0) {
            memset(run.globals, 0, t->n_names * sizeof(*run.globals));
        }
        rc = jinja_run_hide(&run, t->root);
        rc = rc == OK ? jinja_exec(&run, t->root->b) : rc;
    }
    if (rc != OK) {
        out->len = run.out_begin; // outputs are untouched on failure
        out->status = OK;
    }
    buf_done(&run.text);
    arena_destroy(run.arena);
    return rc;
}
