/* bpe_encode.c - merging one piece.
 *
 * Short pieces: an array, the lowest rank found by looking at all pairs.  n is small, the array
 * stays in the first-level cache, and there is nothing to allocate.
 *
 * Long pieces: a doubly linked list of symbols and a binary heap of (rank, position).  An entry of
 * the heap is not taken out when its pair changes; it is recognised as stale when it comes up,
 * because the symbol at that position then has another rank (symbols only grow, so an old rank
 * never returns).
 *   Why a heap?  "a" repeated a million times is one piece; looking at all pairs would take 10^12
 *   steps.
 *   How large?   n - 1 entries at the start, each merge takes one and adds at most two: below 2 n.
 */
#include "text/bpe.h"
#include "base/check.h"
#include "text/bpe_internal.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_MAX 64 // bytes
#define NO_RANK UINT32_MAX
#define NONE UINT32_MAX

void bpe_scratch_init(struct bpe_scratch *s)
{
    *s = (struct bpe_scratch){0};
}

void bpe_scratch_done(struct bpe_scratch *s)
{
    free(s->ptr);
    *s = (struct bpe_scratch){0};
}

struct pair {
    uint32_t rank; // of merging symbols i and i + 1; NO_RANK: no merge
    int32_t merged;
};

static struct pair pair_of(const struct bpe *b, int32_t left, int32_t right)
{
    const struct bpe_merge *m = bpe_find_merge(b, left, right);

    return m == NULL ? (struct pair){NO_RANK, -1} : (struct pair){m->rank, m->merged};
}

static size_t lowest_pair(const struct pair *pairs, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++) {
        if (pairs[i].rank < pairs[best].rank) {
            best = i;
        }
    }
    return best;
}

static void encode_short(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                         struct buf *ids)
{
    int32_t symbols[SHORT_MAX];
    struct pair pairs[SHORT_MAX]; // [n - 1]
    size_t n = piece.len;

    for (size_t i = 0; i < n; i++) {
        symbols[i] = b->byte_ids[(unsigned char)piece.ptr[i]];
        if (i > 0) {
            pairs[i - 1] = pair_of(b, symbols[i - 1], symbols[i]);
        }
    }
    while (n > 1) {
        size_t i = lowest_pair(pairs, n - 1);

        if (pairs[i].rank == NO_RANK) {
            break;
        }
        s->n_steps++;
        symbols[i] = pairs[i].merged;
        n--;
        memmove(symbols + i + 1, symbols + i + 2, (n - i - 1) * sizeof(symbols[0]));
        memmove(pairs + i, pairs + i + 1, (n - 1 - i) * sizeof(pairs[0]));
        if (i > 0) {
            pairs[i - 1] = pair_of(b, symbols[i - 1], symbols[i]);
        }
        if (i + 1 < n) {
            pairs[i] = pair_of(b, symbols[i], symbols[i + 1]);
        }
    }
    buf_append(ids, symbols, n * sizeof(symbols[0]));
}

struct symbol {
    int32_t id; // -1: merged into the one before
    uint32_t prev;
    uint32_t next;
    uint32_t rank; // of merging with next; NO_RANK: none
};

struct heap {
    uint64_t *entries; // rank << 32 | position; the lowest first
    size_t n;
    uint64_t n_moves;
};

static void sift_up(struct heap *h, size_t at)
{
    uint64_t entry = h->entries[at];

    while (at > 0 && h->entries[(at - 1) / 2] > entry) {
        h->entries[at] = h->entries[(at - 1) / 2];
        at = (at - 1) / 2;
        h->n_moves++;
    }
    h->entries[at] = entry;
}

static void sift_down(struct heap *h, size_t at)
{
    uint64_t entry = h->entries[at];

    for (;;) {
        size_t child = at * 2 + 1;

        if (child + 1 < h->n && h->entries[child + 1] < h->entries[child]) {
            child++;
        }
        if (child >= h->n || h->entries[child] >= entry) {
            break;
        }
        h->entries[at] = h->entries[child];
        at = child;
        h->n_moves++;
    }
    h->entries[at] = entry;
}

static uint64_t heap_pop(struct heap *h)
{
    uint64_t top = h->entries[0];

    h->n--;
    h->entries[0] = h->entries[h->n];
    sift_down(h, 0);
    return top;
}

/* Set the rank of symbol `at` with its right neighbour. */
static void rank_symbol(const struct bpe *b, struct symbol *symbols, uint32_t at)
{
    uint32_t next = symbols[at].next;

    symbols[at].rank = next == NONE ? NO_RANK : pair_of(b, symbols[at].id, symbols[next].id).rank;
}

static void rank_and_push(const struct bpe *b, struct symbol *symbols, struct heap *h, uint32_t at)
{
    rank_symbol(b, symbols, at);
    if (symbols[at].rank != NO_RANK) {
        h->entries[h->n] = (uint64_t)symbols[at].rank << 32 | at;
        h->n++;
        sift_up(h, h->n - 1);
    }
}

static void merge_with_next(const struct bpe *b, struct symbol *symbols, struct heap *h,
                            uint32_t at)
{
    struct symbol *left = &symbols[at];
    struct symbol *right = &symbols[left->next];

    left->id = pair_of(b, left->id, right->id).merged;
    left->next = right->next;
    right->id = -1;
    right->rank = NO_RANK;
    if (left->next != NONE) {
        symbols[left->next].prev = at;
    }
    rank_and_push(b, symbols, h, at);
    if (left->prev != NONE) {
        rank_and_push(b, symbols, h, left->prev);
    }
}

static void fill_symbols(const struct bpe *b, struct str piece, struct symbol *symbols,
                         struct heap *h)
{
    uint32_t n = u32_from_size(piece.len);

    for (uint32_t i = 0; i < n; i++) {
        symbols[i] = (struct symbol){.id = b->byte_ids[(unsigned char)piece.ptr[i]],
                                     .prev = i == 0 ? NONE : i - 1,
                                     .next = i + 1 == n ? NONE : i + 1};
    }
    for (uint32_t i = 0; i < n; i++) {
        rank_symbol(b, symbols, i);
        if (symbols[i].rank != NO_RANK) {
            h->entries[h->n++] = (uint64_t)symbols[i].rank << 32 | i;
        }
    }
    for (size_t i = h->n / 2; i > 0; i--) {
        sift_down(h, i - 1);
    }
}

static enum status scratch_reserve(struct bpe_scratch *s, size_t n_bytes)
{
    if (n_bytes > s->cap) {
        free(s->ptr);
        s->cap = 0;
        s->ptr = malloc(n_bytes);
        if (s->ptr == NULL) {
            return E_NO_MEMORY;
        }
        s->cap = n_bytes;
    }
    return OK;
}

static enum status encode_long(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                               struct buf *ids)
{
    struct heap h = {0};
    struct symbol *symbols;
    enum status rc;

    rc = scratch_reserve(s, piece.len * (sizeof(struct symbol) + 2 * sizeof(uint64_t)));
    if (rc != OK) {
        return rc;
    }
    symbols = s->ptr;
    h.entries = (uint64_t *)(void *)(symbols + piece.len);
    fill_symbols(b, piece, symbols, &h);
    while (h.n > 0) {
        uint64_t top = heap_pop(&h);
        uint32_t at = (uint32_t)top;

        s->n_steps++;
        if (symbols[at].rank == (uint32_t)(top >> 32)) {
            merge_with_next(b, symbols, &h, at);
        }
    }
    s->n_steps += h.n_moves;
    for (uint32_t i = 0; i != NONE; i = symbols[i].next) {
        buf_append(ids, &symbols[i].id, sizeof(symbols[i].id));
    }
    return OK;
}

enum status bpe_encode(const struct bpe *b, struct str piece, struct bpe_scratch *s,
                       struct buf *ids)
{
    if (piece.len == 0) {
        return OK;
    }
    if (piece.len <= SHORT_MAX) {
        encode_short(b, piece, s, ids);
        return OK;
    }
    if (piece.len > INT32_MAX) {
        return E_LIMIT;
    }
    return encode_long(b, piece, s, ids);
}
