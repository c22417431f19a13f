/* number.h - the decimal number grammar of JSON, and its exact value as a double.
 *
 * Shared by str.c and json.c.  Independent of setlocale.  Pure; any thread.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* Longest literal we convert; more digits than any double can use (767 significant). */
#define NUMBER_LITERAL_MAX 1024

/** Length of the longest number literal that starts at s.ptr[at]; 0 when there is none.
 *  *ret_is_integer: neither '.' nor exponent.  at <= s.len required. */
size_t number_scan(struct str s, size_t at, bool *ret_is_integer);

/** Nearest double of a literal that number_scan accepted whole.
 *  Errors: LIMIT when it is longer than NUMBER_LITERAL_MAX or rounds to infinity. */
MUST_USE enum status number_to_f64(struct str literal, double *ret_value);

#define NUMBER_TEXT_MAX 32

/** Shortest decimal text that reads back as `v` (finite required), as Python's repr prints it; with
 *  `trim_integer` 1.0 becomes "1".  Returns the length; the text is NUL terminated. */
size_t number_from_f64(double v, bool trim_integer, char ret_text[NUMBER_TEXT_MAX]);

#endif
