/* The reader of upstream answers: cut into pieces in two ways, the events must be the same, and
 * their bytes those of the input. */
#include "base/check.h"
#include "gateway/load_report.h"
#include "gateway/response.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

struct seen {
    struct buf wire;
    uint32_t n_events;
    uint32_t n_last;
};

static void push(void *user, const struct chat_event *e)
{
    struct seen *s = user;

    CHECK(s->n_last == 0);
    s->n_events++;
    s->n_last += e->kind == CHAT_EVENT_DONE || e->kind == CHAT_EVENT_ERROR;
    buf_append_str(&s->wire, e->wire);
}

static enum status run(struct str body, bool sse, size_t piece, struct seen *s)
{
    struct arena *arena = arena_create((size_t)1 << 26);
    struct response r;
    enum status rc = OK;

    *s = (struct seen){0};
    buf_init(&s->wire, (size_t)1 << 26);
    response_init(&r, arena, sse, push, s);
    r.done_marks = true;
    for (size_t at = 0; rc == OK && at < body.len; at += piece) {
        rc = response_feed(&r, str_slice(body, at, at + piece));
    }
    if (rc == OK) {
        rc = response_end(&r);
    }
    response_done(&r);
    arena_destroy(arena);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const bool sse = n_bytes == 0 || (bytes[0] & 1) == 0;
    const struct str body = {(const char *)bytes + (n_bytes > 0), n_bytes - (n_bytes > 0)};
    struct seen whole;
    struct seen pieces;
    const enum status a = run(body, sse, SIZE_MAX / 2, &whole);
    const enum status b = run(body, sse, n_bytes > 1 ? 1 + bytes[1] % 7U : 1, &pieces);

    CHECK(a == b && whole.n_events == pieces.n_events);
    CHECK(str_eq(buf_str(&whole.wire), buf_str(&pieces.wire)));
    if (sse && whole.n_last == 0) {
        CHECK(str_starts(body, buf_str(&whole.wire)));
    }
    buf_done(&whole.wire);
    buf_done(&pieces.wire);
    (void)load_report_metrics(body);
    (void)load_report_utilization(body);
    return 0;
}
