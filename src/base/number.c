#include "base/number.h"
#include "base/check.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_init(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    CHECK(c_locale != NULL);
}

static double read_in_c_locale(const char *text)
{
    pthread_once(&c_locale_once, c_locale_init);
    return strtod_l(text, NULL, c_locale);
}

static bool is_digit(struct str s, size_t at)
{
    return at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9';
}

static size_t skip_digits(struct str s, size_t at)
{
    while (is_digit(s, at)) {
        at++;
    }
    return at;
}

size_t number_scan(struct str s, size_t at, bool *ret_is_integer)
{
    size_t p = at;
    size_t q;
    bool is_integer = true;

    if (p < s.len && s.ptr[p] == '-') {
        p++;
    }
    if (!is_digit(s, p)) {
        return 0;
    }
    p = s.ptr[p] == '0' ? p + 1 : skip_digits(s, p);
    if (p < s.len && s.ptr[p] == '.' && is_digit(s, p + 1)) {
        p = skip_digits(s, p + 1);
        is_integer = false;
    }
    if (p < s.len && (s.ptr[p] == 'e' || s.ptr[p] == 'E')) {
        q = p + 1;
        if (q < s.len && (s.ptr[q] == '+' || s.ptr[q] == '-')) {
            q++;
        }
        if (is_digit(s, q)) {
            p = skip_digits(s, q);
            is_integer = false;
        }
    }
    *ret_is_integer = is_integer;
    return p - at;
}

/* Up to 15 digits without exponent: both the digits and the power of ten are exact doubles, so one
 * division rounds correctly (Clinger 1990).  Covers prices, probabilities and scores. */
static bool exact_small(struct str s, double *ret_value)
{
    static const double pow10[] = {1.0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t digits = 0;
    size_t n_fraction = 0;
    bool negative = s.len > 0 && s.ptr[0] == '-';
    bool in_fraction = false;

    if (s.len > 16) {
        return false;
    }
    for (size_t i = negative ? 1 : 0; i < s.len; i++) {
        if (s.ptr[i] == '.') {
            in_fraction = true;
        } else if (s.ptr[i] >= '0' && s.ptr[i] <= '9') {
            digits = digits * 10 + (uint64_t)(s.ptr[i] - '0');
            n_fraction += in_fraction ? 1 : 0;
        } else {
            return false;
        }
    }
    if (digits >= UINT64_C(1) << 53 || n_fraction >= ARRAY_COUNT(pow10)) {
        return false;
    }
    *ret_value = (double)digits / pow10[n_fraction];
    if (negative) {
        *ret_value = -*ret_value;
    }
    return true;
}

enum status number_to_f64(struct str literal, double *ret_value)
{
    char text[NUMBER_LITERAL_MAX + 1];
    double v;

    if (exact_small(literal, ret_value)) {
        return OK;
    }
    if (literal.len > NUMBER_LITERAL_MAX) {
        return E_LIMIT;
    }
    memcpy(text, literal.ptr, literal.len);
    text[literal.len] = '\0';
    v = read_in_c_locale(text);
    if (isinf(v)) {
        return E_LIMIT;
    }
    *ret_value = v;
    return OK;
}

struct decimal {
    char digits[24]; // significant digits, NUL terminated
    size_t n_digits;
    int exp10; // value = d.ddd * 10^exp10
};

/* printf's "%.*e" taken apart without trusting the locale's decimal point. */
static void split_digits(double v, int precision, struct decimal *d)
{
    char text[48];
    const char *p = text;
    bool negative;

    snprintf(text, sizeof(text), "%.*e", precision, v);
    d->n_digits = 0;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            d->digits[d->n_digits++] = *p;
        }
    }
    d->digits[d->n_digits] = '\0';
    negative = p[1] == '-';
    d->exp10 = 0;
    for (p += 2; *p != '\0'; p++) {
        d->exp10 = d->exp10 * 10 + (*p - '0');
    }
    if (negative) {
        d->exp10 = -d->exp10;
    }
}

static bool reads_back(const struct decimal *d, double v)
{
    char text[48];

    snprintf(text, sizeof(text), "%se%d", d->digits, d->exp10 + 1 - (int)d->n_digits);
    return read_in_c_locale(text) == v;
}

/* Add one to the last digit; false when it would carry past the first. */
static bool round_up(struct decimal *d)
{
    size_t i = d->n_digits;

    while (i > 0 && d->digits[i - 1] == '9') {
        d->digits[--i] = '0';
    }
    if (i == 0) {
        return false;
    }
    d->digits[i - 1]++;
    return true;
}

/* The shortest digits of v > 0.  15 digits always survive the way back for normal numbers, so
 * shorter ones are found by dropping zeros; below the normal range every length is tried.
 * A power of two has its neighbours at different distances: the nearest decimal may lie below and
 * belong to the lower neighbour while the next one above still reads back. */
static void shortest_digits(double v, struct decimal *d)
{
    int exp2;
    bool power_of_two = frexp(v, &exp2) == 0.5;

    for (int precision = v < 2.3e-308 ? 0 : 14; precision <= 16; precision++) {
        split_digits(v, precision, d);
        if (reads_back(d, v) || (power_of_two && round_up(d) && reads_back(d, v))) {
            break;
        }
    }
    while (d->n_digits > 1 && d->digits[d->n_digits - 1] == '0') {
        d->n_digits--;
    }
    d->digits[d->n_digits] = '\0';
}

static size_t print_plain(const struct decimal *d, bool trim_integer, char *out)
{
    size_t at = 0;
    int n = (int)d->n_digits;

    if (d->exp10 < 0) {
        out[at++] = '0';
        out[at++] = '.';
        for (int i = -1; i > d->exp10; i--) {
            out[at++] = '0';
        }
    }
    for (int i = 0; i < n || i <= d->exp10; i++) {
        if (d->exp10 >= 0 && i == d->exp10 + 1) {
            out[at++] = '.';
        }
        out[at++] = i < n ? d->digits[i] : '0';
    }
    if (d->exp10 >= n - 1 && !trim_integer) {
        out[at++] = '.';
        out[at++] = '0';
    }
    return at;
}

size_t number_from_f64(double v, bool trim_integer, char ret_text[NUMBER_TEXT_MAX])
{
    struct decimal d = {.digits = "0", .n_digits = 1, .exp10 = 0};
    size_t at = 0;

    CHECK(isfinite(v));
    if (signbit(v)) {
        ret_text[at++] = '-';
        v = -v;
    }
    if (v > 0.0) {
        shortest_digits(v, &d);
    }
    if (d.exp10 >= -4 && d.exp10 < 16) {
        at += print_plain(&d, trim_integer, ret_text + at);
        ret_text[at] = '\0';
        return at;
    }
    at += (size_t)snprintf(ret_text + at, NUMBER_TEXT_MAX - at, "%c%s%se%c%02d", d.digits[0],
                           d.n_digits > 1 ? "." : "", d.digits + 1, d.exp10 < 0 ? '-' : '+',
                           d.exp10 < 0 ? -d.exp10 : d.exp10);
    return at;
}
