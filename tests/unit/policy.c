#include "gateway/policy.h"
#include "net/permit.h"
#include "support/test.h"

#include <string.h>

/* Two pools of the house (one of them in another region) and a cloud. */
enum { HOUSE, ANNEX, CLOUD };

static const struct settings_member member_house = {.upstream = 0, .weight = 1};
static const struct settings_member member_annex = {.upstream = 1, .weight = 1};
static const struct settings_member member_cloud = {.upstream = 2, .weight = 1};
static const struct settings_upstream upstreams[] = {
    {.name = {"rack-1", 6}, .region = {"de", 2}},
    {.name = {"rack-2", 6}},
    {.name = {"cloud-1", 7}, .region = {"eu", 2}},
};
static const struct settings_pool pools[] = {
    {.name = {"house", 5},
     .members = &member_house,
     .n_members = 1,
     .ceiling = LABEL_PRIVATE,
     .region = {"de", 2}},
    {.name = {"annex", 5},
     .members = &member_annex,
     .n_members = 1,
     .ceiling = LABEL_CONFIDENTIAL,
     .region = {"at", 2}},
    {.name = {"cloud", 5},
     .members = &member_cloud,
     .n_members = 1,
     .ceiling = LABEL_INTERNAL,
     .region = {"eu", 2},
     .external = true},
};
static const uint32_t all[] = {HOUSE, ANNEX, CLOUD};
static const uint32_t only_cloud[] = {CLOUD};
static const struct settings_model models[] = {
    {.name = {"glm", 3}, .pools = all, .n_pools = 3},
    {.name = {"deepseek", 8}, .pools = only_cloud, .n_pools = 1},
};

static struct settings settings_with(const struct settings_rule *rules, uint32_t n_rules)
{
    return (struct settings){
        .upstreams = upstreams,
        .n_upstreams = 3,
        .pools = pools,
        .n_pools = 3,
        .models = models,
        .n_models = 2,
        .rules = rules,
        .n_rules = n_rules,
        .digest = 0xABCDEF,
    };
}

static struct policy_facts facts_with(const char *model, enum label label)
{
    return (struct policy_facts){.model = str_from_c(model),
                                 .label = label,
                                 .ceiling = LABEL_PRIVATE,
                                 .body_bytes = 100};
}

/* Decide; candidates as letters ("hac"), "-" for none.  Every permit must agree. */
static struct policy_decision decide(const struct settings *s, const struct policy_facts *f,
                                     enum policy_verdict verdict, const char *candidates)
{
    struct policy_decision d;
    char got[8] = "-";

    policy_decide(s, f, &d);
    for (uint32_t i = 0; i < d.n_pools; i++) {
        got[i] = pools[d.pools[i]].name.ptr[0];
        got[i + 1] = '\0';
    }
    EXPECT_EQ_C_STR(policy_verdict_name(d.verdict), policy_verdict_name(verdict));
    EXPECT_EQ_C_STR(got, candidates);
    for (uint32_t pool = 0; pool < 5; pool++) {
        const bool in = pool < 3 && strchr(candidates, pools[pool].name.ptr[0]) != NULL;
        struct permit p = {0};

        EXPECT_STATUS(policy_permit(s, f, &d, pool, &p), in ? OK : E_DENIED);
        EXPECT_EQ_INT(p.ceiling, in ? f->label : LABEL_PUBLIC);
    }
    return d;
}

TEST(without_a_rule_it_stays)
{
    struct settings s = settings_with(NULL, 0);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);
    struct policy_decision d = decide(&s, &f, POLICY_ALLOWED, "ha");

    EXPECT_EQ_STR(d.rule, STR("default: stays"));
    EXPECT_CONTAINS(d.why[CLOUD], "no rule matched");
    f.model = STR("deepseek");
    d = decide(&s, &f, POLICY_DENIED_RULE, "-");
    EXPECT_EQ_U32(d.n_pools, 0);
}

TEST(an_unknown_model_is_a_verdict)
{
    struct settings s = settings_with(NULL, 0);
    struct policy_facts f = facts_with("glm-4", LABEL_PUBLIC);
    struct policy_decision d = decide(&s, &f, POLICY_UNKNOWN_MODEL, "-");

    EXPECT_TRUE(d.model == NULL);
}

TEST(ceilings_hold_with_and_without_rules)
{
    const struct settings_rule anywhere = {.name = STR("any"), .pools = all, .n_pools = 3};
    struct settings s = settings_with(&anywhere, 1);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);

    decide(&s, &f, POLICY_ALLOWED, "hac");
    f.label = LABEL_INTERNAL;
    decide(&s, &f, POLICY_ALLOWED, "hac");
    f.label = LABEL_CONFIDENTIAL;
    decide(&s, &f, POLICY_ALLOWED, "ha");
    f.label = LABEL_PRIVATE;
    decide(&s, &f, POLICY_ALLOWED, "h");
    f.model = STR("deepseek");
    decide(&s, &f, POLICY_DENIED_LABEL, "-");
    s.n_rules = 0;
    f.model = STR("glm");
    decide(&s, &f, POLICY_ALLOWED, "h");
}

TEST(a_label_over_the_keys_ceiling_goes_nowhere)
{
    struct settings s = settings_with(NULL, 0);
    struct policy_facts f = facts_with("glm", LABEL_CONFIDENTIAL);

    f.ceiling = LABEL_INTERNAL;
    decide(&s, &f, POLICY_DENIED_CEILING, "-");
    f.ceiling = LABEL_CONFIDENTIAL;
    decide(&s, &f, POLICY_ALLOWED, "ha");
}

TEST(the_first_rule_that_matches_decides)
{
    const struct str risk = STR("risk");
    const struct settings_rule rules[] = {
        {.name = STR("risk stays out"), .teams = &risk, .n_teams = 1, .deny = true},
        {.name = STR("burst"),
         .has_label_at_most = true,
         .label_at_most = LABEL_INTERNAL,
         .body_bytes_max = 100,
         .pools = all,
         .n_pools = 3},
    };
    struct settings s = settings_with(rules, 2);
    struct policy_facts f = facts_with("glm", LABEL_INTERNAL);
    struct policy_decision d = decide(&s, &f, POLICY_ALLOWED, "hac");

    EXPECT_EQ_STR(d.rule, STR("burst"));
    f.team = risk;
    d = decide(&s, &f, POLICY_DENIED_RULE, "-");
    EXPECT_EQ_STR(d.rule, STR("risk stays out"));
    f.team = STR("desk");
    f.body_bytes = 101;
    decide(&s, &f, POLICY_ALLOWED, "ha");
    f.body_bytes = 100;
    f.label = LABEL_CONFIDENTIAL;
    d = decide(&s, &f, POLICY_ALLOWED, "ha");
    EXPECT_EQ_STR(d.rule, STR("default: stays"));
}

TEST(conditions_on_model_and_key)
{
    const struct str glm = STR("glm");
    const struct str key = STR("k_1");
    const struct settings_rule rule = {.name = STR("r"),
                                       .models = &glm,
                                       .n_models = 1,
                                       .keys = &key,
                                       .n_keys = 1,
                                       .pools = only_cloud,
                                       .n_pools = 1};
    struct settings s = settings_with(&rule, 1);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);

    decide(&s, &f, POLICY_ALLOWED, "ha");
    f.key_id = key;
    decide(&s, &f, POLICY_ALLOWED, "c");
    f.model = STR("deepseek");
    decide(&s, &f, POLICY_DENIED_RULE, "-");
}

TEST(a_rule_without_pools_opens_no_door)
{
    const struct settings_rule rule = {.name = STR("r")};
    struct settings s = settings_with(&rule, 1);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);

    decide(&s, &f, POLICY_ALLOWED, "ha");
}

TEST(regions_bind_pools_and_members)
{
    const struct str eu = STR("eu");
    const struct str de_at[] = {STR("de"), STR("at")};
    struct settings_rule rule = {.name = STR("r"),
                                 .pools = all,
                                 .n_pools = 3,
                                 .regions = &eu,
                                 .n_regions = 1};
    struct settings s = settings_with(&rule, 1);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);
    struct settings_upstream moved[3];

    decide(&s, &f, POLICY_ALLOWED, "c");
    rule.regions = de_at;
    rule.n_regions = 2;
    decide(&s, &f, POLICY_ALLOWED, "ha");
    memcpy(moved, upstreams, sizeof(moved));
    moved[0].region = STR("us"); // a member of the house that stands elsewhere
    s.upstreams = moved;
    decide(&s, &f, POLICY_ALLOWED, "a");
}

TEST(the_keys_scope_narrows)
{
    const struct settings_rule anywhere = {.name = STR("any"), .pools = all, .n_pools = 3};
    const struct str scope[] = {STR("cloud"), STR("annex")};
    const struct str other = STR("other");
    struct settings s = settings_with(&anywhere, 1);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);

    f.key_pools = scope;
    f.n_key_pools = 2;
    decide(&s, &f, POLICY_ALLOWED, "ac");
    f.key_pools = &other;
    f.n_key_pools = 1;
    decide(&s, &f, POLICY_DENIED_SCOPE, "-");
    f.n_key_pools = 0;
    f.key_models = &other;
    f.n_key_models = 1;
    decide(&s, &f, POLICY_DENIED_SCOPE, "-");
    f.label = LABEL_PRIVATE;
    f.n_key_models = 0;
    f.key_pools = scope;
    f.n_key_pools = 1;
    decide(&s, &f, POLICY_DENIED_SCOPE, "-"); // the house might see it, but not of this key
}

TEST(the_second_look_does_not_trust_the_first)
{
    struct settings s = settings_with(NULL, 0);
    struct policy_facts f = facts_with("glm", LABEL_PUBLIC);
    struct policy_decision d;
    struct permit p = {0};

    policy_decide(&s, &f, &d);
    d.pools[d.n_pools++] = CLOUD; // a mistake in the first
    EXPECT_STATUS(policy_permit(&s, &f, &d, CLOUD, &p), E_DENIED);
    f.label = LABEL_PRIVATE; // raised after the decision
    EXPECT_STATUS(policy_permit(&s, &f, &d, ANNEX, &p), E_DENIED);
    EXPECT_OK(policy_permit(&s, &f, &d, HOUSE, &p));
    f.model = STR("deepseek");
    EXPECT_STATUS(policy_permit(&s, &f, &d, HOUSE, &p), E_DENIED);
}

TEST(a_client_can_only_raise)
{
    enum label l = LABEL_PUBLIC;

    EXPECT_OK(policy_raise(LABEL_INTERNAL, STR(""), &l));
    EXPECT_EQ_INT(l, LABEL_INTERNAL);
    EXPECT_OK(policy_raise(LABEL_INTERNAL, STR("public"), &l));
    EXPECT_EQ_INT(l, LABEL_INTERNAL);
    EXPECT_OK(policy_raise(LABEL_INTERNAL, STR("private"), &l));
    EXPECT_EQ_INT(l, LABEL_PRIVATE);
    EXPECT_STATUS(policy_raise(LABEL_INTERNAL, STR("Private"), &l), E_INVALID);
    EXPECT_STATUS(policy_raise(LABEL_INTERNAL, STR("private,public"), &l), E_INVALID);
}

TEST(refusals_name_no_pool)
{
    struct settings s = settings_with(NULL, 0);
    struct policy_facts f = facts_with("deepseek", LABEL_PUBLIC);
    struct policy_decision d;
    struct chat_failure failure;

    policy_decide(&s, &f, &d);
    policy_refuse(&f, &d, &failure);
    EXPECT_EQ_INT(failure.http_status, 403);
    EXPECT_CONTAINS(failure.message, "default: stays");
    EXPECT_TRUE(str_find(str_from_c(failure.message), STR("cloud"), 0) == SIZE_MAX);
    f.model = STR("x");
    policy_decide(&s, &f, &d);
    policy_refuse(&f, &d, &failure);
    EXPECT_EQ_INT(failure.http_status, 404);
    EXPECT_EQ_C_STR(failure.code, "model_not_found");
}

TEST(a_record_reads_back)
{
    const struct str scope[] = {STR("house"), STR("q\"")};
    struct settings s = settings_with(NULL, 0);
    struct policy_facts f = facts_with("glm", LABEL_CONFIDENTIAL);
    struct arena *arena = arena_create(1 << 20);
    struct policy_decision d;
    struct policy_record r;
    struct error err = {0};
    struct buf out;

    f.key_id = STR("k_1");
    f.team = STR("risk");
    f.ceiling = LABEL_CONFIDENTIAL;
    f.key_pools = scope;
    f.n_key_pools = 2;
    f.key_models = &f.model;
    f.n_key_models = 1;
    policy_decide(&s, &f, &d);
    buf_init(&out, POLICY_RECORD_BYTES_MAX);
    policy_write_record(&out, &f, &d, &s);
    EXPECT_OK(policy_read_record(buf_str(&out), arena, &r, &err));
    EXPECT_EQ_U64(r.digest, 0xABCDEF);
    EXPECT_EQ_STR(r.facts.model, f.model);
    EXPECT_EQ_STR(r.facts.key_id, f.key_id);
    EXPECT_EQ_STR(r.facts.team, f.team);
    EXPECT_EQ_INT(r.facts.label, f.label);
    EXPECT_EQ_INT(r.facts.ceiling, f.ceiling);
    EXPECT_EQ_U64(r.facts.body_bytes, 100);
    EXPECT_EQ_U32(r.facts.n_key_pools, 2);
    EXPECT_EQ_STR(r.facts.key_pools[1], scope[1]);
    EXPECT_EQ_U32(r.facts.n_key_models, 1);
    EXPECT_EQ_INT(r.verdict, POLICY_ALLOWED);
    EXPECT_EQ_STR(r.rule, STR("default: stays"));
    EXPECT_EQ_U32(r.n_pools, 3);
    EXPECT_EQ_STR(r.pools[0].name, STR("house"));
    EXPECT_TRUE(r.pools[0].in && !r.pools[1].in && !r.pools[2].in);
    EXPECT_EQ_STR(r.pools[1].why, STR("not in the key's scope"));
    for (size_t cut = 0; cut < out.len; cut++) {
        EXPECT_TRUE(policy_read_record((struct str){out.ptr, cut}, arena, &r, &err) != OK);
        arena_reset(arena);
    }
    buf_done(&out);
    arena_destroy(arena);
}
