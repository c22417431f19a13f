/* Forgetting `external: true` is the unsafe slip: such a pool may see private requests and needs no
 * rule.  What a name resolves to is not asked: the check must not depend on a network. */
#include "app/config_external.h"
#include "base/check.h"
#include "net/egress.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESS_TEXT_MAX 64

/* --- hosts --- */

static bool is_inside_ipv4(const uint8_t a[4])
{
    return a[0] == 10 || a[0] == 127 || a[0] == 0 || (a[0] == 172 && (a[1] & 0xf0U) == 16) ||
           (a[0] == 192 && a[1] == 168) || (a[0] == 169 && a[1] == 254) ||
           (a[0] == 100 && (a[1] & 0xc0U) == 64);
}

static bool is_inside_ipv6(const uint8_t a[16])
{
    static const uint8_t zeros[15];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(a, mapped, sizeof(mapped)) == 0) {
        return is_inside_ipv4(a + 12);
    }
    return (a[0] & 0xfeU) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0U) == 0x80) ||
           (memcmp(a, zeros, sizeof(zeros)) == 0 && a[15] <= 1);
}

/* True when `host` is an address. */
static bool read_address(struct str host, bool *ret_inside)
{
    char text[ADDRESS_TEXT_MAX];
    uint8_t bytes[16];

    host = str_slice(host, 0, str_find_byte(host, '%', 0)); // without the zone
    if (host.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, bytes) == 1) {
        *ret_inside = is_inside_ipv4(bytes);
        return true;
    }
    if (inet_pton(AF_INET6, text, bytes) == 1) {
        *ret_inside = is_inside_ipv6(bytes);
        return true;
    }
    return false;
}

static bool is_under(struct str host, struct str domain)
{
    const size_t n = host.len - domain.len;

    return host.len > domain.len && host.ptr[n - 1] == '.' &&
           str_eq_nocase(str_slice(host, n, host.len), domain);
}

static bool is_inside_name(struct str host)
{
    static const char *const domains[] = {
        "local", "localhost", "internal", "intranet", "private", "corp", "lan", "home.arpa", "home",
    };

    if (str_find_byte(host, '.', 0) == SIZE_MAX) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(domains); i++) {
        if (is_under(host, str_from_c(domains[i]))) {
            return true;
        }
    }
    return false;
}

bool config_external_looks_public(struct str host)
{
    bool inside;

    if (host.len > 0 && host.ptr[host.len - 1] == '.') {
        host.len--; // the root
    }
    if (read_address(host, &inside)) {
        return !inside;
    }
    return host.len > 0 && !is_inside_name(host);
}

/* --- pools --- */

/* The member's upstream, or NULL when the list could not be read. */
static const struct settings_upstream *upstream_of(const struct settings *s,
                                                   const struct settings_member *m)
{
    return m->upstream < s->n_upstreams ? &s->upstreams[m->upstream] : NULL;
}

static struct yaml_mark members_mark(const struct yaml_node *item)
{
    const struct yaml_node *members = yaml_get(item, STR("members"));

    return members != NULL ? members->mark : item->mark;
}

static void check_hosts(struct config_reader *r, const struct settings *s,
                        const struct settings_pool *p, const struct yaml_node *item)
{
    for (uint32_t m = 0; m < p->n_members; m++) {
        const struct settings_upstream *u = upstream_of(s, &p->members[m]);
        struct egress_url url;
        struct error err;

        if (u != NULL && u->url.len > 0 && egress_parse_url(u->url, &url, &err) == OK &&
            config_external_looks_public(url.host)) {
            config_report_warn(r->report, members_mark(item),
                               "pool %.*s does not say whether it is external, and its member "
                               "%.*s is at %.*s: unless external is true, requests up to the "
                               "pool's ceiling go there without a rule; write external: true, or "
                               "external: false where that is meant",
                               STR_ARG(p->name), STR_ARG(u->name), STR_ARG(url.host));
            return;
        }
    }
}

/* --- one server in pools of both kinds --- */

/* The first pool before `end` of the other kind that has `u`, or a server at the same URL. */
static const struct settings_pool *find_other(const struct settings *s, uint32_t end,
                                              const struct settings_upstream *u,
                                              const struct settings_upstream **ret_there)
{
    for (uint32_t p = 0; p < end; p++) {
        const struct settings_pool *pool = &s->pools[p];

        for (uint32_t m = 0; pool->external != s->pools[end].external && m < pool->n_members; m++) {
            const struct settings_upstream *there = upstream_of(s, &pool->members[m]);

            if (there != NULL &&
                (there == u || (u->url.len > 0 && str_eq_nocase(there->url, u->url)))) {
                *ret_there = there;
                return pool;
            }
        }
    }
    return NULL;
}

static void check_kinds(struct config_reader *r, const struct settings *s, uint32_t idx,
                        const struct yaml_node *item)
{
    static const char *const words[] = {"not external", "external"};
    const struct settings_pool *p = &s->pools[idx];

    for (uint32_t m = 0; m < p->n_members; m++) {
        const struct settings_upstream *u = upstream_of(s, &p->members[m]);
        const struct settings_upstream *there = NULL;
        const struct settings_pool *other = u == NULL ? NULL : find_other(s, idx, u, &there);

        if (other == NULL) {
            continue;
        }
        if (there == u) {
            config_report_error(r->report, members_mark(item),
                                "upstream %.*s is in pool %.*s, which is %s, and in pool %.*s, "
                                "which is %s: a server is either outside of the house or not",
                                STR_ARG(u->name), STR_ARG(other->name), words[other->external],
                                STR_ARG(p->name), words[p->external]);
        } else {
            config_report_warn(r->report, members_mark(item),
                               "upstream %.*s has the url of %.*s, but pool %.*s is %s and pool "
                               "%.*s is %s: the same server stands on both sides",
                               STR_ARG(u->name), STR_ARG(there->name), STR_ARG(p->name),
                               words[p->external], STR_ARG(other->name), words[other->external]);
        }
    }
}

void config_external_check(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(yaml_get(r->root, STR("pools")), 0);

    for (uint32_t i = 0; i < s->n_pools; i++, item = item->next) {
        if (item->kind != YAML_MAP) {
            continue; // reported
        }
        if (yaml_get(item, STR("external")) == NULL) {
            check_hosts(r, s, &s->pools[i], item);
        }
        check_kinds(r, s, i, item);
    }
}
