/* The first look: which pools may see this request, and why not the others. */
#include "gateway/policy.h"
#include "base/check.h"
#include "net/permit.h"

/* Why a pool is out, in the order in which the questions are asked.  The last one that any pool
 * reached is the verdict when none is left. */
enum hurdle {
    HURDLE_LABEL,
    HURDLE_RULE,
    HURDLE_SCOPE,
    HURDLE_NONE, // in
};

static bool names(const struct str *list, uint32_t n, struct str word)
{
    for (uint32_t i = 0; i < n; i++) {
        if (str_eq(list[i], word)) {
            return true;
        }
    }
    return false;
}

/* An empty list sets no condition. */
static bool holds(const struct str *list, uint32_t n, struct str word)
{
    return n == 0 || names(list, n, word);
}

static bool matches(const struct settings_rule *r, const struct policy_facts *f)
{
    return holds(r->models, r->n_models, f->model) && holds(r->teams, r->n_teams, f->team) &&
           holds(r->keys, r->n_keys, f->key_id) &&
           (!r->has_label_at_most || f->label <= r->label_at_most) &&
           (r->body_bytes_max == 0 || f->body_bytes <= r->body_bytes_max);
}

static const struct settings_rule *first_match(const struct settings *s,
                                               const struct policy_facts *f)
{
    for (uint32_t i = 0; i < s->n_rules; i++) {
        if (matches(&s->rules[i], f)) {
            return &s->rules[i];
        }
    }
    return NULL;
}

static const struct settings_model *find_model(const struct settings *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_models; i++) {
        if (str_eq(s->models[i].name, name)) {
            return &s->models[i];
        }
    }
    return NULL;
}

static bool rule_lists(const struct settings_rule *r, uint32_t pool)
{
    for (uint32_t i = 0; i < r->n_pools; i++) {
        if (r->pools[i] == pool) {
            return true;
        }
    }
    return false;
}

/* The pool and every member that states a region of its own.  A pool without a region is nowhere
 * that a rule could allow. */
static bool in_regions(const struct settings *s, const struct settings_pool *p,
                       const struct settings_rule *r)
{
    if (!names(r->regions, r->n_regions, p->region)) {
        return false;
    }
    for (uint32_t i = 0; i < p->n_members; i++) {
        const struct str region = s->upstreams[p->members[i].upstream].region;

        if (region.len > 0 && !names(r->regions, r->n_regions, region)) {
            return false;
        }
    }
    return true;
}

/* How far one pool comes, and in words. */
static enum hurdle judge(const struct settings *s, const struct policy_facts *f,
                         const struct settings_rule *rule, uint32_t pool, const char **ret_why)
{
    const struct settings_pool *p = &s->pools[pool];

    if (f->label > p->ceiling) {
        *ret_why = "the label is over the pool's ceiling";
        return HURDLE_LABEL;
    }
    if (rule == NULL && p->external) {
        *ret_why = "external, and no rule matched";
        return HURDLE_RULE;
    }
    if (rule != NULL && rule->deny) {
        *ret_why = "the rule denies";
        return HURDLE_RULE;
    }
    if (rule != NULL && rule->n_pools == 0 && p->external) {
        *ret_why = "external, and the rule names no pools";
        return HURDLE_RULE;
    }
    if (rule != NULL && rule->n_pools > 0 && !rule_lists(rule, pool)) {
        *ret_why = "not among the rule's pools";
        return HURDLE_RULE;
    }
    if (rule != NULL && rule->n_regions > 0 && !in_regions(s, p, rule)) {
        *ret_why = "outside of the rule's regions";
        return HURDLE_RULE;
    }
    if (!holds(f->key_pools, f->n_key_pools, p->name)) {
        *ret_why = "not in the key's scope";
        return HURDLE_SCOPE;
    }
    *ret_why = rule == NULL ? "not external, and no rule matched" : "the rule allows it";
    return HURDLE_NONE;
}

static enum policy_verdict judge_pools(const struct settings *s, const struct policy_facts *f,
                                       const struct settings_rule *rule, struct policy_decision *d)
{
    static const enum policy_verdict verdicts[] = {
        [HURDLE_LABEL] = POLICY_DENIED_LABEL,
        [HURDLE_RULE] = POLICY_DENIED_RULE,
        [HURDLE_SCOPE] = POLICY_DENIED_SCOPE,
        [HURDLE_NONE] = POLICY_ALLOWED,
    };
    enum hurdle best = HURDLE_LABEL;

    for (uint32_t i = 0; i < d->model->n_pools; i++) {
        const uint32_t pool = d->model->pools[i];
        enum hurdle h = judge(s, f, rule, pool, &d->why[i]);

        if (h == HURDLE_NONE) {
            d->pools[d->n_pools++] = pool;
        }
        best = h > best ? h : best;
    }
    return verdicts[best];
}

void policy_decide(const struct settings *settings, const struct policy_facts *facts,
                   struct policy_decision *ret_decision)
{
    struct policy_decision *d = ret_decision;
    const struct settings_rule *rule = first_match(settings, facts);

    *d = (struct policy_decision){.rule = STR(POLICY_DEFAULT_RULE)};
    if (rule != NULL) {
        d->rule = rule->name;
    }
    d->model = find_model(settings, facts->model);
    if (d->model == NULL) {
        d->verdict = POLICY_UNKNOWN_MODEL;
        return;
    }
    CHECK(d->model->n_pools <= SETTINGS_POOLS_MAX);
    d->verdict = judge_pools(settings, facts, rule, d);
    if (rule != NULL && rule->deny) {
        d->verdict = POLICY_DENIED_RULE;
    }
    if (!holds(facts->key_models, facts->n_key_models, facts->model)) {
        d->verdict = POLICY_DENIED_SCOPE;
    }
    if (facts->label > facts->ceiling) {
        d->verdict = POLICY_DENIED_CEILING;
    }
    if (d->verdict != POLICY_ALLOWED) {
        d->n_pools = 0;
    }
}

enum status policy_raise(enum label base, struct str asked, enum label *ret_label)
{
    enum label l = base;

    if (asked.len > 0) {
        enum status rc = label_parse(asked, &l);

        if (rc != OK) {
            return rc;
        }
    }
    *ret_label = l > base ? l : base;
    return OK;
}

const char *policy_verdict_name(enum policy_verdict verdict)
{
    static const char *const verdict_names[] = {
        [POLICY_ALLOWED] = "allowed",           [POLICY_DENIED_RULE] = "denied_rule",
        [POLICY_DENIED_LABEL] = "denied_label", [POLICY_DENIED_CEILING] = "denied_ceiling",
        [POLICY_DENIED_SCOPE] = "denied_scope", [POLICY_UNKNOWN_MODEL] = "unknown_model",
    };

    CHECK((size_t)verdict < ARRAY_COUNT(verdict_names));
    return verdict_names[verdict];
}

void policy_refuse(const struct policy_facts *facts, const struct policy_decision *decision,
                   struct chat_failure *ret_failure)
{
    static const char *const type = "invalid_request_error";
    struct chat_failure *f = ret_failure;
    const char *label = label_name(facts->label);
    struct str model = str_slice(facts->model, 0, 200);

    switch (decision->verdict) {
    case POLICY_ALLOWED:
        CHECK(!"an allowed request is refused");
        break;
    case POLICY_UNKNOWN_MODEL:
        chat_failure_set(f, 404, type, "model_not_found", "model",
                         "The model `%.*s` does not exist or you do not have access to it.",
                         STR_ARG(model));
        break;
    case POLICY_DENIED_CEILING:
        chat_failure_set(f, 403, type, "label_denied", NULL,
                         "This key may send requests up to the label \"%s\"; this one is \"%s\". "
                         "Use a key with a higher ceiling, or do not raise the label.",
                         label_name(facts->ceiling), label);
        break;
    case POLICY_DENIED_LABEL:
        chat_failure_set(f, 403, type, "label_denied", NULL,
                         "Nothing that serves the model `%.*s` may see a request labelled \"%s\". "
                         "Ask for another model, or have the label of the key looked at.",
                         STR_ARG(model), label);
        break;
    case POLICY_DENIED_SCOPE:
        chat_failure_set(f, 403, type, "scope_denied", "model",
                         "This key's scope does not include the model `%.*s` or what serves it. "
                         "Ask for a key whose scope does.",
                         STR_ARG(model));
        break;
    case POLICY_DENIED_RULE:
        chat_failure_set(
            f, 403, type, "policy_denied", NULL,
            "The rule \"%.*s\" does not let this request (label \"%s\") go to anything "
            "that serves the model `%.*s`.",
            STR_ARG(str_slice(decision->rule, 0, 200)), label, STR_ARG(model));
        break;
    }
}
