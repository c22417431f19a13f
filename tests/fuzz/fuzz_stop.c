/* Stop strings on arbitrary text: first line the strings, separated by NUL; then the text.  Byte by
 * byte and in one piece must agree, and with a search for the first end. */
#include "base/check.h"
#include "text/stop.h"

#define OUT_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static size_t first_end(struct str text, const struct str *stops, uint32_t n, size_t *ret_len)
{
    size_t best = SIZE_MAX;

    for (uint32_t i = 0; i < n; i++) {
        size_t at = str_find(text, stops[i], 0);

        if (at != SIZE_MAX &&
            (at + stops[i].len < best || (at + stops[i].len == best && stops[i].len > *ret_len))) {
            best = at + stops[i].len;
            *ret_len = stops[i].len;
        }
    }
    return best;
}

static void check(const struct str *stops, uint32_t n, struct str text)
{
    static struct stop_matcher whole; // 32 KiB each
    static struct stop_matcher cut;
    struct buf a;
    struct buf b;
    uint32_t idx = 0;
    size_t len = 0;
    size_t end = first_end(text, stops, n, &len);

    buf_init(&a, OUT_MAX);
    buf_init(&b, OUT_MAX);
    CHECK(stop_init(&whole, stops, n) == OK && stop_init(&cut, stops, n) == OK);
    CHECK(stop_push(&whole, text, &a, &idx) == (end != SIZE_MAX));
    stop_finish(&whole, &a);
    for (size_t i = 0; i < text.len; i++) {
        (void)stop_push(&cut, str_slice(text, i, i + 1), &b, NULL);
    }
    stop_finish(&cut, &b);
    CHECK(str_eq(buf_str(&a), buf_str(&b)));
    CHECK(end == SIZE_MAX ? str_eq(buf_str(&a), text)
                          : str_eq(buf_str(&a), str_slice(text, 0, end - len)));
    CHECK(end == SIZE_MAX || stops[idx].len == len);
    buf_done(&a);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str input = {(const char *)bytes, n_bytes};
    size_t line = str_find_byte(input, '\n', 0);
    struct str head = str_slice(input, 0, line);
    struct str text = line == SIZE_MAX ? STR("") : str_slice(input, line + 1, n_bytes);
    struct str stops[STOP_STRINGS_MAX];
    uint32_t n = 0;

    while (head.len > 0 && n < STOP_STRINGS_MAX) {
        size_t end = str_find_byte(head, '\0', 0);
        struct str stop = str_slice(head, 0, end);

        if (stop.len > 0 && stop.len <= STOP_BYTES_MAX) {
            stops[n++] = stop;
        }
        head = end == SIZE_MAX ? STR("") : str_slice(head, end + 1, head.len);
    }
    check(stops, n, text);
    return 0;
}
