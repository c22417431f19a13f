#include "doctor/rules.h"

#include "base/check.h"

#include <string.h>

#define DEPTH_MAX 8  // of groups that are looked into
#define GROUPS_MAX 4 // of one alternative

/* The best run of fixed text found so far in one alternative. */
struct run {
    char text[256];
    size_t len;
    char best[RULES_LITERAL_BYTES_MAX];
    size_t best_len;
    struct str groups[GROUPS_MAX]; // that cannot be left out
    uint32_t n_groups;
};

static bool find_in(struct arena *arena, struct str regex, struct rules_pattern *p, int depth);

static void close_run(struct run *r)
{
    size_t n = r->len < RULES_LITERAL_BYTES_MAX ? r->len : RULES_LITERAL_BYTES_MAX;

    if (n > r->best_len) {
        memcpy(r->best, r->text, n);
        r->best_len = n;
    }
    r->len = 0;
}

static void add_char(struct run *r, char c)
{
    if (r->len == sizeof(r->text)) {
        close_run(r);
    }
    r->text[r->len++] = c;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Past the class that begins at s[at] = '['. */
static size_t skip_class(struct str s, size_t at)
{
    at++;
    if (at < s.len && s.ptr[at] == '^') {
        at++;
    }
    if (at < s.len && s.ptr[at] == ']') {
        at++;
    }
    while (at < s.len && s.ptr[at] != ']') {
        at += s.ptr[at] == '\\' ? 2 : 1;
    }
    return at < s.len ? at + 1 : s.len;
}

/* Past the group that begins at s[at] = '('. */
static size_t skip_group(struct str s, size_t at)
{
    int depth = 0;

    while (at < s.len) {
        char c = s.ptr[at];

        if (c == '\\') {
            at += 2;
            continue;
        }
        if (c == '[') {
            at = skip_class(s, at);
            continue;
        }
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        at++;
        if (depth == 0) {
            return at;
        }
    }
    return s.len;
}

/* A quantifier at s[at] that allows none. */
static bool may_be_absent(struct str s, size_t at)
{
    return at < s.len && (s.ptr[at] == '?' || s.ptr[at] == '*' ||
                          (s.ptr[at] == '{' && at + 1 < s.len && s.ptr[at + 1] == '0'));
}

/* Past any quantifier at s[at]; what it repeats ends the run. */
static size_t skip_quantifier(struct str s, size_t at, struct run *r)
{
    if (at >= s.len || strchr("?*+{", s.ptr[at]) == NULL) {
        return at;
    }
    if (s.ptr[at] != '+' && r->len > 0) {
        r->len--;
    }
    close_run(r);
    if (s.ptr[at] == '{') {
        size_t end = str_find_byte(s, '}', at);

        at = end == SIZE_MAX ? s.len : end;
    }
    at++;
    if (at < s.len && (s.ptr[at] == '?' || s.ptr[at] == '+')) {
        at++; // lazy, possessive
    }
    return at;
}

/* The inside of a group, without "?:"; look-arounds and such are left out. */
static void keep_group(struct run *r, struct str inside)
{
    if (str_starts(inside, STR("?:"))) {
        inside = str_slice(inside, 2, inside.len);
    }
    if (r->n_groups < GROUPS_MAX && inside.len > 0 && inside.ptr[0] != '?') {
        r->groups[r->n_groups++] = inside;
    }
}

/* One alternative without a '|' at its own level. */
static void find_run(struct str s, struct run *r)
{
    size_t at = 0;

    while (at < s.len) {
        char c = s.ptr[at];
        size_t next = at + 1;

        if (c == '\\' && at + 1 < s.len && !is_word(s.ptr[at + 1])) {
            add_char(r, s.ptr[at + 1]);
            next = at + 2;
        } else if (c == '\\') {
            close_run(r);
            next = at + 2;
        } else if (c == '[') {
            close_run(r);
            next = skip_class(s, at);
        } else if (c == '(') {
            close_run(r);
            next = skip_group(s, at);
            if (!may_be_absent(s, next)) {
                keep_group(r, str_slice(s, at + 1, next - 1));
            }
        } else if (c == '.' || c == '^' || c == '$') {
            close_run(r);
        } else {
            add_char(r, c);
        }
        at = skip_quantifier(s, next, r);
    }
    close_run(r);
}

static bool keep(struct arena *arena, struct str literal, struct rules_pattern *p)
{
    if (p->n_literals == RULES_LITERALS_MAX) {
        return false;
    }
    return arena_dup(arena, literal, &p->literals[p->n_literals++]) == OK;
}

static bool find_in_alternative(struct arena *arena, struct str s, struct rules_pattern *p,
                                int depth)
{
    struct run r = {.len = 0};
    uint32_t n_before = p->n_literals;

    find_run(s, &r);
    if (r.best_len >= RULES_LITERAL_BYTES_MIN) {
        return keep(arena, (struct str){r.best, r.best_len}, p);
    }
    for (uint32_t i = 0; i < r.n_groups && depth < DEPTH_MAX; i++) {
        if (find_in(arena, r.groups[i], p, depth + 1)) {
            return true;
        }
        p->n_literals = n_before;
    }
    return false;
}

/* Every alternative of `regex`. */
static bool find_in(struct arena *arena, struct str regex, struct rules_pattern *p, int depth)
{
    size_t begin = 0;
    size_t at = 0;

    while (at < regex.len) {
        char c = regex.ptr[at];

        if (c == '|') {
            if (!find_in_alternative(arena, str_slice(regex, begin, at), p, depth)) {
                return false;
            }
            begin = at + 1;
        }
        at = c == '\\'  ? at + 2
             : c == '[' ? skip_class(regex, at)
             : c == '(' ? skip_group(regex, at)
                        : at + 1;
    }
    return find_in_alternative(arena, str_slice(regex, begin, regex.len), p, depth);
}

bool rules_literals(struct arena *arena, struct str regex, struct rules_pattern *ret_pattern)
{
    ret_pattern->n_literals = 0;
    ret_pattern->nocase = str_starts(regex, STR("(?i)"));
    if (ret_pattern->nocase) {
        regex = str_slice(regex, 4, regex.len);
    }
    return find_in(arena, regex, ret_pattern, 0);
}
