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
};

/* A message to the loop from another thread. */
struct gateway_message {
    enum gateway_order order;
    struct engine *engine; // ORDER_ENGINE
};

struct gateway {
    struct gateway_options options; // with defaults put in; pointers borrowed
    struct loop *loop;
    struct http_server *server;
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
    struct loop_timer drain_timer;
    uint64_t drain_end_ns; // running calls are cancelled then
    uint64_t give_up_ns;   // stopping: the loop ends then whatever runs
    struct buf scratch;    // one event or body being written
    uint64_t id_key;       // request ids: random key, counted
    uint64_t id_count;
    struct identity *identity;
    int64_t created_s; // start time, for /v1/models
    char server_name[64];
    struct gateway_meters meters;
    bool loop_ran;
    bool has_failed;     // gateway_fail was called
    struct error failed; // written before its order is sent, read after
};

/** A call has ended, or a state changed: look whether the loop may stop. */
void gateway_check_stop(struct gateway *gw);
/** 32 hex digits, unique, in `arena`; "none" without memory. */
struct str gateway_new_id(struct gateway *gw, struct arena *arena);

#endif
