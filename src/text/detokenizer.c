/* detokenizer.c - the decoder of the WHATWG encoding standard, cut open between any two bytes.
 *
 * `held` is always a beginning of a valid character.  A byte either extends it, completes it, or
 * shows that it can never become one: then what is held turns into one U+FFFD and the byte is
 * looked at again.  That is the "maximal prefix" rule, the same one as in Python and in browsers.
 */
#include "text/detokenizer.h"
#include "base/check.h"
#include "base/utf8.h"

#define HELD_MAX 3 // bytes of a character that still lacks one
#define REPLACEMENT "\xEF\xBF\xBD"

void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool skip_special)
{
    *d = (struct detokenizer){.tok = t, .skip_special = skip_special};
}

static void flush_held(struct detokenizer *d, struct buf *out)
{
    if (d->n_held > 0) {
        buf_append_c(out, REPLACEMENT);
        d->n_held = 0;
    }
}

static void push_byte(struct detokenizer *d, uint8_t byte, struct buf *out)
{
    struct str held = {(const char *)d->held, 0};
    uint32_t cp;

    for (;;) {
        DCHECK(d->n_held <= HELD_MAX);
        d->held[d->n_held] = byte;
        held.len = (size_t)d->n_held + 1;
        if (utf8_decode(held, 0, &cp) == held.len) {
            buf_append_str(out, held);
            d->n_held = 0;
            return;
        }
        if (utf8_incomplete_tail(held) == held.len) {
            d->n_held++;
            return;
        }
        if (d->n_held == 0) {
            buf_append_c(out, REPLACEMENT);
            return;
        }
        flush_held(d, out); // and look at the byte again, now as a first one
    }
}

void detokenizer_push(struct detokenizer *d, int32_t id, struct buf *out)
{
    struct str bytes = tokenizer_bytes(d->tok, id);
    size_t n_whole = 0;

    if (d->skip_special && tokenizer_is_special(d->tok, id)) {
        return;
    }
    if (d->n_held == 0) {
        n_whole = utf8_valid_prefix(bytes);
        buf_append(out, bytes.ptr, n_whole);
    }
    for (size_t i = n_whole; i < bytes.len; i++) {
        push_byte(d, (uint8_t)bytes.ptr[i], out);
    }
}

void detokenizer_finish(struct detokenizer *d, struct buf *out)
{
    flush_held(d, out);
}
