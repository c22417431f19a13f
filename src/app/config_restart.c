#include "app/config_restart.h"
#include "base/check.h"
#include "base/log.h"

#include <stdio.h>

/* --- listeners: the sockets and their TLS stay as they were opened --- */

typedef bool same_listener(const struct settings_listener *a, const struct settings_listener *b);

static bool same_address(const struct settings_listener *a, const struct settings_listener *b)
{
    return str_eq(a->host, b->host) && a->port == b->port;
}

static bool same_certificate(const struct settings_listener *a, const struct settings_listener *b)
{
    return str_eq(a->certificate_file, b->certificate_file);
}

static bool same_key(const struct settings_listener *a, const struct settings_listener *b)
{
    return str_eq(a->key_file, b->key_file);
}

static bool same_client_ca(const struct settings_listener *a, const struct settings_listener *b)
{
    return str_eq(a->client_ca_file, b->client_ca_file);
}

static bool same_listeners(const struct settings *a, const struct settings *b, same_listener *same)
{
    for (uint32_t i = 0; i < a->n_listeners && i < b->n_listeners; i++) {
        if (!same(&a->listeners[i], &b->listeners[i])) {
            return false;
        }
    }
    return true;
}

static bool listen_address(const struct settings *a, const struct settings *b)
{
    return a->n_listeners == b->n_listeners && same_listeners(a, b, same_address);
}

static bool listen_certificate(const struct settings *a, const struct settings *b)
{
    return same_listeners(a, b, same_certificate);
}

static bool listen_key(const struct settings *a, const struct settings *b)
{
    return same_listeners(a, b, same_key);
}

static bool listen_client_ca(const struct settings *a, const struct settings *b)
{
    return same_listeners(a, b, same_client_ca);
}

/* --- books and server --- */

static bool state_dir(const struct settings *a, const struct settings *b)
{
    return str_eq(a->state_dir, b->state_dir);
}

static bool durability(const struct settings *a, const struct settings *b)
{
    return a->power_loss == b->power_loss;
}

static bool drain_timeout(const struct settings *a, const struct settings *b)
{
    return a->drain_timeout_ms == b->drain_timeout_ms;
}

static bool inflight(const struct settings *a, const struct settings *b)
{
    return a->inflight_max == b->inflight_max;
}

static bool max_body(const struct settings *a, const struct settings *b)
{
    return a->body_bytes_max == b->body_bytes_max;
}

/* --- all of them --- */

static const struct {
    const char *name; // as in docs/config.md
    bool (*same)(const struct settings *a, const struct settings *b);
} table[] = {
    {"listen.address", listen_address},
    {"listen.certificate", listen_certificate},
    {"listen.key", listen_key},
    {"listen.client_ca", listen_client_ca},
    {"state_dir", state_dir},
    {"durability", durability},
    {"server.drain_timeout", drain_timeout},
    {"server.inflight", inflight},
    {"server.max_body", max_body},
};

_Static_assert(ARRAY_COUNT(table) == CONFIG_RESTART_SETTINGS, "one series for each");

void config_restart_declare(struct config_restart *r, struct metrics *m)
{
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        char labels[64];

        (void)snprintf(labels, sizeof(labels), "setting=\"%s\"", table[i].name);
        r->series[i] =
            metrics_series(m, METRIC_GAUGE, "kontor_config_needs_restart", labels,
                           "1 while the configuration in force says something else than what the "
                           "process started with.",
                           NULL, 0);
        metrics_set(r->series[i], 0);
    }
}

uint32_t config_restart_find(const struct settings *started, const struct settings *now)
{
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++) {
        waiting |= (uint32_t)!table[i].same(started, now) << i;
    }
    return waiting;
}

void config_restart_show(const struct config_restart *r, uint32_t waiting)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++) {
        const bool waits = (waiting >> i & 1U) != 0;

        metrics_set(r->series[i], waits ? 1 : 0);
        if (waits) {
            log_event(LOG_LEVEL_WARN, "config_needs_restart", "setting=%s", table[i].name);
        }
    }
}
