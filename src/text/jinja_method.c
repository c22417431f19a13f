#include "base/check.h"
#include "text/jinja_filter.h"
#include "text/jinja_run.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

#define PARAMS_MAX 3

/* Types a name belongs to. */
#define ON_STR 1
#define ON_DICT 2
#define ON_LIST 4
#define ON_TUPLE 8
#define ON_INT 16
#define ON_FLOAT 32
#define ON_RANGE 64
#define ON_VIEW 128

typedef enum status (*method_fn)(struct jinja_run *run, const struct jinja_value *self,
                                 const struct jinja_value *const arg[], struct jinja_value *ret_v);

static enum status text_result(enum status rc, struct str s, struct jinja_value *ret_v)
{
    if (rc == OK) {
        *ret_v = jinja_string(s);
    }
    return rc;
}

static enum status need(struct jinja_run *run, const struct jinja_value *arg, enum jinja_kind kind,
                        const char *method)
{
    if (arg == NULL) {
        return jinja_run_fail(run, E_INVALID, "%s() lacks an argument", method);
    }
    if (arg->kind != kind) {
        return jinja_run_fail(run, E_INVALID, "%s() does not take a value of type '%s'", method,
                              jinja_value_type(arg));
    }
    return OK;
}

static enum status no_bounds(struct jinja_run *run, const struct jinja_value *const arg[],
                             const char *method)
{
    if (arg[1] != NULL || arg[2] != NULL) {
        return jinja_run_fail(run, E_UNSUPPORTED, "%s() with bounds is not supported", method);
    }
    return OK;
}

static enum status str_capitalize(struct jinja_run *run, const struct jinja_value *self,
                                  const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str s = self->string;
    enum status rc = jinja_text_case(run, s, JINJA_TEXT_CAPITALIZE, &s);

    (void)arg;
    return text_result(rc, s, ret_v);
}

static enum status str_lower(struct jinja_run *run, const struct jinja_value *self,
                             const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str s = self->string;
    enum status rc = jinja_text_case(run, s, JINJA_TEXT_LOWER, &s);

    (void)arg;
    return text_result(rc, s, ret_v);
}

static enum status str_upper(struct jinja_run *run, const struct jinja_value *self,
                             const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str s = self->string;
    enum status rc = jinja_text_case(run, s, JINJA_TEXT_UPPER, &s);

    (void)arg;
    return text_result(rc, s, ret_v);
}

static enum status affix(struct jinja_run *run, const struct jinja_value *self,
                         const struct jinja_value *const arg[], bool at_end,
                         struct jinja_value *ret_v)
{
    const char *name = at_end ? "endswith" : "startswith";
    struct jinja_value one;
    bool found = false;
    uint32_t n = 1;
    enum status rc = no_bounds(run, arg, name);

    if (rc == OK && arg[0] == NULL) {
        rc = need(run, arg[0], JINJA_STRING, name); // says what is missing
    } else if (rc == OK && arg[0]->kind == JINJA_TUPLE) {
        n = arg[0]->seq->n;
    } else if (rc == OK) {
        rc = need(run, arg[0], JINJA_STRING, name);
    }
    for (uint32_t i = 0; i < n && rc == OK && arg[0] != NULL && !found; i++) {
        one = arg[0]->kind == JINJA_TUPLE ? arg[0]->seq->items[i] : *arg[0];
        rc = need(run, &one, JINJA_STRING, name);
        if (rc == OK) {
            found =
                at_end ? str_ends(self->string, one.string) : str_starts(self->string, one.string);
        }
    }
    *ret_v = jinja_bool(found);
    return rc;
}

static enum status str_endswith(struct jinja_run *run, const struct jinja_value *self,
                                const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    return affix(run, self, arg, true, ret_v);
}

static enum status str_startswith(struct jinja_run *run, const struct jinja_value *self,
                                  const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    return affix(run, self, arg, false, ret_v);
}

static enum status str_find_method(struct jinja_run *run, const struct jinja_value *self,
                                   const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    size_t at;
    enum status rc = no_bounds(run, arg, "find");

    rc = rc == OK ? need(run, arg[0], JINJA_STRING, "find") : rc;
    rc = rc == OK ? jinja_run_tick(run, 1 + self->string.len / 64) : rc;
    if (rc == OK) {
        at = str_find(self->string, arg[0]->string, 0);
        *ret_v = jinja_int(
            at == SIZE_MAX ? -1 : (int64_t)jinja_unicode_count(str_slice(self->string, 0, at)));
    }
    return rc;
}

static enum status count_method(struct jinja_run *run, const struct jinja_value *self,
                                const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    int64_t n = 0;
    size_t at = 0;
    enum status rc;

    if (self->kind != JINJA_STRING) {
        return jinja_run_fail(run, E_UNSUPPORTED,
                              "count() of a value of type '%s' is not supported",
                              jinja_value_type(self));
    }
    rc = no_bounds(run, arg, "count");
    rc = rc == OK ? need(run, arg[0], JINJA_STRING, "count") : rc;
    rc = rc == OK ? jinja_run_tick(run, 1 + self->string.len / 64) : rc;
    if (rc != OK) {
        return rc;
    }
    if (arg[0]->string.len == 0) {
        n = (int64_t)jinja_unicode_count(self->string) + 1;
    } else {
        while ((at = str_find(self->string, arg[0]->string, at)) != SIZE_MAX) {
            at += arg[0]->string.len;
            n++;
        }
    }
    *ret_v = jinja_int(n);
    return OK;
}

static enum status str_join(struct jinja_run *run, const struct jinja_value *self,
                            const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    struct str s = {NULL, 0};
    enum status rc;

    if (arg[0] == NULL) {
        return jinja_run_fail(run, E_INVALID, "join() lacks an argument");
    }
    rc = jinja_text_join(run, self->string, arg[0], true, &s);
    return text_result(rc, s, ret_v);
}

static enum status str_replace(struct jinja_run *run, const struct jinja_value *self,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    int64_t count = -1;
    struct str s = {NULL, 0};
    enum status rc = need(run, arg[0], JINJA_STRING, "replace");

    rc = rc == OK ? need(run, arg[1], JINJA_STRING, "replace") : rc;
    if (rc == OK && arg[2] != NULL && !jinja_value_integer(arg[2], &count)) {
        return jinja_run_fail(run, E_INVALID, "the count of replace() is no integer");
    }
    rc = rc == OK ? jinja_text_replace(run, self->string, arg[0]->string, arg[1]->string, count, &s)
                  : rc;
    return text_result(rc, s, ret_v);
}

static enum status str_split(struct jinja_run *run, const struct jinja_value *self,
                             const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    bool given = arg[0] != NULL && arg[0]->kind != JINJA_NONE;
    int64_t max = -1;
    enum status rc = given ? need(run, arg[0], JINJA_STRING, "split") : OK;

    if (rc == OK && given && arg[0]->string.len == 0) {
        return jinja_run_fail(run, E_INVALID, "split() at an empty string");
    }
    if (rc == OK && arg[1] != NULL && !jinja_value_integer(arg[1], &max)) {
        return jinja_run_fail(run, E_INVALID, "the limit of split() is no integer");
    }
    return rc == OK
               ? jinja_text_split(run, self->string, given ? &arg[0]->string : NULL, max, ret_v)
               : rc;
}

static enum status strip(struct jinja_run *run, const struct jinja_value *self,
                         const struct jinja_value *arg, bool left, bool right,
                         struct jinja_value *ret_v)
{
    bool given = arg != NULL && arg->kind != JINJA_NONE;
    struct str s = {NULL, 0};
    enum status rc = given ? need(run, arg, JINJA_STRING, "strip") : OK;

    rc = rc == OK
             ? jinja_text_strip(run, self->string, given ? &arg->string : NULL, left, right, &s)
             : rc;
    return text_result(rc, s, ret_v);
}

static enum status str_strip(struct jinja_run *run, const struct jinja_value *self,
                             const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    return strip(run, self, arg[0], true, true, ret_v);
}

static enum status str_lstrip(struct jinja_run *run, const struct jinja_value *self,
                              const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    return strip(run, self, arg[0], true, false, ret_v);
}

static enum status str_rstrip(struct jinja_run *run, const struct jinja_value *self,
                              const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    return strip(run, self, arg[0], false, true, ret_v);
}

static enum status dict_get(struct jinja_run *run, const struct jinja_value *self,
                            const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    bool found;
    enum status rc;

    if (arg[0] == NULL) {
        return jinja_run_fail(run, E_INVALID, "get() lacks a key");
    }
    rc = jinja_value_find(run, self, arg[0], &found, ret_v);
    if (rc == OK && !found) {
        *ret_v = arg[1] != NULL ? *arg[1] : jinja_none();
    }
    return rc;
}

static enum status view(struct jinja_run *run, const struct jinja_value *self, enum jinja_kind kind,
                        struct jinja_value *ret_v)
{
    struct jinja_value *dict;
    enum status rc = jinja_run_alloc(run, 1, sizeof(*dict), &dict);

    if (rc == OK) {
        *dict = *self;
        *ret_v = (struct jinja_value){.kind = (uint8_t)kind, .ref = dict};
    }
    return rc;
}

static enum status dict_items(struct jinja_run *run, const struct jinja_value *self,
                              const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)arg;
    return view(run, self, JINJA_ITEMS, ret_v);
}

static enum status dict_keys(struct jinja_run *run, const struct jinja_value *self,
                             const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)arg;
    return view(run, self, JINJA_KEYS, ret_v);
}

static enum status dict_values(struct jinja_run *run, const struct jinja_value *self,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)arg;
    return view(run, self, JINJA_VALUES, ret_v);
}

/* Values never change, so a copy is the value itself. */
static enum status copy_method(struct jinja_run *run, const struct jinja_value *self,
                               const struct jinja_value *const arg[], struct jinja_value *ret_v)
{
    (void)run;
    (void)arg;
    *ret_v = *self;
    return OK;
}

/* Every attribute of Python's built-in types: those we do not have must fail, not be undefined. */
static const struct method {
    const char *name;
    unsigned types;   // where it is a method
    unsigned blocked; // where it would change the object
    unsigned fields;  // where it is a value
    method_fn call;   // NULL: not supported
    uint32_t n_params;
    const char *params[PARAMS_MAX]; // "": by position only
} methods[] = {
    {"append", 0, ON_LIST, 0, NULL, 0, {NULL}},
    {"as_integer_ratio", ON_INT | ON_FLOAT, 0, 0, NULL, 0, {NULL}},
    {"bit_count", ON_INT, 0, 0, NULL, 0, {NULL}},
    {"bit_length", ON_INT, 0, 0, NULL, 0, {NULL}},
    {"capitalize", ON_STR, 0, 0, str_capitalize, 0, {NULL}},
    {"casefold", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"center", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"clear", 0, ON_DICT | ON_LIST, 0, NULL, 0, {NULL}},
    {"conjugate", ON_INT | ON_FLOAT, 0, 0, NULL, 0, {NULL}},
    {"copy", ON_DICT | ON_LIST, 0, 0, copy_method, 0, {NULL}},
    {"count", ON_STR | ON_LIST | ON_TUPLE | ON_RANGE, 0, 0, count_method, 3, {"", "", ""}},
    {"denominator", 0, 0, ON_INT, NULL, 0, {NULL}},
    {"encode", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"endswith", ON_STR, 0, 0, str_endswith, 3, {"", "", ""}},
    {"expandtabs", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"extend", 0, ON_LIST, 0, NULL, 0, {NULL}},
    {"find", ON_STR, 0, 0, str_find_method, 3, {"", "", ""}},
    {"format", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"format_map", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"from_bytes", ON_INT, 0, 0, NULL, 0, {NULL}},
    {"fromhex", ON_FLOAT, 0, 0, NULL, 0, {NULL}},
    {"fromkeys", ON_DICT, 0, 0, NULL, 0, {NULL}},
    {"get", ON_DICT, 0, 0, dict_get, 2, {"", ""}},
    {"hex", ON_FLOAT, 0, 0, NULL, 0, {NULL}},
    {"imag", 0, 0, ON_INT | ON_FLOAT, NULL, 0, {NULL}},
    {"index", ON_STR | ON_LIST | ON_TUPLE | ON_RANGE, 0, 0, NULL, 0, {NULL}},
    {"insert", 0, ON_LIST, 0, NULL, 0, {NULL}},
    {"is_integer", ON_FLOAT, 0, 0, NULL, 0, {NULL}},
    {"isalnum", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isalpha", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isascii", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isdecimal", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isdigit", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isdisjoint", ON_VIEW, 0, 0, NULL, 0, {NULL}},
    {"isidentifier", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"islower", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isnumeric", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isprintable", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isspace", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"istitle", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"isupper", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"items", ON_DICT, 0, 0, dict_items, 0, {NULL}},
    {"join", ON_STR, 0, 0, str_join, 1, {""}},
    {"keys", ON_DICT, 0, 0, dict_keys, 0, {NULL}},
    {"ljust", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"lower", ON_STR, 0, 0, str_lower, 0, {NULL}},
    {"lstrip", ON_STR, 0, 0, str_lstrip, 1, {""}},
    {"maketrans", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"mapping", 0, 0, ON_VIEW, NULL, 0, {NULL}},
    {"numerator", 0, 0, ON_INT, NULL, 0, {NULL}},
    {"partition", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"pop", 0, ON_DICT | ON_LIST, 0, NULL, 0, {NULL}},
    {"popitem", 0, ON_DICT, 0, NULL, 0, {NULL}},
    {"real", 0, 0, ON_INT | ON_FLOAT, NULL, 0, {NULL}},
    {"remove", 0, ON_LIST, 0, NULL, 0, {NULL}},
    {"removeprefix", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"removesuffix", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"replace", ON_STR, 0, 0, str_replace, 3, {"", "", ""}},
    {"reverse", 0, ON_LIST, 0, NULL, 0, {NULL}},
    {"rfind", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"rindex", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"rjust", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"rpartition", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"rsplit", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"rstrip", ON_STR, 0, 0, str_rstrip, 1, {""}},
    {"setdefault", 0, ON_DICT, 0, NULL, 0, {NULL}},
    {"sort", 0, ON_LIST, 0, NULL, 0, {NULL}},
    {"split", ON_STR, 0, 0, str_split, 2, {"sep", "maxsplit"}},
    {"splitlines", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"start", 0, 0, ON_RANGE, NULL, 0, {NULL}},
    {"startswith", ON_STR, 0, 0, str_startswith, 3, {"", "", ""}},
    {"step", 0, 0, ON_RANGE, NULL, 0, {NULL}},
    {"stop", 0, 0, ON_RANGE, NULL, 0, {NULL}},
    {"strip", ON_STR, 0, 0, str_strip, 1, {""}},
    {"swapcase", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"title", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"to_bytes", ON_INT, 0, 0, NULL, 0, {NULL}},
    {"translate", ON_STR, 0, 0, NULL, 0, {NULL}},
    {"update", 0, ON_DICT, 0, NULL, 0, {NULL}},
    {"upper", ON_STR, 0, 0, str_upper, 0, {NULL}},
    {"values", ON_DICT, 0, 0, dict_values, 0, {NULL}},
    {"zfill", ON_STR, 0, 0, NULL, 0, {NULL}},
};

uint16_t jinja_method_id(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        if (str_eq(str_from_c(methods[i].name), name)) {
            return (uint16_t)(i + 1);
        }
    }
    return 0;
}

const char *jinja_method_name(uint16_t id)
{
    return methods[id - 1].name;
}

enum jinja_method_access jinja_method_find(uint16_t id, const struct jinja_value *v)
{
    static const unsigned char type_of[] = {
        [JINJA_BOOL] = ON_INT,    [JINJA_INT] = ON_INT,    [JINJA_BIGINT] = ON_INT,
        [JINJA_FLOAT] = ON_FLOAT, [JINJA_STRING] = ON_STR, [JINJA_LIST] = ON_LIST,
        [JINJA_TUPLE] = ON_TUPLE, [JINJA_DICT] = ON_DICT,  [JINJA_RANGE] = ON_RANGE,
        [JINJA_KEYS] = ON_VIEW,   [JINJA_VALUES] = 0,      [JINJA_ITEMS] = ON_VIEW,
        [JINJA_METHOD] = 0,
    };
    const struct method *m = &methods[id - 1];
    unsigned type = type_of[v->kind];

    if ((m->types & type) != 0) {
        return JINJA_METHOD_BOUND;
    }
    if ((m->blocked & type) != 0) {
        return JINJA_METHOD_BLOCKED;
    }
    return (m->fields & type) != 0 ? JINJA_METHOD_UNSUPPORTED : JINJA_METHOD_NONE;
}

enum status jinja_method(struct jinja_run *run, uint16_t id, const struct jinja_value *self,
                         const struct jinja_args *args, struct jinja_value *ret_v)
{
    const struct method *m = &methods[id - 1];
    const struct jinja_value *arg[PARAMS_MAX] = {NULL};
    enum status rc;

    if (m->call == NULL) {
        return jinja_run_fail(run, E_UNSUPPORTED,
                              "the method '%s' of a value of type '%s' is not "
                              "supported",
                              m->name, jinja_value_type(self));
    }
    rc = jinja_run_bind(run, m->name, args, m->params, m->n_params, arg);
    return rc == OK ? m->call(run, self, arg, ret_v) : rc;
}
