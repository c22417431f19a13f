#include "text/jinja_ast.h"
#include "text/jinja_filter.h"

/* Precedence from loose to tight, as in Jinja2:
 *   a if b else c;  or;  and;  not;  comparisons and in;  + -;  ~;  * / // %;  unary + - with
 *   primary and . [ ] ( );  | filter and is test
 * One function per level; every way back into expression() counts a level of nesting. */

static struct jinja_node *expression(struct jinja_parser *p, bool with_cond);
static struct jinja_node *unary(struct jinja_parser *p, bool with_filters);

/* Count one level deeper; false and p->status when there are too many.  Pair with p->depth--. */
static bool enter(struct jinja_parser *p)
{
    if (p->depth >= JINJA_NESTING_MAX) {
        jinja_parse_fail(p, E_LIMIT, jinja_parse_token(p)->line, "more than %d nested expressions",
                         JINJA_NESTING_MAX);
        return false;
    }
    p->depth++;
    return true;
}

static struct jinja_node *node_of(struct jinja_parser *p, enum jinja_op op, uint32_t line,
                                  struct jinja_node *a)
{
    struct jinja_node *node = a == NULL ? NULL : jinja_parse_node(p, op, line);

    if (node != NULL) {
        node->a = a;
    }
    return node;
}

static struct jinja_node *constant(struct jinja_parser *p, struct jinja_value value)
{
    struct jinja_node *node = jinja_parse_node(p, JINJA_CONST, jinja_parse_token(p)->line);

    if (node != NULL) {
        node->value = value;
    }
    return node;
}

static struct jinja_node *name(struct jinja_parser *p)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node = NULL;
    struct str s = token->text;

    if (str_eq(s, STR("true")) || str_eq(s, STR("True"))) {
        node = constant(p, jinja_bool(true));
    } else if (str_eq(s, STR("false")) || str_eq(s, STR("False"))) {
        node = constant(p, jinja_bool(false));
    } else if (str_eq(s, STR("none")) || str_eq(s, STR("None"))) {
        node = constant(p, jinja_none());
    } else {
        node = jinja_parse_node(p, JINJA_NAME, token->line);
        if (node == NULL) {
            return NULL;
        }
        node->text = s;
        node->id = jinja_parse_name_id(p, s);
        if (p->in_macro &&
            (str_eq(s, STR("varargs")) || str_eq(s, STR("kwargs")) || str_eq(s, STR("caller")))) {
            return jinja_parse_fail(p, E_UNSUPPORTED, token->line,
                                    "'%.*s' in a macro is not supported", STR_ARG(s));
        }
    }
    jinja_parse_step(p);
    return p->status == OK ? node : NULL;
}

/* Strings that stand next to each other are one. */
static struct jinja_node *string(struct jinja_parser *p)
{
    struct jinja_node *node = constant(p, jinja_string(jinja_parse_token(p)->text));
    size_t len = 0;
    uint32_t end = p->at;
    char *joined;

    if (node == NULL) {
        return NULL;
    }
    for (; p->tokens.items[end].kind == JINJA_TOK_STRING; end++) {
        len += p->tokens.items[end].text.len;
    }
    if (end > p->at + 1) {
        joined = arena_alloc(p->arena, len);
        if (joined == NULL) {
            return jinja_parse_fail(p, E_NO_MEMORY, node->line, "not enough memory");
        }
        node->value.string = (struct str){joined, len};
        for (uint32_t i = p->at; i < end; i++) {
            struct str part = p->tokens.items[i].text;

            for (size_t k = 0; k < part.len; k++) {
                *joined++ = part.ptr[k];
            }
        }
    }
    p->at = end;
    return node;
}

static struct jinja_node *list(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parse_node(p, JINJA_MAKE_LIST, jinja_parse_token(p)->line);
    struct jinja_nodes kids = {0};

    jinja_parse_step(p);
    while (p->status == OK && !jinja_parse_at(p, JINJA_TOK_RBRACKET)) {
        if (kids.n > 0 && !jinja_parse_skip(p, JINJA_TOK_COMMA)) {
            return jinja_parse_unexpected(p, "',' or ']'");
        }
        if (jinja_parse_at(p, JINJA_TOK_RBRACKET)) {
            break;
        }
        jinja_parse_append(&kids, expression(p, true));
    }
    jinja_parse_step(p);
    if (p->status != OK) {
        return NULL;
    }
    node->kids = kids.first;
    node->n_kids = kids.n;
    return node;
}

static struct jinja_node *dict(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parse_node(p, JINJA_MAKE_DICT, jinja_parse_token(p)->line);
    struct jinja_nodes kids = {0};

    jinja_parse_step(p);
    while (p->status == OK && !jinja_parse_at(p, JINJA_TOK_RBRACE)) {
        if (kids.n > 0 && !jinja_parse_skip(p, JINJA_TOK_COMMA)) {
            return jinja_parse_unexpected(p, "',' or '}'");
        }
        if (jinja_parse_at(p, JINJA_TOK_RBRACE)) {
            break;
        }
        jinja_parse_append(&kids, expression(p, true));
        if (p->status == OK && !jinja_parse_skip(p, JINJA_TOK_COLON)) {
            return jinja_parse_unexpected(p, "':'");
        }
        jinja_parse_append(&kids, p->status == OK ? expression(p, true) : NULL);
    }
    jinja_parse_step(p);
    if (p->status != OK) {
        return NULL;
    }
    node->kids = kids.first;
    node->n_kids = kids.n;
    return node;
}

static struct jinja_node *primary(struct jinja_parser *p)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node;

    switch ((int)token->kind) {
    case JINJA_TOK_NAME:
        return name(p);
    case JINJA_TOK_STRING:
        return string(p);
    case JINJA_TOK_INT:
        node = constant(p, jinja_int(token->integer));
        jinja_parse_step(p);
        return node;
    case JINJA_TOK_FLOAT:
        node = constant(p, jinja_float(token->number));
        jinja_parse_step(p);
        return node;
    case JINJA_TOK_LPAREN:
        jinja_parse_step(p);
        node = jinja_expr_tuple(p, true, true);
        if (p->status == OK && !jinja_parse_skip(p, JINJA_TOK_RPAREN)) {
            return jinja_parse_unexpected(p, "')'");
        }
        return node;
    case JINJA_TOK_LBRACKET:
        return list(p);
    case JINJA_TOK_LBRACE:
        return dict(p);
    default:
        return jinja_parse_unexpected(p, "an expression");
    }
}

/* Arguments in parentheses; the current token is '('. */
static void arguments(struct jinja_parser *p, struct jinja_node *call)
{
    struct jinja_nodes kids = {0};
    struct jinja_node *arg;
    bool keywords = false;
    const struct jinja_token *token;

    jinja_parse_step(p);
    while (p->status == OK && !jinja_parse_at(p, JINJA_TOK_RPAREN)) {
        if (kids.n > 0 && !jinja_parse_skip(p, JINJA_TOK_COMMA)) {
            jinja_parse_unexpected(p, "',' or ')'");
            return;
        }
        token = jinja_parse_token(p);
        if (token->kind == JINJA_TOK_RPAREN && kids.n > 0) {
            break;
        }
        if (token->kind == JINJA_TOK_MUL || token->kind == JINJA_TOK_POW) {
            jinja_parse_fail(p, E_UNSUPPORTED, token->line,
                             "'*' and '**' arguments are not supported");
            return;
        }
        if (token->kind == JINJA_TOK_NAME && token[1].kind == JINJA_TOK_ASSIGN) {
            jinja_parse_step(p);
            jinja_parse_step(p);
            arg = node_of(p, JINJA_KEYWORD, token->line, expression(p, true));
            if (arg != NULL) {
                arg->text = token->text;
            }
            keywords = true;
        } else if (keywords) {
            jinja_parse_fail(p, E_INVALID, token->line, "an argument after a keyword argument");
            return;
        } else {
            arg = expression(p, true);
        }
        jinja_parse_append(&kids, arg);
    }
    if (p->status == OK && kids.n > JINJA_ARGS_MAX) {
        jinja_parse_fail(p, E_LIMIT, call->line, "more than %d arguments", JINJA_ARGS_MAX);
    }
    jinja_parse_step(p);
    call->kids = kids.first;
    call->n_kids = kids.n;
}

/* One part of a subscript: an expression, or bounds around ':'. */
static struct jinja_node *subscript(struct jinja_parser *p, struct jinja_node *object)
{
    struct jinja_node *bounds[3] = {NULL, NULL, NULL};
    uint32_t line = jinja_parse_token(p)->line;
    struct jinja_node *node;
    unsigned n_colons = 0;

    for (;;) {
        bool at_end = jinja_parse_at(p, JINJA_TOK_COLON) || jinja_parse_at(p, JINJA_TOK_RBRACKET);

        if (!at_end || n_colons == 0) {
            bounds[n_colons] = at_end ? NULL : expression(p, true);
        }
        if (p->status != OK || n_colons == 2 || !jinja_parse_skip(p, JINJA_TOK_COLON)) {
            break;
        }
        n_colons++;
    }
    if (p->status != OK) {
        return NULL;
    }
    if (jinja_parse_at(p, JINJA_TOK_COMMA)) {
        return jinja_parse_fail(p, E_UNSUPPORTED, line, "a tuple as index is not supported");
    }
    if (n_colons == 0 && bounds[0] == NULL) {
        return jinja_parse_unexpected(p, "an index");
    }
    node = node_of(p, n_colons == 0 ? JINJA_ELEMENT : JINJA_SLICE, line, object);
    if (node != NULL) {
        node->b = bounds[0];
        node->c = bounds[1];
        node->d = bounds[2];
    }
    return node;
}

static struct jinja_node *dotted(struct jinja_parser *p, struct jinja_node *object)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node;

    if (token->kind == JINJA_TOK_INT) {
        node = node_of(p, JINJA_ELEMENT, token->line, object);
        if (node != NULL) {
            node->b = constant(p, jinja_int(token->integer));
        }
    } else if (token->kind == JINJA_TOK_NAME) {
        node = node_of(p, JINJA_ATTR, token->line, object);
        if (node != NULL) {
            node->text = token->text;
            node->id = jinja_method_id(token->text);
        }
    } else {
        return jinja_parse_unexpected(p, "a name or an index behind '.'");
    }
    jinja_parse_step(p);
    return node;
}

static struct jinja_node *call(struct jinja_parser *p, struct jinja_node *callee)
{
    struct jinja_node *node = node_of(p, JINJA_CALL, jinja_parse_token(p)->line, callee);

    if (node != NULL) {
        arguments(p, node);
    }
    return p->status == OK ? node : NULL;
}

/* . [ ] and ( ) behind a primary.  Each counts as a level: the tree gets deeper to the left. */
static struct jinja_node *postfix(struct jinja_parser *p, struct jinja_node *node)
{
    uint32_t entered = 0;

    while (node != NULL && p->status == OK) {
        if (!jinja_parse_at(p, JINJA_TOK_DOT) && !jinja_parse_at(p, JINJA_TOK_LBRACKET) &&
            !jinja_parse_at(p, JINJA_TOK_LPAREN)) {
            break;
        }
        if (!enter(p)) {
            break;
        }
        entered++;
        if (jinja_parse_skip(p, JINJA_TOK_DOT)) {
            node = dotted(p, node);
        } else if (jinja_parse_skip(p, JINJA_TOK_LBRACKET)) {
            node = subscript(p, node);
            if (node != NULL && !jinja_parse_skip(p, JINJA_TOK_RBRACKET)) {
                jinja_parse_unexpected(p, "']'");
            }
        } else {
            node = call(p, node);
        }
    }
    p->depth -= entered;
    return p->status == OK ? node : NULL;
}

static struct jinja_node *filter(struct jinja_parser *p, struct jinja_node *input)
{
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node;
    int id;

    if (token->kind != JINJA_TOK_NAME) {
        return jinja_parse_unexpected(p, "the name of a filter");
    }
    id = jinja_filter_id(token->text);
    if (id < 0) {
        return jinja_parse_fail(p, E_UNSUPPORTED, token->line,
                                "the filter '%.*s' is not supported; supported are %s",
                                STR_ARG(token->text), jinja_filter_names());
    }
    node = node_of(p, JINJA_FILTER, token->line, input);
    jinja_parse_step(p);
    if (node == NULL) {
        return NULL;
    }
    node->id = (uint32_t)id;
    if (jinja_parse_at(p, JINJA_TOK_LPAREN)) {
        arguments(p, node);
    }
    return p->status == OK ? node : NULL;
}

/* A test may take one argument without parentheses: `x is eq 3`. */
static bool at_test_argument(const struct jinja_parser *p)
{
    switch ((int)jinja_parse_token(p)->kind) {
    case JINJA_TOK_NAME:
        return !jinja_parse_at_name(p, STR("else")) && !jinja_parse_at_name(p, STR("or")) &&
               !jinja_parse_at_name(p, STR("and"));
    case JINJA_TOK_STRING:
    case JINJA_TOK_INT:
    case JINJA_TOK_FLOAT:
    case JINJA_TOK_LPAREN:
    case JINJA_TOK_LBRACKET:
    case JINJA_TOK_LBRACE:
        return true;
    default:
        return false;
    }
}

static struct jinja_node *test(struct jinja_parser *p, struct jinja_node *input)
{
    bool negated = jinja_parse_skip_name(p, STR("not"));
    const struct jinja_token *token = jinja_parse_token(p);
    struct jinja_node *node;
    int id;

    if (token->kind != JINJA_TOK_NAME) {
        return jinja_parse_unexpected(p, "the name of a test");
    }
    id = jinja_test_id(token->text);
    if (id < 0) {
        return jinja_parse_fail(p, E_UNSUPPORTED, token->line,
                                "the test '%.*s' is not supported; supported are %s",
                                STR_ARG(token->text), jinja_test_names());
    }
    node = node_of(p, JINJA_TEST, token->line, input);
    jinja_parse_step(p);
    if (node == NULL) {
        return NULL;
    }
    node->id = (uint32_t)id;
    if (jinja_parse_at(p, JINJA_TOK_LPAREN)) {
        arguments(p, node);
    } else if (at_test_argument(p)) {
        if (jinja_parse_at_name(p, STR("is"))) {
            return jinja_parse_unexpected(p, "no second test; join tests with 'and'");
        }
        node->kids = postfix(p, primary(p));
        node->n_kids = 1;
    }
    if (p->status != OK) {
        return NULL;
    }
    return negated ? node_of(p, JINJA_NOT, token->line, node) : node;
}

static struct jinja_node *filters_and_tests(struct jinja_parser *p, struct jinja_node *node)
{
    uint32_t entered = 0;

    while (node != NULL && p->status == OK) {
        bool at_is = jinja_parse_at_name(p, STR("is"));

        if (!at_is && !jinja_parse_at(p, JINJA_TOK_PIPE) && !jinja_parse_at(p, JINJA_TOK_LPAREN)) {
            break;
        }
        if (!enter(p)) {
            break;
        }
        entered++;
        if (jinja_parse_at(p, JINJA_TOK_LPAREN)) {
            node = call(p, node);
            continue;
        }
        jinja_parse_step(p);
        node = at_is ? test(p, node) : filter(p, node);
    }
    p->depth -= entered;
    return p->status == OK ? node : NULL;
}

static struct jinja_node *unary(struct jinja_parser *p, bool with_filters)
{
    uint32_t line = jinja_parse_token(p)->line;
    bool minus = jinja_parse_at(p, JINJA_TOK_SUB);
    struct jinja_node *node;

    if (!minus && !jinja_parse_at(p, JINJA_TOK_ADD)) {
        node = primary(p);
    } else {
        if (!enter(p)) {
            return NULL;
        }
        jinja_parse_step(p);
        node = node_of(p, minus ? JINJA_NEG : JINJA_POS, line, unary(p, false));
        p->depth--;
    }
    node = postfix(p, node);
    return with_filters ? filters_and_tests(p, node) : node;
}

static bool is_product(enum jinja_token_kind kind)
{
    return kind == JINJA_TOK_MUL || kind == JINJA_TOK_DIV || kind == JINJA_TOK_FLOORDIV ||
           kind == JINJA_TOK_MOD;
}

static bool is_sum(enum jinja_token_kind kind)
{
    return kind == JINJA_TOK_ADD || kind == JINJA_TOK_SUB;
}

/* Put `operand` behind the chain that starts with *ret_node, making the chain when it is alone. */
static void chain(struct jinja_parser *p, enum jinja_op op, uint32_t id, uint32_t line,
                  struct jinja_node *operand, struct jinja_node **ret_node)
{
    struct jinja_nodes kids = {0};
    struct jinja_node *kid = node_of(p, JINJA_OPERAND, line, operand);

    if (kid == NULL) {
        return;
    }
    kid->id = id;
    if ((*ret_node)->op != op || (*ret_node)->c == NULL) {
        *ret_node = node_of(p, op, line, *ret_node);
        if (*ret_node == NULL) {
            return;
        }
    } else {
        kids = (struct jinja_nodes){(*ret_node)->kids, (*ret_node)->c, (*ret_node)->n_kids};
    }
    jinja_parse_append(&kids, kid);
    (*ret_node)->kids = kids.first;
    (*ret_node)->n_kids = kids.n;
    (*ret_node)->c = kids.last; // while the chain grows
}

static struct jinja_node *end_chain(struct jinja_parser *p, enum jinja_op op,
                                    struct jinja_node *node)
{
    if (p->status != OK) {
        return NULL;
    }
    if (node->op == op) {
        node->c = NULL;
    }
    return node;
}

static struct jinja_node *product(struct jinja_parser *p)
{
    struct jinja_node *node = unary(p, true);

    while (p->status == OK && is_product(jinja_parse_token(p)->kind)) {
        const struct jinja_token *token = jinja_parse_token(p);

        jinja_parse_step(p);
        chain(p, JINJA_ARITH, token->kind, token->line, unary(p, true), &node);
    }
    if (p->status == OK && jinja_parse_at(p, JINJA_TOK_POW)) {
        return jinja_parse_fail(p, E_UNSUPPORTED, jinja_parse_token(p)->line,
                                "the operator '**' is not supported");
    }
    return end_chain(p, JINJA_ARITH, node);
}

static struct jinja_node *concat(struct jinja_parser *p)
{
    struct jinja_node *first = product(p);
    struct jinja_node *node;
    struct jinja_nodes kids = {0};

    if (p->status != OK || !jinja_parse_at(p, JINJA_TOK_TILDE)) {
        return first;
    }
    node = jinja_parse_node(p, JINJA_CONCAT, jinja_parse_token(p)->line);
    jinja_parse_append(&kids, first);
    while (p->status == OK && jinja_parse_skip(p, JINJA_TOK_TILDE)) {
        jinja_parse_append(&kids, product(p));
    }
    if (p->status != OK) {
        return NULL;
    }
    node->kids = kids.first;
    node->n_kids = kids.n;
    return node;
}

static struct jinja_node *sum(struct jinja_parser *p)
{
    struct jinja_node *node = concat(p);

    while (p->status == OK && is_sum(jinja_parse_token(p)->kind)) {
        const struct jinja_token *token = jinja_parse_token(p);

        jinja_parse_step(p);
        chain(p, JINJA_ARITH, token->kind, token->line, concat(p), &node);
    }
    return end_chain(p, JINJA_ARITH, node);
}

/* The comparison at the current token, stepped over; END when there is none. */
static enum jinja_token_kind comparison(struct jinja_parser *p)
{
    const struct jinja_token *token = jinja_parse_token(p);

    if (token->kind >= JINJA_TOK_EQ && token->kind <= JINJA_TOK_GE) {
        jinja_parse_step(p);
        return token->kind;
    }
    if (jinja_parse_skip_name(p, STR("in"))) {
        return JINJA_TOK_IN;
    }
    if (jinja_parse_at_name(p, STR("not")) && token[1].kind == JINJA_TOK_NAME &&
        str_eq(token[1].text, STR("in"))) {
        jinja_parse_step(p);
        jinja_parse_step(p);
        return JINJA_TOK_NOT_IN;
    }
    return JINJA_TOK_END;
}

static struct jinja_node *compare(struct jinja_parser *p)
{
    struct jinja_node *node = sum(p);

    while (p->status == OK) {
        uint32_t line = jinja_parse_token(p)->line;
        enum jinja_token_kind kind = comparison(p);

        if (kind == JINJA_TOK_END) {
            break;
        }
        chain(p, JINJA_COMPARE, kind, line, sum(p), &node);
    }
    return end_chain(p, JINJA_COMPARE, node);
}

static struct jinja_node *negation(struct jinja_parser *p)
{
    uint32_t line = jinja_parse_token(p)->line;
    struct jinja_node *node;

    if (!jinja_parse_at_name(p, STR("not"))) {
        return compare(p);
    }
    if (!enter(p)) {
        return NULL;
    }
    jinja_parse_step(p);
    node = node_of(p, JINJA_NOT, line, negation(p));
    p->depth--;
    return node;
}

/* `x and y and z` is AND(kids x y z): the tree stays flat. */
static struct jinja_node *flat(struct jinja_parser *p, enum jinja_op op, struct str word,
                               struct jinja_node *(*operand)(struct jinja_parser *))
{
    struct jinja_node *first = operand(p);
    struct jinja_node *node;
    struct jinja_nodes kids = {0};

    if (p->status != OK || !jinja_parse_at_name(p, word)) {
        return first;
    }
    node = jinja_parse_node(p, op, jinja_parse_token(p)->line);
    jinja_parse_append(&kids, first);
    while (p->status == OK && jinja_parse_skip_name(p, word)) {
        jinja_parse_append(&kids, operand(p));
    }
    if (p->status != OK) {
        return NULL;
    }
    node->kids = kids.first;
    node->n_kids = kids.n;
    return node;
}

static struct jinja_node *conjunction(struct jinja_parser *p)
{
    return flat(p, JINJA_AND, STR("and"), negation);
}

static struct jinja_node *disjunction(struct jinja_parser *p)
{
    return flat(p, JINJA_OR, STR("or"), conjunction);
}

static struct jinja_node *expression(struct jinja_parser *p, bool with_cond)
{
    struct jinja_node *node;
    uint32_t entered = 1;

    if (!enter(p)) {
        return NULL;
    }
    node = disjunction(p);
    while (with_cond && p->status == OK && jinja_parse_at_name(p, STR("if")) && enter(p)) {
        struct jinja_node *cond = jinja_parse_node(p, JINJA_COND, jinja_parse_token(p)->line);

        entered++;
        jinja_parse_step(p);
        if (cond == NULL) {
            break;
        }
        cond->b = node;
        cond->a = disjunction(p);
        if (p->status == OK && jinja_parse_skip_name(p, STR("else"))) {
            cond->c = expression(p, true);
        }
        node = cond;
    }
    p->depth -= entered;
    return p->status == OK ? node : NULL;
}

struct jinja_node *jinja_expr(struct jinja_parser *p, bool with_cond)
{
    return expression(p, with_cond);
}

static bool at_tuple_end(const struct jinja_parser *p)
{
    return jinja_parse_at(p, JINJA_TOK_PRINT_END) || jinja_parse_at(p, JINJA_TOK_BLOCK_END) ||
           jinja_parse_at(p, JINJA_TOK_RPAREN);
}

struct jinja_node *jinja_expr_tuple(struct jinja_parser *p, bool with_cond, bool in_parens)
{
    uint32_t line = jinja_parse_token(p)->line;
    struct jinja_nodes kids = {0};
    struct jinja_node *node;
    bool is_tuple = in_parens && at_tuple_end(p);

    while (p->status == OK && !at_tuple_end(p)) {
        jinja_parse_append(&kids, expression(p, with_cond));
        if (p->status != OK || !jinja_parse_skip(p, JINJA_TOK_COMMA)) {
            break;
        }
        is_tuple = true;
    }
    if (p->status != OK) {
        return NULL;
    }
    if (!is_tuple) {
        return kids.n > 0 ? kids.first : jinja_parse_unexpected(p, "an expression");
    }
    node = jinja_parse_node(p, JINJA_MAKE_TUPLE, line);
    if (node != NULL) {
        node->kids = kids.first;
        node->n_kids = kids.n;
    }
    return node;
}
