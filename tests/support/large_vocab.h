/* large_vocab.h - a made-up tokenizer as large as GLM's: 151,552 ids, 298,010 merges, 24 MB.
 *
 * Deterministic.  Tokens are bytes, Chinese characters, and words put together from earlier tokens;
 * merges are all the ways to write a token as two tokens, as in a file converted from ranks.
 */
#ifndef TESTS_SUPPORT_LARGE_VOCAB_H
#define TESTS_SUPPORT_LARGE_VOCAB_H

#include "base/buf.h"

#include <stdbool.h>

#define LARGE_VOCAB_TOKENS 151552u

enum large_vocab_merges {
    LARGE_VOCAB_PAIRS,   // ["a", "b"], one part per line, as newer files have them
    LARGE_VOCAB_STRINGS, // "a b"
};

/** Append tokenizer.json. */
void large_vocab_json(enum large_vocab_merges form, struct buf *out);
/** Append the same vocabulary as tokenizer.model, and its tokenizer_config.json. */
void large_vocab_ranks(struct buf *ranks, struct buf *config);
/** Append n_bytes or a little more of made-up prose: words of this vocabulary, Chinese, numbers. */
void large_vocab_prose(uint64_t seed, size_t n_bytes, struct buf *out);

#endif
