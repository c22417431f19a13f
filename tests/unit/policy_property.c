/* No byte of a request reaches a sink that may not see it, whatever the settings, the request and
 * the faults.
 *
 * Each case draws settings (pools, ceilings, regions, rules), a request and a course of faults, and
 * lets a tiny gateway loop work on it: candidates in order, random failures before and after bytes
 * went out, hedged attempts, now and then a router that is wrong and tries any pool at all, or a
 * label that is raised after the decision.  What arrives at a sink is judged by `may_see`, which
 * restates docs/policy.md a third time and shares nothing with policy.c and policy_permit.c.
 * Decision and permit must also allow all that may_see allows: refusing everything is no solution.
 *
 * Mutations that were tried, one line at a time, each of which fails this test:
 *   policy.c: "f->label > p->ceiling" with >=, and left out; "rule == NULL && p->external" with ||,
 *   and left out; both tests of rule->deny left out; "f->label <= r->label_at_most" with <, and
 *   left out; the same for body_bytes_max; first_match from the last rule on; "rule->n_pools == 0
 *   && p->external", !rule_lists, !in_regions, its loop, its test for members without a region left
 *   out; the key's pools, models and ceiling left out, the ceiling with >=; models, teams, keys of
 *   a rule not looked at; policy_raise returning what was asked, and the base; n_pools not cleared
 *   on a refusal.
 *   policy_permit.c: each question left out (the decision's own list, the model's pools, both
 *   ceilings, both scopes, each condition of a rule, deny, its pools, regions of pool and members,
 *   external with and without a rule), and the last rule that applies instead of the first.
 */
#include "base/check.h"
#include "base/rng.h"
#include "gateway/policy.h"
#include "net/permit.h"
#include "support/test.h"

#include <string.h>

#define CASES 150000
#define POOLS 6
#define UPSTREAMS 8
#define RULES 4
#define ATTEMPTS 8
#define NAMES 3 // of models, teams, keys, regions: few, so that they meet

/* One case, all its memory. */
struct world {
    uint64_t key;
    uint64_t count;
    struct settings settings;
    struct settings_upstream upstreams[UPSTREAMS];
    struct settings_member members[POOLS][2];
    struct settings_pool pools[POOLS];
    uint32_t model_pools[NAMES][POOLS];
    struct settings_model models[NAMES];
    struct settings_rule rules[RULES];
    uint32_t rule_pools[RULES][POOLS];
    struct str rule_names[RULES][4][2]; // models, teams, keys, regions
    struct str scope_pools[2];
    struct str scope_models[2];
    struct policy_facts facts;
    uint64_t sunk[POOLS][4]; // bytes at each pool by the label they carried
    uint32_t n_sent;
};

static const char *const pool_names[POOLS] = {"p0", "p1", "p2", "p3", "p4", "p5"};
static const char *const model_names[NAMES + 1] = {"m0", "m1", "m2", "m3"};
static const char *const team_names[NAMES] = {"", "t1", "t2"};
static const char *const key_names[NAMES] = {"", "k1", "k2"};
static const char *const region_names[NAMES + 1] = {"", "de", "eu", "us"};

static uint32_t draw(struct world *w, uint32_t below)
{
    uint32_t words[4];

    rng_block(w->key, 0, w->count++, words);
    return words[0] % below;
}

static bool chance(struct world *w, uint32_t percent)
{
    return draw(w, 100) < percent;
}

static uint32_t draw_names(struct world *w, uint32_t percent, const char *const *names, uint32_t n,
                           struct str *ret_list)
{
    uint32_t n_drawn = chance(w, percent) ? 1 + draw(w, 2) : 0;

    for (uint32_t i = 0; i < n_drawn; i++) {
        ret_list[i] = str_from_c(names[draw(w, n)]);
    }
    return n_drawn;
}

/* A subset in random order. */
static uint32_t draw_pools(struct world *w, uint32_t *ret_pools)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < POOLS; i++) {
        if (chance(w, 60)) {
            const uint32_t at = draw(w, n + 1);

            memmove(ret_pools + at + 1, ret_pools + at, (n - at) * sizeof(*ret_pools));
            ret_pools[at] = i;
            n++;
        }
    }
    return n;
}

static void draw_rule(struct world *w, uint32_t i)
{
    struct settings_rule *r = &w->rules[i];

    *r = (struct settings_rule){
        .name = str_from_c(pool_names[i]), // any name
        .models = w->rule_names[i][0],
        .teams = w->rule_names[i][1],
        .keys = w->rule_names[i][2],
        .regions = w->rule_names[i][3],
        .pools = w->rule_pools[i],
        .has_label_at_most = chance(w, 60),
        .label_at_most = (enum label)draw(w, 4),
        .body_bytes_max = chance(w, 30) ? 1 + draw(w, 4) : 0,
        .deny = chance(w, 20),
    };
    r->n_models = draw_names(w, 25, model_names, NAMES, w->rule_names[i][0]);
    r->n_teams = draw_names(w, 25, team_names, NAMES, w->rule_names[i][1]);
    r->n_keys = draw_names(w, 25, key_names, NAMES, w->rule_names[i][2]);
    r->n_regions = draw_names(w, 25, region_names + 1, NAMES, w->rule_names[i][3]);
    r->n_pools = r->deny || chance(w, 15) ? 0 : draw_pools(w, w->rule_pools[i]);
}

static void draw_settings(struct world *w)
{
    for (uint32_t i = 0; i < UPSTREAMS; i++) {
        w->upstreams[i] = (struct settings_upstream){
            .region = str_from_c(region_names[chance(w, 50) ? 0 : draw(w, NAMES + 1)])};
    }
    for (uint32_t i = 0; i < POOLS; i++) {
        w->members[i][0] = (struct settings_member){draw(w, UPSTREAMS), 1};
        w->members[i][1] = (struct settings_member){draw(w, UPSTREAMS), 1};
        w->pools[i] = (struct settings_pool){
            .name = str_from_c(pool_names[i]),
            .members = w->members[i],
            .n_members = 1 + draw(w, 2),
            .ceiling = (enum label)draw(w, 4),
            .region = str_from_c(region_names[draw(w, NAMES + 1)]),
            .external = chance(w, 50),
        };
    }
    for (uint32_t i = 0; i < NAMES; i++) {
        w->models[i] =
            (struct settings_model){.name = str_from_c(model_names[i]), .pools = w->model_pools[i]};
        w->models[i].n_pools = draw_pools(w, w->model_pools[i]);
    }
    w->settings = (struct settings){
        .upstreams = w->upstreams,
        .n_upstreams = UPSTREAMS,
        .pools = w->pools,
        .n_pools = POOLS,
        .models = w->models,
        .n_models = NAMES,
        .rules = w->rules,
        .n_rules = draw(w, RULES + 1),
        .default_label = (enum label)draw(w, 4),
    };
    for (uint32_t i = 0; i < w->settings.n_rules; i++) {
        draw_rule(w, i);
    }
}

/* The client asks for a label; only upwards counts. */
static enum label draw_label(struct world *w)
{
    static const char *const asked[] = {"", "public", "internal", "confidential", "private"};
    const enum label base = (enum label)draw(w, 4);
    const uint32_t word = draw(w, 5);
    const enum label wanted = word == 0 ? base : (enum label)(word - 1);
    enum label l = LABEL_PUBLIC;

    EXPECT_OK(policy_raise(base, str_from_c(asked[word]), &l));
    EXPECT_EQ_INT(l, wanted > base ? wanted : base);
    return l;
}

static void draw_facts(struct world *w)
{
    w->facts = (struct policy_facts){
        .model = str_from_c(model_names[chance(w, 5) ? NAMES : draw(w, NAMES)]),
        .key_id = str_from_c(key_names[draw(w, NAMES)]),
        .team = str_from_c(team_names[draw(w, NAMES)]),
        .label = draw_label(w),
        .ceiling = chance(w, 60) ? LABEL_PRIVATE : (enum label)draw(w, 4),
        .body_bytes = 1 + draw(w, 4),
        .key_pools = w->scope_pools,
        .key_models = w->scope_models,
    };
    w->facts.n_key_pools = draw_names(w, 25, pool_names, POOLS, w->scope_pools);
    w->facts.n_key_models = draw_names(w, 25, model_names, NAMES + 1, w->scope_models);
}

/* --- the third statement of the rules --- */

static bool among(struct str word, const struct str *list, uint32_t n)
{
    return n > 0 && (str_eq(word, list[0]) || among(word, list + 1, n - 1));
}

/* First rule that applies, from here on; NULL: none. */
static const struct settings_rule *rule_for(const struct policy_facts *f,
                                            const struct settings_rule *r, uint32_t n)
{
    if (n == 0) {
        return NULL;
    }
    if ((r->n_models == 0 || among(f->model, r->models, r->n_models)) &&
        (r->n_teams == 0 || among(f->team, r->teams, r->n_teams)) &&
        (r->n_keys == 0 || among(f->key_id, r->keys, r->n_keys)) &&
        !(r->has_label_at_most && f->label > r->label_at_most) &&
        !(r->body_bytes_max != 0 && f->body_bytes > r->body_bytes_max)) {
        return r;
    }
    return rule_for(f, r + 1, n - 1);
}

static bool region_fits(const struct world *w, const struct settings_rule *r, uint32_t pool)
{
    const struct settings_pool *p = &w->pools[pool];
    bool fits = r->n_regions == 0 || among(p->region, r->regions, r->n_regions);

    for (uint32_t i = 0; r->n_regions > 0 && i < p->n_members; i++) {
        const struct str region = w->upstreams[p->members[i].upstream].region;

        fits = fits && (region.len == 0 || among(region, r->regions, r->n_regions));
    }
    return fits;
}

static bool may_see(const struct world *w, const struct policy_facts *f, uint32_t pool)
{
    const struct settings_pool *p = &w->pools[pool];
    const struct settings_rule *r = rule_for(f, w->rules, w->settings.n_rules);
    bool serves = false;
    bool named = false;

    for (uint32_t i = 0; i < NAMES; i++) {
        for (uint32_t k = 0; k < w->models[i].n_pools; k++) {
            serves =
                serves || (str_eq(f->model, w->models[i].name) && w->model_pools[i][k] == pool);
        }
    }
    if (!serves || (int)f->label > (int)p->ceiling || (int)f->label > (int)f->ceiling) {
        return false;
    }
    if ((f->n_key_pools > 0 && !among(p->name, f->key_pools, f->n_key_pools)) ||
        (f->n_key_models > 0 && !among(f->model, f->key_models, f->n_key_models))) {
        return false;
    }
    if (r == NULL) {
        return !p->external;
    }
    for (uint32_t i = 0; i < r->n_pools; i++) {
        named = named || r->pools[i] == pool;
    }
    return !r->deny && (r->n_pools == 0 ? !p->external : named) && region_fits(w, r, pool);
}

/* --- the gateway loop --- */

enum fate { FATE_REFUSED, FATE_CUT, FATE_SILENT, FATE_ANSWERED };

/* As egress does: the label of the bytes against the permit's ceiling, then they are gone. */
static void send(struct world *w, const struct policy_decision *d, uint32_t pool, enum fate fate)
{
    struct permit permit;

    if (policy_permit(&w->settings, &w->facts, d, pool, &permit) != OK ||
        w->facts.label > permit.ceiling || fate == FATE_REFUSED) {
        return;
    }
    CHECK(pool < POOLS);
    w->sunk[pool][w->facts.label] += fate == FATE_CUT ? 1 : w->facts.body_bytes;
    w->n_sent++;
}

/* What a sink saw must have been fit for it, under the label the bytes carried. */
static void judge_sinks(const struct world *w, uint64_t case_idx)
{
    for (uint32_t pool = 0; pool < POOLS; pool++) {
        for (uint32_t label = 0; label < 4; label++) {
            struct policy_facts f = w->facts;

            f.label = (enum label)label;
            if (w->sunk[pool][label] > 0 && !may_see(w, &f, pool)) {
                FAIL("case %" PRIu64 ": %" PRIu64 " bytes labelled %s at pool %s", case_idx,
                     w->sunk[pool][label], label_name(f.label), pool_names[pool]);
            }
        }
    }
}

static void run_request(struct world *w)
{
    struct policy_decision d;
    const bool wrong_router = chance(w, 10);
    enum fate fate = FATE_REFUSED;

    policy_decide(&w->settings, &w->facts, &d);
    for (uint32_t i = 0; i < ATTEMPTS && fate != FATE_ANSWERED; i++) {
        const uint32_t pool = wrong_router    ? draw(w, POOLS + 2)
                              : i < d.n_pools ? d.pools[i]
                                              : POOLS;

        if (chance(w, 3) && w->facts.label < LABEL_PRIVATE) {
            w->facts.label = (enum label)((int)w->facts.label + 1); // raised under way
        }
        fate = chance(w, 50) ? FATE_ANSWERED : (enum fate)draw(w, 3);
        send(w, &d, pool, fate);
        if (chance(w, 10)) { // hedged: a second one at the same time
            send(w, &d,
                 wrong_router    ? draw(w, POOLS)
                 : d.n_pools > 0 ? d.pools[d.n_pools - 1]
                                 : 0,
                 FATE_SILENT);
        }
        if (chance(w, 2) && d.n_pools < SETTINGS_POOLS_MAX) {
            d.verdict = POLICY_ALLOWED; // the decision itself is damaged
            d.pools[d.n_pools++] = draw(w, POOLS);
        }
    }
}

/* --- decision and permit, pool by pool --- */

static void compare(const struct world *w, uint64_t case_idx)
{
    struct policy_decision d;
    uint32_t n = 0;

    policy_decide(&w->settings, &w->facts, &d);
    for (uint32_t i = 0; d.model != NULL && i < d.model->n_pools; i++) {
        const uint32_t pool = d.model->pools[i];
        const bool want = may_see(w, &w->facts, pool);
        const bool got = n < d.n_pools && d.pools[n] == pool;

        n += got;
        if (want != got || d.why[i] == NULL) {
            FAIL("case %" PRIu64 ": the decision says %d of pool %s, not %d", case_idx, got,
                 pool_names[pool], want);
        }
    }
    EXPECT_EQ_U32(n, d.n_pools);
    EXPECT_EQ_INT(d.verdict == POLICY_ALLOWED, n > 0);
    d.verdict = POLICY_ALLOWED; // all of them, so that only the second look can say no
    for (uint32_t pool = 0; pool < POOLS; pool++) {
        struct permit permit;
        bool got;

        d.model = w->models;
        d.pools[0] = pool;
        d.n_pools = 1;
        got = policy_permit(&w->settings, &w->facts, &d, pool, &permit) == OK;
        if (got != may_see(w, &w->facts, pool)) {
            FAIL("case %" PRIu64 ": the permit says %d of pool %s", case_idx, got,
                 pool_names[pool]);
        }
        d.pools[0] = (pool + 1) % POOLS; // another was decided
        EXPECT_STATUS(policy_permit(&w->settings, &w->facts, &d, pool, &permit), E_DENIED);
    }
}

/* A record that is read back decides the same. */
static void replay(const struct world *w)
{
    struct arena *arena = arena_create(1 << 20);
    struct policy_decision d;
    struct policy_decision again;
    struct policy_record r;
    struct error err = {0};
    struct buf out;
    uint32_t n_in = 0;

    policy_decide(&w->settings, &w->facts, &d);
    buf_init(&out, POLICY_RECORD_BYTES_MAX);
    policy_write_record(&out, &w->facts, &d, &w->settings);
    EXPECT_OK(policy_read_record(buf_str(&out), arena, &r, &err));
    policy_decide(&w->settings, &r.facts, &again);
    EXPECT_EQ_INT(r.verdict, d.verdict);
    EXPECT_EQ_INT(again.verdict, d.verdict);
    EXPECT_EQ_U32(again.n_pools, d.n_pools);
    for (uint32_t i = 0; i < r.n_pools; i++) {
        n_in += r.pools[i].in;
    }
    EXPECT_EQ_U32(n_in, d.n_pools);
    EXPECT_TRUE(memcmp(again.pools, d.pools, d.n_pools * sizeof(d.pools[0])) == 0);
    EXPECT_EQ_STR(r.rule, d.rule);
    buf_done(&out);
    arena_destroy(arena);
}

TEST(no_byte_reaches_a_sink_that_may_not_see_it)
{
    static struct world w;
    uint64_t n_sent = 0;

    for (uint64_t i = 0; i < CASES; i++) {
        memset(&w, 0, sizeof(w));
        w.key = i;
        draw_settings(&w);
        draw_facts(&w);
        compare(&w, i);
        if (i % 50 == 0) {
            replay(&w);
        }
        run_request(&w);
        judge_sinks(&w, i);
        n_sent += w.n_sent;
    }
    EXPECT_TRUE(n_sent > CASES / 10); // the loop does send
}
