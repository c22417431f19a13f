/* Number literals: what scans converts, what converts prints, the print reads back equal. */
#include "base/check.h"
#include "base/number.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void print_and_read(double v)
{
    char text[NUMBER_TEXT_MAX];

    for (int trim = 0; trim < 2; trim++) {
        size_t len = number_from_f64(v, trim == 1, text);
        double back = 0.0;

        CHECK(len < NUMBER_TEXT_MAX && text[len] == '\0' && strlen(text) == len);
        CHECK(str_to_f64((struct str){text, len}, &back) == OK);
        CHECK(memcmp(&back, &v, sizeof(v)) == 0);
    }
}

static void check_integers(struct str s)
{
    uint64_t u = 0;
    int64_t i = 0;

    if (str_to_u64(s, &u) == OK && u <= INT64_MAX) {
        CHECK(str_to_i64(s, &i) == OK && (uint64_t)i == u);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str s = {(const char *)bytes, n_bytes};
    bool is_integer = false;
    size_t len = number_scan(s, 0, &is_integer);
    double v = 0.0;

    CHECK(len <= n_bytes);
    check_integers(s);
    if (len > 0 && number_to_f64(str_slice(s, 0, len), &v) == OK) {
        print_and_read(v);
    }
    if (n_bytes == sizeof(v)) { // any bit pattern
        memcpy(&v, bytes, sizeof(v));
        if (v - v == 0.0) {
            print_and_read(v);
        }
    }
    return 0;
}
