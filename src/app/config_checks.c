#include "app/config_checks.h"
#include "app/config_external.h"
#include "app/config_money.h"
#include "app/config_scalar.h"
#include "base/check.h"
#include "net/egress.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Value of a key in a section of the file; NULL-safe. */
static const struct yaml_node *value_of(const struct yaml_node *map, const char *key)
{
    return yaml_get(map, str_from_c(key));
}

/* Where to point: at the key's value, else at the item. */
static struct yaml_mark place(const struct yaml_node *item, const char *key)
{
    const struct yaml_node *value = value_of(item, key);

    if (value != NULL) {
        return value->mark;
    }
    return item != NULL ? item->mark : (struct yaml_mark){0, 0};
}

static struct yaml_mark key_place(const struct yaml_node *item, const char *key)
{
    const struct yaml_node *value = value_of(item, key);

    return value != NULL ? value->key_mark : place(item, key);
}

static bool is_loopback(struct str host)
{
    return str_starts(host, STR("127.")) || str_eq(host, STR("::1")) ||
           str_eq(host, STR("localhost"));
}

static void check_readable(struct config_reader *r, const struct yaml_node *item, const char *key,
                           const char *path)
{
    if (path != NULL && path[0] != '\0' && !r->without_secrets && access(path, R_OK) != 0) {
        config_report_error(r->report, place(item, key), "%s: cannot read %s: %s", key, path,
                            strerror(errno));
    }
}

static void check_listeners(struct config_reader *r, struct settings *s)
{
    const struct yaml_node *list = value_of(r->root, "listen");

    if (s->n_listeners == 0) {
        s->listeners[0] =
            (struct settings_listener){.host = STR(CONFIG_CHECKS_HOST), .port = CONFIG_CHECKS_PORT};
        s->n_listeners = 1;
        return;
    }
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        const struct settings_listener *l = &s->listeners[i];
        const struct yaml_node *item = config_read_item(list, i);
        bool has_certificate = l->certificate_file.len > 0;

        check_readable(r, item, "certificate", l->certificate_file.ptr);
        check_readable(r, item, "key", l->key_file.ptr);
        check_readable(r, item, "client_ca", l->client_ca_file.ptr);
        if (l->client_ca_file.len > 0 && !has_certificate) {
            config_report_error(r->report, key_place(item, "client_ca"),
                                "client_ca needs TLS: name certificate and key");
        }
        if (has_certificate != (l->key_file.len > 0)) {
            config_report_error(r->report, key_place(item, has_certificate ? "certificate" : "key"),
                                "certificate and key belong together; %s is missing",
                                has_certificate ? "key" : "certificate");
        } else if (!has_certificate && l->host.len > 0 && !is_loopback(l->host)) {
            config_report_warn(r->report, place(item, "address"),
                               "other machines reach this address without TLS; add certificate "
                               "and key, or listen on 127.0.0.1 behind a TLS proxy");
        }
    }
}

static void check_auth(struct config_reader *r, struct settings *s)
{
    const struct yaml_node *auth = value_of(r->root, "auth");
    const struct yaml_node *keys = value_of(auth, "keys");
    bool wanted = keys != NULL && keys->kind == YAML_SCALAR && str_eq(keys->text, STR("true"));
    bool asked = wanted || s->keys_file.len > 0 || s->n_auth_keys > 0 || s->jwt_secret.len > 0 ||
                 s->jwks_url.len > 0 || s->jwks_file.len > 0;

    check_readable(r, value_of(auth, "jwt"), "jwks_file", s->jwks_file.ptr);
    if (wanted && s->keys_file.len == 0 && s->state_dir.len == 0) {
        config_report_error(r->report, keys->mark,
                            "keys: they are kept in state_dir, which is not set; set it, or "
                            "keys_file");
    } else if (wanted && s->keys_file.len == 0) {
        struct config_reader in_state = *r;

        in_state.folder = s->state_dir;
        s->keys_file = config_scalar_path(&in_state, STR("keys.json"));
    }
    if (s->jwks_url.len > 0 && s->jwks_file.len > 0) {
        config_report_error(r->report, key_place(value_of(auth, "jwt"), "jwks_file"),
                            "jwks_file beside jwks_url: leave one out");
    }
    for (uint32_t i = 0; i < s->n_listeners && !asked; i++) {
        if (s->listeners[i].host.len > 0 && !is_loopback(s->listeners[i].host)) {
            config_report_warn(r->report,
                               place(config_read_item(value_of(r->root, "listen"), i), "address"),
                               "everybody who reaches this address may send requests; ask for keys "
                               "(auth: {keys: true})");
        }
    }
}

/* Keys that belong to the other kind. */
static void check_kind(struct config_reader *r, enum settings_upstream_kind kind,
                       const struct yaml_node *item)
{
    const struct config_group *group = config_schema_find(&config_schema, STR("upstreams"))->group;
    const char *own = kind == SETTINGS_LOCAL ? "local" : "openai";

    for (uint32_t i = 0; i < group->n_keys; i++) {
        const struct config_key *key = &group->keys[i];

        if (key->only != NULL && strcmp(key->only, own) != 0 && value_of(item, key->name) != NULL) {
            config_report_error(r->report, key_place(item, key->name),
                                "%s is for kind: %s; this upstream is of kind: %s", key->name,
                                key->only, own);
        }
    }
}

static bool is_folder(struct str model)
{
    return !str_eq(model, STR("builtin")) && !str_starts(model, STR("preset:"));
}

static void check_local(struct config_reader *r, const struct settings_upstream *u,
                        const struct yaml_node *item)
{
    if (value_of(item, "model") == NULL) {
        config_report_error(r->report, place(item, "kind"),
                            "a local upstream needs \"model\": a checkpoint folder, preset:NAME or "
                            "builtin");
    } else if (is_folder(u->engine.model)) {
        check_readable(r, item, "model", u->engine.model.ptr);
    }
}

static void check_tls(struct config_reader *r, const struct settings_upstream *u,
                      const struct yaml_node *item)
{
    const struct yaml_node *tls = value_of(item, "tls");

    check_readable(r, tls, "ca", u->tls.ca_file);
    check_readable(r, tls, "certificate", u->tls.certificate_file);
    check_readable(r, tls, "key", u->tls.key_file);
    if (u->tls.certificate_file == NULL && u->tls.key_file != NULL) {
        config_report_error(r->report, key_place(tls, "key"), "key without certificate");
    }
    if (u->tls.insecure) {
        config_report_warn(r->report, place(tls, "insecure"),
                           "insecure: any server may pretend to be this upstream and read its "
                           "requests; name its authority in ca instead");
    }
}

static void check_remote(struct config_reader *r, const struct settings_upstream *u,
                         const struct yaml_node *item)
{
    struct egress_url url;
    struct error err;

    if (value_of(item, "url") == NULL) {
        config_report_error(r->report, item->mark,
                            "an upstream needs \"url\" (or kind: local with \"model\")");
    }
    if (u->url.len == 0 || egress_parse_url(u->url, &url, &err) != OK) {
        return;
    }
    check_tls(r, u, item);
    if (!url.tls && value_of(item, "tls") != NULL) {
        config_report_warn(r->report, key_place(item, "tls"),
                           "tls has no effect: the url begins with http://");
    }
    if (!url.tls && u->key.len > 0 && !is_loopback(url.host)) {
        config_report_warn(r->report, place(item, "url"),
                           "the key travels unencrypted: the url begins with http://");
    }
}

static bool is_member(const struct settings *s, uint32_t upstream)
{
    for (uint32_t p = 0; p < s->n_pools; p++) {
        for (uint32_t m = 0; m < s->pools[p].n_members; m++) {
            if (s->pools[p].members[m].upstream == upstream) {
                return true;
            }
        }
    }
    return false;
}

static void check_upstreams(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(value_of(r->root, "upstreams"), 0);
    uint32_t n_local = 0;

    for (uint32_t i = 0; i < s->n_upstreams; i++, item = item->next) {
        const struct settings_upstream *u = &s->upstreams[i];

        if (item->kind != YAML_MAP) {
            continue; // reported
        }
        check_kind(r, u->kind, item);
        if (u->kind == SETTINGS_LOCAL) {
            check_local(r, u, item);
            if (++n_local == 2) {
                config_report_error(r->report, place(item, "kind"),
                                    "a second local upstream; one process runs one engine");
            }
        } else {
            check_remote(r, u, item);
        }
        if (r->report->n_errors == 0 && !is_member(s, i)) {
            config_report_warn(r->report, place(item, "name"),
                               "upstream %.*s is in no pool: nothing is sent to it",
                               STR_ARG(u->name));
        }
    }
}

static bool is_used(const struct settings *s, uint32_t pool)
{
    for (uint32_t m = 0; m < s->n_models; m++) {
        for (uint32_t i = 0; i < s->models[m].n_pools; i++) {
            if (s->models[m].pools[i] == pool) {
                return true;
            }
        }
    }
    return false;
}

static void check_regions(struct config_reader *r, const struct settings *s,
                          const struct settings_pool *p, const struct yaml_node *item)
{
    for (uint32_t m = 0; m < p->n_members; m++) {
        const struct settings_upstream *u;

        if (p->members[m].upstream >= s->n_upstreams) {
            continue; // the list could not be read; reported
        }
        u = &s->upstreams[p->members[m].upstream];
        if (p->region.len > 0 && u->region.len > 0 && !str_eq(p->region, u->region)) {
            config_report_warn(r->report, place(item, "region"),
                               "region: pool %.*s says %.*s, but its member %.*s is in %.*s",
                               STR_ARG(p->name), STR_ARG(p->region), STR_ARG(u->name),
                               STR_ARG(u->region));
        }
    }
}

/* The default of a ceiling depends on another key, so it is filled in here. */
static void check_pools(struct config_reader *r, const struct settings *s,
                        struct settings_pool *pools)
{
    const struct yaml_node *item = config_read_item(value_of(r->root, "pools"), 0);

    for (uint32_t i = 0; i < s->n_pools; i++, item = item->next) {
        struct settings_pool *p = &pools[i];

        if (item->kind != YAML_MAP) {
            continue;
        }
        if (value_of(item, "ceiling") == NULL) {
            p->ceiling = p->external ? LABEL_PUBLIC : LABEL_PRIVATE;
        } else if (p->external && p->ceiling == LABEL_PRIVATE) {
            config_report_warn(r->report, place(item, "ceiling"),
                               "ceiling: pool %.*s is external and may see private requests",
                               STR_ARG(p->name));
        }
        check_regions(r, s, p, item);
        if (r->report->n_errors == 0 && !is_used(s, i)) {
            config_report_warn(r->report, place(item, "name"),
                               "pool %.*s is named by no model: nothing is sent to it",
                               STR_ARG(p->name));
        }
    }
}

static bool is_allowed(const struct settings *s, uint32_t pool)
{
    for (uint32_t i = 0; i < s->n_rules; i++) {
        for (uint32_t k = 0; k < s->rules[i].n_pools; k++) {
            if (s->rules[i].pools[k] == pool) {
                return true;
            }
        }
    }
    return false;
}

/* Every pool of the model is external and no rule opens one. */
static bool is_unreachable(const struct settings *s, const struct settings_model *m)
{
    for (uint32_t i = 0; i < m->n_pools; i++) {
        if (m->pools[i] >= s->n_pools || !s->pools[m->pools[i]].external ||
            is_allowed(s, m->pools[i])) {
            return false;
        }
    }
    return m->n_pools > 0;
}

static void check_models(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(value_of(r->root, "models"), 0);

    for (uint32_t i = 0; i < s->n_models; i++, item = item->next) {
        const struct settings_model *m = &s->models[i];

        if (is_unreachable(s, m)) {
            config_report_warn(r->report, place(item, "pools"),
                               "all pools of model %.*s are external and no rule allows one: its "
                               "requests are refused",
                               STR_ARG(m->name));
        }
        if (m->on_slow != SETTINGS_SLOW_WARN && m->latency_gate_ms == 0) {
            config_report_warn(r->report, place(item, "on_slow"),
                               "on_slow has no effect without latency_gate");
        }
    }
}

static bool is_catch_all(const struct settings_rule *rule)
{
    return rule->n_models == 0 && rule->n_teams == 0 && rule->n_keys == 0 &&
           !rule->has_label_at_most && rule->body_bytes_max == 0;
}

static void check_rule_models(struct config_reader *r, const struct settings *s,
                              const struct yaml_node *item)
{
    const struct yaml_node *models = value_of(value_of(item, "when"), "models");

    if (models == NULL || models->kind != YAML_LIST) {
        return;
    }
    for (const struct yaml_node *m = models->first; m != NULL; m = m->next) {
        struct config_near near = config_report_near(m->text);
        bool known = m->kind != YAML_SCALAR;

        for (uint32_t i = 0; i < s->n_models && !known; i++) {
            known = str_eq(s->models[i].name, m->text);
            config_report_offer(&near, s->models[i].name);
        }
        if (known) {
            continue;
        }
        if (config_report_found(&near)) {
            config_report_error(r->report, m->mark,
                                "models: there is no model \"%.*s\"; did you mean \"%.*s\"?",
                                CONFIG_READ_SHOW(m->text), CONFIG_READ_SHOW(near.best));
        } else {
            config_report_error(r->report, m->mark,
                                "models: there is no model \"%.*s\" under models",
                                CONFIG_READ_SHOW(m->text));
        }
    }
}

static bool has_region(const struct settings *s, struct str region)
{
    for (uint32_t i = 0; i < s->n_pools; i++) {
        if (str_eq(s->pools[i].region, region)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < s->n_upstreams; i++) {
        if (str_eq(s->upstreams[i].region, region)) {
            return true;
        }
    }
    return false;
}

/* A mistyped region silently allows nothing. */
static void check_rule_regions(struct config_reader *r, const struct settings *s,
                               const struct yaml_node *item)
{
    const struct yaml_node *regions = value_of(item, "regions");

    if (regions == NULL || regions->kind != YAML_LIST) {
        return;
    }
    for (const struct yaml_node *n = regions->first; n != NULL; n = n->next) {
        if (n->kind == YAML_SCALAR && !has_region(s, n->text)) {
            config_report_warn(r->report, n->mark,
                               "regions: no pool or upstream is in %.*s: the rule allows nothing "
                               "there",
                               CONFIG_READ_SHOW(n->text));
        }
    }
}

static void check_rules(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item =
        config_read_item(value_of(value_of(r->root, "policy"), "rules"), 0);
    const struct settings_rule *catch_all = NULL;

    for (uint32_t i = 0; i < s->n_rules; i++, item = item->next) {
        const struct settings_rule *rule = &s->rules[i];
        bool allows = value_of(item, "allow") != NULL;

        if (item->kind != YAML_MAP) {
            continue;
        }
        if (rule->deny && allows) {
            config_report_error(r->report, key_place(item, "deny"),
                                "deny beside allow: leave one out");
        } else if (!rule->deny && !allows) {
            config_report_error(r->report, item->mark,
                                "a rule needs \"allow\" (a list of pools) or deny: true");
        }
        check_rule_models(r, s, item);
        check_rule_regions(r, s, item);
        if (catch_all != NULL) {
            config_report_warn(r->report, item->mark,
                               "this rule is never reached: rule %.*s before it matches everything",
                               STR_ARG(catch_all->name));
        } else if (is_catch_all(rule)) {
            catch_all = rule;
        }
    }
}

static bool limits_nothing(const struct limits_rule *l)
{
    return l->requests_per_minute == 0 && l->tokens_per_minute == 0 && l->parallel == 0 &&
           l->money_nano == 0;
}

static bool names_provider(const struct settings *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_upstreams; i++) {
        if (str_eq(s->upstreams[i].provider, name)) {
            return true;
        }
    }
    return false;
}

static bool names_model(const struct settings *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_models; i++) {
        if (str_eq(s->models[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void check_limits(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(value_of(r->root, "limits"), 0);

    for (uint32_t i = 0; i < s->n_limits; i++, item = item->next) {
        const struct limits_rule *l = &s->limits[i];
        struct str name = str_slice(l->subject, str_find_byte(l->subject, ':', 0) + 1, SIZE_MAX);

        if (item->kind != YAML_MAP || l->subject.len == 0) {
            continue;
        }
        if (limits_nothing(l)) {
            config_report_warn(r->report, item->mark, "this limit limits nothing");
        }
        if ((str_starts(l->subject, STR("provider:")) && !names_provider(s, name)) ||
            (str_starts(l->subject, STR("model:")) && !names_model(s, name))) {
            config_report_warn(r->report, place(item, "subject"),
                               "subject: nothing here is called %.*s: the limit has no effect",
                               CONFIG_READ_SHOW(l->subject));
        }
    }
}

static bool same_price(const struct prices_row *a, const struct prices_row *b)
{
    return a->provider.len > 0 && str_eq(a->provider, b->provider) && str_eq(a->model, b->model) &&
           str_eq(a->valid_from, b->valid_from);
}

static void check_prices(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(value_of(r->root, "prices"), 0);

    for (uint32_t i = 0; i < s->prices.n_rows; i++, item = item->next) {
        const struct prices_row *row = &s->prices.rows[i];

        for (uint32_t k = 0; k < i; k++) {
            if (same_price(row, &s->prices.rows[k])) {
                config_report_error(r->report, item->mark,
                                    "a second price of %.*s, model %.*s, from %.*s",
                                    STR_ARG(row->provider), CONFIG_READ_SHOW(row->model),
                                    STR_ARG(row->valid_from));
                break;
            }
        }
        if (row->provider.len > 0 && !names_provider(s, row->provider)) {
            config_report_warn(r->report, place(item, "provider"),
                               "provider: no upstream has the provider %.*s",
                               STR_ARG(row->provider));
        }
    }
}

/* Presets before own rows: of equal dates the later row counts. */
static void fill_prices(struct config_reader *r, struct settings *s)
{
    const struct yaml_node *wanted = value_of(r->root, "price_presets");
    const struct prices *presets = prices_presets();
    uint32_t n_own = s->prices.n_rows;
    struct prices_row *rows;

    if (wanted != NULL && wanted->kind == YAML_SCALAR && str_eq(wanted->text, STR("true"))) {
        rows = arena_zalloc(r->arena, (size_t)presets->n_rows + n_own, sizeof(*rows));
        if (rows == NULL) {
            config_report_error(r->report, wanted->mark, "price_presets: no memory");
            return;
        }
        memcpy(rows, presets->rows, presets->n_rows * sizeof(*rows));
        if (n_own > 0) {
            memcpy(rows + presets->n_rows, s->prices.rows, n_own * sizeof(*rows));
        }
        s->prices.rows = rows;
        s->prices.n_rows += presets->n_rows;
    }
    s->prices.version = prices_version(s->prices.rows, s->prices.n_rows);
}

void config_checks_run(struct config_reader *r, struct settings *s)
{
    struct settings_pool *pools = arena_zalloc(r->arena, s->n_pools, sizeof(*pools));

    check_listeners(r, s);
    check_auth(r, s);
    check_upstreams(r, s);
    if (pools != NULL && s->n_pools > 0) {
        memcpy(pools, s->pools, s->n_pools * sizeof(*pools));
        s->pools = pools;
        check_pools(r, s, pools);
        config_external_check(r, s);
    }
    check_models(r, s);
    check_rules(r, s);
    check_limits(r, s);
    check_prices(r, s);
    fill_prices(r, s);
    config_money_check(r, s);
}
