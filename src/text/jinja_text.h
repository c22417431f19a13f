/* jinja_text.h - operations on strings that filters and methods share.
 *
 * Results are strings of the run or slices of the input.  Errors: LIMIT (time, memory, output).
 */
#ifndef TEXT_JINJA_TEXT_H
#define TEXT_JINJA_TEXT_H

#include "base/status.h"
#include "base/str.h"
#include "text/jinja_run.h"

#include <stdbool.h>
#include <stdint.h>

enum jinja_text_form { JINJA_TEXT_LOWER, JINJA_TEXT_UPPER, JINJA_TEXT_CAPITALIZE };

/** str.lower(), upper(), capitalize(). */
MUST_USE enum status jinja_text_case(struct jinja_run *run, struct str s, enum jinja_text_form form,
                                     struct str *ret_s);
/** str.replace(from, to, count); count < 0: all. */
MUST_USE enum status jinja_text_replace(struct jinja_run *run, struct str s, struct str from,
                                        struct str to, int64_t count, struct str *ret_s);
/** str.strip(chars) at the chosen ends; chars NULL: spaces. */
MUST_USE enum status jinja_text_strip(struct jinja_run *run, struct str s, const struct str *chars,
                                      bool left, bool right, struct str *ret_s);
/** str.split(sep, max); sep NULL: runs of spaces; max < 0: no limit.  sep is not empty. */
MUST_USE enum status jinja_text_split(struct jinja_run *run, struct str s, const struct str *sep,
                                      int64_t max, struct jinja_value *ret_list);
/** sep.join(str(v) for v in parts); with `strict` parts must be strings (INVALID). */
MUST_USE enum status jinja_text_join(struct jinja_run *run, struct str sep,
                                     const struct jinja_value *parts, bool strict,
                                     struct str *ret_s);

#endif
