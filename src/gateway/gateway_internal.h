/* gateway_internal.h - the running gateway, its metrics and its worker.
 *
 * Loop-owned, but for the two mailboxes, by which other threads reach the loop.
 */
#ifndef GATEWAY_GATEWAY_INTERNAL_H
#define GATEWAY_GATEWAY_INTERNAL_H

#include "base/buf.h"
#include "base/mailbox.h"
#include "gateway/call_internal.h"
#include "gateway/gateway.h"
#include "gateway/policy.h"
#include "store/ledger.h"
#include "store/limits.h"

#include <pthread.h>

struct worker;

/* --- worker: long work off the loop --- */

struct worker_job {
    void (*work)(void *user); // on the worker's thread
    void (*done)(void *user); // in the loop, afterwards
    void *user;
};

/** Start the thread.  Errors: NO_MEMORY, IO. */
MUST_USE enum status worker_create(struct loop *loop, struct worker **ret_worker,
                                   struct error *err);
/** Waits for the running job; `done` of all jobs is called. */
void worker_destroy(struct worker *w);
/** Errors: LIMIT (queue full). */
MUST_USE enum status worker_post(struct worker *w, const struct worker_job *job);

/* --- metrics --- */

/* Counters of one route: by status class. */
struct route_meter {
    struct metric_series *requests[6]; // [status / 100], 1..5
    struct metric_series *duration;
};

struct gateway_meters {
    struct metric_series *first_text;          // kontor_first_text_seconds
    struct metric_series *causes[CAUSE_COUNT]; // kontor_requests_total
    struct metric_series *connections;
    struct metric_series *verdicts[POLICY_VERDICT_COUNT]; // kontor_policy_denials_total
    struct metric_series *limited[5];                     // kontor_limited_total by limits_kind
    struct metric_series *retries;
    struct metric_series *retries_refused;
    struct metric_series *cancel; // kontor_upstream_cancel_seconds
    struct metric_series *before_upstream;
    struct metric_series *tokens_in; // gen_ai_client_token_usage
    struct metric_series *tokens_out;
    struct metric_series *log_dropped;
    struct metric_series *ledger_open;
    struct metric_series *ledger_queued;
    struct metric_series *ledger_lag;
    struct metric_series *ledger_failing;
    struct route_meter routes[ROUTES_MAX];
    struct route_meter no_route;
};

/** Declare all of them, at start. */
void gateway_meters_create(struct gateway *gw);
/** Bring gauges up to date before rendering. */
void gateway_meters_refresh(struct gateway *gw);

/* --- gateway --- */

enum gateway_state { GATEWAY_LOADING, GATEWAY_READY, GATEWAY_DRAINING };

enum gateway_order {
    GATEWAY_ORDER_ENGINE,
    GATEWAY_ORDER_FAIL,
    GATEWAY_ORDER_STOP,
    GATEWAY_ORDER_STOP_NOW,
    GATEWAY_ORDER_RELOAD,
};

#define GATEWAY_SERVERS_MAX 4 // listeners

/* New settings, and what became of them: written by the loop under gateway.reload_lock. */
struct gateway_wish {
    struct settings *settings;
    struct error *err;
    enum status rc;
    bool done;
};

/* A message to the loop from another thread. */
struct gateway_message {
    enum gateway_order order;
    struct engine *engine;     // ORDER_ENGINE
    struct gateway_wish *wish; // ORDER_RELOAD
};

struct gateway {
    struct gateway_options options; // with defaults put in; pointers borrowed
    struct arena *arena;            // owned: texts of listeners and folders
    struct loop *loop;
    struct http_server *servers[GATEWAY_SERVERS_MAX];   // [n_servers]
    struct tls_server *server_tls[GATEWAY_SERVERS_MAX]; // of settings; NULL: plain
    uint32_t n_servers;
    struct http_client *client;
    struct settings *serve_settings; // owned: of `kontor serve`; NULL for gateways
    struct fleet *fleet;             // in force
    struct ledger *ledger;           // NULL: no books
    struct limits *limits;
    bool has_limits;                       // there is at least one rule
    uint64_t limits_keys;                  // keys_serial of the set whose limits are in force
    uint64_t limits_serial;                // counts changes of the rules
    bool limits_awaited;                   // budgets whose spent money is not known
    bool limits_reading;                   // the worker asks the books for it
    uint64_t limits_retry_ns;              // not asked again before
    struct limits_waiting *limits_waiting; // calls, until it has
    struct breaker_budget retry_budget;
    uint64_t chance_count;
    struct buf access; // lines of the access log that wait for the end of the batch
    struct loop_deferred access_flush;
    struct loop_timer access_timer;
    struct worker *worker;
    struct engine *engine; // borrowed, NULL while loading
    enum gateway_state state;
    bool stopping; // the second signal came, or the drain limit passed
    uint32_t n_calls;
    struct call *calls;
    struct mailbox *orders; // gateway_message, from any thread
    struct mailbox *news;   // local streams with events, from the engine thread
    struct loop_watch orders_watch;
    struct loop_watch news_watch;
    struct loop_watch term_watch;
    struct loop_watch int_watch;
    pthread_mutex_t reload_lock;
    pthread_cond_t reload_done;
    bool closed; // under reload_lock: the loop has ended
    struct loop_timer drain_timer;
    uint64_t drain_end_ns; // running calls are cancelled then
    uint64_t give_up_ns;   // stopping: the loop ends then whatever runs
    struct buf scratch;    // one event or body being written
    uint64_t id_key;       // request ids: random key, counted
    uint64_t id_count;
    int64_t created_s; // start time, for /v1/models
    char server_name[64];
    struct gateway_meters meters;
    bool loop_ran;
    bool has_failed;     // gateway_fail was called
    struct error failed; // written before its order is sent, read after
};

/* --- access log --- */

/** Before the first line. */
void access_log_start(struct gateway *gw);
/** Write what is left, as far as it is taken, and free. */
void access_log_stop(struct gateway *gw);
/** The line of a finished call; leaves at the end of the batch. */
void access_log_line(struct call *call);

/* --- settings and limits --- */

/** The settings of `kontor serve`; arena_destroy(settings->arena) frees them.  Errors:
 * NO_MEMORY. */
MUST_USE enum status serve_settings_create(const struct gateway_options *options,
                                           struct settings **ret_settings);
/** Put the limits of settings and keys in force.  Budgets begin with what the ledger knows as
 * spent;
 *  at_start it is read at once, later by the worker.  Errors: NO_MEMORY. */
MUST_USE enum status gateway_limits_refresh(struct gateway *gw, bool at_start);
/** Cheap: refresh when the key file changed. */
void gateway_limits_look(struct gateway *gw);
/** The call names a budget whose spent money is not known: may it wait?  stage_reserve_resume is
 *  called then, when the books have answered or failed to. */
bool gateway_limits_wait(struct gateway *gw, struct call *call, struct ledger_reservation *r);
/** That wait is over; the call goes on with its reservation. */
void stage_reserve_resume(struct call *call, struct ledger_reservation *r);

/** A call has ended, or a state changed: look whether the loop may stop. */
void gateway_check_stop(struct gateway *gw);
/** 32 hex digits, unique, later ones larger by the millisecond; "none" without memory. */
struct str gateway_new_id(struct gateway *gw, struct arena *arena);

#endif
