/* Decoding, validation and tails agree with each other on arbitrary bytes. */
#include "base/check.h"
#include "base/utf8.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static size_t decode_all(struct str s)
{
    size_t at = 0;
    uint32_t cp;
    char again[4];

    while (at < s.len) {
        unsigned len = utf8_decode(s, at, &cp);

        if (len == 0) {
            CHECK(cp == 0xFFFD);
            break;
        }
        CHECK(utf8_encode(cp, again) == len && memcmp(again, s.ptr + at, len) == 0);
        at += len;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str s = {(const char *)bytes, n_bytes};
    size_t valid = utf8_valid_prefix(s);
    size_t tail = utf8_incomplete_tail(s);

    CHECK(decode_all(s) == valid);
    CHECK(utf8_valid(s) == (valid == n_bytes));
    CHECK(tail <= 3 && tail <= n_bytes);
    CHECK(tail == 0 || valid < n_bytes);
    if (valid < n_bytes && n_bytes - valid < 4 && tail == n_bytes - valid) {
        CHECK(utf8_valid(str_slice(s, 0, valid))); // cutting the tail off leaves valid text
    }
    return 0;
}
