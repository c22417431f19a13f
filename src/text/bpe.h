/* bpe.h - byte-pair encoding: tokens as bytes, ranked merges, and the merging itself.
 *
 * Filled once (bpe_init, bpe_add_token in the order of ids, bpe_seal, bpe_reserve_merges,
 * bpe_add_merge), immutable afterwards: encode from any thread, each with its own scratch.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe_token_slot {
    uint32_t tag; // high half of the hash
    int32_t id;   // -1: empty
};

struct bpe_merge {
    int32_t left; // -1: empty slot
    int32_t right;
    uint32_t rank; // lower merges first
    int32_t merged;
};

struct bpe {
    uint64_t seed;
    uint32_t n_tokens;
    uint32_t token_bytes_max;     // length of the longest token
    uint32_t *begins;             // owned, [cap + 1] token i is bytes[begins[i]..begins[i + 1])
    char *bytes;                  // owned
    struct bpe_token_slot *slots; // owned, [slots_mask + 1]
    uint64_t slots_mask;
    struct bpe_merge *merges; // owned, [merges_mask + 1]
    uint64_t merges_mask;
    uint64_t *maybe;     // owned, one bit per hash: clear means that the pair has no merge
    uint64_t maybe_mask; // of bits
    uint32_t n_merges;
    uint32_t merges_cap;
    int32_t byte_ids[256];
};

/** Room for n_tokens (below 2^24) tokens of n_bytes (below 2^32) together (CHECK).
 *  Errors: NO_MEMORY. */
MUST_USE enum status bpe_init(struct bpe *b, uint32_t n_tokens, size_t n_bytes);
void bpe_done(struct bpe *b);

/** The next id.  `in_vocab` false: it has bytes, but encoding never yields it.
 *  Errors: INVALID when a token of the vocabulary is empty or has the bytes of an earlier one. */
MUST_USE enum status bpe_add_token(struct bpe *b, struct str bytes, bool in_vocab);
/** Room for n_merges (below 2^24, CHECK); once, before the first merge.  Errors: NO_MEMORY. */
MUST_USE enum status bpe_reserve_merges(struct bpe *b, uint32_t n_merges);
/** Errors: INVALID when the pair has a merge already. */
MUST_USE enum status bpe_add_merge(struct bpe *b, int32_t left, int32_t right, uint32_t rank,
                                   int32_t merged);
/** All tokens are in.  Errors: INVALID when a byte has no token (*ret_byte names it). */
MUST_USE enum status bpe_seal(struct bpe *b, unsigned *ret_byte);

/** Bytes of a token; id < n_tokens.  Lives as long as `b`. */
struct str bpe_token(const struct bpe *b, int32_t id);
uint64_t bpe_hash(const struct bpe *b, struct str bytes);
/** Id of a vocabulary token by its bytes, or -1.  `hash` is bpe_hash of them. */
int32_t bpe_find(const struct bpe *b, struct str bytes, uint64_t hash);

/* Working memory of one thread. */
struct bpe_scratch {
    void *ptr; // owned
    size_t cap;
    uint64_t n_steps; // merges and heap moves so far; what tests count instead of time
};

/** Nothing allocated yet. */
void bpe_scratch_init(struct bpe_scratch *s);
/** Free. */
void bpe_scratch_done(struct bpe_scratch *s);

/**
 * Append the ids (int32 each) of one piece to `ids`: start from single bytes, merge the pair of
 * lowest rank, leftmost first, until no pair of neighbours has a merge.
 * Errors: NO_MEMORY, LIMIT (piece of 2^31 bytes or more).  Cost: O(n log n), 32 n bytes of scratch.
 */
MUST_USE enum status bpe_encode(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                                struct buf *ids);

#endif
