/* The chunked decoder: a state per byte of framing, payload taken in whole pieces. */
#include "base/check.h"
#include "net/http_parse.h"

enum {
    SIZE_FIRST = 0, // first digit of a chunk size
    SIZE_MORE,      // further digits
    EXTENSION,      // behind ';', until CR
    SIZE_LF,        // LF of the size line
    PAYLOAD,
    PAYLOAD_CR,
    PAYLOAD_LF,
    TRAILER_FIRST, // first byte of a trailer line, or CR of the last line
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    COMPLETE,
};

#define SIZE_DIGITS_MAX 15 // 2^60 bytes; keeps the number in 64 bits

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum status bad(struct http_fault *f, const char *text)
{
    *f = (struct http_fault){400, text};
    return E_INVALID;
}

static bool is_value_byte(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7F);
}

static enum status size_byte(struct http_chunked *c, unsigned char byte, struct http_fault *f)
{
    const int digit = hex_digit(byte);

    if (digit >= 0) {
        if (c->line_bytes >= SIZE_DIGITS_MAX) {
            return bad(f, "A chunk size is too large.");
        }
        c->left = c->left * 16 + (uint64_t)digit;
        c->line_bytes++;
        c->state = SIZE_MORE;
        return OK;
    }
    if (c->state == SIZE_MORE && byte == ';') {
        c->state = EXTENSION;
        return OK;
    }
    if (c->state == SIZE_MORE && byte == '\r') {
        c->state = SIZE_LF;
        return OK;
    }
    return bad(f, "A chunk size must be a plain hexadecimal number.");
}

static enum status extension_byte(struct http_chunked *c, unsigned char byte, struct http_fault *f)
{
    if (byte == '\r') {
        c->state = SIZE_LF;
        return OK;
    }
    c->line_bytes++;
    if (c->line_bytes > HTTP_CHUNK_LINE_BYTES_MAX) {
        *f = (struct http_fault){400, "A chunk extension is too long."};
        return E_LIMIT;
    }
    return is_value_byte(byte) ? OK : bad(f, "A chunk extension has a control character.");
}

/* Trailer fields are checked for form and dropped. */
static enum status trailer_byte(struct http_chunked *c, unsigned char byte, struct http_fault *f)
{
    const char name_byte = (char)byte;

    c->line_bytes++;
    if (c->line_bytes > HTTP_TRAILER_BYTES_MAX) {
        *f = (struct http_fault){431, "The trailer fields are too large."};
        return E_LIMIT;
    }
    if (c->state == TRAILER_VALUE) {
        if (byte == '\r') {
            c->state = TRAILER_LF;
            return OK;
        }
        return is_value_byte(byte) ? OK : bad(f, "A trailer field has a control character.");
    }
    if (c->state == TRAILER_FIRST && byte == '\r') {
        c->state = END_LF;
        return OK;
    }
    if (c->state == TRAILER_NAME && byte == ':') {
        c->state = TRAILER_VALUE;
        return OK;
    }
    if (!http_parse_is_token((struct str){&name_byte, 1})) {
        return bad(f, "A trailer field must be a name, a colon and a value.");
    }
    c->state = TRAILER_NAME;
    return OK;
}

static enum status line_end_byte(struct http_chunked *c, unsigned char byte, struct http_fault *f)
{
    if (byte != (c->state == PAYLOAD_CR ? '\r' : '\n')) {
        return bad(f, c->state == PAYLOAD_CR ? "A chunk is longer than its size says."
                                             : "Lines must end with CR LF.");
    }
    switch (c->state) {
    case PAYLOAD_CR:
        c->state = PAYLOAD_LF;
        break;
    case SIZE_LF:
        c->line_bytes = 0;
        c->state = c->left > 0 ? PAYLOAD : TRAILER_FIRST;
        break;
    case PAYLOAD_LF:
        c->state = SIZE_FIRST;
        break;
    case TRAILER_LF:
        c->state = TRAILER_FIRST;
        break;
    default:
        CHECK(c->state == END_LF);
        c->state = COMPLETE;
        break;
    }
    return OK;
}

static enum status framing_byte(struct http_chunked *c, unsigned char byte, struct http_fault *f)
{
    switch (c->state) {
    case SIZE_FIRST:
    case SIZE_MORE:
        return size_byte(c, byte, f);
    case EXTENSION:
        return extension_byte(c, byte, f);
    case TRAILER_FIRST:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return trailer_byte(c, byte, f);
    default:
        return line_end_byte(c, byte, f);
    }
}

enum status http_chunked_next(struct http_chunked *c, struct str in, size_t *ret_consumed,
                              struct str *ret_payload, struct http_fault *ret_fault)
{
    size_t at = 0;

    *ret_payload = (struct str){in.ptr, 0};
    while (at < in.len && c->state != PAYLOAD && c->state != COMPLETE) {
        const enum status rc = framing_byte(c, (unsigned char)in.ptr[at], ret_fault);

        if (rc != OK) {
            *ret_consumed = at;
            return rc;
        }
        at++;
    }
    if (c->state == PAYLOAD && at < in.len) {
        const size_t there = in.len - at;
        const size_t n = c->left < there ? (size_t)c->left : there;

        *ret_payload = str_slice(in, at, at + n);
        at += n;
        c->left -= n;
        if (c->left == 0) {
            c->state = PAYLOAD_CR;
        }
    }
    *ret_consumed = at;
    return c->state == COMPLETE ? E_CLOSED : OK;
}
