/* fleet_internal.h - what one configuration came to: its upstreams with their connections, health,
 * breakers and load.
 *
 * A reload makes a new fleet; calls keep the one they began with, which goes when the last of them
 * has ended.  What is known about an upstream (breaker, load) moves on to the one of the same name
 * and address.  Loop-owned.
 */
#ifndef GATEWAY_FLEET_INTERNAL_H
#define GATEWAY_FLEET_INTERNAL_H

#include "base/metrics.h"
#include "gateway/breaker.h"
#include "gateway/policy.h"
#include "gateway/settings.h"
#include "net/http_client.h"
#include "net/loop.h"

struct fleet;
struct gateway;
struct health;
struct identity;

/* Counters of one upstream. */
struct fleet_meters {
    struct metric_series *answered;
    struct metric_series *failed;
    struct metric_series *slow; // latency gate
    struct metric_series *outstanding;
    struct metric_series *breaker;
    struct metric_series *healthy;
    struct metric_series *first_byte;
};

struct fleet_upstream {
    struct fleet *fleet; // borrowed
    const struct settings_upstream *conf;
    uint32_t idx;
    struct http_origin *origin; // owned; NULL: the engine in this process
    struct tls_client *tls;     // owned; NULL: plain, or the default
    struct str authorization;   // "Bearer ..." ; secret; empty: none
    char *authorization_text;   // owned
    struct breaker breaker;
    uint64_t resting_until_ns; // it asked for that by Retry-After
    uint32_t outstanding;      // attempts under way
    /* active health */
    struct health *health; // owned; NULL: not looked at
    bool down;             // the last looks say so
    bool continues_proved; // the probe found that it continues a message
    bool proved;           // a probe was answered with a token once
    /* of its own metrics */
    uint64_t load_ns; // when they were read; 0: never
    double running;
    double waiting;
    double kv_use;      // 0..1
    double utilization; // percent; negative: not known
    struct fleet_meters meters;
};

struct fleet {
    struct gateway *gw;              // borrowed
    const struct settings *settings; // borrowed unless owns_settings
    bool owns_settings;
    uint32_t n_refs;
    struct fleet *next;               // list of the gateway
    struct fleet_upstream *upstreams; // [settings->n_upstreams]
    struct identity *identity;
    struct breaker_options breaker;
    bool has_local;
    bool has_remote;
    char day[11]; // "2026-11-25", of prices
    int64_t day_s;
};

/**
 * Make a fleet of `settings`; `before` (or NULL) is the one in force, whose knowledge moves on.
 * Takes the settings when owns_settings, on OK.  One reference.
 * Errors: INVALID (URL, TLS files, keys), NO_MEMORY, IO.
 */
MUST_USE enum status fleet_create(struct gateway *gw, const struct settings *settings,
                                  bool owns_settings, struct fleet *before,
                                  struct fleet **ret_fleet, struct error *err);
struct fleet *fleet_ref(struct fleet *f);
void fleet_unref(struct fleet *f);
/** Stop looking at the upstreams: a newer fleet does. */
void fleet_retire(struct fleet *f);
/** True when all upstreams of model `name` that answer are in this process. */
bool fleet_serves_locally(const struct fleet *f, struct str name);
/** Name of `model` at that upstream. */
struct str fleet_model_there(const struct fleet_upstream *u, struct str model);
/** Today, UTC, "YYYY-MM-DD"; valid until the next call. */
struct str fleet_day(struct fleet *f, int64_t unix_s);

/** Would opening this breaker leave too little?  True when it may open: in none of its pools more
 *  than the allowed share (and always one) is open. */
bool fleet_may_eject(struct fleet_upstream *u);
/** An attempt ended: tells breaker and metrics. */
void fleet_note_success(struct fleet_upstream *u);
void fleet_note_failure(struct fleet_upstream *u, const char *why);

/* --- health.c --- */

/** Begin to look at `u` as its settings say.  NULL: nothing to look at, or no memory. */
struct health *health_start(struct fleet_upstream *u);
void health_stop(struct health *h);

#endif
