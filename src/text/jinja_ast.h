/* jinja_ast.h - from template text to a tree: tokens, nodes, and the two passes that make them.
 *
 * Everything lives in the arena of the template and is immutable after compiling.
 * Lexer and parser read untrusted text: nesting, counts and sizes have limits with names.
 */
#ifndef TEXT_JINJA_AST_H
#define TEXT_JINJA_AST_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "text/jinja_value.h"

#include <stdbool.h>
#include <stdint.h>

#define JINJA_SOURCE_MAX ((size_t)1 << 20)    // bytes of one template
#define JINJA_COMPILE_BYTES ((size_t)1 << 30) // arena of tokens and nodes of one template
#define JINJA_NESTING_MAX 64                  // expressions in expressions, blocks in blocks
#define JINJA_NAMES_MAX 4096                  // different names in one template
#define JINJA_NAME_SLOTS 8192                 // power of two
#define JINJA_ARGS_MAX 64                     // arguments of one call, names of one target

enum jinja_token_kind {
    JINJA_TOK_END,
    JINJA_TOK_TEXT,
    JINJA_TOK_PRINT_BEGIN,
    JINJA_TOK_PRINT_END,
    JINJA_TOK_BLOCK_BEGIN,
    JINJA_TOK_BLOCK_END,
    JINJA_TOK_NAME,
    JINJA_TOK_STRING,
    JINJA_TOK_INT,
    JINJA_TOK_FLOAT,
    JINJA_TOK_ADD,
    JINJA_TOK_SUB,
    JINJA_TOK_MUL,
    JINJA_TOK_DIV,
    JINJA_TOK_FLOORDIV,
    JINJA_TOK_MOD,
    JINJA_TOK_POW,
    JINJA_TOK_TILDE,
    JINJA_TOK_EQ,
    JINJA_TOK_NE,
    JINJA_TOK_LT,
    JINJA_TOK_LE,
    JINJA_TOK_GT,
    JINJA_TOK_GE,
    JINJA_TOK_ASSIGN,
    JINJA_TOK_DOT,
    JINJA_TOK_COMMA,
    JINJA_TOK_COLON,
    JINJA_TOK_PIPE,
    JINJA_TOK_LPAREN,
    JINJA_TOK_RPAREN,
    JINJA_TOK_LBRACKET,
    JINJA_TOK_RBRACKET,
    JINJA_TOK_LBRACE,
    JINJA_TOK_RBRACE,
    // not tokens: operators the parser makes of names
    JINJA_TOK_IN,
    JINJA_TOK_NOT_IN,
};

struct jinja_token {
    enum jinja_token_kind kind;
    uint32_t line;
    struct str text; // TEXT, NAME, STRING (unescaped); else the bytes in the source
    union {
        int64_t integer;
        double number;
    };
};

enum jinja_op {
    JINJA_ROOT, // b: the template
    // statements
    JINJA_TEXT,      // text
    JINJA_PRINT,     // a
    JINJA_IF,        // a: test, b: body, c: else body, or the IF of an elif (JINJA_ELIF_FOLLOWS)
    JINJA_FOR,       // targets, a: sequence, d: condition, b: body, c: SCOPE of the else body
    JINJA_SET,       // targets, a: value
    JINJA_SET_BLOCK, // targets, b: body
    JINJA_MACRO_DEF, // id: name, targets: parameters (a: default), b: body
    JINJA_BREAK,
    JINJA_CONTINUE,
    JINJA_SCOPE, // b: body with its own names ({% generation %})
    // targets
    JINJA_TARGET_NAME, // id; a: default value of a parameter
    JINJA_TARGET_ATTR, // id: the namespace, text: its attribute
    // expressions
    JINJA_CONST,      // value
    JINJA_NAME,       // id, text
    JINJA_MAKE_LIST,  // kids
    JINJA_MAKE_TUPLE, // kids
    JINJA_MAKE_DICT,  // kids: key, value, key, value ...
    JINJA_ATTR,       // a.text
    JINJA_ELEMENT,    // a[b]
    JINJA_SLICE,      // a[b:c:d]
    JINJA_CALL,       // a(kids); keywords last
    JINJA_KEYWORD,    // text=a, only as an argument
    JINJA_FILTER,     // a|id(kids)
    JINJA_TEST,       // a is id(kids)
    JINJA_NEG,        // -a
    JINJA_POS,        // +a
    JINJA_NOT,        // not a
    JINJA_AND,        // kids
    JINJA_OR,         // kids
    JINJA_COMPARE,    // a, kids: OPERANDs
    JINJA_ARITH,      // a, kids: OPERANDs, left to right
    JINJA_OPERAND,    // id: enum jinja_token_kind, a
    JINJA_CONCAT,     // kids
    JINJA_COND,       // b if a else c
};

#define JINJA_ELIF_FOLLOWS 1 // id of an IF

struct jinja_node {
    enum jinja_op op;
    uint32_t line;
    uint32_t id;
    uint32_t n_kids;
    struct jinja_node *next; // sibling in a list
    struct jinja_node *kids;
    struct jinja_node *targets;
    struct jinja_node *a;
    struct jinja_node *b;
    struct jinja_node *c;
    struct jinja_node *d;
    struct str text;
    struct jinja_value value;
    const uint32_t *hidden; // [n_hidden] names that the block b hides, see jinja_symbols.c
    uint32_t n_hidden;
};

struct jinja_tokens {
    struct jinja_token *items; // [n]; the last one is END
    uint32_t n;
};

/* A list under construction. */
struct jinja_nodes {
    struct jinja_node *first;
    struct jinja_node *last;
    uint32_t n;
};

/* State of the parser, shared by jinja_parse.c (statements) and jinja_expr.c. */
struct jinja_parser {
    struct arena *arena; // nodes and names; borrowed
    struct jinja_tokens tokens;
    uint32_t at;     // index of the current token
    uint32_t depth;  // expressions in expressions
    uint32_t blocks; // blocks in blocks
    uint32_t loop_depth;
    bool in_macro;
    struct str *names; // [n_names] in the arena; index = name id
    uint32_t n_names;
    uint32_t *name_slots; // [JINJA_NAME_SLOTS] open hash table of ids + 1
    enum status status;
    struct error *err;
};

/**
 * Split template text into tokens: trim_blocks, lstrip_blocks, dashes, comments and raw are done
 * here, one trailing newline is dropped, CR LF and CR become LF.
 *
 * arena   receives unescaped strings and the token array
 * Errors: INVALID, LIMIT (err: "line L: ...").
 */
MUST_USE enum status jinja_lex(struct arena *arena, struct str source,
                               struct jinja_tokens *ret_tokens, struct error *err);

/** Parse the whole template into a ROOT.  p: arena, tokens, err are set.
 *  Errors: INVALID, UNSUPPORTED, LIMIT, NO_MEMORY (err: "line L: ..."). */
MUST_USE enum status jinja_parse(struct jinja_parser *p, const struct jinja_node **ret_root);
/** Find the hidden names of every block below `root`; may set p->status. */
void jinja_symbols(struct jinja_parser *p, struct jinja_node *root);

/* For the two parser files.  Functions that return NULL have set p->status. */
struct jinja_node *jinja_parse_node(struct jinja_parser *p, enum jinja_op op, uint32_t line);
/** Id of a name, the same for the same text; UINT32_MAX when p->status was set. */
uint32_t jinja_parse_name_id(struct jinja_parser *p, struct str name);
/** Set p->status and the text "line L: ..."; returns NULL. */
void *jinja_parse_fail(struct jinja_parser *p, enum status s, uint32_t line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/** "expected X, found Y" at the current token; returns NULL. */
void *jinja_parse_unexpected(struct jinja_parser *p, const char *expected);
void jinja_parse_append(struct jinja_nodes *list, struct jinja_node *node);

/** An expression; `with_cond` allows `a if b else c` at its top. */
struct jinja_node *jinja_expr(struct jinja_parser *p, bool with_cond);
/** Expressions separated by commas are a tuple, one alone is itself.  `in_parens`: may be empty. */
struct jinja_node *jinja_expr_tuple(struct jinja_parser *p, bool with_cond, bool in_parens);

static inline const struct jinja_token *jinja_parse_token(const struct jinja_parser *p)
{
    return &p->tokens.items[p->at];
}

static inline bool jinja_parse_at(const struct jinja_parser *p, enum jinja_token_kind kind)
{
    return p->tokens.items[p->at].kind == kind;
}

static inline bool jinja_parse_at_name(const struct jinja_parser *p, struct str name)
{
    return jinja_parse_at(p, JINJA_TOK_NAME) && str_eq(p->tokens.items[p->at].text, name);
}

/** Step over the current token; stays at END. */
static inline void jinja_parse_step(struct jinja_parser *p)
{
    p->at += p->at + 1 < p->tokens.n ? 1 : 0;
}

static inline bool jinja_parse_skip(struct jinja_parser *p, enum jinja_token_kind kind)
{
    bool found = jinja_parse_at(p, kind);

    if (found) {
        jinja_parse_step(p);
    }
    return found;
}

static inline bool jinja_parse_skip_name(struct jinja_parser *p, struct str name)
{
    bool found = jinja_parse_at_name(p, name);

    if (found) {
        jinja_parse_step(p);
    }
    return found;
}

#endif
