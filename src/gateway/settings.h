/* settings.h - what a gateway is told: upstreams, pools, models, policy, limits, prices.
 *
 * Plain data, immutable, built by app/ from a YAML file (or, for `kontor serve`, by hand) and
 * checked there.  A reload makes a new one; a call keeps the one it began with.  All strings live
 * in `arena`.
 */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "base/arena.h"
#include "base/label.h"
#include "base/str.h"
#include "net/tls.h"
#include "store/limits.h"
#include "store/prices.h"

#include <stdbool.h>
#include <stdint.h>

#define SETTINGS_UPSTREAMS_MAX 256
#define SETTINGS_POOLS_MAX 64
#define SETTINGS_MODELS_MAX 256
#define SETTINGS_RULES_MAX 256

enum settings_upstream_kind { SETTINGS_LOCAL, SETTINGS_OPENAI };

struct settings_pair {
    struct str from;
    struct str to;
};

/* An engine in this process (SETTINGS_LOCAL). */
struct settings_engine {
    struct str model;        // checkpoint folder, "preset:NAME" (random weights) or "builtin"
    uint32_t max_model_len;  // 0: the checkpoint's
    uint32_t max_num_seqs;   // 0: by the memory plan
    uint64_t kv_cache_bytes; // 0: by the memory plan
    uint32_t n_threads;      // 0: by affinity and quota
};

struct settings_upstream {
    struct str name;
    enum settings_upstream_kind kind;
    struct settings_engine engine; // SETTINGS_LOCAL; at most one upstream is of this kind
    struct str url; // "http://10.0.0.11:8000/v1": what stands before /chat/completions, no '/' at
                    // its end; empty: SETTINGS_LOCAL
    struct str key; // secret; sent as bearer token; empty: none.  Never printed
    struct str provider;
    struct str region;
    const struct settings_pair *models; // [n_models] name here -> name there; others unchanged
    uint32_t n_models;
    struct tls_client_options tls;
    uint32_t connect_timeout_ms;    // [2000]
    uint32_t first_byte_timeout_ms; // [25000]
    uint32_t idle_timeout_ms;       // [60000]
    uint32_t total_timeout_ms;      // [600000]
    struct str health_path;         // "/health" at the root of the server; empty: no passive look
    uint32_t health_interval_ms;    // [10000]
    bool probe;                     // active probe that generates one token
    bool continues;                 // declares continue_final_message
    struct str metrics_path;        // vLLM metrics ("/metrics") for queue and KV use; empty: none
    uint32_t parallel_max;          // requests at once; 0: no limit
};

enum settings_balance {
    SETTINGS_WEIGHTED,
    SETTINGS_LEAST_OUTSTANDING,
    SETTINGS_POWER_OF_TWO, // of queue and KV use where known, else of outstanding requests
    SETTINGS_PREFIX_HASH,  // with bounded load
};

struct settings_member {
    uint32_t upstream; // index
    uint32_t weight;   // 1..1000
};

struct settings_pool {
    struct str name;
    const struct settings_member *members; // [n_members]
    uint32_t n_members;
    enum settings_balance balance;
    struct str affinity_header; // requests with the same value prefer the same member; empty: none
    enum label ceiling;         // strictest label that this pool may see
    struct str region;
    bool external; // outside of the house: counted as such, and never chosen unless a rule matched
};

enum settings_slow { SETTINGS_SLOW_WARN, SETTINGS_SLOW_HEDGE, SETTINGS_SLOW_NEXT };

/* A model that clients may name. */
struct settings_model {
    struct str name;
    const uint32_t *pools; // [n_pools] in order of preference
    uint32_t n_pools;
    uint32_t latency_gate_ms; // first byte later than that; 0: no gate
    enum settings_slow on_slow;
};

/* The first rule whose conditions all hold decides; an empty condition holds always. */
struct settings_rule {
    struct str name;
    const struct str *models; // [n_models]
    uint32_t n_models;
    const struct str *teams; // [n_teams]
    uint32_t n_teams;
    const struct str *keys; // [n_keys] key ids
    uint32_t n_keys;
    bool has_label_at_most;
    enum label label_at_most;
    uint64_t body_bytes_max; // 0: any
    const uint32_t *pools;   // [n_pools] that may be used; none with `deny`
    uint32_t n_pools;
    const struct str *regions; // [n_regions] of pools and upstreams that may be used; none: all
    uint32_t n_regions;
    bool deny;
};

struct settings_listener {
    struct str host;
    uint16_t port;
    struct str certificate_file; // empty: plain HTTP
    struct str key_file;
    struct str client_ca_file; // clients must show a certificate signed by it; empty: not asked
};

struct settings {
    struct arena *arena; // owned
    uint32_t n_refs;     // loop-owned
    uint64_t digest;     // of the file, in records and `kontor explain`
    struct settings_listener listeners[4];
    uint32_t n_listeners;
    const struct settings_upstream *upstreams; // [n_upstreams]
    uint32_t n_upstreams;
    const struct settings_pool *pools; // [n_pools]
    uint32_t n_pools;
    const struct settings_model *models; // [n_models]
    uint32_t n_models;
    const struct settings_rule *rules; // [n_rules]
    uint32_t n_rules;
    enum label default_label; // of requests from keys without one [private]
    struct str label_header;  // by which a client may raise the label ["x-kontor-label"]
    struct prices prices;
    const struct limits_rule *limits; // [n_limits]
    uint32_t n_limits;
    /* identity */
    struct str keys_file;        // of store/keys; empty, and no auth_keys: no keys are asked for
    const struct str *auth_keys; // [n_auth_keys] literal ones, also of --auth-config; secret
    uint32_t n_auth_keys;
    struct str auth_header; // "authorization"
    struct str auth_prefix; // "Bearer"
    struct str jwt_secret;  // HS256 of our own tokens; secret; empty: none
    struct str jwks_url;
    struct str jwks_file;
    struct str jwt_issuer;
    struct str jwt_audience;
    /* books */
    struct str state_dir; // ledger, journal, keys; empty: no ledger
    bool power_loss;      // durability
    /* failover */
    uint32_t attempts_max;       // [3]
    uint32_t retry_budget_pct;   // of requests [20]
    uint32_t retry_budget_floor; // retries per second that are always allowed [10]
    /* breaker */
    uint32_t breaker_failures;    // in a row [5]
    uint32_t breaker_open_ms;     // [10000]
    uint32_t ramp_ms;             // after half-open [10000]
    uint32_t eject_share_max_pct; // of a pool [50]
    /* server */
    uint32_t request_timeout_ms; // of a whole request; 0: none
    uint32_t drain_timeout_ms;   // [25000]
    uint32_t inflight_max;       // [4096]
    uint64_t body_bytes_max;     // [32 MiB]
};

#endif
