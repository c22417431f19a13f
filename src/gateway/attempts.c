/* attempts.c - one candidate after the other, until one answers.
 *
 * Order: pools as the decision lists them, members as the pool balances; each is tried once.
 * Before the first event reaches the client, failing over is free; after it the answer ends with an
 * error event.  How many attempts: attempts_max, and from the second on the budget that all calls
 * share.
 * The first failover goes out at once, later ones after a short random pause; when nobody else is
 * left, a server that named a short Retry-After is asked once more after that time.
 *
 * Reading order: begin_next, attempts_failed, attempts_won, on_due, give_up.
 */
#include "gateway/continuation_internal.h"
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "gateway/gateway_internal.h"
#include "gateway/stage_reserve_internal.h"

#define NS_PER_MS UINT64_C(1000000)
#define JITTER_MS_MAX 50     // before the second and later failovers
#define SHORT_RETRY_MS 2000  // a Retry-After that is waited for
#define END_GRACE_MS 1000    // for a connection to end cleanly behind its answer
#define RESTING_MS_MAX 60000 // longest Retry-After of a server that keeps others away
#define FIRST_BYTE_MS 25000  // without a setting

static void on_due(void *user);
static void set_timer(struct call *call);

static double chance(struct gateway *gw)
{
    return rng_uniform(gw->id_key, 1, gw->chance_count++);
}

/* --- places --- */

static void leave(struct attempt *a)
{
    struct attempts *t = a->call->attempts;

    if (!a->live) {
        return;
    }
    a->live = false;
    a->server->use->outstanding--;
    if (a->claimed && !a->won) {
        stage_reserve_give_back(a->call, &a->claim);
        a->claimed = false;
    }
    upstream_openai_drop(a);
    for (uint32_t i = 0; i < t->n_live; i++) {
        if (t->live[i] == a) {
            t->live[i] = t->live[--t->n_live];
        }
    }
}

static void leave_all(struct call *call, const struct attempt *except)
{
    struct attempts *t = call->attempts;

    for (uint32_t i = t->n_live; i > 0; i--) {
        struct attempt *a = t->live[i - 1];

        if (a != except) {
            breaker_release(&a->server->breaker);
            leave(a);
        }
    }
}

static void end_call(struct call *call, enum stage_verdict verdict)
{
    loop_timer_stop(&call->attempts->timer);
    leave_all(call, NULL);
    pipeline_resume(call, verdict);
}

/* --- beginning --- */

/* A reload may have closed a way meanwhile: what has not been sent does not go there any more. */
static bool still_allowed(struct call *call, const struct attempts_choice *choice)
{
    const struct settings *then = call->fleet->settings;
    const struct settings *now = call->gw->fleet->settings;

    return now == then || policy_lend_still(now, &call->facts, &then->pools[choice->pool],
                                            choice->server->conf, call->arena);
}

static enum status start_remote(struct call *call, const struct attempts_choice *choice)
{
    struct attempts *t = call->attempts;
    struct attempt *a = arena_zalloc(call->arena, 1, sizeof(*a));
    struct attempt_failure failure = {.fault = ATTEMPT_FAULT_DENIED};
    enum status rc = E_NO_MEMORY;

    if (a != NULL) {
        a->call = call;
        a->server = choice->server;
        a->begun_ns = loop_now_ns(call->gw->loop);
        rc = !still_allowed(call, choice) ? E_DENIED : OK;
    }
    if (rc == OK) {
        rc = policy_lend(call->fleet->settings, &call->facts, call->decision, choice->pool,
                         call->arena, &a->permit);
    }
    if (rc == OK) {
        rc = t->continuing ? OK // on the claim of the first
                           : stage_reserve_provider(call, a->server, &a->claim, &a->claimed);
        failure.fault = rc == E_LIMIT ? ATTEMPT_FAULT_BUDGET : failure.fault;
    }
    if (rc == OK) {
        rc = upstream_openai_start(a, &failure);
    }
    if (rc != OK) {
        if (a != NULL && a->claimed) {
            stage_reserve_give_back(call, &a->claim);
        }
        t->n_faults[failure.fault]++;
        t->last = failure;
        if (rc == E_DENIED) {
            log_event(LOG_LEVEL_ERROR, "permit_denied", "id=%.*s upstream=%.*s",
                      STR_ARG(call->request_id), STR_ARG(choice->server->conf->name));
        }
        return rc;
    }
    a->live = true;
    if (t->continuing) {
        a->won = true; // its events go to the same client
        a->continues = true;
        t->winner = a;
    }
    a->server->use->outstanding++;
    breaker_begin(&a->server->breaker);
    t->live[t->n_live++] = a;
    set_timer(call);
    return OK;
}

static enum status start_local(struct call *call, const struct attempts_choice *choice)
{
    struct attempts *t = call->attempts;
    enum status rc = OK;

    call->failure = NULL; // of candidates before
    call->passed_status = 0;
    call->cause = CAUSE_DONE;
    if (call->gw->engine == NULL) {
        (void)call_unavailable(call, "model_loading", 5,
                               "The model is still loading. Try again in a few seconds; "
                               "GET /health answers 200 when it is ready.");
        return E_AGAIN;
    }
    call->frame.fingerprint = engine_model(call->gw->engine)->fingerprint;
    if (call->sink == NULL) {
        rc = sink_build(call, SINK_OWN);
    }
    if (rc != OK) {
        (void)call_unavailable(call, "server_is_overloaded", 1,
                               "The server has no memory for this request.");
        return rc;
    }
    rc = stage_reserve_provider(call, choice->server, &t->local_claim, &t->local_claimed);
    if (rc == OK) {
        rc = upstream_local.start(call); // says why not
    }
    if (rc == OK) {
        loop_timer_stop(&t->timer);
        t->local = choice->server;
        t->local->use->outstanding++;
        call->upstream = &upstream_local;
        call->provider_claim = t->local_claimed ? &t->local_claim : NULL;
    } else if (t->local_claimed) {
        stage_reserve_give_back(call, &t->local_claim);
        t->local_claimed = false;
    }
    return rc;
}

static enum status start_choice(struct call *call, const struct attempts_choice *choice)
{
    const uint32_t idx = choice->server->idx;
    const struct fleet_upstream *before = call->server;
    enum status rc;

    call->attempts->tried[idx / 64] |= UINT64_C(1) << (idx % 64);
    call->n_attempts++;
    call->server = choice->server;
    call->route_reason = choice->reason;
    if (call->sent_ns == 0) {
        call->sent_ns = loop_now_ns(call->gw->loop);
    }
    rc = choice->server->conf->kind == SETTINGS_LOCAL ? start_local(call, choice)
                                                      : start_remote(call, choice);
    if (rc == E_DENIED && before != NULL) {
        call->server = before; // nothing went there: the books name who had the request
    }
    return rc;
}

/* --- giving up --- */

static enum status unavailable(struct call *call, const char *code, uint64_t wait_ms,
                               const char *text)
{
    (void)call_unavailable(call, code, (uint32_t)((wait_ms + 999) / 1000), text);
    return E_CLOSED;
}

/* Nobody is left: the answer that tells most. */
static enum status give_up(struct call *call)
{
    const struct attempts *t = call->attempts;
    const uint32_t n = call->n_attempts;
    const char *code = NULL;

    if (n == 0) {
        return unavailable(call, "no_healthy_upstream", stage_route_wait_ms(call),
                           "No server for this model can be reached at the moment: all of them are "
                           "down, ejected or at their limit. Try again later.");
    }
    if (t->n_faults[ATTEMPT_FAULT_BUDGET] > 0 && t->n_faults[ATTEMPT_FAULT_BUDGET] < n) {
        call->failure = NULL; // those that were asked tell more
        call->retry_after_s = 0;
    }
    if (call->passed_status != 0 || call->failure != NULL) {
        call->cause = call->cause == CAUSE_DONE ? CAUSE_REFUSED : call->cause;
        return E_CLOSED; // an upstream's refusal, or what the engine here said
    }
    if (t->n_faults[ATTEMPT_FAULT_LIMITED] > 0 && t->n_faults[ATTEMPT_FAULT_LIMITED] == n) {
        const uint64_t wait_ms = t->retry_after_ms == 0 ? 1000 : t->retry_after_ms;

        call->retry_after_s = (uint32_t)((wait_ms + 999) / 1000);
        (void)
            call_refuse(call, 429, "rate_limit_exceeded", NULL,
                        "Every server for this model asks for fewer requests. Please try again in "
                        "%us.",
                        call->retry_after_s);
        call->cause = CAUSE_UPSTREAM_LIMITED;
        return E_CLOSED;
    }
    if (t->n_faults[ATTEMPT_FAULT_CONNECT] + t->n_faults[ATTEMPT_FAULT_DENIED] == n) {
        return unavailable(call, "no_healthy_upstream", stage_route_wait_ms(call),
                           "No server for this model can be reached at the moment. Try again "
                           "later.");
    }
    if (t->n_faults[ATTEMPT_FAULT_TIMEOUT] > 0) {
        (void)call_refuse(call, 504, "upstream_timeout", NULL,
                          "The server for this model did not answer in time (attempts: %u).", n);
        call->cause = CAUSE_TIMEOUT;
        return E_CLOSED;
    }
    code = t->last.fault == ATTEMPT_FAULT_KEY ? "upstream_key_refused" : "upstream_failed";
    (void)call_refuse(call, 502, code, NULL,
                      t->last.http_status >= 500
                          ? "The server for this model had an error (status %d, attempts: %u)."
                          : "The server for this model gave no usable answer (status %d, attempts: "
                            "%u).",
                      t->last.http_status, n);
    return E_CLOSED;
}

/* --- order --- */

static bool may_retry(struct call *call)
{
    const struct settings *s = call->fleet->settings;

    if (call->n_attempts >= s->attempts_max && call->n_attempts > 0) {
        return false;
    }
    if (call->n_attempts == 0) {
        return true;
    }
    if (!breaker_budget_take(&call->gw->retry_budget, s->retry_budget_floor,
                             loop_now_ns(call->gw->loop))) {
        metrics_add(call->gw->meters.retries_refused, 1);
        return false;
    }
    metrics_add(call->gw->meters.retries, 1);
    return true;
}

/* Start the next candidate that can be started.  Otherwise the call was refused. */
static enum status begin_next(struct call *call)
{
    struct attempts_choice choice;

    while (stage_route_choose(call, &choice)) {
        if (!may_retry(call)) {
            break;
        }
        if (start_choice(call, &choice) == OK) {
            return OK;
        }
    }
    return give_up(call);
}

/* Nobody else is left, but one asked to be asked again soon. */
static bool wait_for_retry(struct call *call, const struct attempt *a,
                           const struct attempt_failure *f)
{
    struct attempts *t = call->attempts;
    struct attempts_choice choice;

    if (f->retry_after_ms == 0 || f->retry_after_ms > SHORT_RETRY_MS || t->n_live > 0 ||
        call->n_attempts >= call->fleet->settings->attempts_max ||
        stage_route_choose(call, &choice)) {
        return false;
    }
    t->tried[a->server->idx / 64] &= ~(UINT64_C(1) << (a->server->idx % 64));
    t->again_ns = a->server->resting_until_ns +
                  (uint64_t)(chance(call->gw) * JITTER_MS_MAX * (double)NS_PER_MS);
    set_timer(call);
    return true;
}

/* The pause before a failover: none before the first. */
static bool wait_a_little(struct call *call)
{
    struct attempts *t = call->attempts;
    struct attempts_choice choice;

    if (call->n_attempts < 2 || t->n_live > 0 || !stage_route_choose(call, &choice)) {
        return false;
    }
    t->again_ns = loop_now_ns(call->gw->loop) +
                  (uint64_t)(chance(call->gw) * JITTER_MS_MAX * (double)NS_PER_MS);
    set_timer(call);
    return true;
}

/* --- reports --- */

static void tell_breaker(struct attempt *a, const struct attempt_failure *f)
{
    static const char *const words[ATTEMPT_FAULT_COUNT] = {
        "connect", "timeout", "status_5xx", "limited", "key_refused",
        "refused", "broken",  "denied",     "budget",
    };
    struct fleet_upstream *u = a->server;

    log_event(LOG_LEVEL_WARN, "attempt_failed", "id=%.*s upstream=%.*s attempt=%u why=%s status=%d",
              STR_ARG(a->call->request_id), STR_ARG(u->conf->name), a->call->n_attempts,
              words[f->fault], f->http_status);
    if (f->fault <= ATTEMPT_FAULT_STATUS) {
        fleet_note_failure(u, words[f->fault]);
    } else {
        breaker_release(&u->breaker);
        metrics_add(u->meters.failed, 1);
    }
}

static void note_retry_after(struct attempt *a, const struct attempt_failure *f)
{
    struct attempts *t = a->call->attempts;
    const uint64_t rest_ms =
        f->retry_after_ms > RESTING_MS_MAX ? RESTING_MS_MAX : f->retry_after_ms;

    if (f->retry_after_ms == 0) {
        return;
    }
    if (t->retry_after_ms == 0 || f->retry_after_ms < t->retry_after_ms) {
        t->retry_after_ms = f->retry_after_ms;
    }
    a->server->resting_until_ns = loop_now_ns(a->call->gw->loop) + rest_ms * NS_PER_MS;
}

/* Another server goes on where this one broke off.  False: none can. */
static bool continue_elsewhere(struct attempt *a)
{
    struct call *call = a->call;
    struct attempts *t = call->attempts;
    struct attempts_choice choice;

    if (t->said == NULL || !t->said->possible) {
        return false;
    }
    t->continuing = true;
    if (!stage_route_choose(call, &choice) || choice.server->conf->kind == SETTINGS_LOCAL ||
        !may_retry(call)) {
        return false;
    }
    stage_reserve_note_earlier(call);
    leave(a);
    if (start_choice(call, &choice) != OK) {
        return false;
    }
    log_event(LOG_LEVEL_INFO, "continued", "id=%.*s from=%.*s at=%.*s bytes=%zu",
              STR_ARG(call->request_id), STR_ARG(a->server->conf->name),
              STR_ARG(choice.server->conf->name), t->said->said.len);
    return true;
}

/* Behind the first event nothing can be taken back: the client is told inside its answer. */
static void fail_late(struct attempt *a, const struct attempt_failure *f)
{
    struct call *call = a->call;
    struct chat_failure *failure = arena_zalloc(call->arena, 1, sizeof(*failure));
    const bool timeout = f->fault == ATTEMPT_FAULT_TIMEOUT;
    struct chat_event e = {.kind = CHAT_EVENT_ERROR, .stop_token = -1, .failure = failure};

    if (continue_elsewhere(a)) {
        return;
    }

    e.usage = call->usage;
    if (failure != NULL) {
        chat_failure_set(failure, timeout ? 504 : 502, "server_error",
                         timeout ? "upstream_timeout" : "upstream_broke_off", NULL, "%s",
                         timeout ? "The server stopped sending before the answer was complete."
                                 : "The connection to the server was lost before the answer was "
                                   "complete.");
        call->cause = CAUSE_UPSTREAM_BROKE;
        (void)call->sink->ops->push(call->sink, &e);
    }
    end_call(call, STAGE_STOP);
}

void attempts_failed(struct attempt *a, const struct attempt_failure *failure)
{
    const struct attempt_failure f = *failure;
    struct call *call = a->call;
    struct attempts *t = call->attempts;

    t->n_faults[f.fault]++;
    t->last = f;
    tell_breaker(a, &f);
    note_retry_after(a, &f);
    if (a->won) {
        fail_late(a, &f);
        return;
    }
    leave(a);
    if (f.fault == ATTEMPT_FAULT_REFUSED && f.http_status != 404 && f.http_status != 408) {
        // The request itself is at fault: the same everywhere.
        if (call->passed_status == 0) {
            (void)call_refuse(call, f.http_status, "upstream_refused_request", NULL,
                              "The server for this model refused the request with status %d.",
                              f.http_status);
        }
        call->cause = CAUSE_REFUSED;
        end_call(call, STAGE_STOP);
        return;
    }
    if (wait_for_retry(call, a, &f) || wait_a_little(call)) {
        return;
    }
    if (t->n_live > 0) {
        set_timer(call); // a hedge is still under way, and has deadlines of its own
        return;
    }
    if (begin_next(call) != OK) {
        end_call(call, STAGE_STOP);
    }
}

void attempts_head(struct attempt *a)
{
    set_timer(a->call);
}

bool attempts_won(struct attempt *a)
{
    struct call *call = a->call;
    struct attempts *t = call->attempts;
    const struct chat_event start = {.kind = CHAT_EVENT_START, .stop_token = -1};

    leave_all(call, a);
    breaker_release(&a->server->breaker); // a trial that answers keeps nobody waiting for its end
    t->winner = a;
    t->again_ns = 0;
    call->server = a->server;
    call->first_byte_ns = a->first_byte_ns;
    call->passed_status = 0;
    call->relays_stream = a->reader.sse;
    call->relay_type = a->reader.sse ? "text/event-stream; charset=utf-8" : "application/json";
    call->failure = NULL; // of candidates before
    call->cause = CAUSE_DONE;
    if (sink_build(call, SINK_RELAY) != OK) {
        return false;
    }
    a->won = true;
    call->provider_claim = a->claimed ? &a->claim : NULL;
    metrics_observe(a->server->meters.first_byte, (double)(a->first_byte_ns - a->begun_ns) / 1e9);
    (void)call->sink->ops->push(call->sink, &start);
    t->said = continuation_begin(a);
    if (call->relays_stream && !call->request_read && t->said == NULL && a->http != NULL &&
        http_call_sent(a->http)) {
        http_exchange_drop_body(call->x); // no other attempt can need it any more
    }
    return true;
}

void attempts_answered(struct attempt *a)
{
    fleet_note_success(a->server);
    a->call->attempts->end_ns = loop_now_ns(a->call->gw->loop) + END_GRACE_MS * NS_PER_MS;
    set_timer(a->call);
}

void attempts_ended(struct attempt *a)
{
    end_call(a->call, STAGE_NEXT);
}

void attempts_told(struct attempt *a)
{
    breaker_release(&a->server->breaker);
    metrics_add(a->server->meters.failed, 1);
    end_call(a->call, STAGE_STOP);
}

/* --- time --- */

static uint64_t first_byte_due(const struct attempt *a)
{
    const uint32_t ms = a->server->conf->first_byte_timeout_ms;

    return a->begun_ns + (ms == 0 ? FIRST_BYTE_MS : ms) * NS_PER_MS;
}

static uint64_t gate_due(const struct attempt *a)
{
    const struct settings_model *m = a->call->decision->model;

    if (a->gated || a->won || m == NULL || m->latency_gate_ms == 0) {
        return UINT64_MAX;
    }
    return a->begun_ns + m->latency_gate_ms * NS_PER_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_timer(struct call *call)
{
    struct attempts *t = call->attempts;
    uint64_t due = t->again_ns == 0 ? UINT64_MAX : t->again_ns;

    due = t->end_ns == 0 ? due : earlier(due, t->end_ns);
    for (uint32_t i = 0; i < t->n_live; i++) {
        const struct attempt *a = t->live[i];

        if (a->first_byte_ns == 0) { // up to the head the HTTP client keeps the time
            due = earlier(due, gate_due(a));
            due = a->reader_open ? earlier(due, first_byte_due(a)) : due;
        }
    }
    if (due == UINT64_MAX && t->timer.event == NULL) {
        return; // most calls need no timer
    }
    t->timer.on_due = on_due;
    t->timer.user = call;
    loop_timer_set(call->gw->loop, &t->timer, due == UINT64_MAX ? 0 : due);
}

/* The latency gate was missed: note it, and do what the model says. */
static void too_slow(struct attempt *a)
{
    struct call *call = a->call;
    struct attempts *t = call->attempts;
    const enum settings_slow on_slow = call->decision->model->on_slow;
    struct attempts_choice choice;

    a->gated = true;
    call->slow = true;
    metrics_add(a->server->meters.slow, 1);
    log_event(LOG_LEVEL_WARN, "slow_upstream", "id=%.*s upstream=%.*s gate_ms=%u",
              STR_ARG(call->request_id), STR_ARG(a->server->conf->name),
              call->decision->model->latency_gate_ms);
    if (on_slow == SETTINGS_SLOW_WARN || t->n_live == ATTEMPTS_LIVE_MAX ||
        !stage_route_choose(call, &choice) || choice.server->conf->kind == SETTINGS_LOCAL ||
        !may_retry(call) || start_choice(call, &choice) != OK) {
        return; // go on waiting
    }
    if (on_slow == SETTINGS_SLOW_NEXT) {
        breaker_release(&a->server->breaker);
        leave(a);
    }
}

static void on_due(void *user)
{
    struct call *call = user;
    struct attempts *t = call->attempts;
    const uint64_t now_ns = loop_now_ns(call->gw->loop);
    const struct attempt_failure timeout = {.fault = ATTEMPT_FAULT_TIMEOUT};

    if (t->end_ns != 0 && now_ns >= t->end_ns) {
        end_call(call, STAGE_NEXT);
        return;
    }
    if (t->again_ns != 0 && now_ns >= t->again_ns) {
        t->again_ns = 0;
        if (begin_next(call) != OK) {
            end_call(call, STAGE_STOP);
        }
        return;
    }
    for (uint32_t i = 0; i < t->n_live; i++) {
        struct attempt *a = t->live[i];

        if (a->first_byte_ns == 0 && a->reader_open && now_ns >= first_byte_due(a)) {
            attempts_failed(a, &timeout); // the call may be gone
            return;
        }
        if (a->first_byte_ns == 0 && now_ns >= gate_due(a)) {
            too_slow(a);
            break; // the list has changed
        }
    }
    set_timer(call);
}

void attempts_close(struct call *call)
{
    struct attempts *t = call->attempts;

    if (t != NULL) {
        continuation_end(t->said);
        t->said = NULL;
    }
    if (t != NULL && t->local != NULL) {
        t->local->use->outstanding--;
        metrics_add(call->cause == CAUSE_DONE ? t->local->meters.answered : t->local->meters.failed,
                    1);
        t->local = NULL;
    }
}

/* --- as an upstream --- */

static enum status start(struct call *call)
{
    breaker_budget_earn(&call->gw->retry_budget, call->fleet->settings->retry_budget_pct);
    return begin_next(call);
}

static void cancel(struct call *call)
{
    const bool gone = call->cause == CAUSE_CLIENT_GONE;

    if (gone && call->gone_ns != 0) {
        metrics_observe(call->gw->meters.cancel,
                        (double)(loop_now_ns(call->gw->loop) - call->gone_ns) / 1e9);
    }
    end_call(call, STAGE_STOP);
}

static void room(struct call *call)
{
    struct attempts *t = call->attempts;

    if (t->winner != NULL && t->winner->live) {
        upstream_openai_resume(t->winner);
    }
}

static struct str token_text(struct call *call, int32_t id)
{
    (void)call;
    (void)id;
    return (struct str){NULL, 0};
}

const struct upstream_ops attempts_ops = {
    .name = "attempts",
    .start = start,
    .cancel = cancel,
    .room = room,
    .token_text = token_text,
};
