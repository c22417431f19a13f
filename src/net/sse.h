/* sse.h - splits a stream of server-sent events, arriving in pieces of any size, into events.
 *
 * Line ends CR, LF and CRLF; several data lines joined by LF; comments and other fields skipped but
 * for `event`.  An event without data is dropped, as browsers do.  Loop- or thread-owned; no I/O.
 */
#ifndef NET_SSE_H
#define NET_SSE_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define SSE_EVENT_BYTES_MAX (16U << 20) // default ceiling of one event

struct sse {
    struct buf line; // unfinished line
    struct buf data; // of the event so far
    struct buf name;
    bool has_data;
    bool after_cr; // the next LF belongs to the line end before it
};

struct sse_event {
    struct str name; // "" when there was no event field
    struct str data;
};

/** `max_bytes` 0: SSE_EVENT_BYTES_MAX. */
void sse_init(struct sse *s, size_t max_bytes);
void sse_done(struct sse *s);
/**
 * Take bytes; `on_event` is called for each complete event and may end the reading with false.
 * The event's strings are valid during the call.
 * Errors: LIMIT (event too long), NO_MEMORY, CANCELLED (on_event said false).
 */
MUST_USE enum status sse_feed(struct sse *s, struct str bytes,
                              bool (*on_event)(void *user, const struct sse_event *event),
                              void *user);

#endif
