/* call_internal.h - one request on its way: stages below, sinks above, an upstream at the end.
 *
 * A call goes down the stages of its route's pipeline (pipeline.c).  If it reaches an upstream,
 * events come up its chain of sinks.  It lives in the arena of its exchange, which it holds.
 * Everything here is loop-owned.
 */
#ifndef GATEWAY_CALL_INTERNAL_H
#define GATEWAY_CALL_INTERNAL_H

#include "chat/chat_json.h"
#include "gateway/fleet_internal.h"
#include "gateway/identity.h"
#include "gateway/splice.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "store/ledger.h"

#include <stdbool.h>
#include <stdint.h>

#define CALL_ID_BYTES_MAX 128 // of a request id that a client may choose

struct call;
struct gateway;
struct sink;

/* --- stages: order is data --- */

enum stage_verdict {
    STAGE_NEXT, // go on
    STAGE_STOP, // the call is over (refused or answered): only stages that always run follow
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

extern const struct pipeline pipeline_inference; // auth, read, policy, reserve, route, upstream ...
extern const struct pipeline pipeline_answer;    // auth, answer, meter, reply

/** Run the stages from call->stage_idx on; destroys the call behind the last. */
void pipeline_run(struct call *call);
/** The stage that returned STAGE_WAIT is done. */
void pipeline_resume(struct call *call, enum stage_verdict verdict);

/** Is a key asked for, and is it one of ours? */
enum stage_verdict stage_auth(struct call *call);
/** The body is checked and its fields are found; for an engine here it becomes call->request. */
enum stage_verdict stage_read(struct call *call);
/** Which pools may see it?  Passes through where there is nothing to decide. */
enum stage_verdict stage_policy(struct call *call);
/** Limits and ledger: reserves, or refuses.  Passes through without rules and ledger. */
enum stage_verdict stage_reserve(struct call *call);
/** Is there anybody to answer?  503 no_healthy_upstream. */
enum stage_verdict stage_route(struct call *call);
/** Attempts; waits for the last event. */
enum stage_verdict stage_upstream(struct call *call);
/** The route's own function. */
enum stage_verdict stage_answer(struct call *call);
/** For calls without a route: 404, 405 or a CORS preflight. */
enum stage_verdict stage_answer_no_route(struct call *call);
/** Counters; always runs. */
enum stage_verdict stage_meter(struct call *call);
/** What the client was not told yet, and the access log; always runs. */
enum stage_verdict stage_reply(struct call *call);

/* --- routes --- */

/* What a request body is, for inference routes. */
enum dialect {
    DIALECT_NONE,
    DIALECT_CHAT,
    DIALECT_COMPLETION,
    DIALECT_EMBEDDING, // remote upstreams only, as all that follow
    DIALECT_RESPONSES,
    DIALECT_MESSAGES, // Anthropic's
};

struct route {
    const char *method;
    const char *path;
    bool rest;    // any path that begins so and has more; the rest is the call's `argument`
    bool guarded; // asks for a key when keys are configured
    enum dialect dialect;
    const struct pipeline *pipeline;
    enum stage_verdict (*answer)(struct call *call); // for stage "answer"
};

#define ROUTES_MAX 32

extern const struct route routes_none; // of calls that have no route

/**
 * Route of a method and path; never NULL.  Without one: a route that answers 404 or 405, and
 * *ret_allowed lists the methods of that path, if any.  ret_argument: the rest of the path.
 * Routes that only remote upstreams serve exist with `has_remote` alone.
 */
const struct route *routes_find(struct str method, struct str path, bool has_remote,
                                struct str *ret_argument, struct str *ret_allowed);
/** Number of routes, for metrics. */
uint32_t routes_count(void);
/** Route by index; CHECKs the range. */
const struct route *routes_at(uint32_t idx);

/* --- sinks: tokens come up a chain --- */

struct sink_ops {
    const char *name;
    /**
     * Take one event.  START first, DONE or ERROR last.  Pass it on to s->next where there is one.
     * Returns OK, AGAIN (taken, but wait for room before the next), CLOSED (nobody listens).
     */
    enum status (*push)(struct sink *s, const struct chat_event *event);
    void (*close)(struct sink *s); // free what the arena does not; may be NULL
};

struct sink {
    const struct sink_ops *ops;
    struct sink *next;
    struct call *call;
};

/** Notes times, usage and the end; passes on to `next`.  NULL without memory, as the others. */
struct sink *sink_meter_create(struct call *call, struct sink *next);
/** Events as server-sent events on the connection. */
struct sink *sink_sse_create(struct call *call);
/** One JSON answer at the end. */
struct sink *sink_json_create(struct call *call);
/** The bytes of a remote server that speaks the client's dialect, unchanged. */
struct sink *sink_relay_create(struct call *call);

enum sink_kind { SINK_OWN, SINK_RELAY };
/** Build the chain: SINK_OWN writes events (SSE or JSON), SINK_RELAY passes bytes on.
 *  Errors: NO_MEMORY. */
MUST_USE enum status sink_build(struct call *call, enum sink_kind kind);

/* --- upstreams --- */

/* What answers a call: the engine in this process, or attempts at remote servers. */
struct upstream_ops {
    const char *name;
    /** Begin.  OK: events will come, and pipeline_resume is called after the last one.  Otherwise
     *  nothing follows and the call was refused. */
    enum status (*start)(struct call *call);
    void (*cancel)(struct call *call); // idempotent; may end the call before it returns
    void (*room)(struct call *call);   // the connection can take more; may end the call
    struct str (*token_text)(struct call *call, int32_t id);
};

extern const struct upstream_ops upstream_local;
/** Tries one candidate after the other, the engine in this process among them. */
extern const struct upstream_ops attempts_ops;
/** The call has ended: an engine here gets its place back. */
void attempts_close(struct call *call);
/** Local streams have news: push their events up. */
void upstream_local_news(struct gateway *gw);

/* --- call --- */

/* Why a call ended, for the access log and kontor_requests_total. */
enum cause {
    CAUSE_DONE,
    CAUSE_REFUSED,     // by us: 4xx
    CAUSE_UNAVAILABLE, // 503: loading, full, draining
    CAUSE_FAILED,      // upstream error
    CAUSE_CLIENT_GONE,
    CAUSE_CLIENT_SLOW, // took its stream so slowly that the queue ran full
    CAUSE_TIMEOUT,
    CAUSE_STOPPED,          // we were told to stop at once
    CAUSE_DENIED,           // by policy: 403
    CAUSE_LIMITED,          // by a limit or budget: 429
    CAUSE_UPSTREAM_LIMITED, // every upstream answered 429
    CAUSE_UPSTREAM_BROKE,   // an upstream broke off behind its first byte
};

#define CAUSE_COUNT 12

struct attempts; // attempts_internal.h

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
    struct str request_id;              // field x-request-id; visible ASCII
    struct str record_id;               // ours, unique: ledger, upstreams; often the same
    const struct chat_failure *failure; // in the arena; what reply tells the client
    uint32_t retry_after_s;             // with 503; 0: none
    struct fleet *fleet;                // one reference
    struct identity_caller caller;      // set by stage "auth"
    struct splice splice;               // set by stage "read"
    struct chat_json_request request;   // for an engine here; `stream` always
    bool request_read;                  // request is whole, its texts lie in the body
    struct chat_json_frame frame;
    struct policy_facts facts;
    struct policy_decision *decision; // in the arena
    /* what was reserved */
    struct limits_claim *claim;             // NULL: nothing; in the arena
    struct limits_claim *provider_claim;    // of the provider that answers; NULL: nothing
    uint32_t promised_tokens;               // to the ledger: no more were relayed
    struct ledger_reservation *reservation; // NULL: nothing; in the arena
    struct limits_state *limits;            // for the rate-limit fields; NULL: no rules
    /* who answers */
    struct attempts *attempts;
    const struct fleet_upstream *server; // last one that was tried
    uint32_t n_attempts;
    bool slow;                // the latency gate was missed
    const char *route_reason; // static: why this member
    const char *relay_type;   // content type of a relayed answer
    bool relays_stream;       // ... which is a stream
    int passed_status;        // an upstream's refusal of the request; 0: none
    struct str passed_body;   // its JSON
    uint64_t gone_ns;         // when the client was found gone
    int64_t cost_nano;        // set with the usage; -1: not known
    const struct prices_row *price;
    const struct upstream_ops *upstream; // NULL before the stage chose
    void *upstream_state;                // in the arena
    struct sink *sink;                   // first of the chain
    struct loop_timer deadline;
    /* what the meter saw */
    uint64_t sent_ns;        // first attempt; 0: none
    uint64_t first_byte_ns;  // first event of an upstream; 0: none
    uint64_t first_ns;       // first text; 0: none
    uint32_t relayed_tokens; // guessed where the upstream does not count
    uint32_t earlier_tokens; // of those: relayed by servers before the one that continued
    int64_t earlier_nano;    // what they cost
    bool usage_known;        // reported
    bool usage_guessed;      // counted from what was relayed, or estimated
    bool accepted;           // an upstream began to answer with success
    bool answered;           // the last event of a whole answer came
    struct chat_usage usage;
};

/** A new call for an exchange; holds it.  NULL without memory (the exchange is answered then). */
struct call *call_create(struct gateway *gw, struct http_exchange *x);
/** Ids go into headers, logs and object ids: true for what is harmless in all three. */
bool call_id_is_plain(struct str id);
/** After the last stage. */
void call_destroy(struct call *call);
/** Remember a failure for the reply; returns STAGE_STOP. */
enum stage_verdict call_refuse(struct call *call, int http_status, const char *code,
                               const char *param, const char *fmt, ...) PRINTF_LIKE(5, 6);
/** The same with a failure that somebody else made; copied. */
enum stage_verdict call_refuse_with(struct call *call, const struct chat_failure *failure);
/** 503 with Retry-After. */
enum stage_verdict call_unavailable(struct call *call, const char *code, uint32_t retry_after_s,
                                    const char *text);
/** The upstream ended early because of us: set the failure that says why (by call->cause). */
void call_explain_abort(struct call *call);
/** Answer with the common fields (request id, CORS). */
void call_reply(struct call *call, int http_status, const char *content_type, struct str body);
/** As call_reply, with further fields (at most 5). */
void call_reply_fields(struct call *call, int http_status, const char *content_type,
                       const struct http_field *fields, uint32_t n_fields, struct str body);
/** Head of a streamed answer with the common fields. */
void call_begin(struct call *call, const char *content_type);
/** Answer with call->failure. */
void call_reply_failure(struct call *call);
/** Tokens of an event with their texts, in the call's arena; NULL without logprobs. */
const struct chat_json_token *call_tokens(struct call *call, const struct chat_event *event);
/** "client_gone" and so on. */
const char *call_cause_name(enum cause cause);

/** Parse the body as JSON.  Errors: the call is refused already. */
MUST_USE enum status stage_read_json(struct call *call, const struct json_value **ret_root);
/** Served, or empty. */
bool stage_read_model_known(const struct call *call, struct str name);
/** 404 model_not_found that lists the served names. */
enum stage_verdict stage_read_refuse_model(struct call *call, struct str name);
/** An error event with what was used so far, in the call's dialect, and the mark of the end. */
void sink_relay_write_error(struct call *call, struct buf *out, const struct chat_failure *failure);
/** How the call ended on the wire: status sent, 499 for a client that left. */
int call_status(const struct call *call);

#endif
