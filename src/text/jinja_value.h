/* jinja_value.h - what a template expression evaluates to, with Python's semantics.
 *
 * A value is a small struct passed by copy; what it points to lives in the request's JSON tree, in
 * the template or in the arena of the rendering, and never changes, except namespaces and loops.
 * Lists and mappings of the request are views of the JSON tree; nothing is copied.
 * One rendering, one thread.
 */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include "base/json.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct jinja_run;
struct jinja_node;

enum jinja_kind {
    JINJA_UNDEFINED, // string: its name
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_BIGINT, // an integer of the request that does not fit int64: string holds its digits
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,      // json (is_json) or seq
    JINJA_TUPLE,     // seq
    JINJA_DICT,      // json (is_json) or dict
    JINJA_RANGE,     // range
    JINJA_KEYS,      // d.keys(): ref is the mapping
    JINJA_VALUES,    // d.values()
    JINJA_ITEMS,     // d.items(); id JINJA_GENERATOR: d|items, which has no length
    JINJA_NAMESPACE, // space
    JINJA_LOOP,      // loop
    JINJA_MACRO,     // macro
    JINJA_FUNCTION,  // id: enum jinja_function
    JINJA_METHOD,    // id: enum jinja_method_id, ref: the receiver
};

#define JINJA_GENERATOR 1

struct jinja_value {
    uint8_t kind;    // enum jinja_kind
    bool is_json;    // LIST, DICT
    bool is_element; // UNDEFINED: an attribute or element is missing, not a variable
    uint16_t id;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct str string;
        const struct json_value *json;
        const struct jinja_seq *seq;
        const struct jinja_dict *dict;
        const struct jinja_range *range;
        const struct jinja_value *ref;
        struct jinja_space *space;
        struct jinja_loop *loop;
        const struct jinja_macro *macro;
    };
};

struct jinja_seq {
    uint32_t n;
    const struct jinja_value *items; // [n]
};

struct jinja_dict {
    uint32_t n;
    const struct jinja_value *keys; // [n] no two equal
    const struct jinja_value *values;
};

struct jinja_range {
    int64_t start;
    int64_t stop;
    int64_t step;
    uint32_t n;
};

struct jinja_attr {
    struct jinja_attr *next;
    struct str name;
    struct jinja_value value;
};

struct jinja_space {
    struct jinja_attr *first; // in order of assignment
    struct jinja_attr *last;
};

struct jinja_macro {
    const struct jinja_node *node;
    struct jinja_scope *scope; // where it was defined
};

/* Walks a sequence; a string gives its characters. */
struct jinja_iter {
    struct jinja_value over;
    uint32_t n; // elements, for strings unknown (0)
    uint32_t i; // elements given so far
    size_t byte;
};

struct jinja_loop {
    struct jinja_iter rest;
    uint32_t index0;
    uint32_t depth0;
    bool has_previous;
    bool has_next;
    struct jinja_value previous;
    struct jinja_value next;
};

static inline struct jinja_value jinja_undefined(struct str name)
{
    return (struct jinja_value){.kind = JINJA_UNDEFINED, .string = name};
}

static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.kind = JINJA_NONE};
}

static inline struct jinja_value jinja_bool(bool b)
{
    return (struct jinja_value){.kind = JINJA_BOOL, .boolean = b};
}

static inline struct jinja_value jinja_int(int64_t i)
{
    return (struct jinja_value){.kind = JINJA_INT, .integer = i};
}

static inline struct jinja_value jinja_float(double d)
{
    return (struct jinja_value){.kind = JINJA_FLOAT, .number = d};
}

static inline struct jinja_value jinja_string(struct str s)
{
    return (struct jinja_value){.kind = JINJA_STRING, .string = s};
}

/** View of a JSON value; `j` outlives the result. */
struct jinja_value jinja_value_from_json(const struct json_value *j);
/** Python's name of the type ("str", "NoneType", "dict"). */
const char *jinja_value_type(const struct jinja_value *v);
/** Python's bool(v). */
bool jinja_value_truth(const struct jinja_value *v);
/** May be a key of a mapping. */
bool jinja_value_is_hashable(const struct jinja_value *v);
/** bool, int or float: *ret_d is its value (bigints: the nearest double). */
bool jinja_value_number(const struct jinja_value *v, double *ret_d);
/** bool or int: *ret_i is its value. */
bool jinja_value_integer(const struct jinja_value *v, int64_t *ret_i);

/** len(v) of everything that has one.  Errors: INVALID. */
MUST_USE enum status jinja_value_length(struct jinja_run *run, const struct jinja_value *v,
                                        uint32_t *ret_n);
/** Element i (counted from the front, i < length) of a list, tuple, range or string. */
struct jinja_value jinja_value_at(const struct jinja_value *v, uint32_t i);
/** Key and value number i < length of a mapping. */
struct jinja_value jinja_value_key_at(const struct jinja_value *dict, uint32_t i);
struct jinja_value jinja_value_value_at(const struct jinja_value *dict, uint32_t i);
/** dict[key] into *ret_v, or *ret_found false.  Errors: INVALID (unhashable key), LIMIT. */
MUST_USE enum status jinja_value_find(struct jinja_run *run, const struct jinja_value *dict,
                                      const struct jinja_value *key, bool *ret_found,
                                      struct jinja_value *ret_v);

/** Errors: INVALID when `v` cannot be walked. */
MUST_USE enum status jinja_value_iterate(struct jinja_run *run, const struct jinja_value *v,
                                         struct jinja_iter *ret_it);
/** The next element, or *ret_more false.  Errors: NO_MEMORY (pairs of items() are made here). */
MUST_USE enum status jinja_value_next(struct jinja_run *run, struct jinja_iter *it, bool *ret_more,
                                      struct jinja_value *ret_v);
/** All elements as a list.  Errors: as iterate; LIMIT for time and memory. */
MUST_USE enum status jinja_value_to_list(struct jinja_run *run, const struct jinja_value *v,
                                         struct jinja_value *ret_list);

#endif
