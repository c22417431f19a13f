#include "base/buf.h"
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_BYTES 256

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes, .status = OK};
}

void buf_done(struct buf *b)
{
    if (b != NULL) {
        free(b->ptr);
        buf_init(b, b->max);
    }
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->status = OK;
}

/* True when n_bytes more fit; otherwise the buffer is failed. */
static bool ensure(struct buf *b, size_t n_bytes)
{
    size_t cap;
    char *grown;

    if (b->status != OK) {
        return false;
    }
    if (n_bytes <= b->cap - b->len) {
        return true;
    }
    if (n_bytes > b->max - b->len) {
        b->status = E_LIMIT;
        return false;
    }
    cap = b->cap < BUF_FIRST_BYTES / 2 ? BUF_FIRST_BYTES : b->cap;
    if (b->cap >= BUF_FIRST_BYTES / 2) {
        cap = cap > b->max / 2 ? b->max : cap * 2;
    }
    if (cap < b->len + n_bytes) {
        cap = b->len + n_bytes;
    }
    if (cap > b->max) {
        cap = b->max;
    }
    grown = realloc(b->ptr, cap);
    if (grown == NULL) {
        b->status = E_NO_MEMORY;
        return false;
    }
    b->ptr = grown;
    b->cap = cap;
    return true;
}

void buf_append(struct buf *b, const void *bytes, size_t n_bytes)
{
    if (n_bytes > 0 && ensure(b, n_bytes)) {
        memcpy(b->ptr + b->len, bytes, n_bytes);
        b->len += n_bytes;
    }
}

void buf_append_str(struct buf *b, struct str s)
{
    buf_append(b, s.ptr, s.len);
}

void buf_append_c(struct buf *b, const char *c_text)
{
    buf_append(b, c_text, strlen(c_text));
}

void buf_append_byte(struct buf *b, char byte)
{
    if (ensure(b, 1)) {
        b->ptr[b->len++] = byte;
    }
}

void buf_append_number(struct buf *b, uint64_t value, unsigned base)
{
    static const char digits[] = "0123456789abcdef";
    char text[20]; // of UINT64_MAX in base 10
    size_t at = sizeof(text);

    CHECK(base == 10 || base == 16);
    do {
        at--;
        text[at] = digits[base == 10 ? value % 10 : value & 15];
        value = base == 10 ? value / 10 : value >> 4;
    } while (value > 0);
    buf_append(b, text + at, sizeof(text) - at);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_list again;
    char small[512]; // the common case needs no second formatting and no room for the NUL
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    CHECK(n >= 0);
    if ((size_t)n < sizeof(small)) {
        buf_append(b, small, (size_t)n);
    } else {
        char *text = malloc((size_t)n + 1);

        if (text == NULL) {
            b->status = b->status == OK ? E_NO_MEMORY : b->status;
        } else {
            vsnprintf(text, (size_t)n + 1, fmt, again);
            buf_append(b, text, (size_t)n);
        }
        free(text);
    }
    va_end(again);
}

char *buf_reserve(struct buf *b, size_t n_bytes)
{
    static char nothing[1];

    if (!ensure(b, n_bytes)) {
        return NULL;
    }
    return b->ptr == NULL ? nothing : b->ptr + b->len; // ptr is NULL only for n_bytes == 0
}

void buf_commit(struct buf *b, size_t n_bytes)
{
    CHECK(n_bytes <= b->cap - b->len);
    b->len += n_bytes;
}

void buf_consume(struct buf *b, size_t n_bytes)
{
    CHECK(n_bytes <= b->len);
    b->len -= n_bytes;
    if (n_bytes > 0 && b->len > 0) {
        memmove(b->ptr, b->ptr + n_bytes, b->len);
    }
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr, b->len};
}

const char *buf_c(struct buf *b)
{
    if (!ensure(b, 1)) {
        return NULL;
    }
    b->ptr[b->len] = '\0';
    return b->ptr;
}

enum status buf_status(const struct buf *b)
{
    return b->status;
}
