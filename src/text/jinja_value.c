#include "text/jinja_value.h"
#include "base/check.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

struct jinja_value jinja_value_from_json(const struct json_value *j)
{
    struct jinja_value v = {.is_json = true, .json = j};
    bool is_whole;

    switch (j->kind) {
    case JSON_NULL:
        return jinja_none();
    case JSON_BOOL:
        return jinja_bool(j->boolean);
    case JSON_INT:
        return jinja_int(j->integer);
    case JSON_DOUBLE:
        is_whole = str_find_byte(j->source, '.', 0) == SIZE_MAX &&
                   str_find_byte(j->source, 'e', 0) == SIZE_MAX &&
                   str_find_byte(j->source, 'E', 0) == SIZE_MAX;
        v = jinja_float(j->number);
        return is_whole && j->source.len > 0
                   ? (struct jinja_value){.kind = JINJA_BIGINT, .string = j->source}
                   : v;
    case JSON_STRING:
        return jinja_string(j->string);
    case JSON_ARRAY:
        v.kind = JINJA_LIST;
        return v;
    case JSON_OBJECT:
        v.kind = JINJA_DICT;
        return v;
    }
    CHECK(false); // a kind of JSON value
    return v;
}

const char *jinja_value_type(const struct jinja_value *v)
{
    static const char *const names[] = {
        [JINJA_UNDEFINED] = "undefined", [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",           [JINJA_INT] = "int",
        [JINJA_BIGINT] = "int",          [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",          [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",         [JINJA_DICT] = "dict",
        [JINJA_RANGE] = "range",         [JINJA_KEYS] = "dict_keys",
        [JINJA_VALUES] = "dict_values",  [JINJA_ITEMS] = "dict_items",
        [JINJA_NAMESPACE] = "Namespace", [JINJA_LOOP] = "LoopContext",
        [JINJA_MACRO] = "Macro",         [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "method",
    };

    return names[v->kind];
}

/* Elements of anything but a string; 0 for what has no length. */
static uint32_t count(const struct jinja_value *v)
{
    switch ((enum jinja_kind)v->kind) {
    case JINJA_LIST:
        return v->is_json ? v->json->n_items : v->seq->n;
    case JINJA_TUPLE:
        return v->seq->n;
    case JINJA_DICT:
        return v->is_json ? v->json->n_items : v->dict->n;
    case JINJA_RANGE:
        return v->range->n;
    case JINJA_KEYS:
    case JINJA_VALUES:
    case JINJA_ITEMS:
        return v->ref->kind == JINJA_DICT ? count(v->ref) : 0;
    case JINJA_UNDEFINED:
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_BIGINT:
    case JINJA_FLOAT:
    case JINJA_STRING:
    case JINJA_NAMESPACE:
    case JINJA_LOOP:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
        return 0;
    }
    return 0;
}

bool jinja_value_truth(const struct jinja_value *v)
{
    switch ((enum jinja_kind)v->kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v->boolean;
    case JINJA_INT:
        return v->integer != 0;
    case JINJA_FLOAT:
        return v->number < 0 || v->number > 0 || v->number != v->number;
    case JINJA_STRING:
        return v->string.len > 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
    case JINJA_KEYS:
    case JINJA_VALUES:
    case JINJA_ITEMS:
        return v->id == JINJA_GENERATOR || count(v) > 0;
    case JINJA_BIGINT:
    case JINJA_NAMESPACE:
    case JINJA_LOOP:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
        return true;
    }
    return false;
}

bool jinja_value_integer(const struct jinja_value *v, int64_t *ret_i)
{
    if (v->kind == JINJA_BOOL) {
        *ret_i = v->boolean ? 1 : 0;
    } else if (v->kind == JINJA_INT) {
        *ret_i = v->integer;
    } else {
        return false;
    }
    return true;
}

bool jinja_value_number(const struct jinja_value *v, double *ret_d)
{
    int64_t i;

    if (jinja_value_integer(v, &i)) {
        *ret_d = (double)i;
        return true;
    }
    if (v->kind == JINJA_FLOAT) {
        *ret_d = v->number;
        return true;
    }
    return v->kind == JINJA_BIGINT && str_to_f64(v->string, ret_d) == OK;
}

enum status jinja_value_length(struct jinja_run *run, const struct jinja_value *v, uint32_t *ret_n)
{
    if (v->kind == JINJA_ITEMS && v->id == JINJA_GENERATOR) {
        return jinja_run_fail(run, E_INVALID, "the result of the filter 'items' has no length");
    }
    switch ((enum jinja_kind)v->kind) {
    case JINJA_STRING:
        *ret_n = u32_from_size(jinja_unicode_count(v->string));
        return jinja_run_tick(run, 1 + v->string.len / 64);
    case JINJA_UNDEFINED:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
    case JINJA_KEYS:
    case JINJA_VALUES:
    case JINJA_ITEMS:
        *ret_n = count(v);
        return OK;
    case JINJA_LOOP:
        return jinja_value_length(run, &v->loop->rest.over, ret_n);
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_BIGINT:
    case JINJA_FLOAT:
    case JINJA_NAMESPACE:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
        break;
    }
    return jinja_run_fail(run, E_INVALID, "a value of type '%s' has no length",
                          jinja_value_type(v));
}

struct jinja_value jinja_value_at(const struct jinja_value *v, uint32_t i)
{
    size_t begin;
    uint32_t cp;

    switch ((int)v->kind) {
    case JINJA_LIST:
        if (v->is_json) {
            return jinja_value_from_json(&v->json->items[i]);
        }
        return v->seq->items[i];
    case JINJA_TUPLE:
        return v->seq->items[i];
    case JINJA_RANGE:
        return jinja_int(v->range->start + v->range->step * (int64_t)i);
    default:
        CHECK(v->kind == JINJA_STRING);
        begin = jinja_unicode_offset(v->string, i);
        return jinja_string(
            str_slice(v->string, begin, begin + jinja_unicode_at(v->string, begin, &cp)));
    }
}

struct jinja_value jinja_value_key_at(const struct jinja_value *dict, uint32_t i)
{
    return dict->is_json ? jinja_string(dict->json->members[i].key) : dict->dict->keys[i];
}

struct jinja_value jinja_value_value_at(const struct jinja_value *dict, uint32_t i)
{
    return dict->is_json ? jinja_value_from_json(&dict->json->members[i].value)
                         : dict->dict->values[i];
}

bool jinja_value_is_hashable(const struct jinja_value *v)
{
    bool hashable = v->kind != JINJA_LIST && v->kind != JINJA_DICT;

    for (uint32_t i = 0; v->kind == JINJA_TUPLE && i < v->seq->n && hashable; i++) {
        // a tuple in a tuple counts as unhashable: no recursion, and no template needs it
        hashable =
            v->seq->items[i].kind != JINJA_TUPLE && jinja_value_is_hashable(&v->seq->items[i]);
    }
    return hashable;
}

enum status jinja_value_find(struct jinja_run *run, const struct jinja_value *dict,
                             const struct jinja_value *key, bool *ret_found,
                             struct jinja_value *ret_v)
{
    uint32_t n = count(dict);
    enum status rc = jinja_run_tick(run, 1 + n / 8);
    struct jinja_value k;

    *ret_found = false;
    if (rc == OK && !jinja_value_is_hashable(key)) {
        return jinja_run_fail(run, E_INVALID, "a value of type '%s' cannot be a key",
                              jinja_value_type(key));
    }
    if (dict->is_json) {
        const struct json_value *j =
            key->kind == JINJA_STRING ? json_get(dict->json, key->string) : NULL;

        *ret_found = j != NULL;
        *ret_v = j != NULL ? jinja_value_from_json(j) : *ret_v;
        return rc;
    }
    for (uint32_t i = 0; i < n && rc == OK && !*ret_found; i++) {
        k = dict->dict->keys[i];
        rc = jinja_op_equal(run, &k, key, ret_found);
        if (*ret_found) {
            *ret_v = dict->dict->values[i];
        }
    }
    return rc;
}

enum status jinja_value_iterate(struct jinja_run *run, const struct jinja_value *v,
                                struct jinja_iter *ret_it)
{
    if (v->kind == JINJA_ITEMS && v->ref->kind != JINJA_DICT && v->ref->kind != JINJA_UNDEFINED) {
        return jinja_run_fail(run, E_INVALID, "the filter 'items' needs a mapping, not '%s'",
                              jinja_value_type(v->ref));
    }
    switch ((enum jinja_kind)v->kind) {
    case JINJA_STRING:
    case JINJA_UNDEFINED:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
    case JINJA_KEYS:
    case JINJA_VALUES:
    case JINJA_ITEMS:
        *ret_it = (struct jinja_iter){.over = *v, .n = count(v)};
        return OK;
    case JINJA_LOOP:
        return jinja_run_fail(run, E_UNSUPPORTED, "walking over 'loop' is not supported");
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_BIGINT:
    case JINJA_FLOAT:
    case JINJA_NAMESPACE:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
        break;
    }
    return jinja_run_fail(run, E_INVALID, "a value of type '%s' is no sequence",
                          jinja_value_type(v));
}

/* (key, value) number i of a mapping as a tuple. */
static enum status make_pair(struct jinja_run *run, const struct jinja_value *dict, uint32_t i,
                             struct jinja_value *ret_v)
{
    struct jinja_value *items;
    struct jinja_seq *seq;
    enum status rc = jinja_run_alloc(run, 2, sizeof(*items), &items);

    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    if (rc == OK) {
        items[0] = jinja_value_key_at(dict, i);
        items[1] = jinja_value_value_at(dict, i);
        *seq = (struct jinja_seq){.n = 2, .items = items};
        *ret_v = (struct jinja_value){.kind = JINJA_TUPLE, .seq = seq};
    }
    return rc;
}

enum status jinja_value_next(struct jinja_run *run, struct jinja_iter *it, bool *ret_more,
                             struct jinja_value *ret_v)
{
    const struct jinja_value *over = &it->over;
    uint32_t i = it->i;
    uint32_t cp;

    *ret_more = over->kind == JINJA_STRING ? it->byte < over->string.len : i < it->n;
    if (!*ret_more) {
        return OK;
    }
    it->i++;
    switch ((int)over->kind) {
    case JINJA_STRING:
        it->byte += jinja_unicode_at(over->string, it->byte, &cp);
        *ret_v = jinja_string(
            str_slice(over->string, jinja_unicode_before(over->string, it->byte), it->byte));
        return OK;
    case JINJA_DICT:
        *ret_v = jinja_value_key_at(over, i);
        return OK;
    case JINJA_KEYS:
        *ret_v = jinja_value_key_at(over->ref, i);
        return OK;
    case JINJA_VALUES:
        *ret_v = jinja_value_value_at(over->ref, i);
        return OK;
    case JINJA_ITEMS:
        return make_pair(run, over->ref, i, ret_v);
    default:
        *ret_v = jinja_value_at(over, i);
        return OK;
    }
}

enum status jinja_value_to_list(struct jinja_run *run, const struct jinja_value *v,
                                struct jinja_value *ret_list)
{
    struct jinja_iter it = {0};
    struct jinja_value *items = NULL;
    struct jinja_seq *seq = NULL;
    uint32_t n = 0;
    bool more = true;
    enum status rc = jinja_value_iterate(run, v, &it);

    if (rc == OK && v->kind == JINJA_STRING) {
        rc = jinja_value_length(run, v, &n);
    } else if (rc == OK) {
        n = it.n;
    }
    rc = rc == OK ? jinja_run_alloc(run, n, sizeof(*items), &items) : rc;
    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    for (uint32_t i = 0; i < n && rc == OK; i++) {
        rc = jinja_value_next(run, &it, &more, &items[i]);
        rc = rc == OK ? jinja_run_tick(run, 1) : rc;
    }
    if (rc == OK) {
        *seq = (struct jinja_seq){.n = n, .items = items};
        *ret_list = (struct jinja_value){.kind = JINJA_LIST, .seq = seq};
    }
    return rc;
}
