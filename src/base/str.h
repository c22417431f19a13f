/* str.h - a piece of text that somebody else owns: pointer and length, not NUL terminated.
 *
 * Everything from files and the wire is a struct str.  Values, not references: pass by value.
 * Pure functions, any thread.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr; // borrowed; may be NULL when len is 0
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) ((int)((s).len < 0x7fffffff ? (s).len : 0x7fffffff)), ((s).ptr ? (s).ptr : "")

/** View of a NUL-terminated string; NULL gives the empty string. */
struct str str_from_c(const char *c_text);
bool str_eq(struct str a, struct str b);
/** ASCII letters compare without case; other bytes exactly. */
bool str_eq_nocase(struct str a, struct str b);
/** memcmp order, shorter first on a tie. */
int str_cmp(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/** Bytes [begin, end) of s; both are clamped to s.len, end < begin gives the empty string. */
struct str str_slice(struct str s, size_t begin, size_t end);
/** Index of the first occurrence at or after `from`, or SIZE_MAX. */
size_t str_find(struct str s, struct str needle, size_t from);
size_t str_find_byte(struct str s, char byte, size_t from);
/** Without ASCII blanks (space, tab, CR, LF) at both ends. */
struct str str_trim(struct str s);

/** Whole text as a decimal number: no sign for u64, no blanks, no trailing bytes.
 *  Errors: INVALID for anything else, LIMIT when it does not fit. */
MUST_USE enum status str_to_u64(struct str s, uint64_t *ret_value);
MUST_USE enum status str_to_i64(struct str s, int64_t *ret_value);
/** JSON-like decimal floating number, in the C locale whatever setlocale says; no hex, inf, nan. */
MUST_USE enum status str_to_f64(struct str s, double *ret_value);

/** Edit distance (insert, delete, replace, swap of neighbours each 1), for "did you mean".
 *  Inputs over 64 bytes count as infinitely far (returns SIZE_MAX). */
size_t str_distance(struct str a, struct str b);

#endif
