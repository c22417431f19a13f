/* gateway_internal.h - gateway, call, stage, sink and route as the files of
 * this folder see them.
 *
 * A call is one request on its way: it goes down the stages of its pipeline
 * (pipeline.c), and if it reaches an upstream, events come up its chain of
 * sinks.  Everything here is loop-owned unless a field says otherwise; a call
 * lives in the arena of its exchange, which it holds.
 */
#ifndef GATEWAY_GATEWAY_INTERNAL_H
#define GATEWAY_GATEWAY_INTERNAL_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/mailbox.h"
#include "chat/chat_json.h"
#include "gateway/gateway.h"
#include "net/http_server.h"
#include "net/loop.h"

#define CALL_ID_BYTES_MAX 128 // of a request id that a client may choose
#define ROUTES_MAX 32

struct call;
struct sink;
struct worker;

/* --- stages: order is data
 * ---------------------------------------------------------------------- */

enum stage_verdict {
    STAGE_NEXT, // go on
    STAGE_STOP, // this call is over (call_refuse, or answered): only stages that
                // always run follow
    STAGE_WAIT, // pipeline_resume will be called
};

struct stage {
    const char *name;
    enum stage_verdict (*run)(struct call *call);
    bool always; // also for calls that are over: exactly once on every path
};

struct pipeline {
    const struct stage *stages;
    uint32_t n_stages;
};

/* --- routes
 * ---------------------------------------------------------------------------------------
 */

struct route {
    const char *method;
    const char *path;
    bool rest;    // matches any path that begins so and has more; the rest is the
                  // call's `argument`
    bool guarded; // asks for a key when keys are configured
    const struct pipeline *pipeline;
    enum stage_verdict (*answer)(struct call *call); // for stage "answer"
};

/* --- sinks: tokens come up a chain
 * ---------------------------------------------------------------- */

struct sink_ops {
    const char *name;
    /**
   * Take one event.  START first, DONE or ERROR last.  Pass it on to s->next
   * where there is one. Returns OK, AGAIN (taken, but wait for room before the
   * next), CLOSED (nobody listens any more).
   */
    enum status (*push)(struct sink *s, const struct chat_event *event);
    void (*close)(struct sink *s); // free what the arena does not; may be NULL
};

struct sink {
    const struct sink_ops *ops;
    struct sink *next;
    struct call *call;
};

/* --- upstreams
 * ------------------------------------------------------------------------------------
 */

/* What answers a call.  One today, the local engine; remote servers will be
 * another. */
struct upstream_ops {
    const char *name;
    /** Begin.  OK: events will come and pipeline_resume is called after the last
   * one.  Otherwise nothing follows and call->failure is set. */
    enum status (*start)(struct call *call);
    void (*cancel)(struct call *call); // idempotent; the last event still comes
    void (*room)(struct call *call);   // the connection can take more
    struct str (*token_text)(struct call *call, int32_t id);
};

/* --- call
 * -----------------------------------------------------------------------------------------
 */

/* Why a call ended, for the access log. */
enum cause {
    CAUSE_DONE,
    CAUSE_REFUSED,     // by us: 4xx
    CAUSE_UNAVAILABLE, // 503: loading, full, draining
    CAUSE_FAILED,      // upstream error
    CAUSE_CLIENT_GONE,
    CAUSE_CLIENT_SLOW, // took its stream so slowly that the queue ran full
    CAUSE_TIMEOUT,
    CAUSE_STOPPED, // we were told to stop at once
};

struct call {
    struct gateway *gw;
    struct http_exchange *x; // held
    struct arena *arena;     // borrowed: x
    const struct route *route;
    struct str argument; // rest of the path
    struct str allowed;  // methods of a path that was asked with another
    struct call *prev;   // list of the gateway
    struct call *next;
    uint32_t stage_idx;
    bool over;
    enum cause cause;
    struct str request_id;              // of the x-request-id field; visible ASCII
    const struct chat_failure *failure; // in the arena; what reply tells the client
    uint32_t retry_after_s;             // with 429 and 503
    struct chat_json_request request;
    struct chat_json_frame frame;
    const struct upstream_ops *upstream; // NULL before the stage chose
    void *upstream_state;                // in the arena
    struct sink *sink;                   // first of the chain
    struct loop_timer deadline;
    /* what the meter saw */
    uint64_t first_ns; // first text; 0: none
    uint64_t last_ns;  // latest text
    struct chat_usage usage;
    bool has_finish;
    enum chat_finish finish;
};

/** A new call for an exchange; holds it.  NULL without memory (the exchange is
 * answered then). */
struct call *call_create(struct gateway *gw, struct http_exchange *x);
/** After the last stage. */
void call_destroy(struct call *call);
/** Remember a failure for the reply; returns STAGE_STOP, so that `return
 * call_refuse(...)` reads well. */
enum stage_verdict call_refuse(struct call *call, int http_status, const char *code,
                               const char *param, const char *fmt, ...) PRINTF_LIKE(5, 6);
enum stage_verdict call_refuse_with(struct call *call, const struct chat_failure *failure);
/** 503 with Retry-After. */
enum stage_verdict call_unavailable(struct call *call, const char *code, uint32_t retry_after_s,
                                    const char *text);
/** Answer with the common fields (request id, CORS). */
void call_reply(struct call *call, int http_status, const char *content_type, struct str body);
/** As call_reply, with further fields. */
void call_reply_fields(struct call *call, int http_status, const char *content_type,
                       const struct http_field *fields, uint32_t n_fields, struct str body);
/** Head of a streamed answer with the common fields. */
void call_begin(struct call *call, const char *content_type);
void call_reply_failure(struct call *call);
/** The upstream ended early because of us: set the failure that says why (by
 * call->cause). */
void call_explain_abort(struct call *call);

void pipeline_run(struct call *call);
/** The stage that returned STAGE_WAIT is done. */
void pipeline_resume(struct call *call, enum stage_verdict verdict);
extern const struct pipeline pipeline_inference; // auth, read, upstream, meter, reply
extern const struct pipeline pipeline_answer;    // auth, answer, meter, reply

enum stage_verdict stage_auth(struct call *call);
enum stage_verdict stage_read(struct call *call);
enum stage_verdict stage_upstream(struct call *call);
enum stage_verdict stage_answer(struct call *call);
enum stage_verdict stage_meter(struct call *call);
enum stage_verdict stage_reply(struct call *call);

/** Route of a method and path.  Without one: a route that answers 404 or 405,
 * and *ret_allowed lists the methods of that path, if any. */
const struct route *routes_find(struct str method, struct str path, struct str *ret_argument,
                                struct str *ret_allowed);
/** For calls without a route. */
extern const struct route routes_none;
uint32_t routes_count(void);
const struct route *routes_at(uint32_t idx);

enum stage_verdict answer_models(struct call *call);
enum stage_verdict answer_model(struct call *call);
enum stage_verdict answer_metrics(struct call *call);
enum stage_verdict answer_health(struct call *call);
enum stage_verdict answer_live(struct call *call);
enum stage_verdict answer_version(struct call *call);
enum stage_verdict answer_load(struct call *call);
enum stage_verdict answer_page(struct call *call);
enum stage_verdict answer_icon(struct call *call);
enum stage_verdict answer_tokenize(struct call *call);
enum stage_verdict answer_detokenize(struct call *call);
enum stage_verdict answer_no_route(struct call *call);

/** Parse the body as JSON.  Errors: the call is refused already. */
MUST_USE enum status read_json_body(struct call *call, const struct json_value **ret_root);
/** True when `name` is served, or empty. */
bool read_model_known(const struct gateway *gw, struct str name);
enum stage_verdict read_refuse_model(struct call *call, struct str name);

struct sink *sink_meter_create(struct call *call, struct sink *next);
struct sink *sink_sse_create(struct call *call);
struct sink *sink_json_create(struct call *call);
/** Logprob tokens of an event in the call's arena or NULL. */
const struct chat_json_token *sink_tokens(struct call *call, const struct chat_event *event);

extern const struct upstream_ops upstream_local;
/** Local streams have news: push their events up. */
void upstream_local_news(struct gateway *gw);

/* --- worker: long work off the loop
 * ---------------------------------------------------------------- */

struct worker_job {
    void (*work)(void *user); // on the worker's thread
    void (*done)(void *user); // in the loop, afterwards
    void *user;
};

MUST_USE enum status worker_create(struct loop *loop, struct worker **ret_worker,
                                   struct error *err);
/** Waits for the running job; `done` of all jobs is called. */
void worker_destroy(struct worker *w);
/** Errors: LIMIT (queue full). */
MUST_USE enum status worker_post(struct worker *w, const struct worker_job *job);

/* --- gateway
 * ----------------------------------------------------------------------------------------
 */

enum gateway_state { GATEWAY_LOADING, GATEWAY_READY, GATEWAY_DRAINING };

/* Counters of one route: by status class. */
struct route_meter {
    struct metric_series *requests[6]; // [status / 100], 1..5
    struct metric_series *duration;
};

/* vLLM's families, fed by stage_meter and at /metrics. */
struct gateway_meters {
    struct metric_series *running;
    struct metric_series *waiting;
    struct metric_series *kv_usage;
    struct metric_series *kv_usage_old; // vllm:gpu_cache_usage_perc, which older readers ask for
    struct metric_series *prompt_tokens;
    struct metric_series *generation_tokens;
    struct metric_series *success[5]; // by finished_reason
    struct metric_series *first_token;
    struct metric_series *inter_token;
    struct metric_series *per_output_token;
    struct metric_series *end_to_end;
    struct metric_series *prompt_size;
    struct metric_series *generation_size;
    struct metric_series *causes[8]; // kontor_requests_total by cause
    struct metric_series *connections;
    struct route_meter routes[ROUTES_MAX];
    struct route_meter no_route;
};

/* A message to the loop from another thread. */
enum gateway_order {
    GATEWAY_ORDER_ENGINE,
    GATEWAY_ORDER_FAIL,
    GATEWAY_ORDER_STOP,
    GATEWAY_ORDER_STOP_NOW
};

struct gateway_message {
    enum gateway_order order;
    struct engine *engine;
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
    struct buf scratch; // one event or body being written
    uint64_t id_key;    // request ids: random key, counted
    uint64_t id_count;
    uint8_t *key_digests; // [n_api_keys][32]
    int64_t created_s;    // start time, for /v1/models
    struct gateway_meters meters;
    uint64_t drain_end_ns; // running calls are cancelled then
    uint64_t give_up_ns;   // stopping: the loop ends then whatever runs
    char server_name[64];
    bool has_failed;     // gateway_fail was called
    struct error failed; // written before its order is sent, read after
};

void gateway_meters_create(struct gateway *gw);
/** Bring gauges up to date before rendering. */
void gateway_meters_refresh(struct gateway *gw);
const char *gateway_cause_name(enum cause cause);
/** The last call has ended, or a state changed: look whether the loop may stop.
 */
void gateway_check_stop(struct gateway *gw);
/** 32 hex digits, unique, in `arena`.  NULL text without memory. */
struct str gateway_new_id(struct gateway *gw, struct arena *arena);

#endif
