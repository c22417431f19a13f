#include "base/check.h"
#include "store/ledger_internal.h"

#include <string.h>

/* Numbers are little endian, texts a length of two bytes and the bytes.  A field is never taken
 * away and new ones go to the end: an old reader ignores them, a new one takes what is missing as
 * zero. */

struct writer {
    char *at;
    char *end;
};

struct reader {
    const char *at;
    const char *end;
    bool failed;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
    CHECK((size_t)(w->end - w->at) >= n);
    memcpy(w->at, bytes, n);
    w->at += n;
}

static void put_u32(struct writer *w, uint32_t v)
{
    put(w, &v, sizeof(v));
}

static void put_u64(struct writer *w, uint64_t v)
{
    put(w, &v, sizeof(v));
}

static void put_i64(struct writer *w, int64_t v)
{
    put(w, &v, sizeof(v));
}

static void put_str(struct writer *w, struct str s)
{
    uint16_t len;

    if (s.len > LEDGER_TEXT_MAX) {
        s.len = LEDGER_TEXT_MAX;
        while (s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xC0) == 0x80) {
            s.len--;
        }
    }
    len = (uint16_t)s.len;
    put(w, &len, sizeof(len));
    if (s.len > 0) {
        put(w, s.ptr, s.len);
    }
}

static void get(struct reader *r, void *bytes, size_t n)
{
    if ((size_t)(r->end - r->at) < n) {
        memset(bytes, 0, n);
        r->failed = true;
        return;
    }
    memcpy(bytes, r->at, n);
    r->at += n;
}

static uint32_t get_u32(struct reader *r)
{
    uint32_t v;

    get(r, &v, sizeof(v));
    return v;
}

static uint64_t get_u64(struct reader *r)
{
    uint64_t v;

    get(r, &v, sizeof(v));
    return v;
}

static int64_t get_i64(struct reader *r)
{
    int64_t v;

    get(r, &v, sizeof(v));
    return v;
}

static struct str get_str(struct reader *r)
{
    struct str s = {NULL, 0};
    uint16_t len;

    get(r, &len, sizeof(len));
    if (r->failed || (size_t)(r->end - r->at) < len) {
        r->failed = true;
        return s;
    }
    s = (struct str){r->at, len};
    r->at += len;
    return s;
}

static void put_reservation(struct writer *w, const struct ledger_reservation *r)
{
    put_i64(w, r->amount_nano);
    put_u32(w, r->prompt_tokens);
    put_u32(w, r->completion_tokens);
    put_u64(w, r->price_version);
    put_i64(w, r->time_ms);
    put_str(w, r->request_id);
    put_str(w, r->key_id);
    put_str(w, r->team);
    put_str(w, r->route_model);
    put_str(w, r->provider);
    put_str(w, r->model);
    put_str(w, r->currency);
}

static void get_reservation(struct reader *rd, struct ledger_reservation *r)
{
    r->amount_nano = get_i64(rd);
    r->prompt_tokens = get_u32(rd);
    r->completion_tokens = get_u32(rd);
    r->price_version = get_u64(rd);
    r->time_ms = get_i64(rd);
    r->request_id = get_str(rd);
    r->key_id = get_str(rd);
    r->team = get_str(rd);
    r->route_model = get_str(rd);
    r->provider = get_str(rd);
    r->model = get_str(rd);
    r->currency = get_str(rd);
}

size_t ledger_record_put_reserve(char bytes[LEDGER_RECORD_BYTES_MAX],
                                 const struct ledger_reservation *r)
{
    struct writer w = {bytes, bytes + LEDGER_RECORD_BYTES_MAX};

    put_reservation(&w, r);
    return (size_t)(w.at - bytes);
}

size_t ledger_record_put_settle(char bytes[LEDGER_RECORD_BYTES_MAX], const struct ledger_entry *e)
{
    struct writer w = {bytes, bytes + LEDGER_RECORD_BYTES_MAX};

    put_reservation(&w, &e->reservation);
    put_u32(&w, e->usage.prompt_tokens);
    put_u32(&w, e->usage.completion_tokens);
    put_u32(&w, e->usage.cached_tokens);
    put_u32(&w, e->usage.reasoning_tokens);
    put_u32(&w, e->estimated);
    put_i64(&w, e->cost_nano);
    put_u32(&w, e->attempts);
    put_u32(&w, (uint32_t)e->http_status);
    put_i64(&w, e->first_byte_us);
    put_i64(&w, e->total_us);
    put_i64(&w, e->end_ms);
    put_str(&w, e->cause);
    put_str(&w, e->upstream);
    put_str(&w, e->label);
    put_str(&w, e->rule);
    return (size_t)(w.at - bytes);
}

size_t ledger_record_put_progress(char bytes[LEDGER_RECORD_BYTES_MAX],
                                  const struct ledger_progress_mark *m)
{
    struct writer w = {bytes, bytes + LEDGER_RECORD_BYTES_MAX};

    put_u32(&w, m->completion_tokens);
    put_i64(&w, m->amount_nano);
    put_str(&w, m->request_id);
    return (size_t)(w.at - bytes);
}

enum status ledger_record_get_reserve(struct str payload, struct ledger_reservation *ret)
{
    struct reader rd = {payload.ptr, payload.ptr + payload.len, false};
    struct ledger_reservation r;

    get_reservation(&rd, &r);
    if (rd.failed || r.request_id.len == 0) {
        return E_INVALID;
    }
    *ret = r;
    return OK;
}

enum status ledger_record_get_settle(struct str payload, struct ledger_entry *ret)
{
    struct reader rd = {payload.ptr, payload.ptr + payload.len, false};
    struct ledger_entry e;

    memset(&e, 0, sizeof(e));
    get_reservation(&rd, &e.reservation);
    e.usage.prompt_tokens = get_u32(&rd);
    e.usage.completion_tokens = get_u32(&rd);
    e.usage.cached_tokens = get_u32(&rd);
    e.usage.reasoning_tokens = get_u32(&rd);
    e.estimated = get_u32(&rd) != 0;
    e.cost_nano = get_i64(&rd);
    e.attempts = get_u32(&rd);
    e.http_status = (int)get_u32(&rd);
    e.first_byte_us = get_i64(&rd);
    e.total_us = get_i64(&rd);
    e.end_ms = get_i64(&rd);
    e.cause = get_str(&rd);
    e.upstream = get_str(&rd);
    e.label = get_str(&rd);
    e.rule = get_str(&rd);
    if (rd.failed || e.reservation.request_id.len == 0) {
        return E_INVALID;
    }
    *ret = e;
    return OK;
}

enum status ledger_record_get_progress(struct str payload, struct ledger_progress_mark *ret)
{
    struct reader rd = {payload.ptr, payload.ptr + payload.len, false};
    struct ledger_progress_mark m;

    m.completion_tokens = get_u32(&rd);
    m.amount_nano = get_i64(&rd);
    m.request_id = get_str(&rd);
    if (rd.failed || m.request_id.len == 0) {
        return E_INVALID;
    }
    *ret = m;
    return OK;
}
