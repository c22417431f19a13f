#include "gateway/route.h"
#include "base/hash.h"

#include <math.h>

#define LOAD_BOUND 1.25 // a preferred member may carry that much of the mean
#define KV_PRESSURE 4.0 // a full KV pool counts like that many times the queue
#define HASH_SEED UINT64_C(0x6b6f6e746f72)

/* --- preference --- */

/* Weighted rendezvous: the member with the largest -weight / ln(u) wins its share by weight. */
static double rendezvous(const struct route_member *m, uint64_t hash)
{
    const uint64_t mixed = hash_u64(m->key, hash ^ HASH_SEED);
    const double u = ((double)(mixed >> 11) + 0.5) / 9007199254740992.0; // in (0, 1)

    return -(double)m->weight / log(u);
}

/* How many requests a member may carry before it loses its preference. */
static double bound(const struct route_member *members, uint32_t n, const struct route_member *m)
{
    double total = 1;
    double weights = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (members[i].usable) {
            total += members[i].outstanding;
            weights += members[i].weight;
        }
    }
    return ceil(LOAD_BOUND * total * m->weight / weights);
}

/* The best by hash that carries less than its bound; each round leaves out the ones before. */
static uint32_t pick_hashed(const struct route_member *members, uint32_t n, uint64_t hash)
{
    double below = (double)INFINITY;

    for (;;) {
        uint32_t best = ROUTE_NONE;
        double best_score = -1;

        for (uint32_t i = 0; i < n; i++) {
            const double score = members[i].usable ? rendezvous(&members[i], hash) : -1;

            if (members[i].usable && score > best_score && score < below) {
                best = i;
                best_score = score;
            }
        }
        if (best == ROUTE_NONE || members[best].outstanding < bound(members, n, &members[best])) {
            return best;
        }
        below = best_score;
    }
}

/* --- load --- */

/* What a request would find in front of it, per unit of weight. */
static double load_of(const struct route_member *m, bool with_own)
{
    double load = m->outstanding;

    if (with_own && m->load_known) {
        load = (m->waiting > load ? m->waiting : load) * (1 + KV_PRESSURE * m->kv_use);
    }
    return (load + 1) / m->weight;
}

static uint32_t pick_least(const struct route_member *members, uint32_t n, double chance)
{
    const uint32_t start = (uint32_t)(chance * n); // so that equals take turns
    uint32_t best = ROUTE_NONE;

    for (uint32_t k = 0; k < n; k++) {
        const uint32_t i = (start + k) % n;

        if (members[i].usable &&
            (best == ROUTE_NONE || load_of(&members[i], false) < load_of(&members[best], false))) {
            best = i;
        }
    }
    return best;
}

/* By weight; `except` is left out. */
static uint32_t pick_weighted(const struct route_member *members, uint32_t n, double chance,
                              uint32_t except)
{
    uint32_t last = ROUTE_NONE;
    double total = 0;
    double at;

    for (uint32_t i = 0; i < n; i++) {
        total += members[i].usable && i != except ? members[i].weight : 0;
    }
    at = chance * total;
    for (uint32_t i = 0; i < n; i++) {
        if (!members[i].usable || i == except) {
            continue;
        }
        last = i;
        at -= members[i].weight;
        if (at < 0) {
            break;
        }
    }
    return last;
}

static uint32_t pick_of_two(const struct route_member *members, uint32_t n, const double chance[2])
{
    const uint32_t a = pick_weighted(members, n, chance[0], ROUTE_NONE);
    const uint32_t b = a == ROUTE_NONE ? a : pick_weighted(members, n, chance[1], a);
    bool with_own;

    if (b == ROUTE_NONE) {
        return a;
    }
    with_own = members[a].load_known && members[b].load_known; // else it would be apples and pears
    return load_of(&members[b], with_own) < load_of(&members[a], with_own) ? b : a;
}

uint32_t route_pick(const struct route_member *members, uint32_t n_members,
                    const struct route_request *request, const char **ret_reason)
{
    if (n_members == 0) {
        return ROUTE_NONE;
    }
    if (request->affinity != 0) {
        *ret_reason = "affinity";
        return pick_hashed(members, n_members, request->affinity);
    }
    switch (request->balance) {
    case SETTINGS_WEIGHTED:
        *ret_reason = "weighted";
        return pick_weighted(members, n_members, request->chance[0], ROUTE_NONE);
    case SETTINGS_LEAST_OUTSTANDING:
        *ret_reason = "least_outstanding";
        return pick_least(members, n_members, request->chance[0]);
    case SETTINGS_POWER_OF_TWO:
        *ret_reason = "power_of_two";
        return pick_of_two(members, n_members, request->chance);
    case SETTINGS_PREFIX_HASH:
        *ret_reason = "prefix_hash";
        return request->prefix == 0 ? pick_least(members, n_members, request->chance[0])
                                    : pick_hashed(members, n_members, request->prefix);
    }
    return ROUTE_NONE;
}
