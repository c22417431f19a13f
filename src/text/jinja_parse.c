#include "base/hash.h"
#include "text/jinja_ast.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void statements(struct jinja_parser *p, struct jinja_nodes *list);

struct jinja_node *jinja_parse_node(struct jinja_parser *p, enum jinja_op op, uint32_t line)
{
    struct jinja_node *node = arena_zalloc(p->arena, 1, sizeof(*node));

    if (node == NULL) {
        return jinja_parse_fail(p, E_NO_MEMORY, line, "not enough memory to compile the template");
    }
    node->op = op;
    node->line = line;
    return node;
}

void jinja_parse_append(struct jinja_nodes *list, struct jinja_node *node)
{
    if (node == NULL) {
        return;
    }
    if (list->last != NULL) {
        list->last->next = node;
    } else {
        list->first = node;
    }
    list->last = node;
    list->n++;
}

void *jinja_parse_fail(struct jinja_parser *p, enum status s, uint32_t line, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (p->status != OK) {
        return NULL; // the first fault is the one to tell
    }
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    p->status = error_set(p->err, s, "line %u: %s", line, text);
    return NULL;
}

void *jinja_parse_unexpected(struct jinja_parser *p, const char *expected)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct str text = str_slice(token->text, 0, 40);

    if (token->kind == JINJA_TOK_END) {
        return jinja_parse_fail(p, E_INVALID, token->line,
                                "expected %s, found the end of the template", expected);
    }
    if (token->kind == JINJA_TOK_TEXT || token->kind == JINJA_TOK_STRING) {
        return jinja_parse_fail(p, E_INVALID, token->line, "expected %s, found %s", expected,
                                token->kind == JINJA_TOK_TEXT ? "text" : "a string");
    }
    return jinja_parse_fail(p, E_INVALID, token->line, "expected %s, found '%.*s'", expected,
                            STR_ARG(text));
}

/* Room for the names, taken with the first one. */
static bool make_names(struct jinja_parser *p)
{
    if (p->names == NULL) {
        p->names = arena_zalloc(p->arena, JINJA_NAMES_MAX, sizeof(*p->names));
        p->name_slots = arena_zalloc(p->arena, JINJA_NAME_SLOTS, sizeof(*p->name_slots));
    }
    if (p->names == NULL || p->name_slots == NULL) {
        jinja_parse_fail(p, E_NO_MEMORY, jinja_parse_token(p)->line,
                         "not enough memory to compile the template");
        return false;
    }
    return true;
}

uint32_t jinja_parse_name_id(struct jinja_parser *p, struct str name)
{
    uint32_t slot = (uint32_t)hash_bytes(name.ptr, name.len, 0) % JINJA_NAME_SLOTS;

    if (!make_names(p)) {
        return UINT32_MAX;
    }
    for (; p->name_slots[slot] != 0; slot = (slot + 1) % JINJA_NAME_SLOTS) {
        if (str_eq(p->names[p->name_slots[slot] - 1], name)) {
            return p->name_slots[slot] - 1;
        }
    }
    if (p->n_names == JINJA_NAMES_MAX) {
        jinja_parse_fail(p, E_LIMIT, jinja_parse_token(p)->line, "more than %d names",
                         JINJA_NAMES_MAX);
        return UINT32_MAX;
    }
    p->names[p->n_names] = name;
    p->name_slots[slot] = p->n_names + 1;
    return p->n_names++;
}

static bool is_constant_name(struct str s)
{
    return str_eq(s, STR("true")) || str_eq(s, STR("True")) || str_eq(s, STR("false")) ||
           str_eq(s, STR("False")) || str_eq(s, STR("none")) || str_eq(s, STR("None"));
}

/* A name that is assigned to; `with_attr` allows `ns.attr`. */
static struct jinja_node *target(struct jinja_parser *p, bool with_attr)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node;

    if (token->kind == JINJA_TOK_LPAREN) {
        return jinja_parse_fail(p, E_UNSUPPORTED, token->line,
                                "names to assign to in parentheses are not supported");
    }
    if (token->kind != JINJA_TOK_NAME) {
        return jinja_parse_unexpected(p, "a name to assign to");
    }
    if (is_constant_name(token->text)) {
        return jinja_parse_fail(p, E_INVALID, token->line, "cannot assign to '%.*s'",
                                STR_ARG(token->text));
    }
    if (p->loop_depth > 0 && str_eq(token->text, STR("loop"))) {
        return jinja_parse_fail(p, E_INVALID, token->line, "cannot assign to 'loop' inside a loop");
    }
    node = jinja_parse_node(p, JINJA_TARGET_NAME, token->line);
    if (node == NULL) {
        return NULL;
    }
    node->id = jinja_parse_name_id(p, token->text);
    node->text = token->text;
    jinja_parse_step(p);
    if (with_attr && jinja_parse_skip(p, JINJA_TOK_DOT)) {
        token = jinja_parse_token(p);
        if (token->kind != JINJA_TOK_NAME) {
            return jinja_parse_unexpected(p, "the name of an attribute");
        }
        node->op = JINJA_TARGET_ATTR;
        node->text = token->text;
        jinja_parse_step(p);
    }
    return node;
}

/* Names separated by commas.  n_kids of `owner`: 0 for one name without a comma, else their
 * number. */
static void targets(struct jinja_parser *p, struct jinja_node *owner, bool with_attr)
{
    struct jinja_nodes list = {0};
    bool is_tuple = false;

    for (;;) {
        jinja_parse_append(&list, target(p, with_attr));
        if (p->status != OK || !jinja_parse_skip(p, JINJA_TOK_COMMA)) {
            break;
        }
        is_tuple = true;
    }
    if (list.n > JINJA_ARGS_MAX) {
        jinja_parse_fail(p, E_LIMIT, owner->line, "more than %d names to assign to",
                         JINJA_ARGS_MAX);
    }
    owner->targets = list.first;
    owner->n_kids = is_tuple ? list.n : 0;
}

static bool expect_block_end(struct jinja_parser *p)
{
    if (p->status != OK) {
        return false;
    }
    if (!jinja_parse_skip(p, JINJA_TOK_BLOCK_END)) {
        jinja_parse_unexpected(p, "'%}'");
        return false;
    }
    return true;
}

static bool at_word_of(const struct jinja_parser *p, const char *const words[])
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (jinja_parse_at(p, JINJA_TOK_BLOCK_BEGIN) &&
            p->tokens.items[p->at + 1].kind == JINJA_TOK_NAME &&
            str_eq(p->tokens.items[p->at + 1].text, str_from_c(words[i]))) {
            return true;
        }
    }
    return false;
}

/* Statements up to a tag that begins with one of `words`; leaves the parser on that word. */
static struct jinja_node *body(struct jinja_parser *p, uint32_t line, const char *const words[])
{
    struct jinja_nodes list = {0};

    jinja_parse_skip(p, JINJA_TOK_COLON);
    if (!expect_block_end(p)) {
        return NULL;
    }
    if (p->blocks >= JINJA_NESTING_MAX) {
        return jinja_parse_fail(p, E_LIMIT, line, "more than %d nested blocks", JINJA_NESTING_MAX);
    }
    p->blocks++;
    while (p->status == OK && !at_word_of(p, words)) {
        if (jinja_parse_at(p, JINJA_TOK_END)) {
            jinja_parse_fail(p, E_INVALID, jinja_parse_token(p)->line,
                             "the block of line %u has no '%s'", line, words[0]);
            break;
        }
        statements(p, &list);
    }
    p->blocks--;
    if (p->status != OK) {
        return NULL;
    }
    jinja_parse_step(p);
    return list.first;
}

/* The rest of {% endfor %} and the like: the word and the end of the tag. */
static void end_tag(struct jinja_parser *p)
{
    if (p->status == OK) {
        jinja_parse_step(p);
        expect_block_end(p);
    }
}

static struct jinja_node *parse_if(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const words[] = {"endif", "elif", "else", NULL};
    static const char *const last[] = {"endif", NULL};
    struct jinja_node *branch = node;

    for (;;) {
        branch->a = jinja_expr_tuple(p, false, false);
        branch->b = body(p, node->line, words);
        if (p->status != OK || !jinja_parse_at_name(p, STR("elif"))) {
            break;
        }
        branch->c = jinja_parse_node(p, JINJA_IF, jinja_parse_token(p)->line);
        branch->id = JINJA_ELIF_FOLLOWS;
        branch = branch->c;
        if (branch == NULL) {
            return NULL;
        }
        jinja_parse_step(p);
    }
    if (p->status == OK && jinja_parse_skip_name(p, STR("else"))) {
        branch->c = body(p, node->line, last);
    }
    end_tag(p);
    return node;
}

static struct jinja_node *parse_for(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const words[] = {"endfor", "else", NULL};
    static const char *const last[] = {"endfor", NULL};

    p->loop_depth++;
    targets(p, node, false);
    if (p->status == OK && !jinja_parse_skip_name(p, STR("in"))) {
        jinja_parse_unexpected(p, "'in'");
    }
    node->a = p->status == OK ? jinja_expr_tuple(p, false, false) : NULL;
    if (p->status == OK && jinja_parse_skip_name(p, STR("if"))) {
        node->d = jinja_expr(p, true);
    }
    if (p->status == OK && jinja_parse_at_name(p, STR("recursive"))) {
        jinja_parse_fail(p, E_UNSUPPORTED, node->line, "'recursive' loops are not supported");
    }
    node->b = p->status == OK ? body(p, node->line, words) : NULL;
    p->loop_depth--;
    if (p->status == OK && jinja_parse_skip_name(p, STR("else"))) {
        node->c = jinja_parse_node(p, JINJA_SCOPE, node->line);
        if (node->c != NULL) {
            node->c->b = body(p, node->line, last);
        }
    }
    end_tag(p);
    return node;
}

static struct jinja_node *parse_set(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const words[] = {"endset", NULL};

    targets(p, node, true);
    if (p->status != OK) {
        return NULL;
    }
    if (jinja_parse_skip(p, JINJA_TOK_ASSIGN)) {
        node->a = jinja_expr_tuple(p, true, false);
        expect_block_end(p);
        return node;
    }
    if (jinja_parse_at(p, JINJA_TOK_PIPE)) {
        return jinja_parse_fail(p, E_UNSUPPORTED, node->line,
                                "filters on a {%% set %%} block are not supported");
    }
    node->op = JINJA_SET_BLOCK;
    node->b = body(p, node->line, words);
    end_tag(p);
    return node;
}

static void parameters(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_nodes list = {0};

    if (!jinja_parse_skip(p, JINJA_TOK_LPAREN)) {
        jinja_parse_unexpected(p, "'('");
    }
    while (p->status == OK && !jinja_parse_skip(p, JINJA_TOK_RPAREN)) {
        struct jinja_node *param;

        if (list.n > 0 && !jinja_parse_skip(p, JINJA_TOK_COMMA)) {
            jinja_parse_unexpected(p, "',' or ')'");
            return;
        }
        param = target(p, false);
        if (param == NULL) {
            return;
        }
        if (jinja_parse_skip(p, JINJA_TOK_ASSIGN)) {
            param->a = jinja_expr(p, true);
        } else if (list.last != NULL && list.last->a != NULL) {
            jinja_parse_fail(p, E_INVALID, param->line,
                             "a parameter without default behind one with a default");
        }
        jinja_parse_append(&list, param);
    }
    if (list.n > JINJA_ARGS_MAX) {
        jinja_parse_fail(p, E_LIMIT, node->line, "more than %d parameters", JINJA_ARGS_MAX);
    }
    node->targets = list.first;
    node->n_kids = list.n;
}

static struct jinja_node *parse_macro(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const words[] = {"endmacro", NULL};
    struct jinja_node *macro_name = target(p, false);
    uint32_t loop_depth = p->loop_depth;
    bool in_macro = p->in_macro;

    if (macro_name == NULL) {
        return NULL;
    }
    node->id = macro_name->id;
    node->text = macro_name->text;
    p->loop_depth = 0;
    p->in_macro = true;
    parameters(p, node);
    node->b = p->status == OK ? body(p, node->line, words) : NULL;
    p->loop_depth = loop_depth;
    p->in_macro = in_macro;
    end_tag(p);
    return node;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, struct jinja_node *node)
{
    if (p->loop_depth == 0) {
        return jinja_parse_fail(p, E_INVALID, node->line, "'%s' outside a loop",
                                node->op == JINJA_BREAK ? "break" : "continue");
    }
    expect_block_end(p);
    return node;
}

static struct jinja_node *parse_generation(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const words[] = {"endgeneration", NULL};

    node->b = body(p, node->line, words);
    end_tag(p);
    return node;
}

static const struct statement {
    const char *word;
    enum jinja_op op;
    struct jinja_node *(*parse)(struct jinja_parser *p, struct jinja_node *node);
} known[] = {
    {"if", JINJA_IF, parse_if},
    {"for", JINJA_FOR, parse_for},
    {"set", JINJA_SET, parse_set},
    {"macro", JINJA_MACRO_DEF, parse_macro},
    {"break", JINJA_BREAK, parse_jump},
    {"continue", JINJA_CONTINUE, parse_jump},
    {"generation", JINJA_SCOPE, parse_generation},
};

static struct jinja_node *statement(struct jinja_parser *p)
{
    static const char *const unsupported[] = {"call",   "filter", "block", "extends",    "include",
                                              "import", "from",   "with",  "autoescape", "do",
                                              "trans",  "print",  "debug", NULL};
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node;

    if (token->kind != JINJA_TOK_NAME) {
        return jinja_parse_unexpected(p, "the name of a statement");
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (str_eq(str_from_c(known[i].word), token->text)) {
            node = jinja_parse_node(p, known[i].op, token->line);
            jinja_parse_step(p);
            return node == NULL ? NULL : known[i].parse(p, node);
        }
    }
    for (size_t i = 0; unsupported[i] != NULL; i++) {
        if (str_eq(token->text, str_from_c(unsupported[i]))) {
            return jinja_parse_fail(p, E_UNSUPPORTED, token->line,
                                    "the statement '%s' is not supported", unsupported[i]);
        }
    }
    return jinja_parse_fail(p, E_INVALID, token->line, "expected a statement, found '%.*s'",
                            STR_ARG(token->text));
}

/* One text, print or statement, appended to `list`. */
static void statements(struct jinja_parser *p, struct jinja_nodes *list)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node = NULL;

    switch ((int)token->kind) {
    case JINJA_TOK_TEXT:
        node = jinja_parse_node(p, JINJA_TEXT, token->line);
        if (node != NULL) {
            node->text = token->text;
        }
        jinja_parse_step(p);
        break;
    case JINJA_TOK_PRINT_BEGIN:
        jinja_parse_step(p);
        node = jinja_parse_node(p, JINJA_PRINT, token->line);
        if (node != NULL) {
            node->a = jinja_expr_tuple(p, true, false);
        }
        if (p->status == OK && !jinja_parse_skip(p, JINJA_TOK_PRINT_END)) {
            jinja_parse_unexpected(p, "'}}'");
        }
        break;
    case JINJA_TOK_BLOCK_BEGIN:
        jinja_parse_step(p);
        node = statement(p);
        break;
    default:
        jinja_parse_unexpected(p, "text or a tag");
        break;
    }
    if (p->status == OK) {
        jinja_parse_append(list, node);
    }
}

enum status jinja_parse(struct jinja_parser *p, const struct jinja_node **ret_root)
{
    struct jinja_nodes list = {0};
    struct jinja_node *root = jinja_parse_node(p, JINJA_ROOT, 1);

    while (p->status == OK && !jinja_parse_at(p, JINJA_TOK_END)) {
        statements(p, &list);
    }
    if (p->status == OK) {
        root->b = list.first;
        jinja_symbols(p, root);
    }
    if (p->status == OK) {
        *ret_root = root;
    }
    return p->status;
}
