#include "base/str.h"
#include "base/number.h"

#include <string.h>

struct str str_from_c(const char *c_text)
{
    return (struct str){c_text, c_text == NULL ? 0 : strlen(c_text)};
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_slice(s, 0, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_slice(s, s.len - suffix.len, s.len), suffix);
}

struct str str_slice(struct str s, size_t begin, size_t end)
{
    if (end > s.len) {
        end = s.len;
    }
    if (begin >= end) {
        return (struct str){s.ptr, 0};
    }
    return (struct str){s.ptr + begin, end - begin};
}

size_t str_find(struct str s, struct str needle, size_t from)
{
    const char *hit;

    if (from > s.len) {
        return SIZE_MAX;
    }
    if (needle.len == 0) {
        return from;
    }
    if (needle.len > s.len - from) {
        return SIZE_MAX;
    }
    hit = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return hit == NULL ? SIZE_MAX : (size_t)(hit - s.ptr);
}

size_t str_find_byte(struct str s, char byte, size_t from)
{
    const char *hit;

    if (from >= s.len) {
        return SIZE_MAX;
    }
    hit = memchr(s.ptr + from, byte, s.len - from);
    return hit == NULL ? SIZE_MAX : (size_t)(hit - s.ptr);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    size_t begin = 0;
    size_t end = s.len;

    while (begin < end && is_blank(s.ptr[begin])) {
        begin++;
    }
    while (end > begin && is_blank(s.ptr[end - 1])) {
        end--;
    }
    return str_slice(s, begin, end);
}

enum status str_to_u64(struct str s, uint64_t *ret_value)
{
    uint64_t v = 0;
    bool fits = true;

    if (s.len == 0) {
        return E_INVALID;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return E_INVALID;
        }
        fits = fits && !__builtin_mul_overflow(v, UINT64_C(10), &v) &&
               !__builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v);
    }
    if (!fits) {
        return E_LIMIT;
    }
    *ret_value = v;
    return OK;
}

enum status str_to_i64(struct str s, int64_t *ret_value)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude;
    enum status rc = str_to_u64(str_slice(s, negative ? 1 : 0, s.len), &magnitude);

    if (rc != OK) {
        return rc;
    }
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return E_LIMIT;
    }
    if (negative) {
        *ret_value = magnitude == 0 ? 0 : -(int64_t)(magnitude - 1) - 1;
    } else {
        *ret_value = (int64_t)magnitude;
    }
    return OK;
}

enum status str_to_f64(struct str s, double *ret_value)
{
    bool is_integer;

    if (s.len == 0 || number_scan(s, 0, &is_integer) != s.len) {
        return E_INVALID;
    }
    return number_to_f64(s, ret_value);
}

#define DISTANCE_LEN_MAX 64

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment over three rolling rows: row[i % 3][j] is the distance of the first i
 * bytes of a to the first j bytes of b. */
size_t str_distance(struct str a, struct str b)
{
    size_t rows[3][DISTANCE_LEN_MAX + 1];

    if (a.len > DISTANCE_LEN_MAX || b.len > DISTANCE_LEN_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *above2 = rows[(i + 1) % 3]; // i - 2

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replace = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1] ? 1 : 0);

            row[j] = min_size(replace, min_size(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1]) {
                row[j] = min_size(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[a.len % 3][b.len];
}
