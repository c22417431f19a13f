/* tokenizer_internal.h - the tokenizer's tables, and the one way both file forms fill them. */
#ifndef TEXT_TOKENIZER_INTERNAL_H
#define TEXT_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "base/json.h"
#include "text/bpe.h"
#include "text/tokenizer.h"

#define TOKENIZER_TOKENS_MAX (1u << 20)
#define TOKENIZER_MERGES_MAX (1u << 21)
#define TOKENIZER_TOKEN_BYTES_MAX 1024u // of one token; the longest published one has 128
#define TOKENIZER_AROUND_MAX 8u         // ids the post-processor puts before, and behind

#define TOKENIZER_JSON_NAME "tokenizer.json"
#define TOKENIZER_RANKS_NAME "tokenizer.model"
#define TOKENIZER_CONFIG_NAME "tokenizer_config.json"

struct tokenizer_added {
    struct str content; // in the tables of bpe
    int32_t id;
    bool special;
};

struct tokenizer {
    struct bpe bpe;                // all tokens by id; the added ones are not in its vocabulary
    bool ignore_merges;            // a piece that is a token is taken whole
    struct tokenizer_added *added; // owned, [n_added] by content
    uint32_t n_added;
    uint32_t
        added_first[257]; // added[added_first[byte]..added_first[byte + 1]) begin with that byte
    uint8_t *special;     // owned, [n_tokens]
    int32_t before[TOKENIZER_AROUND_MAX];
    uint32_t n_before;
    int32_t behind[TOKENIZER_AROUND_MAX];
    uint32_t n_behind;
};

/* One id as the file gives it. */
struct tokenizer_entry {
    struct str bytes; // raw; borrowed until the build is over
    bool in_vocab;
    bool added;
    bool special;
};

/* A file on its way into tables.  The arena dies when the tables are built. */
struct tokenizer_draft {
    const char *file_name; // for messages
    struct arena *arena;
    struct tokenizer_entry *entries; // [n_entries] by id
    uint32_t n_entries;
};

/**
 * Ids, bytes and added tokens into a new tokenizer without merges.
 * d->entries may be longer than needed; d->n_entries becomes the number of tokens.
 * Errors: INVALID (a gap, a repeated token, a byte without a token), NO_MEMORY.
 */
MUST_USE enum status tokenizer_build(struct tokenizer_draft *d, struct tokenizer **ret_tok,
                                     struct error *err);

/** Read the flags of an added token and enter it under `id`.  d->entries must reach that far. */
MUST_USE enum status tokenizer_draft_added(struct tokenizer_draft *d, int64_t id,
                                           const struct json_value *token, struct error *err);

/** Put the ids of the tokens named `name` before (or behind) what add_special encodes.
 *  Errors: INVALID when there is no such token, LIMIT when there are too many. */
MUST_USE enum status tokenizer_surround(struct tokenizer *t, struct str name, bool behind,
                                        const char *file_name, struct error *err);

/** At most n_max bytes of `s`, not cut inside a character, for messages. */
struct str tokenizer_shown(struct str s, size_t n_max);

/** The added token that begins at text.ptr[at], the longest one, or NULL. */
const struct tokenizer_added *tokenizer_added_at(const struct tokenizer *t, struct str text,
                                                 size_t at);

#endif
