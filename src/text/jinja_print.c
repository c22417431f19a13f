/* Python's str() and repr(). */
#include "base/number.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>

static enum status repr(struct jinja_run *run, struct buf *to, const struct jinja_value *v);

static enum status write_c(struct jinja_run *run, struct buf *to, const char *text)
{
    return jinja_run_write(run, to, str_from_c(text));
}

static enum status print_int(struct jinja_run *run, struct buf *to, int64_t i)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)i);
    return write_c(run, to, text);
}

static enum status print_float(struct jinja_run *run, struct buf *to, double d)
{
    char text[NUMBER_TEXT_MAX];

    if (!isfinite(d)) {
        return write_c(run, to, isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
    }
    return jinja_run_write(run, to, (struct str){text, number_from_f64(d, false, text)});
}

/* One character of repr(): itself or an escape. */
static enum status repr_cp(struct jinja_run *run, struct buf *to, uint32_t cp, char quote)
{
    char text[16];

    if (cp == '\n' || cp == '\r' || cp == '\t') {
        return write_c(run, to, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    }
    if (cp == '\\' || cp == (uint32_t)(unsigned char)quote) {
        snprintf(text, sizeof(text), "\\%c", (char)cp);
        return write_c(run, to, text);
    }
    if (jinja_unicode_is_printable(cp)) {
        return jinja_run_write_cp(run, to, cp);
    }
    snprintf(text, sizeof(text), cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    return write_c(run, to, text);
}

static bool is_plain(char c)
{
    return c >= ' ' && c < 0x7f && c != '\\' && c != '\'' && c != '"';
}

static enum status repr_string(struct jinja_run *run, struct buf *to, struct str s)
{
    bool single = str_find_byte(s, '\'', 0) != SIZE_MAX;
    bool doubled = str_find_byte(s, '"', 0) != SIZE_MAX;
    char quote[2] = {single && !doubled ? '"' : '\'', '\0'};
    enum status rc = write_c(run, to, quote);
    uint32_t cp;

    for (size_t at = 0; at < s.len && rc == OK;) {
        size_t end = at;

        while (end < s.len && is_plain(s.ptr[end])) {
            end++;
        }
        if (end > at) {
            rc = jinja_run_write(run, to, str_slice(s, at, end));
            at = end;
            continue;
        }
        at += jinja_unicode_at(s, at, &cp);
        rc = repr_cp(run, to, cp, quote[0]);
    }
    return rc == OK ? write_c(run, to, quote) : rc;
}

static enum status repr_pair(struct jinja_run *run, struct buf *to, const struct jinja_value *key,
                             const struct jinja_value *value)
{
    enum status rc = repr(run, to, key);

    rc = rc == OK ? write_c(run, to, ": ") : rc;
    return rc == OK ? repr(run, to, value) : rc;
}

/* Elements between brackets; a mapping writes its pairs. */
static enum status repr_elements(struct jinja_run *run, struct buf *to, const struct jinja_value *v,
                                 const char *open, const char *close)
{
    struct jinja_iter it;
    struct jinja_value item;
    struct jinja_value value;
    bool more = true;
    enum status rc = write_c(run, to, open);

    rc = rc == OK ? jinja_value_iterate(run, v, &it) : rc;
    while (rc == OK) {
        rc = jinja_value_next(run, &it, &more, &item);
        if (rc != OK || !more) {
            break;
        }
        rc = it.i > 1 ? write_c(run, to, ", ") : OK;
        if (rc == OK && v->kind == JINJA_DICT) {
            value = jinja_value_value_at(v, it.i - 1);
            rc = repr_pair(run, to, &item, &value);
        } else if (rc == OK) {
            rc = repr(run, to, &item);
        }
    }
    if (rc == OK && v->kind == JINJA_TUPLE && it.n == 1) {
        rc = write_c(run, to, ",");
    }
    return rc == OK ? write_c(run, to, close) : rc;
}

static enum status repr_space(struct jinja_run *run, struct buf *to,
                              const struct jinja_space *space)
{
    enum status rc = write_c(run, to, "<Namespace {");
    struct jinja_value key;

    for (const struct jinja_attr *attr = space->first; attr != NULL && rc == OK;
         attr = attr->next) {
        key = jinja_string(attr->name);
        rc = attr != space->first ? write_c(run, to, ", ") : OK;
        rc = rc == OK ? repr_pair(run, to, &key, &attr->value) : rc;
    }
    return rc == OK ? write_c(run, to, "}>") : rc;
}

static enum status repr_range(struct jinja_run *run, struct buf *to, const struct jinja_range *r)
{
    char text[80];

    if (r->step == 1) {
        snprintf(text, sizeof(text), "range(%lld, %lld)", (long long)r->start, (long long)r->stop);
    } else {
        snprintf(text, sizeof(text), "range(%lld, %lld, %lld)", (long long)r->start,
                 (long long)r->stop, (long long)r->step);
    }
    return write_c(run, to, text);
}

static enum status repr_loop(struct jinja_run *run, struct buf *to, const struct jinja_loop *loop)
{
    char text[64];
    uint32_t n;
    enum status rc = jinja_value_length(run, &loop->rest.over, &n);

    snprintf(text, sizeof(text), "<LoopContext %u/%u>", loop->index0 + 1, rc == OK ? n : 0);
    return rc == OK ? write_c(run, to, text) : rc;
}

static enum status repr_nested(struct jinja_run *run, struct buf *to, const struct jinja_value *v)
{
    enum status rc = jinja_run_nest(run);

    if (rc != OK) {
        return rc;
    }
    switch ((int)v->kind) {
    case JINJA_LIST:
        rc = repr_elements(run, to, v, "[", "]");
        break;
    case JINJA_TUPLE:
        rc = repr_elements(run, to, v, "(", ")");
        break;
    case JINJA_DICT:
        rc = repr_elements(run, to, v, "{", "}");
        break;
    case JINJA_KEYS:
        rc = repr_elements(run, to, v, "dict_keys([", "])");
        break;
    case JINJA_VALUES:
        rc = repr_elements(run, to, v, "dict_values([", "])");
        break;
    case JINJA_ITEMS:
        if (v->id == JINJA_GENERATOR) {
            rc = jinja_run_fail(run, E_INVALID, "the result of the filter 'items' is printed");
            break;
        }
        rc = repr_elements(run, to, v, "dict_items([", "])");
        break;
    default:
        rc = repr_space(run, to, v->space);
        break;
    }
    run->nesting--;
    return rc;
}

static enum status repr(struct jinja_run *run, struct buf *to, const struct jinja_value *v)
{
    enum status rc;

    switch ((enum jinja_kind)v->kind) {
    case JINJA_UNDEFINED:
        return write_c(run, to, "Undefined");
    case JINJA_NONE:
        return write_c(run, to, "None");
    case JINJA_BOOL:
        return write_c(run, to, v->boolean ? "True" : "False");
    case JINJA_INT:
        return print_int(run, to, v->integer);
    case JINJA_BIGINT:
        return jinja_run_write(run, to, v->string);
    case JINJA_FLOAT:
        return print_float(run, to, v->number);
    case JINJA_STRING:
        return repr_string(run, to, v->string);
    case JINJA_RANGE:
        return repr_range(run, to, v->range);
    case JINJA_LOOP:
        return repr_loop(run, to, v->loop);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_KEYS:
    case JINJA_VALUES:
    case JINJA_ITEMS:
    case JINJA_NAMESPACE:
        return repr_nested(run, to, v);
    case JINJA_MACRO:
        rc = write_c(run, to, "<Macro ");
        rc = rc == OK ? repr_string(run, to, v->macro->node->text) : rc;
        return rc == OK ? write_c(run, to, ">") : rc;
    case JINJA_FUNCTION:
    case JINJA_METHOD:
        break;
    }
    return jinja_run_fail(run, E_INVALID, "a %s is printed; parentheses missing behind its name?",
                          jinja_value_type(v));
}

enum status jinja_print(struct jinja_run *run, struct buf *to, const struct jinja_value *v)
{
    if (v->kind == JINJA_STRING) {
        return jinja_run_write(run, to, v->string);
    }
    return v->kind == JINJA_UNDEFINED ? OK : repr(run, to, v);
}

enum status jinja_print_string(struct jinja_run *run, const struct jinja_value *v,
                               struct str *ret_s)
{
    size_t begin = run->text.len;
    enum status rc;

    if (v->kind == JINJA_STRING) {
        *ret_s = v->string;
        return OK;
    }
    rc = jinja_print(run, &run->text, v);
    return rc == OK ? jinja_run_take(run, begin, ret_s) : rc;
}
