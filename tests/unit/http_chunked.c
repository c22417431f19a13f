#include "base/buf.h"
#include "net/http_parse.h"
#include "support/guard.h"
#include "support/test.h"

#include <string.h>

#define PARTIAL 0  // more bytes are needed
#define COMPLETE 1 // body complete

/* Decode `wire` given in pieces of `step` bytes.  Returns PARTIAL, COMPLETE, or the status of a
 * refusal; *ret_rest: bytes behind the body. */
static int decode(const char *wire, size_t step, struct buf *out, size_t *ret_rest)
{
    struct http_chunked c = {0};
    struct http_fault fault = {0};
    const struct str all = str_from_c(wire);
    size_t at = 0;
    int v = PARTIAL;

    while (at < all.len && v == PARTIAL) {
        const size_t n = all.len - at < step ? all.len - at : step;
        struct guard g = guard_copy(str_slice(all, at, at + n));
        size_t used = 0;

        while (used < n && v == PARTIAL) {
            struct str piece;
            size_t k = 0;
            const enum status rc =
                http_chunked_next(&c, str_slice(g.text, used, n), &k, &piece, &fault);

            if (rc == OK || rc == E_CLOSED) {
                buf_append_str(out, piece);
            }
            v = rc == OK ? PARTIAL : rc == E_CLOSED ? COMPLETE : fault.http_status;
            used += k;
        }
        at += used;
        guard_done(&g);
    }
    *ret_rest = all.len - at;
    return v;
}

static const struct {
    const char *wire;
    int want;
    const char *payload;
    size_t rest;
} cases[] = {
    {"3\r\nabc\r\n0\r\n\r\n", COMPLETE, "abc", 0},
    {"0\r\n\r\n", COMPLETE, "", 0},
    {"0\r\n\r\nGET /", COMPLETE, "", 5},
    {"00003\r\nabc\r\n000\r\n\r\n", COMPLETE, "abc", 0},
    {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", COMPLETE, "01234567890123456789", 0},
    {"3;name=\"v\"\r\nabc\r\n0;x\r\n\r\n", COMPLETE, "abc", 0},
    {"3\r\nabc\r\n0\r\nX-Trailer: a\r\nB:\r\n\r\n", COMPLETE, "abc", 0},
    {"3\r\nabc\r\n", PARTIAL, "abc", 0},
    {"3\r\nab", PARTIAL, "ab", 0},
    {"3\r\nabcd\r\n0\r\n\r\n", 400, NULL, 0},
    {"3\nabc\n0\n\n", 400, NULL, 0},
    {"3\r\nabc\n", 400, NULL, 0},
    {"3\rabc", 400, NULL, 0},
    {"-3\r\n", 400, NULL, 0},
    {"+3\r\n", 400, NULL, 0},
    {" 3\r\n", 400, NULL, 0},
    {"3 \r\n", 400, NULL, 0},
    {"0x3\r\n", 400, NULL, 0},
    {"\r\n", 400, NULL, 0},
    {";x\r\n", 400, NULL, 0},
    {"g\r\n", 400, NULL, 0},
    {"1111111111111111\r\n", 400, NULL, 0},
    {"3;a\nb\r\nabc\r\n", 400, NULL, 0},
    {"0\r\nno colon\r\n\r\n", 400, NULL, 0},
    {"0\r\n: x\r\n\r\n", 400, NULL, 0},
    {"0\r\n folded: x\r\n\r\n", 400, NULL, 0},
    {"0\r\nA: x\n\r\n", 400, NULL, 0},
    {"0\r\n\rX", 400, NULL, 0},
};

TEST(bodies_in_pieces_of_every_size)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step <= strlen(cases[i].wire); step++) {
            struct buf out;
            size_t rest = 0;
            int v;

            buf_init(&out, 1 << 20);
            v = decode(cases[i].wire, step, &out, &rest);
            if (v != cases[i].want) {
                FAIL("case %zu in steps of %zu: %d, wanted %d", i, step, v, cases[i].want);
            }
            if (cases[i].payload != NULL) {
                EXPECT_EQ_STR(buf_str(&out), str_from_c(cases[i].payload));
            }
            if (v == COMPLETE) {
                EXPECT_EQ_SIZE(rest, cases[i].rest);
            }
            buf_done(&out);
        }
    }
}

TEST(extensions_and_trailers_are_limited)
{
    static char wire[HTTP_TRAILER_BYTES_MAX + 64];
    struct buf out;
    size_t rest;

    buf_init(&out, 1 << 20);
    memset(wire, 'a', sizeof(wire) - 1);
    memcpy(wire, "3;", 2);
    EXPECT_EQ_INT(decode(wire, 100, &out, &rest), 400);
    memcpy(wire, "0\r\na:", 5);
    EXPECT_EQ_INT(decode(wire, 100, &out, &rest), 431);
    buf_done(&out);
}
