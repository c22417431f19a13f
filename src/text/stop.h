/* stop.h - finds stop strings in text that arrives in pieces, and says how much may be sent.
 *
 * Text that could still turn out to be the beginning of a stop string is held back; everything else
 * leaves at once.  The result does not depend on how the text is cut into pieces: the match is the
 * one that ends first, and of those that end there the longest.
 * Stop strings that are valid UTF-8 never make the held text begin inside a character.
 * One matcher per sequence, owned by one thread.  Never allocates (except what `out` does).
 */
#ifndef TEXT_STOP_H
#define TEXT_STOP_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define STOP_STRINGS_MAX 16
#define STOP_BYTES_MAX 1024 // of one stop string

/* Zero-initialising is not needed: `retreat` is written only as far as the stop strings reach, so
 * that a matcher without stop strings costs no memory that is touched. */
struct stop_matcher {
    bool include_stop; // may be set after init: the matched string stays in the text
    bool matched;
    uint32_t n_stops;
    uint32_t matched_idx;
    uint32_t held_idx;                  // what is held back equals the first held_len bytes ...
    uint32_t held_len;                  // ... of stops[held_idx]
    struct str stops[STOP_STRINGS_MAX]; // borrowed: the strings outlive the matcher
    uint16_t reached[STOP_STRINGS_MAX]; // longest prefix of stops[i] the text ends with
    uint16_t retreat[STOP_STRINGS_MAX * STOP_BYTES_MAX]; // per string, STOP_BYTES_MAX apart
};

/**
 * stops   [n_stops] the bytes stay valid as long as the matcher; the array itself is copied
 * Errors: LIMIT (more than STOP_STRINGS_MAX strings, or one over STOP_BYTES_MAX), INVALID (an empty
 * string).  Cost: O(bytes of the strings).
 */
MUST_USE enum status stop_init(struct stop_matcher *m, const struct str *stops, uint32_t n_stops);

/**
 * Take the next piece of text; append to `out` what is safe to send.
 *
 * Returns true when a stop string is complete; *ret_stop_idx then is its index (may be NULL).  The
 * rest of the piece is dropped, and so is everything pushed later (which returns true again).
 * Cost: amortised O(n_stops) per byte.
 */
bool stop_push(struct stop_matcher *m, struct str piece, struct buf *out, uint32_t *ret_stop_idx);

/** The text ended without a match: append what was held back.  Nothing after a match. */
void stop_finish(struct stop_matcher *m, struct buf *out);

#endif
