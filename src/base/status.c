#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *status_name(enum status s)
{
    switch (s) {
    case OK:
        return "ok";
    case E_INVALID:
        return "invalid";
    case E_LIMIT:
        return "limit";
    case E_NO_MEMORY:
        return "no_memory";
    case E_NOT_FOUND:
        return "not_found";
    case E_IO:
        return "io";
    case E_UNSUPPORTED:
        return "unsupported";
    case E_TIMEOUT:
        return "timeout";
    case E_CLOSED:
        return "closed";
    case E_AGAIN:
        return "again";
    case E_CANCELLED:
        return "cancelled";
    case E_DENIED:
        return "denied";
    case E_BUSY:
        return "busy";
    }
    return "unknown";
}

/* tidy-allow: prefix because struct error is the other half of a status. */

/* Step back from a cut inside a UTF-8 sequence: drop the continuation bytes and their lead byte. */
static void cut_at_character(char *text, size_t len)
{
    size_t end = len;

    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80) {
        end--;
    }
    if (end > 0 && (unsigned char)text[end - 1] >= 0xC0) {
        end--;
    }
    text[end] = '\0';
}

__attribute__((format(printf, 2, 0))) static void format_into(char *text, const char *fmt,
                                                              va_list args)
{
    int n = vsnprintf(text, ERROR_TEXT_MAX, fmt, args);

    if (n >= ERROR_TEXT_MAX) {
        cut_at_character(text, ERROR_TEXT_MAX - 1);
    }
}

enum status error_fill(struct error *err, enum status s, const char *fmt, ...)
{
    va_list args;

    if (err == NULL) {
        return s;
    }
    err->status = s;
    va_start(args, fmt);
    format_into(err->text, fmt, args);
    va_end(args);
    return s;
}

enum status error_fill_prefix(struct error *err, enum status s, const char *fmt, ...)
{
    char prefix[ERROR_TEXT_MAX];
    char whole[2 * ERROR_TEXT_MAX + 2];
    va_list args;
    size_t len;

    if (err == NULL) {
        return s;
    }
    va_start(args, fmt);
    format_into(prefix, fmt, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "%s: %s", prefix, err->text);
    len = strlen(whole);
    if (len >= ERROR_TEXT_MAX) {
        cut_at_character(whole, ERROR_TEXT_MAX - 1);
        len = strlen(whole);
    }
    memcpy(err->text, whole, len + 1);
    return s;
}
