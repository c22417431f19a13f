/* jinja_unicode.h - the character properties that Python's str needs: space, printable, case.
 *
 * Unicode 14.0, as Python 3.11 (jinja_unicode_table.c, made by tools/gen_jinja_unicode.py).
 * Pure; any thread.
 */
#ifndef TEXT_JINJA_UNICODE_H
#define TEXT_JINJA_UNICODE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jinja_unicode_case { JINJA_UNICODE_LOWER, JINJA_UNICODE_UPPER, JINJA_UNICODE_TITLE };

#define JINJA_UNICODE_CASE_MAX 3 // code points one code point may become

/** str.isspace() of one character. */
bool jinja_unicode_is_space(uint32_t cp);
/** str.isprintable() of one character: repr() writes it as it is. */
bool jinja_unicode_is_printable(uint32_t cp);
/** Full mapping of one code point without context; returns how many ret_cps are set (1..3). */
unsigned jinja_unicode_map(enum jinja_unicode_case to, uint32_t cp,
                           uint32_t ret_cps[JINJA_UNICODE_CASE_MAX]);
/** The letter sigma at byte `at` of s ends a word (then its lower case is U+03C2). */
bool jinja_unicode_is_final_sigma(struct str s, size_t at);

/** Character at byte `at` (at < s.len) and its length; a faulty byte is U+FFFD of length 1. */
unsigned jinja_unicode_at(struct str s, size_t at, uint32_t *ret_cp);
/** Byte where the character before byte `end` begins (end > 0). */
size_t jinja_unicode_before(struct str s, size_t end);
/** Number of characters. */
size_t jinja_unicode_count(struct str s);
/** Byte offset of character number `idx`, or s.len. */
size_t jinja_unicode_offset(struct str s, size_t idx);
/** Without spaces in the sense of str.strip() at the chosen ends. */
struct str jinja_unicode_strip(struct str s, bool left, bool right);

#endif
