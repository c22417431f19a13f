#include "base/base64url.h"

/* Value of a character, or 64. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : 64;
}

enum status base64url_decode(struct str text, uint8_t *out, size_t *ret_bytes)
{
    uint32_t bits = 0;
    uint32_t n_bits = 0;
    size_t n = 0;

    if (text.len % 4 == 1) {
        return E_INVALID;
    }
    for (size_t i = 0; i < text.len; i++) {
        const uint32_t v = value_of(text.ptr[i]);

        if (v == 64) {
            return E_INVALID;
        }
        bits = (bits << 6 | v) & 0xFFFF;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    if ((bits & ((1u << n_bits) - 1)) != 0) {
        return E_INVALID;
    }
    *ret_bytes = n;
    return OK;
}

void base64url_encode(struct buf *out, const void *bytes, size_t n_bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = bytes;
    uint32_t bits = 0;
    uint32_t n_bits = 0;

    for (size_t i = 0; i < n_bytes; i++) {
        bits = (bits << 8 | p[i]) & 0xFFFF;
        for (n_bits += 8; n_bits >= 6; n_bits -= 6) {
            buf_append_byte(out, alphabet[bits >> (n_bits - 6) & 63]);
        }
    }
    if (n_bits > 0) {
        buf_append_byte(out, alphabet[bits << (6 - n_bits) & 63]);
    }
}
