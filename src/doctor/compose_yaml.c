#include "doctor/compose_yaml.h"

#include "base/check.h"
#include "doctor/script.h"

#include <string.h>
#include <yaml.h>

struct reader {
    struct files_ctx *c;
    yaml_document_t *doc;
    struct yaml_node **seen; // by libyaml's id
    bool *open;
    uint32_t n_nodes;
    struct error *err;
};

/* libyaml counts characters; the text has bytes. */
static size_t byte_of(const struct files_ctx *c, yaml_mark_t mark)
{
    size_t at;

    if (mark.line >= c->n_lines) {
        return c->text.len;
    }
    at = c->line_at[mark.line];
    if (mark.line == 0 && str_starts(c->text, STR("\xef\xbb\xbf"))) {
        at += 3;
    }
    for (size_t i = 0; i < mark.column && at < c->text.len; i++) {
        at++;
        while (at < c->text.len && ((unsigned char)c->text.ptr[at] & 0xc0) == 0x80) {
            at++;
        }
    }
    return at;
}

static char style_of(yaml_scalar_style_t style)
{
    switch (style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
        return '\'';
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        return '"';
    case YAML_LITERAL_SCALAR_STYLE:
        return '|';
    case YAML_FOLDED_SCALAR_STYLE:
        return '>';
    case YAML_ANY_SCALAR_STYLE:
    case YAML_PLAIN_SCALAR_STYLE:
        break;
    }
    return 'p';
}

static MUST_USE enum status convert(struct reader *r, int id, uint32_t depth,
                                    struct yaml_node **ret_node);

static MUST_USE enum status convert_list(struct reader *r, const yaml_node_t *y, uint32_t depth,
                                         struct yaml_node *n)
{
    size_t count = (size_t)(y->data.sequence.items.top - y->data.sequence.items.start);

    n->kind = YAML_LIST;
    n->flow = y->data.sequence.style == YAML_FLOW_SEQUENCE_STYLE;
    n->items = arena_zalloc(r->c->arena, count + 1, sizeof(struct yaml_node *));
    if (n->items == NULL) {
        return error_set(r->err, E_NO_MEMORY, "not enough memory");
    }
    for (size_t i = 0; i < count; i++) {
        enum status rc = convert(r, y->data.sequence.items.start[i], depth + 1, &n->items[i]);

        if (rc != OK) {
            return rc;
        }
        n->n++;
    }
    return OK;
}

static MUST_USE enum status convert_map(struct reader *r, const yaml_node_t *y, uint32_t depth,
                                        struct yaml_node *n)
{
    size_t count = (size_t)(y->data.mapping.pairs.top - y->data.mapping.pairs.start);

    n->kind = YAML_MAP;
    n->flow = y->data.mapping.style == YAML_FLOW_MAPPING_STYLE;
    n->items = arena_zalloc(r->c->arena, count + 1, sizeof(struct yaml_node *));
    n->keys = arena_zalloc(r->c->arena, count + 1, sizeof(struct yaml_node *));
    if (n->items == NULL || n->keys == NULL) {
        return error_set(r->err, E_NO_MEMORY, "not enough memory");
    }
    for (size_t i = 0; i < count; i++) {
        const yaml_node_pair_t *p = &y->data.mapping.pairs.start[i];
        enum status rc = convert(r, p->key, depth + 1, &n->keys[i]);

        if (rc == OK) {
            rc = convert(r, p->value, depth + 1, &n->items[i]);
        }
        if (rc != OK) {
            return rc;
        }
        n->n++;
    }
    return OK;
}

static MUST_USE enum status convert(struct reader *r, int id, uint32_t depth,
                                    struct yaml_node **ret_node)
{
    const yaml_node_t *y = yaml_document_get_node(r->doc, id);
    struct yaml_node *n = r->seen[id];
    enum status rc = OK;

    if (depth > COMPOSE_YAML_DEPTH_MAX) {
        return error_set(r->err, E_LIMIT, "%.*s nests deeper than %d levels", STR_ARG(r->c->path),
                         COMPOSE_YAML_DEPTH_MAX);
    }
    if (r->open[id]) {
        return error_set(r->err, E_INVALID, "%.*s: an anchor contains itself", STR_ARG(r->c->path));
    }
    if (n != NULL) {
        *ret_node = n;
        return OK;
    }
    n = ++r->n_nodes > COMPOSE_YAML_NODES_MAX ? NULL : arena_zalloc(r->c->arena, 1, sizeof(*n));
    if (n == NULL) {
        return error_set(r->err, E_LIMIT, "%.*s has more than %d values", STR_ARG(r->c->path),
                         COMPOSE_YAML_NODES_MAX);
    }
    n->begin = byte_of(r->c, y->start_mark);
    n->end = byte_of(r->c, y->end_mark);
    r->open[id] = true;
    if (y->type == YAML_SCALAR_NODE) {
        n->kind = YAML_TEXT;
        n->style = style_of(y->data.scalar.style);
        rc = arena_dup(r->c->arena,
                       (struct str){(const char *)y->data.scalar.value, y->data.scalar.length},
                       &n->text);
    } else if (y->type == YAML_SEQUENCE_NODE) {
        rc = convert_list(r, y, depth, n);
    } else if (y->type == YAML_MAPPING_NODE) {
        rc = convert_map(r, y, depth, n);
    }
    r->open[id] = false;
    r->seen[id] = n;
    *ret_node = n;
    return rc;
}

/* The parser stopped: a finding, or a clear end when the text was cut. */
static MUST_USE enum status syntax_error(struct files_ctx *c, const yaml_parser_t *p,
                                         struct error *err)
{
    size_t at = byte_of(c, p->problem_mark);
    const char *problem = p->problem != NULL ? p->problem : "cannot be read";
    uint32_t line = files_line_of(c, at < c->text.len ? at : c->text.len - 1);
    struct str s = files_line(c, line);
    bool tab = str_find_byte(s, '\t', 0) != SIZE_MAX;

    if (p->error == YAML_MEMORY_ERROR) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    if (p->error == YAML_READER_ERROR) {
        return error_set(err, E_INVALID, "%.*s is no UTF-8 text: %s", STR_ARG(c->path), problem);
    }
    if (strstr(problem, "nesting") != NULL || strstr(problem, "exceeded") != NULL) {
        return error_set(err, E_LIMIT, "%.*s, line %u: nested too deep", STR_ARG(c->path), line);
    }
    if (at >= c->text.len || str_trim(str_slice(c->text, at, c->text.len)).len == 0) {
        return error_set(err, E_INVALID,
                         "%.*s, line %u: the YAML ends too early (%s); the file is cut or a "
                         "bracket or quote is open",
                         STR_ARG(c->path), line, problem);
    }
    files_wrong(c, at < c->text.len ? at : 0, "yaml-syntax",
                tab ? STR("a tab in YAML indentation") : files_text(c, "no YAML: %s", problem),
                tab ? STR("YAML indents with blanks only; a tab ends the reading.")
                    : STR("The indentation or a quote, colon or bracket on this or the line above "
                          "does not fit; nothing in the file is used."),
                tab ? STR("Replace the tab by blanks, as many as the lines around it have.")
                    : STR("Give members of one map the same indentation, a blank behind each "
                          "colon, and quote values that hold a colon and a blank."));
    if (tab) {
        size_t first = c->line_at[line - 1] + str_find_byte(s, '\t', 0);

        files_replace(c, first, first + 1, STR("  "));
    }
    return OK;
}

static MUST_USE enum status convert_document(struct files_ctx *c, yaml_document_t *doc,
                                             struct yaml_node **ret_node, struct error *err)
{
    size_t count = (size_t)(doc->nodes.top - doc->nodes.start) + 1;
    struct reader r = {.c = c, .doc = doc, .err = err};

    if (count > COMPOSE_YAML_NODES_MAX) {
        return error_set(err, E_LIMIT, "%.*s has more than %d values", STR_ARG(c->path),
                         COMPOSE_YAML_NODES_MAX);
    }
    r.seen = arena_zalloc(c->arena, count, sizeof(struct yaml_node *));
    r.open = arena_zalloc(c->arena, count, sizeof(*r.open));
    if (r.seen == NULL || r.open == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    return convert(&r, 1, 0, ret_node);
}

static bool open_parser(const struct files_ctx *c, yaml_parser_t *ret_parser)
{
    if (!yaml_parser_initialize(ret_parser)) {
        return false;
    }
    yaml_parser_set_input_string(ret_parser, (const unsigned char *)c->text.ptr, c->text.len);
    yaml_parser_set_encoding(ret_parser, YAML_UTF8_ENCODING);
    return true;
}

/* Levels are counted before a document is loaded: libyaml's time grows with their square, hours for
 * a file of brackets.  Syntax errors are left to the loading. */
static MUST_USE enum status check_depth(const struct files_ctx *c, struct error *err)
{
    yaml_parser_t parser;
    yaml_event_t event;
    uint32_t open = 0;
    size_t line = 0;
    bool more = true;

    if (!open_parser(c, &parser)) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    while (more && open <= COMPOSE_YAML_DEPTH_MAX && yaml_parser_parse(&parser, &event)) {
        bool opens =
            event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
        bool closes = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;

        open = open + (opens ? 1 : 0) - (closes ? 1 : 0);
        line = event.start_mark.line + 1;
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (open > COMPOSE_YAML_DEPTH_MAX) {
        return error_set(err, E_LIMIT, "%.*s, line %zu: nests deeper than %d levels",
                         STR_ARG(c->path), line, COMPOSE_YAML_DEPTH_MAX);
    }
    return OK;
}

MUST_USE enum status compose_yaml_read(struct files_ctx *c, struct yaml_file *ret_file,
                                       struct error *err)
{
    struct yaml_file f = {0};
    yaml_parser_t parser;
    enum status rc = check_depth(c, err);
    bool more = true;

    if (rc != OK) {
        return rc;
    }
    f.documents = arena_zalloc(c->arena, COMPOSE_YAML_DOCUMENTS_MAX, sizeof(struct yaml_node *));
    if (f.documents == NULL || !open_parser(c, &parser)) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    while (rc == OK && more) {
        yaml_document_t doc;

        if (!yaml_parser_load(&parser, &doc)) {
            rc = syntax_error(c, &parser, err);
            f.n = 0;
            break;
        }
        if (yaml_document_get_root_node(&doc) == NULL) {
            more = false;
        } else if (f.n == COMPOSE_YAML_DOCUMENTS_MAX) {
            rc = error_set(err, E_LIMIT, "%.*s has more than %d documents", STR_ARG(c->path),
                           COMPOSE_YAML_DOCUMENTS_MAX);
        } else {
            rc = convert_document(c, &doc, &f.documents[f.n], err);
            f.n++;
        }
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    *ret_file = f;
    return rc;
}

/* Own members only; NULL has none. */
static struct yaml_node *member(const struct yaml_node *map, struct str key)
{
    for (uint32_t i = 0; map != NULL && map->kind == YAML_MAP && i < map->n; i++) {
        if (map->keys[i]->kind == YAML_TEXT && str_eq(map->keys[i]->text, key)) {
            return map->items[i];
        }
    }
    return NULL;
}

struct yaml_node *compose_yaml_get(const struct yaml_node *map, const char *key)
{
    struct yaml_node *found = member(map, str_from_c(key));

    for (uint32_t i = 0; map != NULL && map->kind == YAML_MAP && found == NULL && i < map->n; i++) {
        if (map->keys[i]->kind == YAML_TEXT && str_eq(map->keys[i]->text, STR("<<"))) {
            found = member(map->items[i], str_from_c(key));
        }
    }
    return found;
}

struct str compose_yaml_text(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *n = compose_yaml_get(map, key);

    return n != NULL && n->kind == YAML_TEXT ? n->text : STR("");
}

bool compose_yaml_is_bool(const struct yaml_node *n)
{
    static const char *const words[] = {"true",  "false", "yes",   "no",  "on", "off", "True",
                                        "False", "TRUE",  "FALSE", "Yes", "No", "On",  "Off"};

    for (size_t i = 0; n->kind == YAML_TEXT && n->style == 'p' && i < ARRAY_COUNT(words); i++) {
        if (str_eq(n->text, str_from_c(words[i]))) {
            return true;
        }
    }
    return false;
}

bool compose_yaml_is_number(const struct yaml_node *n)
{
    double d;

    return n->kind == YAML_TEXT && n->style == 'p' && str_to_f64(n->text, &d) == OK;
}

/* The bytes of a string node in which its words stand as they are. */
static void inside(const struct files_ctx *c, const struct yaml_node *n, size_t *ret_begin,
                   size_t *ret_end)
{
    *ret_begin = n->begin;
    *ret_end = n->end;
    if (n->style == '"' || n->style == '\'') {
        *ret_begin = n->begin + 1;
        *ret_end = n->end > n->begin + 1 ? n->end - 1 : n->end;
    } else if (n->style == '|' || n->style == '>') {
        size_t line_end = str_find_byte(c->text, '\n', n->begin);

        *ret_begin = line_end == SIZE_MAX ? n->end : line_end + 1;
        *ret_begin = *ret_begin > n->end ? n->end : *ret_begin;
    }
}

/* All words of all commands as one: Compose's own splitting knows no operators. */
static void split_string(struct files_ctx *c, const struct yaml_node *n,
                         struct files_command *ret_command)
{
    struct script_commands cmds;
    size_t begin;
    size_t end;
    uint32_t total = 0;

    inside(c, n, &begin, &end);
    if (script_split(c, begin, end, true, &cmds, NULL) != OK) {
        return;
    }
    for (uint32_t i = 0; i < cmds.n; i++) {
        total += cmds.items[i].n_words;
    }
    ret_command->words = arena_zalloc(c->arena, total + 1, sizeof(*ret_command->words));
    if (ret_command->words == NULL) {
        c->no_memory = true;
        return;
    }
    for (uint32_t i = 0; i < cmds.n; i++) {
        for (uint32_t w = 0; w < cmds.items[i].n_words; w++) {
            ret_command->words[ret_command->n_words++] = cmds.items[i].words[w];
        }
    }
}

void compose_yaml_command(struct files_ctx *c, const struct yaml_node *n,
                          struct files_command *ret_command)
{
    *ret_command = (struct files_command){.after = 0};
    if (n == NULL || n->kind == YAML_MAP) {
        return;
    }
    if (n->kind == YAML_TEXT) {
        split_string(c, n, ret_command);
        return;
    }
    ret_command->is_list = true;
    ret_command->has_items = !n->flow;
    ret_command->words = arena_zalloc(c->arena, n->n + 1, sizeof(*ret_command->words));
    if (ret_command->words == NULL) {
        c->no_memory = true;
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        const struct yaml_node *w = n->items[i];

        if (w->kind == YAML_TEXT) {
            ret_command->words[ret_command->n_words++] =
                (struct files_word){.text = w->text,
                                    .begin = w->begin,
                                    .end = w->end,
                                    .expands = str_find_byte(w->text, '$', 0) != SIZE_MAX};
        }
    }
}

static void duplicates(struct files_ctx *c, const struct yaml_node *n, uint32_t depth,
                       uint32_t *budget)
{
    if (n == NULL || n->kind == YAML_TEXT || depth > COMPOSE_YAML_DEPTH_MAX || *budget == 0) {
        return;
    }
    (*budget)--;
    for (uint32_t i = 0; i < n->n; i++) {
        for (uint32_t k = 0; n->kind == YAML_MAP && k < i && i < 500; k++) {
            if (n->keys[i]->kind == YAML_TEXT && n->keys[k]->kind == YAML_TEXT &&
                str_eq(n->keys[i]->text, n->keys[k]->text) &&
                !str_eq(n->keys[i]->text, STR("<<"))) {
                files_wrong(c, n->keys[i]->begin, "yaml-duplicate",
                            files_text(c, "the key %.*s stands here twice",
                                       STR_ARG(n->keys[i]->text)),
                            files_text(c,
                                       "It stands on line %u already. Strict readers refuse "
                                       "the file; others keep only one of the two.",
                                       files_line_of(c, n->keys[k]->begin)),
                            STR("Merge the two into one."));
                break;
            }
        }
        duplicates(c, n->items[i], depth + 1, budget);
    }
}

void compose_yaml_duplicates(struct files_ctx *c, const struct yaml_node *n)
{
    uint32_t budget = COMPOSE_YAML_NODES_MAX;

    duplicates(c, n, 0, &budget);
}
