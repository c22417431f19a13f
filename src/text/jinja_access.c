/* Attributes, elements and slices of values. */
#include "base/check.h"
#include "text/jinja_filter.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

#include <string.h>

static struct jinja_value missing(struct str name)
{
    struct jinja_value v = jinja_undefined(name);

    v.is_element = true;
    return v;
}

static enum status fail_undefined(struct jinja_run *run, const struct jinja_value *v,
                                  const char *what)
{
    return jinja_run_fail(run, E_INVALID, "'%.*s' is undefined, so it has no %s",
                          STR_ARG(v->string), what);
}

static enum status loop_length_from(struct jinja_run *run, const struct jinja_loop *loop,
                                    int64_t minus, struct jinja_value *ret_v)
{
    uint32_t n;
    enum status rc = jinja_value_length(run, &loop->rest.over, &n);

    if (rc == OK) {
        *ret_v = jinja_int((int64_t)n - minus);
    }
    return rc;
}

static enum status loop_attribute(struct jinja_run *run, const struct jinja_loop *loop,
                                  struct str name, struct jinja_value *ret_v)
{
    if (str_eq(name, STR("index0"))) {
        *ret_v = jinja_int(loop->index0);
    } else if (str_eq(name, STR("index"))) {
        *ret_v = jinja_int((int64_t)loop->index0 + 1);
    } else if (str_eq(name, STR("first"))) {
        *ret_v = jinja_bool(loop->index0 == 0);
    } else if (str_eq(name, STR("last"))) {
        *ret_v = jinja_bool(!loop->has_next);
    } else if (str_eq(name, STR("length"))) {
        return loop_length_from(run, loop, 0, ret_v);
    } else if (str_eq(name, STR("revindex"))) {
        return loop_length_from(run, loop, loop->index0, ret_v);
    } else if (str_eq(name, STR("revindex0"))) {
        return loop_length_from(run, loop, (int64_t)loop->index0 + 1, ret_v);
    } else if (str_eq(name, STR("previtem"))) {
        *ret_v = loop->has_previous ? loop->previous : missing(name);
    } else if (str_eq(name, STR("nextitem"))) {
        *ret_v = loop->has_next ? loop->next : missing(name);
    } else if (str_eq(name, STR("depth0"))) {
        *ret_v = jinja_int(0);
    } else if (str_eq(name, STR("depth"))) {
        *ret_v = jinja_int(1);
    } else if (str_eq(name, STR("cycle")) || str_eq(name, STR("changed"))) {
        return jinja_run_fail(run, E_UNSUPPORTED, "'loop.%.*s' is not supported", STR_ARG(name));
    } else {
        *ret_v = missing(name);
    }
    return OK;
}

static struct jinja_value space_attribute(const struct jinja_space *space, struct str name)
{
    for (const struct jinja_attr *attr = space->first; attr != NULL; attr = attr->next) {
        if (str_eq(attr->name, name)) {
            return attr->value;
        }
    }
    return missing(name);
}

/* What Python's getattr finds; *ret_found false for nothing. */
static enum status own_attribute(struct jinja_run *run, const struct jinja_value *obj,
                                 struct str name, uint16_t id, bool *ret_found,
                                 struct jinja_value *ret_v)
{
    struct jinja_value *self;
    enum status rc;

    *ret_found = true;
    *ret_v = missing(name);
    if (obj->kind == JINJA_LOOP) {
        return loop_attribute(run, obj->loop, name, ret_v);
    }
    if (obj->kind == JINJA_NAMESPACE) {
        *ret_v = space_attribute(obj->space, name);
        return OK;
    }
    if (obj->kind == JINJA_MACRO && str_eq(name, STR("name"))) {
        *ret_v = jinja_string(obj->macro->node->text);
        return OK;
    }
    switch (id == 0 ? JINJA_METHOD_NONE : jinja_method_find(id, obj)) {
    case JINJA_METHOD_NONE:
        *ret_found = str_starts(name, STR("__")) && str_ends(name, STR("__"));
        return OK;
    case JINJA_METHOD_BLOCKED:
        return OK;
    case JINJA_METHOD_UNSUPPORTED:
        return jinja_run_fail(run, E_UNSUPPORTED,
                              "the attribute '%.*s' of a value of type '%s' "
                              "is not supported",
                              STR_ARG(name), jinja_value_type(obj));
    case JINJA_METHOD_BOUND:
        rc = jinja_run_alloc(run, 1, sizeof(*self), &self);
        if (rc == OK) {
            *self = *obj;
            *ret_v = (struct jinja_value){.kind = JINJA_METHOD, .id = id, .ref = self};
        }
        return rc;
    }
    return OK;
}

enum status jinja_access_attribute(struct jinja_run *run, const struct jinja_value *obj,
                                   struct str name, uint16_t method_id, struct jinja_value *ret_v)
{
    struct jinja_value key = jinja_string(name);
    bool found;
    enum status rc;

    if (obj->kind == JINJA_UNDEFINED) {
        return jinja_run_fail(run, E_INVALID, "'%.*s' is undefined, so it has no '%.*s'",
                              STR_ARG(obj->string), STR_ARG(name));
    }
    rc = own_attribute(run, obj, name, method_id, &found, ret_v);
    if (rc == OK && !found && obj->kind == JINJA_DICT) {
        rc = jinja_value_find(run, obj, &key, &found, ret_v);
    }
    if (rc == OK && !found) {
        *ret_v = missing(name);
    }
    return rc;
}

/* Index from the front of element `i` (negative: from the back), or false. */
static bool position(int64_t i, uint32_t n, uint32_t *ret_i)
{
    i = i < 0 ? i + (int64_t)n : i;
    if (i < 0 || i >= (int64_t)n) {
        return false;
    }
    *ret_i = (uint32_t)i;
    return true;
}

static bool is_indexed(const struct jinja_value *v)
{
    return v->kind == JINJA_LIST || v->kind == JINJA_TUPLE || v->kind == JINJA_RANGE ||
           v->kind == JINJA_STRING;
}

enum status jinja_access_element(struct jinja_run *run, const struct jinja_value *obj,
                                 const struct jinja_value *key, struct jinja_value *ret_v)
{
    bool found = false;
    int64_t i;
    uint32_t n;
    uint32_t at;
    enum status rc = OK;

    if (obj->kind == JINJA_UNDEFINED) {
        return fail_undefined(run, obj, "elements");
    }
    if (obj->kind == JINJA_DICT) {
        if (!jinja_value_is_hashable(key)) {
            *ret_v = missing(STR("element")); // Jinja2 hides the TypeError of an unhashable key
            return OK;
        }
        rc = jinja_value_find(run, obj, key, &found, ret_v);
    } else if (is_indexed(obj) && jinja_value_integer(key, &i)) {
        rc = jinja_value_length(run, obj, &n);
        found = rc == OK && position(i, n, &at);
        *ret_v = found ? jinja_value_at(obj, at) : missing(STR("element"));
        return rc;
    }
    if (rc == OK && !found && key->kind == JINJA_STRING) {
        rc = own_attribute(run, obj, key->string, jinja_method_id(key->string), &found, ret_v);
    }
    if (rc == OK && !found) {
        *ret_v = missing(key->kind == JINJA_STRING ? key->string : STR("element"));
    }
    return rc;
}

/* A bound of a slice as Python's slice.indices() clamps it. */
static int64_t clamp(int64_t i, int64_t n, bool backwards)
{
    int64_t low = backwards ? -1 : 0;
    int64_t high = backwards ? n - 1 : n;

    if (i < 0) {
        i = i < -n ? low : i + n;
    }
    return i < low ? low : i > high ? high : i;
}

struct span {
    int64_t start;
    int64_t stop;
    int64_t step;
    uint32_t n;
};

static enum status slice_span(struct jinja_run *run, const struct jinja_value *const bounds[3],
                              uint32_t length, struct span *ret_span)
{
    int64_t given[3] = {0, 0, 1};
    bool set[3];
    int64_t n = length;
    int64_t start;
    int64_t stop;
    int64_t step;
    int64_t distance;

    for (unsigned k = 0; k < 3; k++) {
        set[k] = bounds[k] != NULL && bounds[k]->kind != JINJA_NONE;
        if (set[k] && !jinja_value_integer(bounds[k], &given[k])) {
            return jinja_run_fail(run, E_INVALID, "a slice needs integers, not '%s'",
                                  jinja_value_type(bounds[k]));
        }
    }
    step = given[2];
    if (step == 0) {
        return jinja_run_fail(run, E_INVALID, "the step of a slice is zero");
    }
    start = set[0] ? clamp(given[0], n, step < 0) : step < 0 ? n - 1 : 0;
    stop = set[1] ? clamp(given[1], n, step < 0) : step < 0 ? -1 : n;
    distance = step > 0 ? stop - start : start - stop;
    *ret_span = (struct span){.start = start, .stop = stop, .step = step};
    if (distance > 0) {
        uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;

        ret_span->n = (uint32_t)((uint64_t)(distance - 1) / stride + 1);
    }
    return OK;
}

static enum status slice_string(struct jinja_run *run, struct str s, struct span span,
                                struct jinja_value *ret_v)
{
    size_t begin = run->text.len;
    size_t at = jinja_unicode_offset(s, span.n > 0 ? (size_t)span.start : 0);
    size_t end = at;
    struct str taken;
    uint32_t cp;
    enum status rc = jinja_run_tick(run, 1 + s.len / 64);

    if (span.step == 1) {
        for (uint32_t i = 0; i < span.n; i++) {
            end += jinja_unicode_at(s, end, &cp);
        }
        *ret_v = jinja_string(str_slice(s, at, end));
        return rc;
    }
    for (uint32_t i = 0; i < span.n && rc == OK; i++) {
        end = at + jinja_unicode_at(s, at, &cp);
        rc = jinja_run_write(run, &run->text, str_slice(s, at, end));
        for (int64_t k = 0; k < span.step && end < s.len; k++) {
            at = end;
            end += jinja_unicode_at(s, end, &cp);
        }
        for (int64_t k = 0; k > span.step && at > 0; k--) {
            at = jinja_unicode_before(s, at);
        }
    }
    rc = rc == OK ? jinja_run_take(run, begin, &taken) : rc;
    if (rc == OK) {
        *ret_v = jinja_string(taken);
    }
    return rc;
}

static enum status slice_range(struct jinja_run *run, const struct jinja_range *range,
                               struct span span, struct jinja_value *ret_v)
{
    struct jinja_range made = {.n = span.n};
    struct jinja_range *kept;
    int64_t by;
    bool overflow = __builtin_mul_overflow(range->step, span.start, &by) ||
                    __builtin_add_overflow(range->start, by, &made.start) ||
                    __builtin_mul_overflow(range->step, span.stop, &by) ||
                    __builtin_add_overflow(range->start, by, &made.stop) ||
                    __builtin_mul_overflow(range->step, span.step, &made.step);
    enum status rc = jinja_run_alloc(run, 1, sizeof(*kept), &kept);

    if (rc == OK && overflow) {
        return jinja_run_fail(run, E_UNSUPPORTED, "an integer does not fit 64 bits");
    }
    if (rc == OK) {
        *kept = made;
        *ret_v = (struct jinja_value){.kind = JINJA_RANGE, .range = kept};
    }
    return rc;
}

enum status jinja_access_slice(struct jinja_run *run, const struct jinja_value *obj,
                               const struct jinja_value *const bounds[3], struct jinja_value *ret_v)
{
    struct jinja_value *items;
    struct jinja_seq *seq;
    struct span span = {0};
    uint32_t length;
    enum status rc;

    if (obj->kind == JINJA_UNDEFINED) {
        return fail_undefined(run, obj, "elements");
    }
    if (!is_indexed(obj)) {
        return jinja_run_fail(run, E_INVALID, "a value of type '%s' cannot be sliced",
                              jinja_value_type(obj));
    }
    rc = jinja_value_length(run, obj, &length);
    rc = rc == OK ? slice_span(run, bounds, length, &span) : rc;
    if (rc != OK) {
        return rc;
    }
    if (obj->kind == JINJA_STRING) {
        return slice_string(run, obj->string, span, ret_v);
    }
    if (obj->kind == JINJA_RANGE) {
        return slice_range(run, obj->range, span, ret_v);
    }
    rc = jinja_run_alloc(run, span.n, sizeof(*items), &items);
    rc = rc == OK ? jinja_run_alloc(run, 1, sizeof(*seq), &seq) : rc;
    rc = rc == OK ? jinja_run_tick(run, 1 + span.n) : rc;
    if (rc != OK) {
        return rc;
    }
    for (uint32_t i = 0; i < span.n; i++) {
        items[i] = jinja_value_at(obj, (uint32_t)(span.start + span.step * (int64_t)i));
    }
    *seq = (struct jinja_seq){.n = span.n, .items = items};
    *ret_v = (struct jinja_value){.kind = obj->kind, .seq = seq};
    return OK;
}
