/* buf.h - growable byte buffer with a ceiling.
 *
 * Appends never fail loudly: once the ceiling or memory is exhausted the buffer keeps what it has,
 * turns failed and ignores further appends; ask buf_status() once at the end.  Owned by one thread.
 * Invariant: len <= cap <= max.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *ptr; // owned
    size_t len;
    size_t cap;
    size_t max;
    enum status status; // OK, LIMIT or NO_MEMORY
};

/** An empty buffer that may grow to `max_bytes`.  No allocation yet. */
void buf_init(struct buf *b, size_t max_bytes);
/** Free; the buffer is empty and usable again with the same ceiling.  NULL accepted. */
void buf_done(struct buf *b);
/** Forget the contents and a failure, keep the memory. */
void buf_reset(struct buf *b);
void buf_append(struct buf *b, const void *bytes, size_t n_bytes);
void buf_append_str(struct buf *b, struct str s);
void buf_append_c(struct buf *b, const char *c_text);
void buf_append_byte(struct buf *b, char byte);
/** Digits of `value` in base 10 or 16 (lower case), without leading zeros. */
void buf_append_number(struct buf *b, uint64_t value, unsigned base);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Room for `n_bytes` more; pointer to write to, or NULL (then failed).  Commit with buf_commit. */
char *buf_reserve(struct buf *b, size_t n_bytes);
void buf_commit(struct buf *b, size_t n_bytes);
/** Drop `n_bytes` from the front (memmove). */
void buf_consume(struct buf *b, size_t n_bytes);
/** View of the contents; valid until the next change. */
struct str buf_str(const struct buf *b);
/** NUL-terminate without counting the NUL and return the pointer; NULL when failed. */
const char *buf_c(struct buf *b);
MUST_USE enum status buf_status(const struct buf *b);

#endif
