#include "base/buf.h"
#include "base/number.h"
#include "base/utf8.h"
#include "text/jinja_ast.h"
#include "text/jinja_unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BRACKETS_MAX 256

struct lexer {
    struct arena *arena;
    struct str src; // normalised copy in the arena
    size_t at;
    uint32_t line; // of line_at
    size_t line_at;
    struct jinja_tokens tokens;
    uint32_t cap;
    struct error *err;
    char brackets[BRACKETS_MAX]; // closing ones that are awaited
    uint32_t n_brackets;
};

/* Line of byte `at`; calls must come in ascending order. */
static uint32_t line_of(struct lexer *lx, size_t at)
{
    for (; lx->line_at < at; lx->line_at++) {
        lx->line += lx->src.ptr[lx->line_at] == '\n' ? 1 : 0;
    }
    return lx->line;
}

static enum status fail(struct lexer *lx, enum status s, size_t at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

static enum status fail(struct lexer *lx, enum status s, size_t at, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return error_set(lx->err, s, "line %u: %s", line_of(lx, at), text);
}

static enum status push(struct lexer *lx, struct jinja_token token)
{
    struct jinja_token *grown;
    uint32_t cap;

    if (lx->tokens.n == lx->cap) {
        cap = lx->cap == 0 ? 256 : lx->cap * 2;
        grown = arena_zalloc(lx->arena, cap, sizeof(*grown));
        if (grown == NULL) {
            return fail(lx, E_NO_MEMORY, lx->at, "not enough memory to read the template");
        }
        if (lx->tokens.n > 0) {
            memcpy(grown, lx->tokens.items, lx->tokens.n * sizeof(*grown));
        }
        lx->tokens.items = grown;
        lx->cap = cap;
    }
    lx->tokens.items[lx->tokens.n++] = token;
    return OK;
}

static enum status push_text(struct lexer *lx, size_t begin, size_t end)
{
    struct jinja_token token = {.kind = JINJA_TOK_TEXT};

    if (begin == end) {
        return OK;
    }
    token.line = line_of(lx, begin);
    token.text = str_slice(lx->src, begin, end);
    return push(lx, token);
}

static bool at_text(const struct lexer *lx, size_t at, struct str text)
{
    return str_starts(str_slice(lx->src, at, lx->src.len), text);
}

static size_t skip_space(const struct lexer *lx, size_t at)
{
    uint32_t cp;
    unsigned len;

    while (at < lx->src.len) {
        len = jinja_unicode_at(lx->src, at, &cp);
        if (!jinja_unicode_is_space(cp)) {
            break;
        }
        at += len;
    }
    return at;
}

static bool is_sign(const struct lexer *lx, size_t at)
{
    return at < lx->src.len && (lx->src.ptr[at] == '-' || lx->src.ptr[at] == '+');
}

/* End of the text [begin, end) before a tag with `sign`: '-' strips all space, a tag that is not a
 * print ({% and {#) strips the blanks that stand alone before it on its line. */
static size_t text_end(const struct lexer *lx, size_t begin, size_t end, char sign, bool is_print)
{
    struct str text = str_slice(lx->src, begin, end);
    size_t line_begin = text.len;

    if (sign == '-') {
        return begin + jinja_unicode_strip(text, false, true).len;
    }
    if (sign == '+' || is_print) {
        return end;
    }
    while (line_begin > 0 && text.ptr[line_begin - 1] != '\n') {
        line_begin--;
    }
    if (line_begin == 0 && begin > 0 && lx->src.ptr[begin - 1] != '\n') {
        return end;
    }
    text = str_slice(text, line_begin, text.len);
    return jinja_unicode_strip(text, true, false).len == 0 ? begin + line_begin : end;
}

/* If a tag ends at `at` ("%}" etc. with an optional sign), the byte behind it and the space it
 * swallows; else 0.  `trims`: one newline is dropped behind it. */
static size_t tag_end(const struct lexer *lx, size_t at, struct str end, bool trims)
{
    if (at_text(lx, at, end)) {
        at += end.len;
        return trims && at < lx->src.len && lx->src.ptr[at] == '\n' ? at + 1 : at;
    }
    if (!is_sign(lx, at) || !at_text(lx, at + 1, end)) {
        return 0;
    }
    if (lx->src.ptr[at] == '-') {
        return skip_space(lx, at + 1 + end.len);
    }
    return trims ? at + 1 + end.len : 0; // "+}}" is a plus and an end
}

static enum status lex_comment(struct lexer *lx, size_t begin)
{
    size_t end = str_find(lx->src, STR("#}"), begin);

    if (end == SIZE_MAX) {
        return fail(lx, E_INVALID, begin, "the comment that begins here has no '#}'");
    }
    if (end > begin && is_sign(lx, end - 1)) {
        end--;
    }
    lx->at = tag_end(lx, end, STR("#}"), true);
    return OK;
}

/* If {% raw %} begins at `at` (behind "{%" and its sign), the byte behind it; else 0. */
static size_t raw_begin(const struct lexer *lx, size_t at)
{
    at = skip_space(lx, at);
    if (!at_text(lx, at, STR("raw"))) {
        return 0;
    }
    at = skip_space(lx, at + 3);
    if (at_text(lx, at, STR("%}"))) {
        return at + 2;
    }
    return at_text(lx, at, STR("-%}")) ? skip_space(lx, at + 3) : 0;
}

static enum status lex_raw(struct lexer *lx, size_t begin)
{
    size_t tag = begin;
    size_t at;
    size_t end;
    char sign;
    enum status rc;

    for (;;) {
        tag = str_find(lx->src, STR("{%"), tag);
        if (tag == SIZE_MAX) {
            return fail(lx, E_INVALID, begin, "{%% raw %%} has no {%% endraw %%}");
        }
        sign = is_sign(lx, tag + 2) ? lx->src.ptr[tag + 2] : '\0';
        at = skip_space(lx, tag + 2 + (sign != '\0' ? 1 : 0));
        if (at_text(lx, at, STR("endraw"))) {
            at = skip_space(lx, at + 6);
            end = tag_end(lx, at, STR("%}"), true);
            if (end > 0) {
                break;
            }
        }
        tag += 2;
    }
    rc = push_text(lx, begin, text_end(lx, begin, tag, sign, false));
    lx->at = end;
    return rc;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

/* Digits with single underscores between them; returns the byte behind the last one. */
static size_t skip_digits(const struct lexer *lx, size_t at)
{
    const char *p = lx->src.ptr;

    while (at < lx->src.len && (is_digit(p[at]) || (p[at] == '_' && is_digit(p[at - 1]) &&
                                                    at + 1 < lx->src.len && is_digit(p[at + 1])))) {
        at++;
    }
    return at;
}

static size_t skip_exponent(const struct lexer *lx, size_t at)
{
    size_t digits = at + 1;

    if (at >= lx->src.len || (lx->src.ptr[at] != 'e' && lx->src.ptr[at] != 'E')) {
        return at;
    }
    digits += is_sign(lx, digits) ? 1 : 0;
    if (digits >= lx->src.len || !is_digit(lx->src.ptr[digits])) {
        return at;
    }
    return skip_digits(lx, digits);
}

static enum status push_number(struct lexer *lx, size_t end, bool is_float)
{
    struct jinja_token token = {.kind = is_float ? JINJA_TOK_FLOAT : JINJA_TOK_INT,
                                .line = line_of(lx, lx->at),
                                .text = str_slice(lx->src, lx->at, end)};
    char digits[NUMBER_LITERAL_MAX];
    struct str clean = {digits, 0};
    enum status rc;

    for (size_t i = 0; i < token.text.len; i++) {
        char c = token.text.ptr[i];
        bool leading = clean.len == 1 && digits[0] == '0' && is_digit(c);

        if (c == '_' || clean.len == sizeof(digits)) {
            continue;
        }
        clean.len = leading ? 0 : clean.len;
        digits[clean.len++] = c;
    }
    if (token.text.len >= sizeof(digits)) {
        return fail(lx, E_LIMIT, lx->at, "a number of more than %zu digits", sizeof(digits));
    }
    if (is_float) {
        rc = number_to_f64(clean, &token.number);
    } else {
        rc = str_to_i64(clean, &token.integer);
    }
    if (rc != OK) {
        return fail(lx, rc, lx->at, "the number %.*s is too large", STR_ARG(token.text));
    }
    lx->at = end;
    return push(lx, token);
}

static enum status lex_number(struct lexer *lx)
{
    const char *p = lx->src.ptr;
    size_t int_end = skip_digits(lx, lx->at);
    size_t end = int_end;
    bool after_dot = lx->at > 0 && p[lx->at - 1] == '.';

    if (!after_dot) {
        if (end + 1 < lx->src.len && p[end] == '.' && is_digit(p[end + 1])) {
            end = skip_digits(lx, end + 1);
        }
        end = skip_exponent(lx, end);
        if (end > int_end) {
            return push_number(lx, end, true);
        }
    }
    for (size_t i = lx->at; p[lx->at] == '0' && i < int_end; i++) {
        if (p[i] != '0' && p[i] != '_') {
            return fail(lx, E_INVALID, lx->at, "a number with leading zeros");
        }
    }
    return push_number(lx, int_end, false);
}

static enum status lex_name(struct lexer *lx)
{
    struct jinja_token token = {.kind = JINJA_TOK_NAME, .line = line_of(lx, lx->at)};
    size_t end = lx->at;

    while (end < lx->src.len && is_name_byte(lx->src.ptr[end])) {
        end++;
    }
    token.text = str_slice(lx->src, lx->at, end);
    lx->at = end;
    return push(lx, token);
}

static void put_cp(struct buf *out, uint32_t cp)
{
    char utf8[4];

    buf_append(out, utf8, utf8_encode(cp, utf8));
}

/* `n` hex digits behind text.ptr[at]; false when they are not there or no character. */
static bool hex_escape(struct str text, size_t at, unsigned n, uint32_t *ret_cp)
{
    uint32_t cp = 0;

    if (n > text.len - at) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        char c = text.ptr[at + i];

        if (is_digit(c)) {
            cp = cp * 16 + (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            cp = cp * 16 + (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return false;
        }
    }
    *ret_cp = cp;
    return cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff);
}

/* The escape whose backslash stands at `at`; returns the bytes it takes, 0 for a fault. */
static size_t unescape_one(struct str text, size_t at, struct buf *out)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = text.ptr[at + 1];
    uint32_t cp = 0;
    unsigned len = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;

    for (size_t i = 0; i + 1 < sizeof(plain); i += 2) {
        if (plain[i] == c) {
            buf_append_byte(out, plain[i + 1]);
            return 2;
        }
    }
    if (len > 0) {
        if (!hex_escape(text, at + 2, len, &cp)) {
            return 0;
        }
        put_cp(out, cp);
        return 2 + len;
    }
    if (c >= '0' && c <= '7') {
        for (len = 0; len < 3 && at + 1 + len < text.len; len++) {
            char digit = text.ptr[at + 1 + len];

            if (digit < '0' || digit > '7') {
                break;
            }
            cp = cp * 8 + (uint32_t)(digit - '0');
        }
        put_cp(out, cp);
        return 1 + len;
    }
    if (c == '\n') {
        return 2;
    }
    if (c == 'N') {
        return 0;
    }
    if ((unsigned char)c < 0x80) {
        buf_append(out, text.ptr + at, 2); // an unknown escape stays as it is
        return 2;
    }
    /* Jinja2 turns characters beyond ASCII into escapes of their own first, so the backslash
     * before one makes that escape plain text. */
    len = jinja_unicode_at(text, at + 1, &cp);
    buf_printf(out, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    return 1 + len;
}

static enum status lex_string(struct lexer *lx)
{
    struct jinja_token token = {.kind = JINJA_TOK_STRING, .line = line_of(lx, lx->at)};
    const char *p = lx->src.ptr;
    size_t begin = lx->at + 1;
    size_t end = begin;
    bool escapes = false;
    struct buf text;
    enum status rc = OK;

    while (end < lx->src.len && p[end] != p[lx->at]) {
        escapes = escapes || p[end] == '\\';
        end += p[end] == '\\' ? 2 : 1;
    }
    if (end >= lx->src.len) {
        return fail(lx, E_INVALID, lx->at, "the string that begins here has no closing quote");
    }
    token.text = str_slice(lx->src, begin, end);
    lx->at = end + 1;
    if (!escapes) {
        return push(lx, token);
    }
    buf_init(&text, 2 * JINJA_SOURCE_MAX + 16);
    for (size_t at = 0; at < token.text.len && rc == OK;) {
        size_t len = 1;

        if (token.text.ptr[at] != '\\') {
            buf_append_byte(&text, token.text.ptr[at]);
        } else {
            len = unescape_one(token.text, at, &text);
            if (len == 0) {
                rc = fail(lx, E_INVALID, begin + at, "an escape '\\%c' that names no character",
                          token.text.ptr[at + 1]);
            }
        }
        at += len;
    }
    rc = rc != OK ? rc : buf_status(&text);
    rc = rc != OK ? rc : arena_dup(lx->arena, buf_str(&text), &token.text);
    buf_done(&text);
    return rc == OK ? push(lx, token) : rc;
}

static const struct operator
{
    const char *text;
    enum jinja_token_kind kind;
}
operators[] = {
    // longer ones first
    {"**", JINJA_TOK_POW},     {"//", JINJA_TOK_FLOORDIV}, {"==", JINJA_TOK_EQ},
    {"!=", JINJA_TOK_NE},      {"<=", JINJA_TOK_LE},       {">=", JINJA_TOK_GE},
    {"+", JINJA_TOK_ADD},      {"-", JINJA_TOK_SUB},       {"*", JINJA_TOK_MUL},
    {"/", JINJA_TOK_DIV},      {"%", JINJA_TOK_MOD},       {"~", JINJA_TOK_TILDE},
    {"<", JINJA_TOK_LT},       {">", JINJA_TOK_GT},        {"=", JINJA_TOK_ASSIGN},
    {".", JINJA_TOK_DOT},      {",", JINJA_TOK_COMMA},     {":", JINJA_TOK_COLON},
    {"|", JINJA_TOK_PIPE},     {"(", JINJA_TOK_LPAREN},    {")", JINJA_TOK_RPAREN},
    {"[", JINJA_TOK_LBRACKET}, {"]", JINJA_TOK_RBRACKET},  {"{", JINJA_TOK_LBRACE},
    {"}", JINJA_TOK_RBRACE},
};

/* Keep count of open brackets: inside them "}}" and "%}" end nothing. */
static enum status balance(struct lexer *lx, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (lx->n_brackets == BRACKETS_MAX) {
            return fail(lx, E_LIMIT, lx->at, "more than %d nested brackets", BRACKETS_MAX);
        }
        lx->brackets[lx->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (lx->n_brackets == 0) {
            return fail(lx, E_INVALID, lx->at, "'%c' closes nothing", c);
        }
        lx->n_brackets--;
        if (lx->brackets[lx->n_brackets] != c) {
            return fail(lx, E_INVALID, lx->at, "expected '%c', found '%c'",
                        lx->brackets[lx->n_brackets], c);
        }
    }
    return OK;
}

static enum status lex_operator(struct lexer *lx)
{
    struct jinja_token token = {.line = line_of(lx, lx->at)};
    enum status rc;
    unsigned char byte = (unsigned char)lx->src.ptr[lx->at];

    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (at_text(lx, lx->at, str_from_c(operators[i].text))) {
            rc = balance(lx, lx->src.ptr[lx->at]);
            if (rc != OK) {
                return rc;
            }
            token.kind = operators[i].kind;
            token.text = str_from_c(operators[i].text);
            lx->at += token.text.len;
            return push(lx, token);
        }
    }
    if (byte >= 0x80) {
        return fail(lx, E_UNSUPPORTED, lx->at, "a character beyond ASCII outside a string");
    }
    return fail(lx, E_INVALID, lx->at,
                byte > ' ' && byte < 0x7f ? "unexpected character '%c'" : "unexpected byte %d",
                byte);
}

/* The inside of {{ }} or {% %} up to and with its end. */
static enum status lex_tag(struct lexer *lx, bool is_print)
{
    struct str end = is_print ? STR("}}") : STR("%}");
    struct jinja_token token = {.kind = is_print ? JINJA_TOK_PRINT_END : JINJA_TOK_BLOCK_END,
                                .text = end};
    enum status rc = OK;
    size_t behind;

    lx->n_brackets = 0;
    while (rc == OK) {
        lx->at = skip_space(lx, lx->at);
        if (lx->at >= lx->src.len) {
            return OK; // the parser says what is missing
        }
        behind = lx->n_brackets == 0 ? tag_end(lx, lx->at, end, !is_print) : 0;
        if (behind > 0) {
            token.line = line_of(lx, lx->at);
            lx->at = behind;
            return push(lx, token);
        }
        char c = lx->src.ptr[lx->at];
        if (is_digit(c)) {
            rc = lex_number(lx);
        } else if (is_name_byte(c)) {
            rc = lex_name(lx);
        } else if (c == '"' || c == '\'') {
            rc = lex_string(lx);
        } else {
            rc = lex_operator(lx);
        }
    }
    return rc;
}

/* Byte of the next "{{", "{%" or "{#", or SIZE_MAX. */
static size_t find_tag(const struct lexer *lx)
{
    size_t at = lx->at;

    for (;; at++) {
        at = str_find_byte(lx->src, '{', at);
        if (at == SIZE_MAX || at + 1 >= lx->src.len) {
            return SIZE_MAX;
        }
        char c = lx->src.ptr[at + 1];
        if (c == '{' || c == '%' || c == '#') {
            return at;
        }
    }
}

/* Text up to the next tag, and that tag. */
static enum status lex_part(struct lexer *lx)
{
    size_t begin = lx->at;
    size_t tag = find_tag(lx);
    size_t raw;
    char sign;
    char c;
    enum status rc;
    struct jinja_token token = {0};

    if (tag == SIZE_MAX) {
        lx->at = lx->src.len;
        return push_text(lx, begin, lx->src.len);
    }
    c = lx->src.ptr[tag + 1];
    sign = is_sign(lx, tag + 2) ? lx->src.ptr[tag + 2] : '\0';
    rc = push_text(lx, begin, text_end(lx, begin, tag, sign, c == '{'));
    if (rc != OK) {
        return rc;
    }
    lx->at = tag + 2 + (sign != '\0' ? 1 : 0);
    if (c == '#') {
        return lex_comment(lx, lx->at);
    }
    raw = c == '%' ? raw_begin(lx, lx->at) : 0;
    if (raw > 0) {
        return lex_raw(lx, raw);
    }
    token.kind = c == '{' ? JINJA_TOK_PRINT_BEGIN : JINJA_TOK_BLOCK_BEGIN;
    token.line = line_of(lx, tag);
    token.text = str_slice(lx->src, tag, tag + 2);
    rc = push(lx, token);
    return rc == OK ? lex_tag(lx, c == '{') : rc;
}

/* Copy with CR LF and CR as LF, one LF at the end dropped. */
static enum status normalise(struct lexer *lx, struct str source)
{
    char *copy = arena_alloc(lx->arena, source.len + 1);
    size_t len = 0;

    if (copy == NULL) {
        return error_set(lx->err, E_NO_MEMORY, "not enough memory for the template");
    }
    for (size_t i = 0; i < source.len; i++) {
        char c = source.ptr[i];

        if (c == '\n' && i > 0 && source.ptr[i - 1] == '\r') {
            continue;
        }
        copy[len++] = c == '\r' ? '\n' : c;
    }
    lx->src = (struct str){copy, len > 0 && copy[len - 1] == '\n' ? len - 1 : len};
    return OK;
}

enum status jinja_lex(struct arena *arena, struct str source, struct jinja_tokens *ret_tokens,
                      struct error *err)
{
    struct lexer lx = {.arena = arena, .line = 1, .err = err};
    enum status rc;

    if (source.len > JINJA_SOURCE_MAX) {
        return error_set(err, E_LIMIT, "the template is larger than %zu bytes", JINJA_SOURCE_MAX);
    }
    rc = normalise(&lx, source);
    if (rc == OK && !utf8_valid(lx.src)) {
        rc = fail(&lx, E_INVALID, utf8_valid_prefix(lx.src), "bytes that are not UTF-8");
    }
    while (rc == OK && lx.at < lx.src.len) {
        rc = lex_part(&lx);
    }
    if (rc == OK) {
        rc = push(&lx,
                  (struct jinja_token){.kind = JINJA_TOK_END, .line = line_of(&lx, lx.src.len)});
    }
    if (rc == OK) {
        *ret_tokens = lx.tokens;
    }
    return rc;
}
