/* bpe.c - the tables of byte-pair encoding: tokens by bytes, merges by pair. */
#include "text/bpe.h"
#include "base/check.h"
#include "base/hash.h"
#include "text/bpe_internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_MAX (1u << 24)
#define SLOTS_MIN 16

/* Most pairs that are asked for have no merge.  The table of GLM's merges has 8 MiB, so such a
 * question costs a cache miss; a filter with this many bits per merge answers nearly all of them
 * from one megabyte. */
#define FILTER_BITS_PER_MERGE 16

/* A power of two that keeps the load of open addressing at or below 2/3. */
static uint64_t slots_for(uint64_t n)
{
    uint64_t slots = SLOTS_MIN;

    while (slots * 2 < n * 3) {
        slots *= 2;
    }
    return slots;
}

enum status bpe_init(struct bpe *b, uint32_t n_tokens, size_t n_bytes)
{
    uint64_t n_slots = slots_for(n_tokens);

    CHECK(n_tokens < COUNT_MAX && n_bytes <= UINT32_MAX);
    *b = (struct bpe){.seed = hash_process_seed()};
    b->begins = calloc((size_t)n_tokens + 1, sizeof(*b->begins));
    b->bytes = malloc(n_bytes + 1);
    b->slots = malloc(n_slots * sizeof(*b->slots));
    if (b->begins == NULL || b->bytes == NULL || b->slots == NULL) {
        bpe_done(b);
        return E_NO_MEMORY;
    }
    memset(b->slots, 0xFF, n_slots * sizeof(*b->slots));
    b->slots_mask = n_slots - 1;
    return OK;
}

enum status bpe_reserve_merges(struct bpe *b, uint32_t n_merges)
{
    uint64_t n_slots = slots_for(n_merges);
    uint64_t n_bits = 64;

    CHECK(n_merges < COUNT_MAX && b->merges == NULL);
    while (n_bits < (uint64_t)n_merges * FILTER_BITS_PER_MERGE) {
        n_bits *= 2;
    }
    b->maybe = calloc(n_bits / 64, sizeof(*b->maybe));
    b->merges = malloc(n_slots * sizeof(*b->merges));
    if (b->maybe == NULL || b->merges == NULL) {
        return E_NO_MEMORY; // bpe_done frees
    }
    b->maybe_mask = n_bits - 1;
    memset(b->merges, 0xFF, n_slots * sizeof(*b->merges));
    b->merges_mask = n_slots - 1;
    b->merges_cap = n_merges;
    return OK;
}

void bpe_done(struct bpe *b)
{
    free(b->begins);
    free(b->bytes);
    free(b->slots);
    free(b->merges);
    free(b->maybe);
    *b = (struct bpe){0};
}

struct str bpe_token(const struct bpe *b, int32_t id)
{
    uint32_t begin = b->begins[id];

    return (struct str){b->bytes + begin, b->begins[id + 1] - begin};
}

uint64_t bpe_hash(const struct bpe *b, struct str bytes)
{
    return hash_bytes(bytes.ptr, bytes.len, b->seed);
}

/* The slot that holds `bytes`, or the empty one where it belongs. */
static struct bpe_token_slot *find_slot(const struct bpe *b, struct str bytes, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    uint64_t at = hash & b->slots_mask;

    while (b->slots[at].id >= 0 &&
           (b->slots[at].tag != tag || !str_eq(bpe_token(b, b->slots[at].id), bytes))) {
        at = (at + 1) & b->slots_mask;
    }
    return &b->slots[at];
}

int32_t bpe_find(const struct bpe *b, struct str bytes, uint64_t hash)
{
    return find_slot(b, bytes, hash)->id;
}

enum status bpe_add_token(struct bpe *b, struct str bytes, bool in_vocab)
{
    uint32_t begin = b->begins[b->n_tokens];
    int32_t id = i32_from_u32(b->n_tokens);
    struct bpe_token_slot *slot;
    uint64_t hash;

    if (in_vocab) {
        hash = bpe_hash(b, bytes);
        slot = find_slot(b, bytes, hash);
        if (slot->id >= 0 || bytes.len == 0) {
            return E_INVALID;
        }
        *slot = (struct bpe_token_slot){.tag = (uint32_t)(hash >> 32), .id = id};
    }
    if (bytes.len > b->token_bytes_max) {
        b->token_bytes_max = u32_from_size(bytes.len);
    }
    if (bytes.len > 0) {
        memcpy(b->bytes + begin, bytes.ptr, bytes.len);
    }
    b->begins[id + 1] = begin + u32_from_size(bytes.len);
    b->n_tokens++;
    return OK;
}

static uint64_t pair_hash(const struct bpe *b, int32_t left, int32_t right)
{
    return hash_u64((uint64_t)(uint32_t)left << 32 | (uint32_t)right, b->seed);
}

static struct bpe_merge *find_merge_slot(const struct bpe *b, int32_t left, int32_t right,
                                         uint64_t hash)
{
    uint64_t at = hash & b->merges_mask;

    while (b->merges[at].left >= 0 &&
           (b->merges[at].left != left || b->merges[at].right != right)) {
        at = (at + 1) & b->merges_mask;
    }
    return &b->merges[at];
}

/* The filter's bit comes from the upper half of the hash, the slot from the lower one. */
static uint64_t filter_bit(const struct bpe *b, uint64_t hash)
{
    return hash >> 32 & b->maybe_mask;
}

const struct bpe_merge *bpe_find_merge(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t hash = pair_hash(b, left, right);
    uint64_t bit = filter_bit(b, hash);
    const struct bpe_merge *m;

    if ((b->maybe[bit / 64] >> bit % 64 & 1) == 0) {
        return NULL;
    }
    m = find_merge_slot(b, left, right, hash);
    return m->left >= 0 ? m : NULL;
}

enum status bpe_add_merge(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t merged)
{
    uint64_t hash = pair_hash(b, left, right);
    uint64_t bit = filter_bit(b, hash);
    struct bpe_merge *slot = find_merge_slot(b, left, right, hash);

    CHECK(b->n_merges < b->merges_cap);
    if (slot->left >= 0) {
        return E_INVALID;
    }
    *slot = (struct bpe_merge){.left = left, .right = right, .rank = rank, .merged = merged};
    b->maybe[bit / 64] |= UINT64_C(1) << bit % 64;
    b->n_merges++;
    return OK;
}

enum status bpe_seal(struct bpe *b, unsigned *ret_byte)
{
    for (unsigned i = 0; i < 256; i++) {
        char byte = (char)i;
        struct str s = {&byte, 1};

        b->byte_ids[i] = bpe_find(b, s, bpe_hash(b, s));
        if (b->byte_ids[i] < 0) {
            *ret_byte = i;
            return E_INVALID;
        }
    }
    return OK;
}
