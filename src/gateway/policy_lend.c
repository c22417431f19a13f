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

const struct permit *policy_lend_probe(struct arena *arena)
{
    struct permit *permit = arena_alloc(arena, sizeof(*permit));

    if (permit != NULL) {
        policy_permit_probe(permit);
    }
    return permit;
}
