#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

#include <string.h>

/* Small and capital sigma: the one letter whose lower case depends on its place. */
#define SIGMA 0x3a3
#define FINAL_SIGMA 0x3c2

static enum status write_mapped(struct jinja_run *run, enum jinja_unicode_case to, struct str s,
                                size_t at)
{
    uint32_t cps[JINJA_UNICODE_CASE_MAX];
    uint32_t cp;
    unsigned n;
    enum status rc = OK;

    jinja_unicode_at(s, at, &cp);
    if (cp == SIGMA && to == JINJA_UNICODE_LOWER && jinja_unicode_is_final_sigma(s, at)) {
        return jinja_run_write_cp(run, &run->text, FINAL_SIGMA);
    }
    n = jinja_unicode_map(to, cp, cps);
    for (unsigned i = 0; i < n && rc == OK; i++) {
        rc = jinja_run_write_cp(run, &run->text, cps[i]);
    }
    return rc;
}

enum status jinja_text_case(struct jinja_run *run, struct str s, enum jinja_text_form form,
                            struct str *ret_s)
{
    size_t begin = run->text.len;
    enum jinja_unicode_case to = form == JINJA_TEXT_LOWER   ? JINJA_UNICODE_LOWER
                                 : form == JINJA_TEXT_UPPER ? JINJA_UNICODE_UPPER
                                                            : JINJA_UNICODE_TITLE;
    enum status rc = OK;
    uint32_t cp;

    for (size_t at = 0; at < s.len && rc == OK;) {
        rc = write_mapped(run, to, s, at);
        at += jinja_unicode_at(s, at, &cp);
        to = form == JINJA_TEXT_CAPITALIZE ? JINJA_UNICODE_LOWER : to;
    }
    return rc == OK ? jinja_run_take(run, begin, ret_s) : rc;
}

/* "abc".replace("", "-") is "-a-b-c-". */
static enum status insert_between(struct jinja_run *run, struct str s, struct str to, int64_t count)
{
    enum status rc = OK;
    size_t at = 0;
    size_t len;
    uint32_t cp;

    for (;;) {
        if (count != 0) {
            rc = jinja_run_write(run, &run->text, to);
            count--;
        }
        if (rc != OK || at >= s.len) {
            return rc;
        }
        len = jinja_unicode_at(s, at, &cp);
        rc = jinja_run_write(run, &run->text, str_slice(s, at, at + len));
        at += len;
        if (rc != OK) {
            return rc;
        }
    }
}

enum status jinja_text_replace(struct jinja_run *run, struct str s, struct str from, struct str to,
                               int64_t count, struct str *ret_s)
{
    size_t begin = run->text.len;
    size_t at = 0;
    size_t found;
    enum status rc = jinja_run_tick(run, 1 + s.len / 64);

    if (from.len == 0 && rc == OK) {
        rc = insert_between(run, s, to, count);
        at = s.len;
    }
    while (rc == OK && from.len > 0 && count != 0) {
        found = str_find(s, from, at);
        if (found == SIZE_MAX) {
            break;
        }
        rc = jinja_run_write(run, &run->text, str_slice(s, at, found));
        rc = rc == OK ? jinja_run_write(run, &run->text, to) : rc;
        at = found + from.len;
        count--;
    }
    if (at == 0 && run->text.len == begin && rc == OK) {
        *ret_s = s; // nothing found
        return OK;
    }
    rc = rc == OK ? jinja_run_write(run, &run->text, str_slice(s, at, s.len)) : rc;
    return rc == OK ? jinja_run_take(run, begin, ret_s) : rc;
}

enum status jinja_text_strip(struct jinja_run *run, struct str s, const struct str *chars,
                             bool left, bool right, struct str *ret_s)
{
    size_t begin = 0;
    size_t end = s.len;
    size_t next;
    uint32_t cp;
    enum status rc = OK;

    if (chars == NULL) {
        *ret_s = jinja_unicode_strip(s, left, right);
        return jinja_run_tick(run, 1 + (s.len - ret_s->len) / 64);
    }
    while (left && begin < end && rc == OK) {
        next = begin + jinja_unicode_at(s, begin, &cp);
        if (str_find(*chars, str_slice(s, begin, next), 0) == SIZE_MAX) {
            break;
        }
        begin = next;
        rc = jinja_run_tick(run, 1 + chars->len / 64);
    }
    while (right && end > begin && rc == OK) {
        next = jinja_unicode_before(s, end);
        if (str_find(*chars, str_slice(s, next, end), 0) == SIZE_MAX) {
            break;
        }
        end = next;
        rc = jinja_run_tick(run, 1 + chars->len / 64);
    }
    *ret_s = str_slice(s, begin, end);
    return rc;
}

struct parts {
    struct jinja_value *items;
    uint32_t n;
    uint32_t cap;
};

static enum status add_part(struct jinja_run *run, struct parts *p, struct str s)
{
    struct jinja_value *grown;
    uint32_t cap = p->cap == 0 ? 4 : p->cap * 2;
    enum status rc = jinja_run_tick(run, 1 + s.len / 64);

    if (rc == OK && p->n == p->cap) {
        rc = jinja_run_alloc(run, cap, sizeof(*grown), &grown);
        if (rc == OK && p->n > 0) {
            memcpy(grown, p->items, p->n * sizeof(*grown));
        }
        if (rc == OK) {
            p->items = grown;
            p->cap = cap;
        }
    }
    if (rc == OK) {
        p->items[p->n++] = jinja_string(s);
    }
    return rc;
}

static enum status split_at(struct jinja_run *run, struct str s, struct str sep, int64_t max,
                            struct parts *parts)
{
    size_t at = 0;
    size_t found;
    enum status rc = OK;

    while (rc == OK && max != 0) {
        found = str_find(s, sep, at);
        if (found == SIZE_MAX) {
            break;
        }
        rc = add_part(run, parts, str_slice(s, at, found));
        at = found + sep.len;
        max--;
    }
    return rc == OK ? add_part(run, parts, str_slice(s, at, s.len)) : rc;
}

static enum status split_spaces(struct jinja_run *run, struct str s, int64_t max,
                                struct parts *parts)
{
    enum status rc = OK;
    size_t end;
    size_t len;
    uint32_t cp;

    for (;;) {
        s = jinja_unicode_strip(s, true, false);
        if (s.len == 0 || rc != OK) {
            return rc;
        }
        if (max == 0) {
            return add_part(run, parts, s);
        }
        for (end = 0; end < s.len; end += len) {
            len = jinja_unicode_at(s, end, &cp);
            if (jinja_unicode_is_space(cp)) {
                break;
            }
        }
        rc = add_part(run, parts, str_slice(s, 0, end));
        s = str_slice(s, end, s.len);
        max--;
    }
}

enum status jinja_text_split(struct jinja_run *run, struct str s, const struct str *sep,
                             int64_t max, struct jinja_value *ret_list)
{
    struct parts parts = {0};
    struct jinja_seq *seq;
    enum status rc =
        sep != NULL ? split_at(run, s, *sep, max, &parts) : split_spaces(run, s, max, &parts);

    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    if (rc == OK) {
        *seq = (struct jinja_seq){.n = parts.n, .items = parts.items};
        *ret_list = (struct jinja_value){.kind = JINJA_LIST, .seq = seq};
    }
    return rc;
}

enum status jinja_text_join(struct jinja_run *run, struct str sep, const struct jinja_value *parts,
                            bool strict, struct str *ret_s)
{
    size_t begin = run->text.len;
    struct jinja_iter it;
    struct jinja_value v;
    bool more = true;
    enum status rc = jinja_value_iterate(run, parts, &it);

    while (rc == OK) {
        rc = jinja_value_next(run, &it, &more, &v);
        if (rc != OK || !more) {
            break;
        }
        if (strict && v.kind != JINJA_STRING) {
            return jinja_run_fail(run, E_INVALID, "join() needs strings, not '%s'",
                                  jinja_value_type(&v));
        }
        rc = it.i > 1 ? jinja_run_write(run, &run->text, sep) : OK;
        rc = rc == OK ? jinja_print(run, &run->text, &v) : rc;
    }
    return rc == OK ? jinja_run_take(run, begin, ret_s) : rc;
}
