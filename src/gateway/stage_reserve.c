/* Stage "reserve": limits and budgets are claimed, the ledger is told, before anything is sent; and
 * the settlement of both, which happens exactly once on every path (stage "meter").
 */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_internal.h"
#include "gateway/stage_reserve_internal.h"
#include "store/prices.h"

#include <string.h>

#define BYTES_PER_TOKEN 3              // of a prompt, so that the estimate is rather too high
#define COMPLETION_TOKENS_DEFAULT 4096 // ceiling of an answer whose request names none
#define LEDGER_RETRY_S 5
#define PROMISE_TOKENS 256 // told to the ledger ahead of a long answer

/* --- estimates --- */

static uint32_t prompt_estimate(const struct call *call)
{
    const size_t bytes = call->splice.prompt_source.len > 0 ? call->splice.prompt_source.len
                                                            : call->facts.body_bytes;

    return (uint32_t)(bytes / BYTES_PER_TOKEN + 1);
}

static uint32_t completion_ceiling(const struct call *call)
{
    const uint64_t asked = call->request.chat.sampling.max_tokens > 0
                               ? call->request.chat.sampling.max_tokens
                               : call->splice.max_tokens;
    const uint64_t each = asked > 0 ? asked : COMPLETION_TOKENS_DEFAULT;
    const uint64_t n = call->splice.n > 0 ? call->splice.n : 1;

    if (call->route->dialect == DIALECT_EMBEDDING) {
        return 0;
    }
    return each > UINT32_MAX / n ? UINT32_MAX : (uint32_t)(each * n);
}

static const struct prices_row *price_at(struct call *call, const struct fleet_upstream *u,
                                         int64_t now_ms)
{
    return prices_find(&call->fleet->settings->prices, u->conf->provider,
                       fleet_model_there(u, call->request.chat.model),
                       fleet_day(call->fleet, now_ms / 1000));
}

/* The first candidate names provider and model; the dearest one the amount. */
static void estimate(struct call *call, struct ledger_reservation *r)
{
    const struct settings *s = call->fleet->settings;
    const struct chat_usage usage = {.prompt_tokens = r->prompt_tokens,
                                     .completion_tokens = r->completion_tokens};
    bool first = true;

    for (uint32_t i = 0; i < call->decision->n_pools; i++) {
        const struct settings_pool *pool = &s->pools[call->decision->pools[i]];

        for (uint32_t k = 0; k < pool->n_members; k++) {
            const struct fleet_upstream *u = &call->fleet->upstreams[pool->members[k].upstream];
            const struct prices_row *row = price_at(call, u, r->time_ms);
            const int64_t amount = row == NULL ? 0 : prices_cost(row, &usage);

            if (first) {
                r->provider = u->conf->provider;
                r->model = fleet_model_there(u, call->request.chat.model);
                r->currency = row == NULL ? (struct str){NULL, 0} : row->currency;
                first = false;
            }
            r->amount_nano = amount > r->amount_nano ? amount : r->amount_nano;
        }
    }
}

/* --- limits --- */

static struct str subject(struct arena *arena, const char *kind, struct str name)
{
    const size_t kind_len = strlen(kind);
    char *text = arena_alloc(arena, kind_len + name.len);

    if (text == NULL) {
        return (struct str){NULL, 0};
    }
    memcpy(text, kind, kind_len);
    if (name.len > 0) {
        memcpy(text + kind_len, name.ptr, name.len);
    }
    return (struct str){text, kind_len + name.len};
}

static void add_subject(struct call *call, struct limits_claim *claim, const char *kind,
                        struct str name)
{
    const struct str s = name.len == 0 ? name : subject(call->arena, kind, name);

    if (s.len > 0) {
        claim->subjects[claim->n_subjects++] = s;
    }
}

static enum stage_verdict refuse_limit(struct call *call, const struct limits_state *state)
{
    const uint64_t wait_ms = state->retry_after_ms;
    struct chat_failure f;

    call->cause = CAUSE_LIMITED;
    metrics_add(call->gw->meters.limited[state->refused], 1);
    call->retry_after_s = (uint32_t)((wait_ms + 999) / 1000);
    call->retry_after_s = call->retry_after_s == 0 ? 1 : call->retry_after_s;
    switch (state->refused) {
    case LIMITS_MONEY:
        chat_failure_set(
            &f, 429, "insufficient_quota", "insufficient_quota", NULL,
            "You exceeded your current quota (budget of %.*s). Ask for a larger budget "
            "or wait for the next period.",
            STR_ARG(state->subject));
        break;
    case LIMITS_TOKENS:
        chat_failure_set(&f, 429, "tokens", "rate_limit_exceeded", NULL,
                         "Rate limit reached for %.*s on tokens per min (TPM): Limit %llu. Please "
                         "try again in %us.",
                         STR_ARG(state->subject), (unsigned long long)state->limit_tokens,
                         call->retry_after_s);
        break;
    case LIMITS_PARALLEL:
        chat_failure_set(&f, 429, "requests", "rate_limit_exceeded", NULL,
                         "Rate limit reached for %.*s on parallel requests. Please try again in "
                         "%us.",
                         STR_ARG(state->subject), call->retry_after_s);
        break;
    case LIMITS_REQUESTS:
    case LIMITS_NONE:
        chat_failure_set(
            &f, 429, "requests", "rate_limit_exceeded", NULL,
            "Rate limit reached for %.*s on requests per min (RPM): Limit %llu. Please "
            "try again in %us.",
            STR_ARG(state->subject), (unsigned long long)state->limit_requests,
            call->retry_after_s);
        break;
    }
    return call_refuse_with(call, &f);
}

static enum stage_verdict claim_limits(struct call *call, const struct ledger_reservation *r)
{
    struct limits_claim *claim = arena_zalloc(call->arena, 1, sizeof(*claim));
    struct limits_state *state = arena_zalloc(call->arena, 1, sizeof(*state));
    enum status rc;

    if (claim == NULL || state == NULL) {
        return call_unavailable(call, "server_is_overloaded", 1,
                                "The server has no memory for this request.");
    }
    add_subject(call, claim, "key:", call->caller.key_id);
    add_subject(call, claim, "team:", call->caller.team);
    add_subject(call, claim, "model:", call->request.chat.model);
    claim->tokens = (uint64_t)r->prompt_tokens + r->completion_tokens;
    claim->money_nano = r->amount_nano;
    rc = limits_reserve(call->gw->limits, claim, r->time_ms, state);
    call->limits = state;
    if (rc == E_LIMIT) {
        return refuse_limit(call, state);
    }
    if (rc != OK) {
        return call_unavailable(call, "server_is_overloaded", 1,
                                "The server has no memory for this request.");
    }
    call->claim = claim;
    return STAGE_NEXT;
}

enum status stage_reserve_provider(struct call *call, const struct fleet_upstream *u,
                                   struct limits_claim *claim, bool *ret_taken)
{
    const int64_t now_ms = kontor_clock_system.unix_ms(NULL);
    struct limits_state *state;
    enum status rc;

    *ret_taken = false;
    if (call->claim == NULL) {
        return OK; // no limits at all
    }
    *claim =
        (struct limits_claim){.tokens = call->claim->tokens, .money_nano = call->claim->money_nano};
    add_subject(call, claim, "provider:", u->conf->provider);
    state = arena_zalloc(call->arena, 1, sizeof(*state));
    if (claim->n_subjects == 0 || state == NULL) {
        return E_NO_MEMORY;
    }
    rc = limits_reserve(call->gw->limits, claim, now_ms, state);
    *ret_taken = rc == OK;
    if (rc == E_LIMIT) {
        (void)refuse_limit(call, state);
    }
    return rc;
}

void stage_reserve_give_back(struct call *call, struct limits_claim *claim)
{
    limits_settle(call->gw->limits, claim, 0, 0, kontor_clock_system.unix_ms(NULL));
}

/* --- ledger --- */

static enum stage_verdict tell_ledger(struct call *call, struct ledger_reservation *r)
{
    struct error err = {0};
    const enum status rc = ledger_reserve(call->gw->ledger, r, &err);

    if (rc == OK) {
        call->reservation = r;
        return STAGE_NEXT;
    }
    log_event(LOG_LEVEL_ERROR, "ledger_refused", "id=%.*s error=\"%s\"", STR_ARG(call->request_id),
              err.text);
    return call_unavailable(call, "ledger_unavailable", LEDGER_RETRY_S,
                            "The books cannot be written at the moment, so the request was not "
                            "sent. Try again later.");
}

enum stage_verdict stage_reserve(struct call *call)
{
    struct ledger_reservation *r;

    call->cost_nano = -1;
    if (call->gw->ledger == NULL && !call->gw->has_limits) {
        return STAGE_NEXT;
    }
    r = arena_zalloc(call->arena, 1, sizeof(*r));
    if (r == NULL) {
        return call_unavailable(call, "server_is_overloaded", 1,
                                "The server has no memory for this request.");
    }
    r->request_id = call->record_id;
    r->key_id = call->caller.key_id;
    r->team = call->caller.team;
    r->route_model = call->request.chat.model;
    r->prompt_tokens = prompt_estimate(call);
    r->completion_tokens = completion_ceiling(call);
    r->price_version = call->fleet->settings->prices.version;
    r->time_ms = kontor_clock_system.unix_ms(NULL);
    estimate(call, r);
    if (call->gw->has_limits && claim_limits(call, r) == STAGE_STOP) {
        return STAGE_STOP;
    }
    return call->gw->ledger == NULL ? STAGE_NEXT : tell_ledger(call, r);
}

/* --- settling --- */

/* Nothing was reported: what was relayed, and the prompt as estimated once something was sent. */
static void guess_usage(struct call *call)
{
    const bool sent = call->first_byte_ns != 0 || call->accepted ||
                      call->cause == CAUSE_CLIENT_GONE || call->cause == CAUSE_STOPPED ||
                      call->cause == CAUSE_TIMEOUT;

    if (call->usage_known || call->n_attempts == 0 || !sent) {
        return;
    }
    if (call->usage.prompt_tokens == 0) {
        call->usage.prompt_tokens = prompt_estimate(call);
    }
    if (call->usage.completion_tokens < call->relayed_tokens - call->earlier_tokens) {
        call->usage.completion_tokens = call->relayed_tokens - call->earlier_tokens;
    }
    call->usage_guessed = true;
}

/* The prompt of a server that continues holds what was said before. */
struct chat_usage stage_reserve_whole_usage(const struct call *call, const struct chat_usage *part)
{
    struct chat_usage whole = *part;

    whole.completion_tokens += call->earlier_tokens;
    if (whole.prompt_tokens > call->earlier_tokens) {
        whole.prompt_tokens -= call->earlier_tokens;
    }
    return whole;
}

void stage_reserve_note_earlier(struct call *call)
{
    const uint32_t relayed = call->relayed_tokens - call->earlier_tokens;
    const struct chat_usage seen = call->usage; // what it had reported by then
    const struct chat_usage part = {
        .prompt_tokens = seen.prompt_tokens > 0 ? seen.prompt_tokens : prompt_estimate(call),
        .completion_tokens = seen.completion_tokens > relayed ? seen.completion_tokens : relayed,
    };
    const struct prices_row *row =
        call->server == NULL ? NULL
                             : price_at(call, call->server, kontor_clock_system.unix_ms(NULL));

    call->earlier_nano += row == NULL ? 0 : prices_cost(row, &part);
    call->earlier_tokens = call->relayed_tokens;
    call->usage = (struct chat_usage){0};
    call->usage_known = false;
    call->usage_guessed = true;
}

void stage_reserve_price(struct call *call)
{
    const int64_t now_ms = kontor_clock_system.unix_ms(NULL);

    guess_usage(call);
    if (call->server != NULL && !call->usage_known && !call->usage_guessed) {
        call->cost_nano = 0;
    } else if (call->server != NULL) {
        call->price = price_at(call, call->server, now_ms);
    }
    if (call->price != NULL) {
        call->cost_nano = prices_cost(call->price, &call->usage) + call->earlier_nano;
    }
    if (call->earlier_tokens > 0) { // once: two servers made this answer
        call->usage = stage_reserve_whole_usage(call, &call->usage);
        call->earlier_tokens = 0;
    }
}

static int64_t us_between(uint64_t from_ns, uint64_t to_ns)
{
    return (int64_t)((to_ns - from_ns) / 1000);
}

static void settle_ledger(struct call *call, int64_t now_ms)
{
    const uint64_t begun_ns = http_exchange_begun_ns(call->x);
    struct ledger_entry e = {
        .reservation = *call->reservation,
        .usage = call->usage,
        .estimated = call->usage_guessed,
        .cost_nano = call->cost_nano < 0 ? 0 : call->cost_nano,
        .attempts = call->n_attempts,
        .http_status = call_status(call),
        .cause = str_from_c(call_cause_name(call->cause)),
        .label = str_from_c(label_name(call->facts.label)),
        .rule = call->decision->rule,
        .first_byte_us = call->first_byte_ns == 0 ? -1 : us_between(begun_ns, call->first_byte_ns),
        .total_us = us_between(begun_ns, loop_now_ns(call->gw->loop)),
        .end_ms = now_ms,
    };

    if (call->server != NULL) {
        e.upstream = call->server->conf->name;
        e.reservation.provider = call->server->conf->provider;
        e.reservation.model = fleet_model_there(call->server, call->request.chat.model);
    }
    if (call->price != NULL) {
        e.reservation.currency = call->price->currency;
    }
    ledger_settle(call->gw->ledger, &e);
    call->reservation = NULL;
}

void stage_reserve_settle(struct call *call)
{
    const int64_t now_ms = kontor_clock_system.unix_ms(NULL);
    const uint64_t tokens =
        (uint64_t)call->usage.prompt_tokens + (uint64_t)call->usage.completion_tokens;

    if (call->cost_nano < 0 && (call->claim != NULL || call->reservation != NULL)) {
        stage_reserve_price(call); // ended without a last event
    }
    if (call->claim != NULL) {
        limits_settle(call->gw->limits, call->claim, tokens,
                      call->cost_nano < 0 ? 0 : call->cost_nano, now_ms);
        call->claim = NULL;
    }
    if (call->provider_claim != NULL) {
        limits_settle(call->gw->limits, call->provider_claim, tokens,
                      call->cost_nano < 0 ? 0 : call->cost_nano, now_ms);
        call->provider_claim = NULL;
    }
    if (call->reservation != NULL) {
        settle_ledger(call, now_ms);
    }
}

void stage_reserve_promise(struct call *call, uint32_t n_tokens)
{
    const uint64_t needed = (uint64_t)call->relayed_tokens + n_tokens;
    struct ledger_reservation *r = call->reservation;
    struct chat_usage usage = {0};
    const struct prices_row *row;
    struct error err = {0};
    uint64_t promised;

    if (r == NULL || needed <= call->promised_tokens) {
        return;
    }
    promised = needed + PROMISE_TOKENS;
    call->promised_tokens = promised < r->completion_tokens ? (uint32_t)promised : UINT32_MAX;
    if (call->promised_tokens == UINT32_MAX) {
        promised = r->completion_tokens; // the reservation itself
    }
    usage.prompt_tokens = r->prompt_tokens;
    usage.completion_tokens = (uint32_t)promised;
    row = call->server == NULL ? NULL : price_at(call, call->server, r->time_ms);
    if (ledger_progress(call->gw->ledger, r->request_id, usage.completion_tokens,
                        row == NULL ? 0 : prices_cost(row, &usage), &err) != OK) {
        log_event(LOG_LEVEL_WARN, "promise_not_kept", "id=%.*s error=\"%s\"",
                  STR_ARG(call->request_id), err.text);
    }
}
