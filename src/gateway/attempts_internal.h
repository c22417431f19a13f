/* attempts_internal.h - one call's attempts at answers: which come next, and what one of them is.
 *
 * attempts.c decides (order, retries, hedges, giving up); upstream_openai.c carries out one attempt
 * and reports.  An attempt is over when it reports failure or the end, or when it is dropped; it
 * holds its place among the upstream's outstanding requests until then.
 *
 *   attempt:  started -> head -> first event (the winner: others are dropped) -> end
 *                 \________\__________\ failure: before the first event the next candidate is tried
 *
 * Loop-owned; everything lives in the call's arena.
 */
#ifndef GATEWAY_ATTEMPTS_INTERNAL_H
#define GATEWAY_ATTEMPTS_INTERNAL_H

#include "gateway/call_internal.h"
#include "gateway/response.h"

#define ATTEMPTS_LIVE_MAX 2 // one and a hedge
#define ATTEMPT_FIELDS_MAX 14
#define ATTEMPT_ERROR_BYTES_MAX 65536 // body of an upstream's refusal that is passed on

/* How an attempt failed.  The first three are what breakers count. */
enum attempt_fault {
    ATTEMPT_FAULT_CONNECT, // no connection, or it was lost before anything came back
    ATTEMPT_FAULT_TIMEOUT,
    ATTEMPT_FAULT_STATUS,  // 5xx
    ATTEMPT_FAULT_LIMITED, // 429
    ATTEMPT_FAULT_KEY,     // 401, 403: our key there is wrong
    ATTEMPT_FAULT_REFUSED, // another 4xx: passed on
    ATTEMPT_FAULT_BROKEN,  // no HTTP, no JSON, cut off, an error object in a 200
    ATTEMPT_FAULT_DENIED,  // no permit, no memory
    ATTEMPT_FAULT_BUDGET,  // a limit of its provider here: nothing was sent
};

#define ATTEMPT_FAULT_COUNT 9

struct attempt_failure {
    enum attempt_fault fault;
    int http_status;         // REFUSED, STATUS ...: what it answered; 0: nothing
    uint64_t retry_after_ms; // it asked for that; 0: it did not
};

struct continuation; // continuation_internal.h

struct attempt {
    struct call *call;
    struct fleet_upstream *server;
    struct http_call *http; // NULL: over, or complete
    struct response reader;
    const struct permit *permit;
    struct limits_claim claim; // on the provider
    bool claimed;
    struct str pieces[SPLICE_PIECES_MAX]; // of the body, borrowed by `http`
    uint32_t n_pieces;
    struct http_field fields[ATTEMPT_FIELDS_MAX];
    uint32_t n_fields;
    uint64_t begun_ns;
    uint64_t first_byte_ns; // head of a JSON answer, first event of a stream; 0: none yet
    int refused_status;     // a refusal whose body is being read; 0: none
    uint64_t retry_after_ms;
    bool live;          // holds its place
    bool reader_open;   // has memory to give back
    bool injects_usage; // asked for usage that the client did not want
    bool won;           // its events go to the client
    bool failed;        // inside a 200, to be reported when the reader returns
    bool told;          // an error of the server was passed on as an event
    bool answered;      // the last event was pushed
    bool gated;         // was found slow
    bool continues;     // goes on where another broke off
};

/* What is still to be decided. */
struct attempts {
    uint64_t tried[SETTINGS_UPSTREAMS_MAX / 64];
    struct attempt *live[ATTEMPTS_LIVE_MAX];
    uint32_t n_live;
    struct attempt *winner;
    struct continuation *said; // NULL: the answer cannot be continued elsewhere
    bool continuing;           // only servers that continue are candidates
    struct loop_timer timer;
    uint64_t again_ns; // wait until then before the next attempt; 0: not waiting
    uint64_t end_ns;   // the answer is complete, the connection may end cleanly until then
    uint32_t n_faults[ATTEMPT_FAULT_COUNT];
    uint64_t retry_after_ms; // smallest that was asked for
    struct attempt_failure last;
    uint64_t affinity;
    uint64_t prefix;
    struct fleet_upstream *local;    // the engine here, while it answers
    struct limits_claim local_claim; // on its provider
    bool local_claimed;
};

/* A candidate. */
struct attempts_choice {
    struct fleet_upstream *server;
    uint32_t pool;
    const char *reason; // static
};

/* --- stage_route.c --- */

/** The next candidate that was not tried yet; false: none can take the request now. */
bool stage_route_choose(struct call *call, struct attempts_choice *ret_choice);
/** Milliseconds until one of the candidates may be worth a look again, at least 1000. */
uint64_t stage_route_wait_ms(struct call *call);

/* --- attempts.c, called by upstream_openai.c --- */

/** A good head of a stream is here; its first event has a deadline. */
void attempts_head(struct attempt *a);
/** The first event is here: this attempt's answer is the one.  Builds the sinks.  False: no memory;
 *  the attempt must fail. */
bool attempts_won(struct attempt *a);
/** It failed.  The attempt and the call may be gone afterwards. */
void attempts_failed(struct attempt *a, const struct attempt_failure *failure);
/** Last event was pushed; the connection is left to end cleanly for a moment. */
void attempts_answered(struct attempt *a);
/** Everything is over; the call is gone afterwards. */
void attempts_ended(struct attempt *a);
/** An error of the server went to the client as its last event; the call is gone afterwards. */
void attempts_told(struct attempt *a);

/* --- upstream_openai.c --- */

/** Send the request.  OK: one report follows.  Errors: the failure is filled in, nothing
 * follows. */
MUST_USE enum status upstream_openai_start(struct attempt *a, struct attempt_failure *ret_failure);
/** Close the connection at once; nothing follows.  Idempotent. */
void upstream_openai_drop(struct attempt *a);
void upstream_openai_resume(struct attempt *a);

#endif
