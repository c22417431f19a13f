/* detokenizer.h - ids to text, one at a time, never half a character.
 *
 * Holds back at most 3 bytes.  Bytes that can never become a character turn into U+FFFD as soon as
 * that is known.  One per sequence; owned by one thread; never allocates.
 */
#ifndef TEXT_DETOKENIZER_H
#define TEXT_DETOKENIZER_H

#include "base/buf.h"
#include "text/tokenizer.h"

struct detokenizer {
    const struct tokenizer *tok; // borrowed
    bool skip_special;
    uint8_t held[4];
    uint32_t n_held;
};

/** Nothing held.  `t` is borrowed as long as `d` is used. */
void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool skip_special);
/** Append to `out` the whole characters that `id` completes.  Ids without a token (padding rows of
 *  a model) have no text. */
void detokenizer_push(struct detokenizer *d, int32_t id, struct buf *out);
/** End of the sequence: what is held back becomes U+FFFD (one per maximal prefix, as WHATWG
 * says). */
void detokenizer_finish(struct detokenizer *d, struct buf *out);

#endif
