#include "app/config_value.h"
#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MONEY_PLACES 9
#define PRICE_PLACES 3 // of a price per million: 10^-9 / 10^-6

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Longest suffix first. */
static const struct unit time_units[] = {
    {"ms", 1},
    {"s", 1000},
    {"m", 60000},
    {"h", 3600000},
};

static const struct unit size_units[] = {
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"kB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
};

static enum status scaled(struct str digits, uint64_t factor, uint64_t *ret_value)
{
    uint64_t n;
    enum status rc = str_to_u64(digits, &n);

    if (rc == OK && __builtin_mul_overflow(n, factor, &n)) {
        rc = E_LIMIT;
    }
    if (rc == OK) {
        *ret_value = n;
    }
    return rc;
}

static enum status with_unit(struct str s, const struct unit *units, size_t n_units,
                             uint64_t *ret_value)
{
    for (size_t i = 0; i < n_units; i++) {
        struct str suffix = str_from_c(units[i].suffix);

        if (str_ends(s, suffix)) {
            return scaled(str_slice(s, 0, s.len - suffix.len), units[i].factor, ret_value);
        }
    }
    return E_INVALID;
}

enum status config_value_ms(struct str s, uint64_t *ret_ms)
{
    if (str_eq(s, STR("0"))) {
        *ret_ms = 0;
        return OK;
    }
    return with_unit(s, time_units, ARRAY_COUNT(time_units), ret_ms);
}

enum status config_value_bytes(struct str s, uint64_t *ret_bytes)
{
    uint64_t plain;

    if (str_to_u64(s, &plain) == OK) {
        *ret_bytes = plain;
        return OK;
    }
    return with_unit(s, size_units, ARRAY_COUNT(size_units), ret_bytes);
}

enum status config_value_percent(struct str s, uint64_t *ret_percent)
{
    if (!str_ends(s, STR("%"))) {
        return E_INVALID;
    }
    return scaled(str_slice(s, 0, s.len - 1), 1, ret_percent);
}

/* "12.5" with at most `places` digits behind the point -> 12.5 * 10^places. */
static enum status read_decimal(struct str s, size_t places, int64_t *ret_value)
{
    size_t point = str_find_byte(s, '.', 0);
    struct str whole = str_slice(s, 0, point == SIZE_MAX ? s.len : point);
    struct str rest = point == SIZE_MAX ? STR("0") : str_slice(s, point + 1, s.len);
    uint64_t scale = 1;
    uint64_t a;
    uint64_t b;

    if (rest.len > places) {
        return E_LIMIT;
    }
    for (size_t i = 0; i < places; i++) {
        scale *= 10;
    }
    if (scaled(whole, scale, &a) != OK || str_to_u64(rest, &b) != OK) {
        return str_to_u64(whole, &a) == OK && str_to_u64(rest, &b) == OK ? E_LIMIT : E_INVALID;
    }
    for (size_t i = rest.len; i < places; i++) {
        b *= 10;
    }
    if (__builtin_add_overflow(a, b, &a) || a > INT64_MAX) {
        return E_LIMIT;
    }
    *ret_value = (int64_t)a;
    return OK;
}

enum status config_value_money(struct str s, int64_t *ret_nano)
{
    return read_decimal(s, MONEY_PLACES, ret_nano);
}

enum status config_value_price(struct str s, int64_t *ret_nano)
{
    return read_decimal(s, PRICE_PLACES, ret_nano);
}

enum status config_value_address(struct str s, struct str *ret_host, uint16_t *ret_port)
{
    struct str host;
    uint64_t port;
    size_t colon = s.len;

    while (colon > 0 && s.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return E_INVALID;
    }
    host = str_slice(s, 0, colon - 1);
    if (str_starts(host, STR("[")) && str_ends(host, STR("]"))) {
        host = str_slice(host, 1, host.len - 1);
    } else if (str_find_byte(host, ':', 0) != SIZE_MAX) {
        return E_INVALID; // an IPv6 address without brackets
    }
    if (host.len == 0 || host.len > 255 || str_find_byte(host, ' ', 0) != SIZE_MAX ||
        str_find_byte(host, '/', 0) != SIZE_MAX) {
        return E_INVALID;
    }
    if (str_to_u64(str_slice(s, colon, s.len), &port) != OK || port == 0 || port > UINT16_MAX) {
        return E_LIMIT;
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return OK;
}

static bool read_part(struct str s, size_t begin, size_t end, uint64_t min, uint64_t max,
                      uint64_t *ret_value)
{
    uint64_t n;

    if (str_to_u64(str_slice(s, begin, end), &n) != OK || n < min || n > max) {
        return false;
    }
    *ret_value = n;
    return true;
}

bool config_value_is_day(struct str s)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year;
    uint64_t month;
    uint64_t day;
    uint64_t last;

    if (s.len != 10 || s.ptr[4] != '-' || s.ptr[7] != '-' ||
        !read_part(s, 0, 4, 2000, 2999, &year) || !read_part(s, 5, 7, 1, 12, &month)) {
        return false;
    }
    last = days[month - 1];
    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        last = 29;
    }
    return read_part(s, 8, 10, 1, last, &day);
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_of(struct str s, const char *others)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_letter_or_digit(s.ptr[i]) &&
            (s.ptr[i] == '\0' || strchr(others, s.ptr[i]) == NULL)) {
            return false;
        }
    }
    return s.len >= 1 && s.len <= 64;
}

bool config_value_is_name(struct str s)
{
    return is_of(s, "._-");
}

bool config_value_is_header(struct str s)
{
    return is_of(s, "!#$%&'*+-.^_`|~");
}

void config_value_write_ms(struct buf *out, uint64_t ms)
{
    size_t best = 0;

    if (ms == 0) {
        buf_append_byte(out, '0');
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(time_units); i++) {
        if (ms % time_units[i].factor == 0) {
            best = i;
        }
    }
    buf_printf(out, "%" PRIu64 "%s", ms / time_units[best].factor, time_units[best].suffix);
}

void config_value_write_bytes(struct buf *out, uint64_t bytes)
{
    for (size_t i = 4; i > 0; i--) {
        if (bytes != 0 && bytes % size_units[i - 1].factor == 0) {
            buf_printf(out, "%" PRIu64 "%s", bytes / size_units[i - 1].factor,
                       size_units[i - 1].suffix);
            return;
        }
    }
    buf_printf(out, "%" PRIu64, bytes);
}

/* At least two places, as money is written, and no zeros behind them. */
static void write_decimal(struct buf *out, int64_t value, int places)
{
    int64_t scale = 1;
    char digits[24];
    int n;

    for (int i = 0; i < places; i++) {
        scale *= 10;
    }
    n = snprintf(digits, sizeof(digits), "%0*" PRId64, places, value % scale);
    while (n > 2 && digits[n - 1] == '0') {
        n--;
    }
    buf_printf(out, "%" PRId64 ".%.*s", value / scale, n, digits);
}

void config_value_write_money(struct buf *out, int64_t nano)
{
    write_decimal(out, nano, MONEY_PLACES);
}

void config_value_write_price(struct buf *out, int64_t nano)
{
    write_decimal(out, nano, PRICE_PLACES);
}
