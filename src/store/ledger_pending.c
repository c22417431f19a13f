#include "store/ledger_pending.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_START 1024

enum status ledger_pending_init(struct ledger_pending_table *t)
{
    t->slots = calloc(SLOTS_START, sizeof(*t->slots));
    t->mask = SLOTS_START - 1;
    t->count = 0;
    t->seed[0] = rng_from_system();
    t->seed[1] = rng_from_system();
    return t->slots == NULL ? E_NO_MEMORY : OK;
}

void ledger_pending_done(struct ledger_pending_table *t)
{
    free(t->slots);
    t->slots = NULL;
}

static void hash_id(const struct ledger_pending_table *t, struct str id, uint64_t ret_hash[2])
{
    ret_hash[0] = hash_bytes(id.ptr, id.len, t->seed[0]);
    ret_hash[1] = hash_bytes(id.ptr, id.len, t->seed[1]) | 1; // never empty
}

static bool is_empty(const struct ledger_pending_slot *s)
{
    return s->hash[1] == 0;
}

/* The slot of these hashes, or the empty one where they belong. */
static struct ledger_pending_slot *probe(const struct ledger_pending_table *t,
                                         const uint64_t hash[2])
{
    for (uint32_t i = (uint32_t)hash[0] & t->mask;; i = (i + 1) & t->mask) {
        struct ledger_pending_slot *s = &t->slots[i];

        if (is_empty(s) || (s->hash[0] == hash[0] && s->hash[1] == hash[1])) {
            return s;
        }
    }
}

struct ledger_pending_slot *ledger_pending_find(struct ledger_pending_table *t,
                                                struct str request_id)
{
    uint64_t hash[2];
    struct ledger_pending_slot *s;

    hash_id(t, request_id, hash);
    s = probe(t, hash);
    return is_empty(s) ? NULL : s;
}

enum status ledger_pending_grow(struct ledger_pending_table *t)
{
    struct ledger_pending_table grown = *t;
    uint32_t n_slots = t->mask + 1;

    if (t->count + 1 <= n_slots / 2) {
        return OK;
    }
    grown.slots = calloc((size_t)n_slots * 2, sizeof(*grown.slots));
    if (grown.slots == NULL) {
        return E_NO_MEMORY;
    }
    grown.mask = n_slots * 2 - 1;
    for (uint32_t i = 0; i < n_slots; i++) {
        if (!is_empty(&t->slots[i])) {
            *probe(&grown, t->slots[i].hash) = t->slots[i];
        }
    }
    free(t->slots);
    *t = grown;
    return OK;
}

struct ledger_pending_slot *ledger_pending_add(struct ledger_pending_table *t,
                                               struct str request_id)
{
    uint64_t hash[2];
    struct ledger_pending_slot *s;

    hash_id(t, request_id, hash);
    s = probe(t, hash);
    CHECK(is_empty(s) && t->count <= t->mask / 2);
    memset(s, 0, sizeof(*s));
    s->hash[0] = hash[0];
    s->hash[1] = hash[1];
    t->count++;
    return s;
}

void ledger_pending_remove(struct ledger_pending_table *t, struct ledger_pending_slot *slot)
{
    uint32_t hole = (uint32_t)(slot - t->slots);

    /* Close the gap: move back whatever may not stand behind an empty slot. */
    for (uint32_t i = (hole + 1) & t->mask; !is_empty(&t->slots[i]); i = (i + 1) & t->mask) {
        uint32_t home = (uint32_t)t->slots[i].hash[0] & t->mask;

        if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    memset(&t->slots[hole], 0, sizeof(t->slots[hole]));
    t->count--;
}
