/* tokenizer.h - byte-level BPE from tokenizer.json (or GLM's rank file tokenizer.model).
 *
 * Immutable after load; encode and decode from any thread.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct tokenizer;

/** Load DIR/tokenizer.json, else DIR/tokenizer.model (+ tokenizer_config.json for the specials).
 *  Errors: NOT_FOUND, INVALID, UNSUPPORTED (another algorithm, normaliser or regex; err names
 *  it). */
MUST_USE enum status tokenizer_load(const char *dir, struct tokenizer **ret_tok, struct error *err);
/** Same from memory; for tests and fuzzing. */
MUST_USE enum status tokenizer_parse(struct str json, struct tokenizer **ret_tok,
                                     struct error *err);
/** The rank file (lines "base64 rank") with the text of tokenizer_config.json, from memory. */
MUST_USE enum status tokenizer_parse_ranks(struct str ranks, struct str config,
                                           struct tokenizer **ret_tok, struct error *err);
void tokenizer_destroy(struct tokenizer *t);

struct tokenizer_encode_options {
    bool parse_special; // strings of added tokens become their id; false: ordinary text
    bool add_special;   // what the file's post-processor prepends (nothing for 0414 and later)
};

/**
 * Append the ids of `text` (int32 each) to `ids`.  Bytes that are not UTF-8 are encoded as bytes.
 * Errors: LIMIT/NO_MEMORY from the buffer.  Cost: O(n log n) worst case per pre-token.
 */
MUST_USE enum status tokenizer_encode(const struct tokenizer *t, struct str text,
                                      const struct tokenizer_encode_options *o, struct buf *ids);
/** Raw bytes of one token (may be part of a character); empty for ids without a token.  Lives as
 *  long as the tokenizer. */
struct str tokenizer_bytes(const struct tokenizer *t, int32_t id);
/** Token marked special in the file: decoding with skip_special drops it. */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
/** Id of an added or vocabulary token by its exact text, or -1. */
int32_t tokenizer_id(const struct tokenizer *t, struct str text);
/** One more than the highest id that has a token; rows at or above are padding. */
uint32_t tokenizer_count(const struct tokenizer *t);
/** Bytes of the longest token: n bytes of text give at least n / this many ids, so that a text that
 *  is far too long can be refused before it is encoded. */
uint32_t tokenizer_token_bytes_max(const struct tokenizer *t);
/** All bytes of `ids` joined; invalid UTF-8 becomes U+FFFD.  Errors: INVALID id, LIMIT. */
MUST_USE enum status tokenizer_decode(const struct tokenizer *t, const int32_t *ids, uint32_t n_ids,
                                      bool skip_special, struct buf *out);

#endif
