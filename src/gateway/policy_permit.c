/* The second look, before each attempt.
 *
 * Written against docs/policy.md and not against policy.c, and shares no function with it: a
 * mistake there must not be a mistake here.  It asks the other way round: find a reason against
 * this one pool; none found, and only then, the permit is made.
 */
#include "gateway/policy.h"
#include "net/permit.h"

#include <string.h>

static bool same(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* In how many places of the list the word stands. */
static uint32_t places(const struct str *list, uint32_t n, struct str word)
{
    uint32_t k = 0;

    while (n-- > 0) {
        k += same(list[n], word);
    }
    return k;
}

/* A list that is there and does not hold the word. */
static bool excludes(const struct str *list, uint32_t n, struct str word)
{
    return n != 0 && places(list, n, word) == 0;
}

static bool decided(const struct policy_decision *d, uint32_t pool)
{
    bool found = false;

    if (d->verdict != POLICY_ALLOWED || d->model == NULL || d->n_pools > SETTINGS_POOLS_MAX) {
        return false;
    }
    for (uint32_t i = d->n_pools; i-- > 0;) {
        found = found || d->pools[i] == pool;
    }
    return found;
}

/* Some model of that name lists the pool. */
static bool serves(const struct settings *s, struct str model, uint32_t pool)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n_models; i++) {
        for (uint32_t k = 0; k < s->models[i].n_pools; k++) {
            n += s->models[i].pools[k] == pool && same(s->models[i].name, model);
        }
    }
    return n != 0;
}

/* From the last rule to the first: what remains is the first that applies. */
static const struct settings_rule *applying(const struct settings *s, const struct policy_facts *f)
{
    const struct settings_rule *hit = NULL;

    for (uint32_t i = s->n_rules; i-- > 0;) {
        const struct settings_rule *r = &s->rules[i];
        bool out = excludes(r->models, r->n_models, f->model);

        out |= excludes(r->teams, r->n_teams, f->team);
        out |= excludes(r->keys, r->n_keys, f->key_id);
        out |= r->has_label_at_most && r->label_at_most < f->label;
        out |= r->body_bytes_max > 0 && r->body_bytes_max < f->body_bytes;
        hit = out ? hit : r;
    }
    return hit;
}

static bool elsewhere(const struct settings *s, const struct settings_pool *p,
                      const struct settings_rule *r)
{
    uint32_t n_out = places(r->regions, r->n_regions, p->region) == 0;

    for (uint32_t i = 0; i < p->n_members; i++) {
        const struct settings_upstream *u = &s->upstreams[p->members[i].upstream];

        n_out += u->region.len != 0 && places(r->regions, r->n_regions, u->region) == 0;
    }
    return r->n_regions != 0 && n_out != 0;
}

static bool rule_excludes(const struct settings *s, const struct settings_rule *r, uint32_t pool)
{
    uint32_t n_named = 0;

    for (uint32_t i = 0; i < r->n_pools; i++) {
        n_named += r->pools[i] == pool;
    }
    return r->deny || (r->n_pools != 0 ? n_named == 0 : s->pools[pool].external) ||
           elsewhere(s, &s->pools[pool], r);
}

enum status policy_permit(const struct settings *settings, const struct policy_facts *facts,
                          const struct policy_decision *decision, uint32_t pool,
                          struct permit *ret_permit)
{
    const struct settings_rule *rule;
    const struct settings_pool *p;

    if (pool >= settings->n_pools || !decided(decision, pool) ||
        !serves(settings, facts->model, pool)) {
        return E_DENIED;
    }
    p = &settings->pools[pool];
    rule = applying(settings, facts);
    if (p->ceiling < facts->label || facts->ceiling < facts->label) {
        return E_DENIED;
    }
    if (rule == NULL ? p->external : rule_excludes(settings, rule, pool)) {
        return E_DENIED;
    }
    if (excludes(facts->key_pools, facts->n_key_pools, p->name) ||
        excludes(facts->key_models, facts->n_key_models, facts->model)) {
        return E_DENIED;
    }
    *ret_permit = (struct permit){.ceiling = facts->label, .purpose = "request"};
    return OK;
}

void policy_permit_probe(struct permit *ret_permit)
{
    *ret_permit = (struct permit){.ceiling = LABEL_PUBLIC, .purpose = "probe"};
}

const struct permit *policy_permit_key_set(void)
{
    static const struct permit permit = {.ceiling = LABEL_PUBLIC, .purpose = "key set"};

    return &permit;
}
