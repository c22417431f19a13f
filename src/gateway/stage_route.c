/* Stage "route": is there anybody to answer?  And the choice of each further candidate. */
#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "gateway/attempts_internal.h"
#include "gateway/gateway_internal.h"
#include "gateway/route.h"

#define NS_PER_MS UINT64_C(1000000)
#define PREFIX_BYTES_MAX 2048 // of the prompt that decide where it goes
#define LOAD_FRESH_MS 30000   // older numbers of an upstream are ignored
#define WAIT_MS_MIN 1000
#define WAIT_MS_DEFAULT 5000

static bool was_tried(const struct call *call, uint32_t upstream)
{
    return (call->attempts->tried[upstream / 64] >> (upstream % 64) & 1) != 0;
}

static bool speaks(const struct fleet_upstream *u, enum dialect dialect)
{
    return u->conf->kind != SETTINGS_LOCAL || dialect == DIALECT_CHAT ||
           dialect == DIALECT_COMPLETION;
}

/* Behind the first byte only those that can go on with what was said. */
static bool may_continue(const struct call *call, const struct fleet_upstream *u)
{
    return !call->attempts->continuing || (u->conf->continues && u->continues_proved);
}

static bool has_room(const struct fleet_upstream *u)
{
    return u->conf->parallel_max == 0 || u->outstanding < u->conf->parallel_max;
}

static struct route_member member_of(struct call *call, const struct settings_member *m,
                                     uint64_t now_ns, double chance)
{
    struct fleet *f = call->fleet;
    struct fleet_upstream *u = &f->upstreams[m->upstream];

    return (struct route_member){
        .key = hash_bytes(u->conf->name.ptr, u->conf->name.len, 0),
        .weight = m->weight == 0 ? 1 : m->weight,
        .usable = !was_tried(call, m->upstream) && may_continue(call, u) &&
                  speaks(u, call->route->dialect) && !u->down && now_ns >= u->resting_until_ns &&
                  has_room(u) && breaker_allows(&u->breaker, &f->breaker, now_ns, chance),
        .outstanding = u->outstanding,
        .load_known = u->load_ns != 0 && now_ns - u->load_ns < LOAD_FRESH_MS * NS_PER_MS,
        .waiting = u->waiting + u->running,
        .kv_use = u->kv_use,
    };
}

static double chance(struct gateway *gw)
{
    return rng_uniform(gw->id_key, 1, gw->chance_count++);
}

bool stage_route_choose(struct call *call, struct attempts_choice *ret_choice)
{
    const struct settings *s = call->fleet->settings;
    const struct policy_decision *d = call->decision;
    const uint64_t now_ns = loop_now_ns(call->gw->loop);
    struct route_member members[ROUTE_MEMBERS_MAX];
    const struct route_request request = {
        .affinity = call->attempts->affinity,
        .prefix = call->attempts->prefix,
        .chance = {chance(call->gw), chance(call->gw)},
    };

    for (uint32_t i = 0; i < d->n_pools; i++) {
        const struct settings_pool *pool = &s->pools[d->pools[i]];
        struct route_request r = request;
        uint32_t picked;

        for (uint32_t k = 0; k < pool->n_members; k++) {
            members[k] = member_of(call, &pool->members[k], now_ns, r.chance[0]);
        }
        r.balance = pool->balance;
        if (pool->affinity_header.len == 0) {
            r.affinity = 0;
        }
        picked = route_pick(members, pool->n_members, &r, &ret_choice->reason);
        if (picked != ROUTE_NONE) {
            ret_choice->server = &call->fleet->upstreams[pool->members[picked].upstream];
            ret_choice->pool = d->pools[i];
            return true;
        }
    }
    return false;
}

static uint64_t until(uint64_t then_ns, uint64_t now_ns)
{
    return then_ns > now_ns ? (then_ns - now_ns) / NS_PER_MS : 0;
}

uint64_t stage_route_wait_ms(struct call *call)
{
    const struct settings *s = call->fleet->settings;
    const struct policy_decision *d = call->decision;
    const uint64_t now_ns = loop_now_ns(call->gw->loop);
    uint64_t best = UINT64_MAX;

    for (uint32_t i = 0; i < d->n_pools; i++) {
        const struct settings_pool *pool = &s->pools[d->pools[i]];

        for (uint32_t k = 0; k < pool->n_members; k++) {
            const struct fleet_upstream *u = &call->fleet->upstreams[pool->members[k].upstream];
            uint64_t wait_ms = u->down ? u->conf->health_interval_ms : 0;

            if (u->breaker.state == BREAKER_OPEN && until(u->breaker.until_ns, now_ns) > wait_ms) {
                wait_ms = until(u->breaker.until_ns, now_ns);
            }
            if (until(u->resting_until_ns, now_ns) > wait_ms) {
                wait_ms = until(u->resting_until_ns, now_ns);
            }
            best = wait_ms < best ? wait_ms : best;
        }
    }
    if (best == UINT64_MAX) {
        return WAIT_MS_DEFAULT;
    }
    return best < WAIT_MS_MIN ? WAIT_MS_MIN : best;
}

/* A session keeps to its server, a prompt to the one that knows its beginning. */
static void note_preferences(struct call *call)
{
    const struct settings *s = call->fleet->settings;
    const struct http_head *head = http_exchange_head(call->x);
    const struct str prompt = str_slice(call->splice.prompt_source, 0, PREFIX_BYTES_MAX);

    for (uint32_t i = 0; i < call->decision->n_pools; i++) {
        const struct settings_pool *pool = &s->pools[call->decision->pools[i]];
        const struct str *value =
            pool->affinity_header.len == 0 ? NULL : http_parse_field(head, pool->affinity_header);

        if (value != NULL && value->len > 0 && call->attempts->affinity == 0) {
            call->attempts->affinity = hash_bytes(value->ptr, value->len, 0) | 1;
        }
        if (pool->balance == SETTINGS_PREFIX_HASH && prompt.len > 0) {
            call->attempts->prefix = hash_bytes(prompt.ptr, prompt.len, 0) | 1;
        }
    }
}

enum stage_verdict stage_route(struct call *call)
{
    call->attempts = arena_zalloc(call->arena, 1, sizeof(*call->attempts));
    if (call->attempts == NULL) {
        return call_unavailable(call, "server_is_overloaded", 1,
                                "The server has no memory for this request.");
    }
    note_preferences(call);
    return STAGE_NEXT;
}
