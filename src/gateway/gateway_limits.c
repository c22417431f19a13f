/* gateway_limits.c - which limits are in force: those of the settings and those of the keys; and
 * the money that was spent before the start. */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_internal.h"

#include <stdlib.h>

#define RULES_MAX (KEYS_MAX + 4096)

static bool limits_anything(const struct limits_rule *r)
{
    return r->requests_per_minute > 0 || r->tokens_per_minute > 0 || r->parallel > 0 ||
           r->money_nano > 0;
}

/* [*ret_n] rules; the caller frees them.  NULL: no memory. */
static struct limits_rule *collect(const struct settings *s, const struct keys *keys,
                                   uint32_t *ret_n)
{
    const uint32_t n_keys = keys == NULL ? 0 : keys_count(keys);
    struct limits_rule *rules = calloc((size_t)s->n_limits + n_keys + 1, sizeof(*rules));
    uint32_t n = 0;

    for (uint32_t i = 0; rules != NULL && i < s->n_limits; i++) {
        rules[n++] = s->limits[i];
    }
    for (uint32_t i = 0; rules != NULL && i < n_keys; i++) {
        const struct keys_key *key = keys_at(keys, i);

        if (limits_anything(&key->limits)) {
            rules[n++] = key->limits;
        }
    }
    *ret_n = n;
    return rules;
}

/* What the books know of rules that are new. */
static void preload(struct gateway *gw, const struct limits_rule *rules, uint32_t n)
{
    const int64_t now_ms = kontor_clock_system.unix_ms(NULL);
    int64_t *spent = calloc((size_t)n + 1, sizeof(*spent));
    struct error err = {0};

    if (spent == NULL || ledger_spent(gw->ledger, rules, n, now_ms, spent, &err) != OK) {
        log_event(LOG_LEVEL_ERROR, "budgets_not_read", "error=\"%s\"", err.text);
        free(spent);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (rules[i].money_nano > 0 && spent[i] > 0) {
            limits_preload(gw->limits, rules[i].subject, rules[i].period, spent[i], now_ms);
        }
    }
    free(spent);
}

enum status gateway_limits_refresh(struct gateway *gw, bool at_start)
{
    const struct keys *keys = identity_keys(gw->fleet->identity);
    struct limits_rule *rules;
    uint32_t n;
    enum status rc;

    rules = collect(gw->fleet->settings, keys, &n);
    if (rules == NULL) {
        return E_NO_MEMORY;
    }
    rc = limits_configure(gw->limits, rules, n);
    if (rc == OK) {
        gw->has_limits = n > 0;
        gw->limits_keys = keys_serial(keys);
        if (at_start && gw->ledger != NULL && n > 0) {
            preload(gw, rules, n);
        }
    }
    free(rules);
    return rc;
}

void gateway_limits_look(struct gateway *gw)
{
    if (keys_serial(identity_keys(gw->fleet->identity)) != gw->limits_keys &&
        gateway_limits_refresh(gw, false) != OK) {
        log_event(LOG_LEVEL_ERROR, "limits_kept", "reason=\"no memory for those of the new keys\"");
    }
}
