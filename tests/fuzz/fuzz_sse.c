/* The SSE splitter: in random steps and byte by byte, the events must agree. */
#include "base/check.h"
#include "net/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static bool on_event(void *user, const struct sse_event *e)
{
    buf_append_str(user, e->name);
    buf_append_byte(user, '|');
    buf_append_str(user, e->data);
    buf_append_byte(user, '\0');
    return true;
}

static void split(struct str wire, size_t step, struct buf *out)
{
    struct sse s;

    sse_init(&s, 0);
    for (size_t at = 0; at < wire.len; at += step) {
        CHECK(sse_feed(&s, str_slice(wire, at, at + step), on_event, out) == OK);
    }
    sse_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct buf a;
    struct buf b;

    if (n_bytes == 0) {
        return 0;
    }
    buf_init(&a, SIZE_MAX);
    buf_init(&b, SIZE_MAX);
    split((struct str){(const char *)bytes + 1, n_bytes - 1}, (size_t)bytes[0] + 1, &a);
    split((struct str){(const char *)bytes + 1, n_bytes - 1}, 1, &b);
    CHECK(str_eq(buf_str(&a), buf_str(&b)));
    buf_done(&a);
    buf_done(&b);
    return 0;
}
