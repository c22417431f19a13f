/* The chunked decoder: in random steps and byte by byte, verdict and payload must agree. */
#include "base/buf.h"
#include "base/check.h"
#include "net/http_parse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static enum status decode(struct str wire, size_t step, struct buf *out, size_t *ret_used)
{
    struct http_chunked c = {0};
    struct http_fault fault = {0};
    size_t at = 0;
    enum status rc = OK;

    while (rc == OK && at < wire.len) {
        struct str piece;
        size_t used = 0;

        rc = http_chunked_next(&c, str_slice(wire, at, at + step), &used, &piece, &fault);
        CHECK(used <= step && piece.len <= used);
        CHECK(rc != OK || used > 0);
        if (rc == OK || rc == E_CLOSED) {
            buf_append_str(out, piece);
        }
        at += used;
    }
    *ret_used = at;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct buf a;
    struct buf b;
    size_t used_a;
    size_t used_b;

    if (n_bytes == 0) {
        return 0;
    }
    buf_init(&a, SIZE_MAX);
    buf_init(&b, SIZE_MAX);
    {
        const struct str wire = {(const char *)bytes + 1, n_bytes - 1};
        const enum status rc_a = decode(wire, (size_t)bytes[0] + 1, &a, &used_a);
        const enum status rc_b = decode(wire, 1, &b, &used_b);

        CHECK(rc_a == rc_b);
        CHECK(used_a == used_b);
        CHECK(str_eq(buf_str(&a), buf_str(&b)));
    }
    buf_done(&a);
    buf_done(&b);
    return 0;
}
