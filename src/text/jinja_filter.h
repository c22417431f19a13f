/* jinja_filter.h - names of filters, tests and methods, as the parser needs them.  Pure. */
#ifndef TEXT_JINJA_FILTER_H
#define TEXT_JINJA_FILTER_H

#include "base/str.h"
#include "text/jinja_value.h"

#include <stdint.h>

/** Id of a filter, or -1. */
int jinja_filter_id(struct str name);
/** "a, b, c" for messages. */
const char *jinja_filter_names(void);
int jinja_test_id(struct str name);
const char *jinja_test_names(void);

/** Id of the attribute that some built-in type has under this name, or 0. */
uint16_t jinja_method_id(struct str name);
const char *jinja_method_name(uint16_t id);

enum jinja_method_access {
    JINJA_METHOD_NONE,        // this type has no such attribute
    JINJA_METHOD_BOUND,       // a method
    JINJA_METHOD_BLOCKED,     // changes its object: the sandbox answers undefined
    JINJA_METHOD_UNSUPPORTED, // an attribute that is no method
};
/** What `v.name` is for the type of v. */
enum jinja_method_access jinja_method_find(uint16_t id, const struct jinja_value *v);

#endif
