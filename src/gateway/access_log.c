/* access_log.c - one JSON object per request on standard output, for gateways; contents never.
 *
 * Lines leave together, after DELAY_MS or when FULL_BYTES have come together.  A reader that does
 * not keep up must not stop the loop: what does not fit is kept up to KEPT_BYTES_MAX, then dropped
 * and counted.
 */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/gateway_internal.h"

#include <poll.h>
#include <unistd.h>

#define KEPT_BYTES_MAX (1U << 20)
#define WRITE_BYTES_MAX 4096 // what a pipe that polls writable takes for sure
#define SHOWN_PATH_BYTES_MAX 200
#define SHOWN_MODEL_BYTES_MAX 64
#define TRACEPARENT_BYTES 55
#define FULL_BYTES 32768
#define DELAY_MS 20
#define RETRY_MS 50
#define NS_PER_MS UINT64_C(1000000)

static bool is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static void flush(struct gateway *gw)
{
    struct buf *b = &gw->access;
    size_t at = 0;

    while (at < b->len && is_writable(STDOUT_FILENO)) {
        const size_t left = b->len - at;
        const ssize_t n =
            write(STDOUT_FILENO, b->ptr + at, left < WRITE_BYTES_MAX ? left : WRITE_BYTES_MAX);

        if (n <= 0) {
            break;
        }
        at += (size_t)n;
    }
    buf_consume(b, at);
    if (b->len > 0) {
        loop_timer_set(gw->loop, &gw->access_timer, loop_now_ns(gw->loop) + RETRY_MS * NS_PER_MS);
    }
}

static void on_flush(void *user)
{
    flush(user);
}

void access_log_start(struct gateway *gw)
{
    buf_init(&gw->access, KEPT_BYTES_MAX);
    gw->access_flush.run = on_flush;
    gw->access_flush.user = gw;
    gw->access_timer.on_due = on_flush;
    gw->access_timer.user = gw;
}

void access_log_stop(struct gateway *gw)
{
    if (gw->access.len > 0) {
        flush(gw);
    }
    loop_timer_stop(&gw->access_timer);
    buf_done(&gw->access);
}

/* --- one line --- */

static void put_text(struct buf *out, const char *name, struct str value)
{
    buf_append_str(out, STR(",\""));
    buf_append_c(out, name);
    buf_append_str(out, STR("\":"));
    json_write_string(out, value);
}

static void put_number(struct buf *out, const char *name, int64_t value)
{
    buf_append_str(out, STR(",\""));
    buf_append_c(out, name);
    buf_append_str(out, STR("\":"));
    json_write_i64(out, value);
}

static void put_flag(struct buf *out, const char *name, bool value)
{
    if (value) {
        buf_append_str(out, STR(",\""));
        buf_append_c(out, name);
        buf_append_str(out, STR("\":true"));
    }
}

/* Only what has the form of W3C's version 00 ("00-", 32 digits, "-", 16, "-", 2): the field is a
 * client's, and no place for contents. */
static void put_trace(struct buf *out, const struct str *trace)
{
    if (trace == NULL || trace->len != TRACEPARENT_BYTES) {
        return;
    }
    for (size_t i = 0; i < trace->len; i++) {
        const char c = trace->ptr[i];
        const bool dash = i == 2 || i == 35 || i == 52;

        if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return;
        }
    }
    put_text(out, "traceparent", *trace);
}

static void put_request(struct call *call, struct buf *out)
{
    const struct http_head *head = http_exchange_head(call->x);
    const struct str none = {NULL, 0};

    buf_append_str(out, STR("{\"time_ms\":"));
    json_write_i64(out, kontor_clock_system.unix_ms(NULL));
    put_text(out, "id", call->request_id);
    if (!str_eq(call->record_id, call->request_id)) {
        put_text(out, "record_id", call->record_id);
    }
    put_text(out, "peer", http_exchange_peer(call->x));
    put_text(out, "method", head == NULL ? none : head->method);
    put_text(out, "path", head == NULL ? none : str_slice(head->path, 0, SHOWN_PATH_BYTES_MAX));
    put_number(out, "status", call_status(call));
    put_text(out, "cause", str_from_c(call_cause_name(call->cause)));
    if (call->failure != NULL && call->failure->code != NULL) {
        put_text(out, "code", str_from_c(call->failure->code));
    }
    if (head != NULL) {
        put_trace(out, http_parse_field(head, STR("traceparent")));
    }
}

static void put_inference(struct call *call, struct buf *out)
{
    // A name that no rule has seen is a client's free text.
    put_text(out, "model",
             str_slice(call->request.chat.model, 0,
                       call->decision != NULL ? SIZE_MAX : SHOWN_MODEL_BYTES_MAX));
    put_flag(out, "stream", call->request.stream);
    put_text(out, "key", call->caller.key_id);
    put_text(out, "team", call->caller.team);
    if (call->server != NULL) {
        put_text(out, "upstream", call->server->conf->name);
        put_text(out, "provider", call->server->conf->provider);
        put_text(out, "upstream_model", fleet_model_there(call->server, call->request.chat.model));
        put_text(out, "chosen_by", str_from_c(call->route_reason));
    }
    put_number(out, "attempts", call->n_attempts);
    put_flag(out, "slow", call->slow);
    put_number(out, "prompt_tokens", call->usage.prompt_tokens);
    put_number(out, "completion_tokens", call->usage.completion_tokens);
    put_number(out, "cached_tokens", call->usage.cached_tokens);
    put_flag(out, "estimated", call->usage_guessed);
    if (call->cost_nano >= 0 && call->price != NULL) {
        put_number(out, "cost_nano", call->cost_nano);
        put_text(out, "currency", call->price->currency);
    }
    if (call->decision != NULL) {
        put_text(out, "label", str_from_c(label_name(call->facts.label)));
        put_text(out, "rule", call->decision->rule);
        buf_append_str(out, STR(",\"policy\":"));
        policy_write_record(out, &call->facts, call->decision, call->fleet->settings);
    }
}

static void put_times(struct call *call, struct buf *out)
{
    const uint64_t begun_ns = http_exchange_begun_ns(call->x);

    if (call->first_byte_ns != 0) {
        put_number(out, "first_byte_us", (int64_t)((call->first_byte_ns - begun_ns) / 1000));
    }
    put_number(out, "total_us", (int64_t)((loop_now_ns(call->gw->loop) - begun_ns) / 1000));
    put_number(out, "bytes", (int64_t)http_exchange_sent_bytes(call->x));
}

void access_log_line(struct call *call)
{
    struct gateway *gw = call->gw;
    struct buf *out = &gw->access;
    const size_t before = out->len;

    if (buf_status(out) == OK) {
        put_request(call, out);
        if (call->route->dialect != DIALECT_NONE) {
            put_inference(call, out);
        }
        put_times(call, out);
        buf_append_str(out, STR("}\n"));
    }
    if (buf_status(out) != OK) { // full: this line is lost, those before stay
        out->len = before;
        out->status = OK;
        metrics_add(gw->meters.log_dropped, 1);
    }
    if (before == 0) {
        loop_timer_set(gw->loop, &gw->access_timer, loop_now_ns(gw->loop) + DELAY_MS * NS_PER_MS);
    } else if (before < FULL_BYTES && out->len >= FULL_BYTES) {
        loop_defer(gw->loop, &gw->access_flush);
    }
}
