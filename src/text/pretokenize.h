/* pretokenize.h - cuts text into the pieces that byte-pair encoding works on.
 *
 * A hand-written scanner for the one regular expression all GLM tokenizers use (PRETOKENIZE_REGEX).
 * Bytes that are not part of valid UTF-8 count as one character each, of class OTHER, like U+FFFD:
 * they never join letters, numbers or blanks, and their piece carries the bytes unchanged.
 * Pure; any thread.
 */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include "base/str.h"

#include <stddef.h>

/* As it stands in tokenizer.json; the loader compares it byte for byte. */
#define PRETOKENIZE_REGEX                                                                          \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"                      \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/**
 * End of the piece that begins at byte `at` (at < text.len required).  The pieces cover the text
 * without gaps, each has at least one byte, and none ends inside a valid character.
 * Cost: linear in the text over all calls.
 */
size_t pretokenize_next(struct str text, size_t at);

#endif
