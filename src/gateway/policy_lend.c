/* Permits with a place to live: the rest of the gateway may hold one, but not make one. */
#include "gateway/policy.h"
#include "net/permit.h"

enum status policy_lend(const struct settings *settings, const struct policy_facts *facts,
                        const struct policy_decision *decision, uint32_t pool, struct arena *arena,
                        const struct permit **ret_permit)
{
    struct permit *permit = arena_alloc(arena, sizeof(*permit));
    enum status rc;

    if (permit == NULL) {
        return E_NO_MEMORY;
    }
    rc = policy_permit(settings, facts, decision, pool, permit);
    if (rc == OK) {
        *ret_permit = permit;
    }
    return rc;
}

static bool has_member(const struct settings *s, const struct settings_pool *pool,
                       const struct settings_upstream *upstream)
{
    for (uint32_t i = 0; i < pool->n_members; i++) {
        const struct settings_upstream *u = &s->upstreams[pool->members[i].upstream];

        if (str_eq(u->name, upstream->name) && str_eq(u->url, upstream->url)) {
            return true;
        }
    }
    return false;
}

bool policy_lend_still(const struct settings *now, const struct policy_facts *facts,
                       const struct settings_pool *pool, const struct settings_upstream *upstream,
                       struct arena *arena)
{
    struct policy_decision *d = arena_alloc(arena, sizeof(*d));

    if (d == NULL) {
        return false;
    }
    policy_decide(now, facts, d);
    for (uint32_t i = 0; d->verdict == POLICY_ALLOWED && i < d->n_pools; i++) {
        const struct settings_pool *p = &now->pools[d->pools[i]];

        if (str_eq(p->name, pool->name) && has_member(now, p, upstream)) {
            return true;
        }
    }
    return false;
}

const struct permit *policy_lend_probe(struct arena *arena)
{
    struct permit *permit = arena_alloc(arena, sizeof(*permit));

    if (permit != NULL) {
        policy_permit_probe(permit);
    }
    return permit;
}
