#include "doctor/rules_filter.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define MAP_BITS 18 // 2^18 bits: 32 KiB, fits the first-level cache
#define TABLE_BITS 14
#define TABLE_SLOTS (1u << TABLE_BITS)
#define FOLD 0x20202020u // upper and lower case letters fall together
#define MULTIPLIER 0x9e3779b1u

/* One literal at one of its two offsets; chained by slot. */
struct entry {
    struct str literal;
    uint32_t pattern_idx;
    uint32_t group; // folded four bytes
    uint32_t offset;
    uint32_t next; // index + 1, 0: end
    bool nocase;
};

struct rules_filter {
    uint64_t map[(1u << MAP_BITS) / 64];
    uint32_t heads[TABLE_SLOTS]; // index + 1
    struct entry *entries;       // owned
    uint32_t n_entries;
};

static uint32_t load_group(const char *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof(word));
    return word | FOLD;
}

static uint32_t hash(uint32_t group)
{
    return group * MULTIPLIER;
}

/* How common a byte is in logs, roughly. */
static uint32_t commonness(char c)
{
    if (strchr("etaoinsr ", c) != NULL) {
        return 8;
    }
    if (strchr("lhdcumpfgINFORE.-=:/_01", c) != NULL) {
        return 4;
    }
    return 1;
}

/* Where the rarest five bytes of a literal begin: they are what the bitmap is asked for. */
static uint32_t rarest(struct str literal)
{
    uint32_t best = 0;
    uint32_t best_cost = UINT32_MAX;

    for (size_t at = 0; at + RULES_LITERAL_BYTES_MIN <= literal.len; at++) {
        uint32_t cost = 0;

        for (size_t i = at; i < at + RULES_LITERAL_BYTES_MIN; i++) {
            cost += commonness(literal.ptr[i]);
        }
        if (cost < best_cost) {
            best = u32_from_size(at);
            best_cost = cost;
        }
    }
    return best;
}

static void enter(struct rules_filter *f, struct str literal, uint32_t pattern_idx, bool nocase)
{
    uint32_t begin = rarest(literal);

    for (uint32_t offset = begin; offset < begin + 2; offset++) {
        uint32_t group = load_group(literal.ptr + offset);
        uint32_t bit = hash(group) >> (32 - MAP_BITS);
        uint32_t *head = &f->heads[hash(group) >> (32 - TABLE_BITS)];

        f->map[bit / 64] |= UINT64_C(1) << (bit % 64);
        f->entries[f->n_entries] =
            (struct entry){literal, pattern_idx, group, offset, *head, nocase};
        *head = ++f->n_entries;
    }
}

struct rules_filter *rules_filter_create(const struct rules *r)
{
    struct rules_filter *f = calloc(1, sizeof(*f));
    uint32_t n = 1;

    for (uint32_t i = 0; i < r->n_patterns; i++) {
        n += 2 * r->patterns[i].n_literals;
    }
    if (f == NULL) {
        return NULL;
    }
    f->entries = calloc(n, sizeof(*f->entries));
    if (f->entries == NULL) {
        free(f);
        return NULL;
    }
    for (uint32_t i = 0; i < r->n_patterns; i++) {
        for (uint32_t k = 0; k < r->patterns[i].n_literals; k++) {
            CHECK(r->patterns[i].literals[k].len >= RULES_LITERAL_BYTES_MIN);
            enter(f, r->patterns[i].literals[k], i, r->patterns[i].nocase);
        }
    }
    return f;
}

void rules_filter_destroy(struct rules_filter *f)
{
    if (f != NULL) {
        free(f->entries);
        free(f);
    }
}

/* A position whose group is in the bitmap.  Returns where to go on, 0: with the next. */
static size_t compare(const struct rules_filter *f, struct str text, size_t at,
                      rules_filter_seen *on_literal, void *user)
{
    uint32_t group = load_group(text.ptr + at);
    uint32_t next = f->heads[hash(group) >> (32 - TABLE_BITS)];

    while (next != 0) {
        const struct entry *e = &f->entries[next - 1];

        next = e->next;
        if (e->group == group && at >= e->offset && text.len - (at - e->offset) >= e->literal.len) {
            struct str here = str_slice(text, at - e->offset, at - e->offset + e->literal.len);

            if (e->nocase ? str_eq_nocase(here, e->literal) : str_eq(here, e->literal)) {
                size_t go_on = on_literal(user, e->pattern_idx, at - e->offset);

                if (go_on > at) {
                    return go_on;
                }
            }
        }
    }
    return 0;
}

void rules_filter_scan(const struct rules_filter *f, struct str text, rules_filter_seen *on_literal,
                       void *user)
{
    for (size_t at = 0; at + 4 <= text.len; at += 2) {
        uint32_t bit = hash(load_group(text.ptr + at)) >> (32 - MAP_BITS);

        if ((f->map[bit / 64] >> (bit % 64) & 1) != 0) {
            size_t go_on = compare(f, text, at, on_literal, user);

            if (go_on > at + 2) {
                at = (go_on & ~(size_t)1) - 2; // every second position, of the whole text
            }
        }
    }
}
