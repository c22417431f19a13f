#include "text/jinja_filter.h"
#include "base/check.h"
#include "text/jinja_run.h"
#include "text/jinja_text.h"

typedef enum status (*filter_fn)(struct jinja_run *run, const struct jinja_value *in,
                                 const struct jinja_value *const arg[], struct jinja_value *ret_v);

#define PARAMS_MAX 4

static enum status text_result(enum status rc, struct str s, struct jinja_value *ret_v)
{
    if (rc == OK) {
        *ret_v = jinja_string(s);
    }
    return rc;
}

static enum status change_case(struct jinja_run *run, const struct jinja_value *in,
                               enum jinja_text_form form, struct jinja_value *ret_v)
{
    struct str s = {NULL, 0};
    enum status rc = jinja_print_string(run, in, &s);

    rc = rc == OK ? jinja_text_case(run, s, form, &s) : rc;
    return text_result(rc, s, ret_v);
}

static enum status filter_capitalize(struct jinja_run *run, const struct jinja_value *in,
                                     const struct jinja_value *const arg[],
                                     struct jinja_value *ret_v)
{
    (void)arg;
    return change_case(run, in, JINJA_TEXT_CAPITALIZE, ret_v);
}

static enum status filter_lower(struct jinja_run *run, const struct jinja_value *in,
                                const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)arg;
    return change_case(run, in, JINJA_TEXT_LOWER, ret_v);
}

static enum status filter_upper(struct jinja_run *run, const struct jinja_value *in,
                                const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)arg;
    return change_case(run, in, JINJA_TEXT_UPPER, ret_v);
}

static enum status filter_default(struct jinja_run *run, const struct jinja_value *in,
                                  const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    bool by_truth = arg[1] != NULL && jinja_value_truth(arg[1]);
    bool use_default = in->kind == JINJA_UNDEFINED || (by_truth && !jinja_value_truth(in));

    (void)run;
    *ret_v = *in;
    if (use_default) {
        *ret_v = arg[0] != NULL ? *arg[0] : jinja_string(STR(""));
    }
    return OK;
}

static enum status filter_first(struct jinja_run *run, const struct jinja_value *in,
                                const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct jinja_iter it;
    bool more = false;
    enum status rc = jinja_value_iterate(run, in, &it);

    (void)arg;
    rc = rc == OK ? jinja_value_next(run, &it, &more, ret_v) : rc;
    if (rc == OK && !more) {
        *ret_v = jinja_undefined(STR("the first element of nothing"));
    }
    return rc;
}

static enum status filter_last(struct jinja_run *run, const struct jinja_value *in,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct jinja_iter it;
    uint32_t n = 0;
    bool more = false;
    enum status rc = jinja_value_iterate(run, in, &it);

    (void)arg;
    rc = rc == OK ? jinja_value_length(run, in, &n) : rc;
    if (rc == OK && n == 0) {
        *ret_v = jinja_undefined(STR("the last element of nothing"));
        return OK;
    }
    if (rc == OK && in->kind == JINJA_STRING) {
        *ret_v = jinja_value_at(in, n - 1);
        return OK;
    }
    if (rc == OK) {
        it.i = n - 1;
        rc = jinja_value_next(run, &it, &more, ret_v);
    }
    return rc;
}

/* As lazy as Jinja2's: what is no mapping fails when it is walked. */
static enum status filter_items(struct jinja_run *run, const struct jinja_value *in,
                                const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct jinja_value *of;
    enum status rc = jinja_run_alloc(run, 1, sizeof(*of), &of);

    (void)arg;
    if (rc == OK) {
        *of = *in;
        *ret_v = (struct jinja_value){.kind = JINJA_ITEMS, .id = JINJA_GENERATOR, .ref = of};
    }
    return rc;
}

static enum status filter_join(struct jinja_run *run, const struct jinja_value *in,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str sep = {NULL, 0};
    struct str s = {NULL, 0};
    enum status rc = OK;

    if (arg[1] != NULL && arg[1]->kind != JINJA_NONE) {
        return jinja_run_fail(run, E_UNSUPPORTED, "join(attribute=...) is not supported");
    }
    rc = arg[0] != NULL ? jinja_print_string(run, arg[0], &sep) : OK;
    rc = rc == OK ? jinja_text_join(run, sep, in, false, &s) : rc;
    return text_result(rc, s, ret_v);
}

static enum status filter_length(struct jinja_run *run, const struct jinja_value *in,
                                 const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    uint32_t n;
    enum status rc = jinja_value_length(run, in, &n);

    (void)arg;
    if (rc == OK) {
        *ret_v = jinja_int(n);
    }
    return rc;
}

static enum status filter_list(struct jinja_run *run, const struct jinja_value *in,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)arg;
    return jinja_value_to_list(run, in, ret_v);
}

static enum status filter_replace(struct jinja_run *run, const struct jinja_value *in,
                                  const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str s = {NULL, 0};
    struct str from;
    struct str to;
    int64_t count = -1;
    enum status rc;

    if (arg[0] == NULL || arg[1] == NULL) {
        return jinja_run_fail(run, E_INVALID, "the filter 'replace' needs an old and a new text");
    }
    if (arg[2] != NULL && arg[2]->kind != JINJA_NONE && !jinja_value_integer(arg[2], &count)) {
        return jinja_run_fail(run, E_INVALID, "the count of 'replace' is no integer");
    }
    rc = jinja_print_string(run, in, &s);
    rc = rc == OK ? jinja_print_string(run, arg[0], &from) : rc;
    rc = rc == OK ? jinja_print_string(run, arg[1], &to) : rc;
    rc = rc == OK ? jinja_text_replace(run, s, from, to, count, &s) : rc;
    return text_result(rc, s, ret_v);
}

static enum status filter_string(struct jinja_run *run, const struct jinja_value *in,
                                 const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str s = {NULL, 0};
    enum status rc = jinja_print_string(run, in, &s);

    (void)arg;
    return text_result(rc, s, ret_v);
}

static enum status filter_trim(struct jinja_run *run, const struct jinja_value *in,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    bool given = arg[0] != NULL && arg[0]->kind != JINJA_NONE;
    struct str s = {NULL, 0};
    enum status rc = jinja_print_string(run, in, &s);

    if (rc == OK && given && arg[0]->kind != JINJA_STRING) {
        return jinja_run_fail(run, E_INVALID, "the filter 'trim' needs a string of characters");
    }
    rc = rc == OK ? jinja_text_strip(run, s, given ? &arg[0]->string : NULL, true, true, &s) : rc;
    return text_result(rc, s, ret_v);
}

/* indent: a number of spaces or a text per level, None for one line. */
static enum status json_indent(struct jinja_run *run, const struct jinja_value *v,
                               struct jinja_json_options *o)
{
    static const char spaces[] = "                                                                ";
    int64_t n;

    if (v == NULL || v->kind == JINJA_NONE) {
        return OK;
    }
    o->indented = true;
    o->item_separator = STR(",");
    if (v->kind == JINJA_STRING) {
        o->indent = v->string;
        return OK;
    }
    if (!jinja_value_integer(v, &n)) {
        return jinja_run_fail(run, E_INVALID, "the indent of 'tojson' is no integer");
    }
    if (n > (int64_t)sizeof(spaces) - 1) {
        return jinja_run_fail(run, E_LIMIT, "the indent of 'tojson' is larger than %zu",
                              sizeof(spaces) - 1);
    }
    o->indent = (struct str){spaces, n < 0 ? 0 : (size_t)n};
    return OK;
}

static enum status json_separators(struct jinja_run *run, const struct jinja_value *v,
                                   struct jinja_json_options *o)
{
    struct jinja_value item;
    struct jinja_value key;
    uint32_t n;
    enum status rc;

    if (v == NULL || v->kind == JINJA_NONE) {
        return OK;
    }
    rc = jinja_value_length(run, v, &n);
    if (rc != OK || n != 2 || (v->kind != JINJA_LIST && v->kind != JINJA_TUPLE)) {
        return rc != OK ? rc : jinja_run_fail(run, E_INVALID, "'tojson' needs two separators");
    }
    item = jinja_value_at(v, 0);
    key = jinja_value_at(v, 1);
    if (item.kind != JINJA_STRING || key.kind != JINJA_STRING) {
        return jinja_run_fail(run, E_INVALID, "the separators of 'tojson' are no strings");
    }
    o->item_separator = item.string;
    o->key_separator = key.string;
    return OK;
}

static enum status filter_tojson(struct jinja_run *run, const struct jinja_value *in,
                                 const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct jinja_json_options o = {.ensure_ascii = arg[0] != NULL && jinja_value_truth(arg[0]),
                                   .item_separator = STR(", "),
                                   .key_separator = STR(": ")};
    size_t begin = run->text.len;
    struct str s = {NULL, 0};
    enum status rc;

    if (arg[3] != NULL && jinja_value_truth(arg[3])) {
        return jinja_run_fail(run, E_UNSUPPORTED, "tojson(sort_keys=true) is not supported");
    }
    rc = json_indent(run, arg[1], &o);
    rc = rc == OK ? json_separators(run, arg[2], &o) : rc;
    rc = rc == OK ? jinja_json(run, in, &o) : rc;
    rc = rc == OK ? jinja_run_take(run, begin, &s) : rc;
    return text_result(rc, s, ret_v);
}

static const struct filter {
    const char *name;
    const char *what; // for messages
    filter_fn apply;
    uint32_t n_params;
    const char *params[PARAMS_MAX];
} filters[] = {
    {"capitalize", "the filter 'capitalize'", filter_capitalize, 0, {NULL}},
    {"count", "the filter 'count'", filter_length, 0, {NULL}},
    {"d", "the filter 'd'", filter_default, 2, {"default_value", "boolean"}},
    {"default", "the filter 'default'", filter_default, 2, {"default_value", "boolean"}},
    {"first", "the filter 'first'", filter_first, 0, {NULL}},
    {"items", "the filter 'items'", filter_items, 0, {NULL}},
    {"join", "the filter 'join'", filter_join, 2, {"d", "attribute"}},
    {"last", "the filter 'last'", filter_last, 0, {NULL}},
    {"length", "the filter 'length'", filter_length, 0, {NULL}},
    {"list", "the filter 'list'", filter_list, 0, {NULL}},
    {"lower", "the filter 'lower'", filter_lower, 0, {NULL}},
    {"replace", "the filter 'replace'", filter_replace, 3, {"old", "new", "count"}},
    {"string", "the filter 'string'", filter_string, 0, {NULL}},
    {"tojson",
     "the filter 'tojson'",
     filter_tojson,
     4,
     {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"trim", "the filter 'trim'", filter_trim, 1, {"chars"}},
    {"upper", "the filter 'upper'", filter_upper, 0, {NULL}},
};

int jinja_filter_id(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(filters); i++) {
        if (str_eq(str_from_c(filters[i].name), name)) {
            return (int)i;
        }
    }
    return -1;
}

const char *jinja_filter_names(void)
{
    return "capitalize, count, d, default, first, items, join, last, length, list, lower, replace, "
           "string, tojson, trim, upper";
}

enum status jinja_filter(struct jinja_run *run, uint32_t id, const struct jinja_value *input,
                         const struct jinja_args *args, struct jinja_value *ret_v)
{
    const struct filter *f = &filters[id];
    const struct jinja_value *arg[PARAMS_MAX] = {NULL};
    enum status rc = jinja_run_bind(run, f->what, args, f->params, f->n_params, arg);

    return rc == OK ? f->apply(run, input, arg, ret_v) : rc;
}
