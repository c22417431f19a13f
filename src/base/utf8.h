/* utf8.h - strict UTF-8: no overlongs, no surrogates, nothing above U+10FFFF.  Pure; any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Decode the character at s.ptr[at].  Returns its length 1..4 and sets *ret_cp, or 0 when the
 *  bytes there are invalid or cut off (then *ret_cp is U+FFFD).  at < s.len required. */
unsigned utf8_decode(struct str s, size_t at, uint32_t *ret_cp);
/** Write `cp` (a valid scalar value) to out[4]; returns the length. */
unsigned utf8_encode(uint32_t cp, char out[4]);
bool utf8_valid(struct str s);
/** Byte offset of the first fault, or s.len when valid. */
size_t utf8_valid_prefix(struct str s);
/** Length of a valid but unfinished sequence at the end of s (0..3); 0 when the end is complete or
 *  can never become valid. */
size_t utf8_incomplete_tail(struct str s);

#endif
