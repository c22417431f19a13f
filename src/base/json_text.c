#include "base/check.h"
#include "base/json_internal.h"
#include "base/number.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum status json_text_fail(struct json_text *in, enum status s, size_t at, const char *what)
{
    size_t line = 1;
    size_t line_begin = 0;

    for (size_t i = str_find_byte(in->text, '\n', 0); i < at;
         i = str_find_byte(in->text, '\n', line_begin)) {
        line++;
        line_begin = i + 1;
    }
    return error_set(in->err, s, "%s at line %zu column %zu (byte %zu)", what, line,
                     at - line_begin + 1, at);
}

enum status json_text_fail_key(struct json_text *in, struct str value, struct str key)
{
    char what[160];
    struct str shown = str_slice(key, 0, 64);

    shown.len = utf8_valid_prefix(shown);
    snprintf(what, sizeof(what),
             "the key \"%.*s\"%s appears twice in one object; its second value is", STR_ARG(shown),
             shown.len < key.len ? "..." : "");
    return json_text_fail(in, E_INVALID, (size_t)(value.ptr - in->text.ptr), what);
}

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* First offset at or behind `at` that holds a quote, backslash, control or non-ASCII byte, or the
 * end.  Most bytes of a document pass through here. */
size_t json_text_skip_plain(struct str s, size_t at)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(0x20);

    while (s.len - at >= 16) {
        __m128i v = _mm_loadu_si128((const void *)(s.ptr + at));
        /* signed compare: control bytes and bytes over 0x7F are both below a space */
        __m128i hit =
            _mm_or_si128(_mm_cmplt_epi8(v, space),
                         _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
        int mask = _mm_movemask_epi8(hit);

        if (mask != 0) {
            return at + (size_t)__builtin_ctz((unsigned)mask);
        }
        at += 16;
    }
#endif
    while (at < s.len && is_plain((unsigned char)s.ptr[at])) {
        at++;
    }
    return at;
}

/* Offset of the closing quote when the string has no escape, of the first backslash otherwise. */
static enum status scan_string(struct json_text *in, size_t at, size_t *ret_stop)
{
    uint32_t cp;
    unsigned len;

    for (;;) {
        at = json_text_skip_plain(in->text, at);
        if (at == in->text.len) {
            return json_text_fail(in, E_INVALID, at, "the text ends inside a string");
        }
        if (in->text.ptr[at] == '"' || in->text.ptr[at] == '\\') {
            *ret_stop = at;
            return OK;
        }
        if ((unsigned char)in->text.ptr[at] < 0x20) {
            return json_text_fail(in, E_INVALID, at, "control character inside a string");
        }
        len = utf8_decode(in->text, at, &cp);
        if (len == 0) {
            return json_text_fail(in, E_INVALID, at, "invalid UTF-8");
        }
        at += len;
    }
}

/* Four hex digits at `at`, or false. */
static bool read_hex4(struct str s, size_t at, uint32_t *ret_unit)
{
    uint32_t unit = 0;

    if (s.len < 4 || at > s.len - 4) {
        return false;
    }
    for (size_t i = at; i < at + 4; i++) {
        char c = s.ptr[i];

        if (c >= '0' && c <= '9') {
            unit = unit << 4 | (uint32_t)(c - '0');
        } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
            unit = unit << 4 | ((uint32_t)(c & 0x0F) + 9);
        } else {
            return false;
        }
    }
    *ret_unit = unit;
    return true;
}

/* The character of \uXXXX or \uD8xx\uDCxx; in->at is at the backslash and moves behind it. */
static enum status read_unicode_escape(struct json_text *in, uint32_t *ret_cp)
{
    size_t begin = in->at;
    uint32_t high;
    uint32_t low;

    if (!read_hex4(in->text, begin + 2, &high)) {
        return json_text_fail(in, E_INVALID, begin, "\\u needs four hexadecimal digits");
    }
    in->at = begin + 6;
    if (high < 0xD800 || high > 0xDFFF) {
        *ret_cp = high;
        return OK;
    }
    if (high > 0xDBFF || !str_starts(str_slice(in->text, in->at, in->text.len), STR("\\u")) ||
        !read_hex4(in->text, in->at + 2, &low) || low < 0xDC00 || low > 0xDFFF) {
        return json_text_fail(in, E_INVALID, begin, "half of a surrogate pair");
    }
    in->at += 6;
    *ret_cp = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    return OK;
}

/* One escape at in->at (a backslash); writes up to 4 bytes to `out`. */
enum status json_text_escape(struct json_text *in, char *out, size_t *ret_len)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    char code = in->at + 1 < in->text.len ? in->text.ptr[in->at + 1] : '\0';
    const char *hit = code == '\0' ? NULL : memchr(from, code, sizeof(from) - 1);
    uint32_t cp = 0;
    enum status rc;

    if (code == 'u') {
        rc = read_unicode_escape(in, &cp);
        if (rc == OK) {
            *ret_len = utf8_encode(cp, out);
        }
        return rc;
    }
    if (hit == NULL) {
        return json_text_fail(in, E_INVALID, in->at, "unknown escape in a string");
    }
    out[0] = to[hit - from];
    *ret_len = 1;
    in->at += 2;
    return OK;
}

/* Offset of the closing quote of a string whose first backslash is at `at`. */
static enum status find_string_end(struct json_text *in, size_t at, size_t *ret_end)
{
    enum status rc;

    for (;;) {
        rc = scan_string(in, at, &at);
        if (rc != OK) {
            return rc;
        }
        if (in->text.ptr[at] == '"') {
            *ret_end = at;
            return OK;
        }
        at += 2;
        if (at > in->text.len) {
            return json_text_fail(in, E_INVALID, in->text.len, "the text ends inside a string");
        }
    }
}

/* A string with escapes never grows when it is unescaped, so its length in the source is enough. */
static enum status unescape(struct json_text *in, size_t begin, size_t stop, struct str *ret_string)
{
    size_t end = 0;
    size_t len = 0;
    size_t n = 0;
    char *out;
    enum status rc = find_string_end(in, stop, &end);

    if (rc != OK) {
        return rc;
    }
    out = arena_alloc(in->arena, end - begin);
    if (out == NULL) {
        return json_text_fail(in, E_NO_MEMORY, begin, JSON_OUT_OF_ARENA);
    }
    in->at = begin;
    while (in->at < end) {
        if (in->text.ptr[in->at] == '\\') {
            rc = json_text_escape(in, out + len, &n);
            if (rc != OK) {
                return rc;
            }
            len += n;
            continue;
        }
        n = str_find_byte(str_slice(in->text, 0, end), '\\', in->at);
        n = (n == SIZE_MAX ? end : n) - in->at;
        memcpy(out + len, in->text.ptr + in->at, n);
        len += n;
        in->at += n;
    }
    in->at = end + 1;
    *ret_string = (struct str){out, len};
    return OK;
}

enum status json_text_string(struct json_text *in, struct str *ret_string)
{
    size_t begin = in->at + 1;
    size_t stop = begin;
    enum status rc = scan_string(in, begin, &stop);

    if (rc != OK) {
        return rc;
    }
    if (in->text.ptr[stop] == '\\') {
        return unescape(in, begin, stop, ret_string);
    }
    *ret_string = str_slice(in->text, begin, stop);
    in->at = stop + 1;
    return OK;
}

enum status json_text_number(struct json_text *in, struct json_value *ret_value)
{
    bool is_integer;
    size_t len = number_scan(in->text, in->at, &is_integer);
    struct str literal = str_slice(in->text, in->at, in->at + len);
    size_t end = in->at + len;

    /* 01, 1.  and 1e are a number followed by rubbish; say so where the number is */
    if (len == 0 || (end < in->text.len && memchr("0123456789.eE+-", in->text.ptr[end], 15))) {
        return json_text_fail(in, E_INVALID, in->at, "malformed number");
    }
    in->at = end;
    if (is_integer && str_to_i64(literal, &ret_value->integer) == OK) {
        ret_value->kind = JSON_INT;
        ret_value->number = (double)ret_value->integer;
        return OK;
    }
    ret_value->kind = JSON_DOUBLE;
    if (number_to_f64(literal, &ret_value->number) != OK) {
        return json_text_fail(in, E_INVALID, end - len, "number too large or too long");
    }
    return OK;
}
