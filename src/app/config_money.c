#include "app/config_money.h"

/* --- prices that are missing --- */

static bool has_price(const struct settings *s, struct str provider)
{
    for (uint32_t i = 0; i < s->prices.n_rows; i++) {
        if (str_eq(s->prices.rows[i].provider, provider)) {
            return true;
        }
    }
    return false;
}

static bool counts_money(const struct settings *s)
{
    for (uint32_t i = 0; i < s->n_limits; i++) {
        if (s->limits[i].money_nano > 0) {
            return true;
        }
    }
    return s->prices.n_rows > 0;
}

static struct yaml_mark name_place(const struct yaml_node *item)
{
    const struct yaml_node *name = yaml_get(item, STR("name"));

    return name != NULL ? name->mark : item->mark;
}

/* Where money is counted, an upstream without a price makes holes in it. */
static void check_upstreams(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(yaml_get(r->root, STR("upstreams")), 0);

    for (uint32_t i = 0; i < s->n_upstreams; i++, item = item->next) {
        const struct settings_upstream *u = &s->upstreams[i];

        if (u->name.len > 0 && !has_price(s, u->provider)) {
            config_report_warn(r->report, name_place(item),
                               "no price of provider %.*s is known: requests to upstream %.*s "
                               "count as free",
                               STR_ARG(u->provider), STR_ARG(u->name));
        }
    }
}

static struct str name_there(const struct settings_upstream *u, struct str model)
{
    for (uint32_t i = 0; i < u->n_models; i++) {
        if (str_eq(u->models[i].from, model)) {
            return u->models[i].to;
        }
    }
    return model;
}

/* The rows that may price the model there: its own, without one those of "*". */
static bool is_named(const struct settings *s, struct str provider, struct str there)
{
    for (uint32_t i = 0; i < s->prices.n_rows; i++) {
        const struct prices_row *row = &s->prices.rows[i];

        if (str_eq(row->provider, provider) && str_eq(row->model, there)) {
            return true;
        }
    }
    return false;
}

static bool is_priced(const struct settings *s, const struct settings_upstream *u, struct str model)
{
    return is_named(s, u->provider, name_there(u, model)) || is_named(s, u->provider, STR("*"));
}

static void check_model(struct config_reader *r, const struct settings *s,
                        const struct settings_model *m, const struct yaml_node *item)
{
    struct str said = {NULL, 0}; // of several members of one provider the first is named

    for (uint32_t p = 0; p < m->n_pools; p++) {
        const struct settings_pool *pool = &s->pools[m->pools[p]];

        for (uint32_t k = 0; k < pool->n_members; k++) {
            const struct settings_upstream *u = &s->upstreams[pool->members[k].upstream];
            const struct str there = name_there(u, m->name);

            if (is_priced(s, u, m->name) || !has_price(s, u->provider) ||
                str_eq(said, u->provider)) {
                continue;
            }
            said = u->provider;
            config_report_warn(r->report, name_place(item),
                               "no price of model %.*s at provider %.*s is known: requests for "
                               "%.*s to upstream %.*s count as free",
                               CONFIG_READ_SHOW(there), STR_ARG(u->provider),
                               CONFIG_READ_SHOW(m->name), STR_ARG(u->name));
        }
    }
}

static void check_models(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(yaml_get(r->root, STR("models")), 0);

    for (uint32_t i = 0; i < s->n_models; i++, item = item->next) {
        check_model(r, s, &s->models[i], item);
    }
}

/* --- budgets over several currencies --- */

/* Two rows that price the same subject in different currencies; `other` NULL: there are none. */
struct mix {
    const struct prices_row *one;
    const struct prices_row *other;
};

static void mix_rows(const struct settings *s, const struct settings_upstream *u, struct str model,
                     struct mix *mix)
{
    const struct str there = name_there(u, model);
    const struct str wanted = is_named(s, u->provider, there) ? there : STR("*");

    for (uint32_t i = 0; i < s->prices.n_rows && mix->other == NULL; i++) {
        const struct prices_row *row = &s->prices.rows[i];

        if (!str_eq(row->provider, u->provider) || !str_eq(row->model, wanted)) {
            continue;
        }
        if (mix->one == NULL) {
            mix->one = row;
        } else if (!str_eq(mix->one->currency, row->currency)) {
            mix->other = row;
        }
    }
}

/* Of all that may be charged to the subject: keys and teams may use every model. */
static struct mix find_mix(const struct settings *s, struct str subject)
{
    const struct str name = str_slice(subject, str_find_byte(subject, ':', 0) + 1, SIZE_MAX);
    const bool one_model = str_starts(subject, STR("model:"));
    const bool one_provider = str_starts(subject, STR("provider:"));
    struct mix mix = {NULL, NULL};

    for (uint32_t i = 0; i < s->n_models; i++) {
        const struct settings_model *m = &s->models[i];

        for (uint32_t p = 0; p < m->n_pools && (!one_model || str_eq(m->name, name)); p++) {
            const struct settings_pool *pool = &s->pools[m->pools[p]];

            for (uint32_t k = 0; k < pool->n_members; k++) {
                const struct settings_upstream *u = &s->upstreams[pool->members[k].upstream];

                if (!one_provider || str_eq(u->provider, name)) {
                    mix_rows(s, u, m->name, &mix);
                }
            }
        }
    }
    return mix;
}

/* Without books a budget is forgotten with the process. */
static void check_books(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(yaml_get(r->root, STR("limits")), 0);

    for (uint32_t i = 0; i < s->n_limits && s->state_dir.len == 0; i++, item = item->next) {
        const struct yaml_node *money = yaml_get(item, STR("money"));

        if (s->limits[i].money_nano > 0 && money != NULL) {
            config_report_warn(r->report, money->key_mark,
                               "money: without state_dir there is no ledger: the budget of %.*s "
                               "begins at zero with every start",
                               CONFIG_READ_SHOW(s->limits[i].subject));
        }
    }
}

static void check_budgets(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(yaml_get(r->root, STR("limits")), 0);
    const struct yaml_node *prices = yaml_get(r->root, STR("prices"));
    struct mix mix;

    for (uint32_t i = 0; i < s->n_limits; i++, item = item->next) {
        const struct yaml_node *money = yaml_get(item, STR("money"));

        mix = find_mix(s, s->limits[i].subject);
        if (s->limits[i].money_nano > 0 && mix.other != NULL && money != NULL) {
            config_report_error(r->report, money->mark,
                                "money: a budget counts one currency, but of what %.*s may use, "
                                "provider %.*s is priced in %.*s and %.*s in %.*s; write all "
                                "prices in one",
                                CONFIG_READ_SHOW(s->limits[i].subject), STR_ARG(mix.one->provider),
                                STR_ARG(mix.one->currency), STR_ARG(mix.other->provider),
                                STR_ARG(mix.other->currency));
        }
    }
    mix = find_mix(s, STR("key:"));
    if (s->keys_file.len > 0 && mix.other != NULL && prices != NULL) {
        config_report_warn(r->report, prices->key_mark,
                           "prices are in %.*s and %.*s: a budget of a key adds them up as if "
                           "they were one currency",
                           STR_ARG(mix.one->currency), STR_ARG(mix.other->currency));
    }
}

void config_money_check(struct config_reader *r, const struct settings *s)
{
    if (r->report->n_errors > 0 || !counts_money(s)) {
        return; // what is wrong already may be why something is missing
    }
    check_upstreams(r, s);
    check_models(r, s);
    check_books(r, s);
    check_budgets(r, s);
}
