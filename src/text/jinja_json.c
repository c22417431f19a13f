/* json.dumps() as the tojson filter of the publishers uses it. */
#include "base/number.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#include <math.h>
#include <stdio.h>

static enum status dump(struct jinja_run *run, const struct jinja_value *v,
                        const struct jinja_json_options *o, uint32_t level);

static enum status write_c(struct jinja_run *run, const char *text)
{
    return jinja_run_write(run, &run->text, str_from_c(text));
}

static enum status write_escape(struct jinja_run *run, uint32_t cp)
{
    static const char plain[] = "\"\"\\\\\nn\rr\tt\ff\bb";
    char text[16];

    for (size_t i = 0; i + 1 < sizeof(plain); i += 2) {
        if ((uint32_t)plain[i] == cp) {
            snprintf(text, sizeof(text), "\\%c", plain[i + 1]);
            return write_c(run, text);
        }
    }
    if (cp >= 0x10000) {
        cp -= 0x10000;
        snprintf(text, sizeof(text), "\\u%04x\\u%04x", 0xd800 + (cp >> 10), 0xdc00 + (cp & 0x3ff));
    } else {
        snprintf(text, sizeof(text), "\\u%04x", cp);
    }
    return write_c(run, text);
}

static enum status dump_string(struct jinja_run *run, struct str s, bool ensure_ascii)
{
    enum status rc = write_c(run, "\"");
    size_t begin = 0; // of the bytes not yet written
    size_t at = 0;
    uint32_t cp;

    while (at < s.len && rc == OK) {
        unsigned char byte = (unsigned char)s.ptr[at];
        unsigned len = 1;

        if (byte >= ' ' && byte != '"' && byte != '\\' && (byte < 0x7f || !ensure_ascii)) {
            at++;
            continue;
        }
        len = jinja_unicode_at(s, at, &cp);
        rc = jinja_run_write(run, &run->text, str_slice(s, begin, at));
        rc = rc == OK ? write_escape(run, cp) : rc;
        at += len;
        begin = at;
    }
    rc = rc == OK ? jinja_run_write(run, &run->text, str_slice(s, begin, at)) : rc;
    return rc == OK ? write_c(run, "\"") : rc;
}

static enum status dump_float(struct jinja_run *run, double d)
{
    char text[NUMBER_TEXT_MAX];

    if (!isfinite(d)) {
        return write_c(run, isnan(d) ? "NaN" : d < 0 ? "-Infinity" : "Infinity");
    }
    return jinja_run_write(run, &run->text, (struct str){text, number_from_f64(d, false, text)});
}

static enum status new_line(struct jinja_run *run, const struct jinja_json_options *o,
                            uint32_t level)
{
    enum status rc = o->indented ? write_c(run, "\n") : OK;

    for (uint32_t i = 0; i < level && rc == OK && o->indented; i++) {
        rc = jinja_run_write(run, &run->text, o->indent);
    }
    return rc;
}

static enum status fail_type(struct jinja_run *run, const struct jinja_value *v)
{
    if (v->kind == JINJA_UNDEFINED) {
        return jinja_run_fail(run, E_INVALID, "'%.*s' is undefined, so it has no JSON form",
                              STR_ARG(v->string));
    }
    return jinja_run_fail(run, E_INVALID, "a value of type '%s' has no JSON form",
                          jinja_value_type(v));
}

/* A key is a string in JSON whatever it was in Python. */
static enum status dump_key(struct jinja_run *run, const struct jinja_value *key,
                            const struct jinja_json_options *o)
{
    enum status rc;

    if (key->kind == JINJA_STRING) {
        return dump_string(run, key->string, o->ensure_ascii);
    }
    if (key->kind > JINJA_FLOAT || key->kind == JINJA_UNDEFINED) {
        return jinja_run_fail(run, E_INVALID, "a key of type '%s' has no JSON form",
                              jinja_value_type(key));
    }
    rc = write_c(run, "\"");
    rc = rc == OK ? dump(run, key, o, 0) : rc;
    return rc == OK ? write_c(run, "\"") : rc;
}

static enum status dump_member(struct jinja_run *run, const struct jinja_value *v, uint32_t i,
                               const struct jinja_json_options *o, uint32_t level)
{
    struct jinja_value item;
    enum status rc = OK;

    if (v->kind != JINJA_DICT) {
        item = jinja_value_at(v, i);
        return dump(run, &item, o, level);
    }
    item = jinja_value_key_at(v, i);
    rc = dump_key(run, &item, o);
    rc = rc == OK ? jinja_run_write(run, &run->text, o->key_separator) : rc;
    item = jinja_value_value_at(v, i);
    return rc == OK ? dump(run, &item, o, level) : rc;
}

static enum status dump_elements(struct jinja_run *run, const struct jinja_value *v,
                                 const struct jinja_json_options *o, uint32_t level)
{
    bool is_dict = v->kind == JINJA_DICT;
    uint32_t n = 0;
    enum status rc = jinja_value_length(run, v, &n);

    if (rc != OK || n == 0) {
        return rc == OK ? write_c(run, is_dict ? "{}" : "[]") : rc;
    }
    rc = write_c(run, is_dict ? "{" : "[");
    for (uint32_t i = 0; i < n && rc == OK; i++) {
        rc = i > 0 ? jinja_run_write(run, &run->text, o->item_separator) : OK;
        rc = rc == OK ? new_line(run, o, level + 1) : rc;
        rc = rc == OK ? dump_member(run, v, i, o, level + 1) : rc;
    }
    rc = rc == OK ? new_line(run, o, level) : rc;
    return rc == OK ? write_c(run, is_dict ? "}" : "]") : rc;
}

static enum status dump(struct jinja_run *run, const struct jinja_value *v,
                        const struct jinja_json_options *o, uint32_t level)
{
    char text[24];
    enum status rc;

    switch ((int)v->kind) {
    case JINJA_NONE:
        return write_c(run, "null");
    case JINJA_BOOL:
        return write_c(run, v->boolean ? "true" : "false");
    case JINJA_INT:
        snprintf(text, sizeof(text), "%lld", (long long)v->integer);
        return write_c(run, text);
    case JINJA_BIGINT:
        return jinja_run_write(run, &run->text, v->string);
    case JINJA_FLOAT:
        return dump_float(run, v->number);
    case JINJA_STRING:
        return dump_string(run, v->string, o->ensure_ascii);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
        rc = jinja_run_nest(run);
        if (rc == OK) {
            rc = dump_elements(run, v, o, level);
            run->nesting--;
        }
        return rc;
    default:
        return fail_type(run, v);
    }
}

enum status jinja_json(struct jinja_run *run, const struct jinja_value *v,
                       const struct jinja_json_options *o)
{
    return dump(run, v, o, 0);
}
