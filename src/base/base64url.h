/* base64url.h - base 64 with the URL alphabet and without padding (RFC 4648, section 5), strict.
 *
 * One text for one string of bytes: padding, blanks, the other alphabet and bits that stand for
 * nothing are refused.  Pure; any thread.
 */
#ifndef BASE_BASE64URL_H
#define BASE_BASE64URL_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

/** Most bytes that a text of n_chars stands for. */
static inline size_t base64url_bytes(size_t n_chars)
{
    return n_chars / 4 * 3 + (n_chars % 4 == 0 ? 0 : n_chars % 4 - 1);
}

/** out: base64url_bytes(text.len) bytes.  Errors: INVALID; `out` is half filled then. */
MUST_USE enum status base64url_decode(struct str text, uint8_t *out, size_t *ret_bytes);
void base64url_encode(struct buf *out, const void *bytes, size_t n_bytes);

#endif
