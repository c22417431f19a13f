/* unicode.h - character classes of Unicode 15.0 as the pre-tokeniser asks for them.
 *
 * Two-level table with 2 bits per code point, written by tools/make_unicode_tables.py.
 * Pure; any thread.
 */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdint.h>

/* The three classes do not overlap; unassigned code points and surrogates are OTHER. */
enum unicode_class {
    UNICODE_OTHER = 0,
    UNICODE_LETTER = 1, // general category L*
    UNICODE_NUMBER = 2, // general category N*
    UNICODE_SPACE = 3,  // property White_Space
};

#define UNICODE_CODE_POINTS 0x110000u
#define UNICODE_FOLDS 2u

struct unicode_fold {
    uint32_t cp;
    char letter;
};

/* In unicode_tables.c; ask through the functions below. */
extern const uint8_t unicode_block_of[UNICODE_CODE_POINTS / 256];
extern const uint8_t unicode_blocks[][64];
extern const struct unicode_fold unicode_folds[UNICODE_FOLDS];

/** Class of `cp`; OTHER for values that are no code point.  Cost: O(1), two loads. */
static inline enum unicode_class unicode_class_of(uint32_t cp)
{
    if (cp >= UNICODE_CODE_POINTS) {
        return UNICODE_OTHER;
    }
    return (enum unicode_class)(
        unicode_blocks[unicode_block_of[cp >> 8]][(cp & 255) >> 2] >> ((cp & 3) * 2) & 3);
}

/** The lower-case ASCII letter that `cp` is under simple case folding ('S', 's', U+017F: 's'), or
 *  '\0' when it folds to anything else. */
static inline char unicode_fold_ascii(uint32_t cp)
{
    if (cp < 0x80) {
        uint32_t lower = cp | 0x20;

        return lower >= 'a' && lower <= 'z' ? (char)lower : '\0';
    }
    for (uint32_t i = 0; i < UNICODE_FOLDS; i++) {
        if (unicode_folds[i].cp == cp) {
            return unicode_folds[i].letter;
        }
    }
    return '\0';
}

#endif
