/* str functions against their definitions; the first byte splits the input into two strings. */
#include "base/check.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static size_t find_slowly(struct str s, struct str needle, size_t from)
{
    for (size_t at = from; at <= s.len; at++) {
        if (str_starts(str_slice(s, at, s.len), needle)) {
            return at;
        }
    }
    return SIZE_MAX;
}

static void check_distance(struct str a, struct str b)
{
    size_t d = str_distance(a, b);
    size_t longer = a.len > b.len ? a.len : b.len;

    CHECK(d == str_distance(b, a));
    if (longer > 64) {
        CHECK(d == SIZE_MAX);
        return;
    }
    CHECK(d <= longer && (d == 0) == str_eq(a, b));
    CHECK(d >= longer - (a.len < b.len ? a.len : b.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str all = {(const char *)bytes, n_bytes};
    size_t cut = n_bytes > 0 ? 1 + bytes[0] % n_bytes : 0;
    struct str a = str_slice(all, n_bytes > 0 ? 1 : 0, cut);
    struct str b = str_slice(all, cut, n_bytes);
    struct str trimmed = str_trim(b);

    for (size_t from = 0; from <= b.len + 1; from++) {
        CHECK(str_find(b, a, from) == find_slowly(b, a, from));
    }
    CHECK((str_cmp(a, b) == 0) == str_eq(a, b));
    CHECK((str_cmp(a, b) < 0) == (str_cmp(b, a) > 0));
    CHECK(!str_eq(a, b) || str_eq_nocase(a, b));
    CHECK(str_eq(str_trim(trimmed), trimmed));
    check_distance(a, b);
    return 0;
}
