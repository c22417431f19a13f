#include "base/utf8.h"
#include "base/check.h"

#include <string.h>

#define REPLACEMENT 0xFFFDu

/* Length promised by a lead byte and the range of its second byte (Unicode table 3-7); everything
 * strict about UTF-8 is in that second range. */
static unsigned lead_length(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *ret_high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return 0;
    }
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

unsigned utf8_decode(struct str s, size_t at, uint32_t *ret_cp)
{
    const unsigned char *p = (const unsigned char *)s.ptr + at;
    size_t left = s.len - at;
    unsigned char low;
    unsigned char high;
    unsigned len;
    uint32_t cp;

    *ret_cp = REPLACEMENT;
    if (p[0] < 0x80) {
        *ret_cp = p[0];
        return 1;
    }
    len = lead_length(p[0], &low, &high);
    if (len == 0 || left < len || p[1] < low || p[1] > high) {
        return 0;
    }
    cp = ((uint32_t)p[0] & (0xFFu >> (len + 1))) << 6 | (p[1] & 0x3Fu);
    for (unsigned i = 2; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
        cp = cp << 6 | (p[i] & 0x3Fu);
    }
    *ret_cp = cp;
    return len;
}

unsigned utf8_encode(uint32_t cp, char out[4])
{
    CHECK(cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF));
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_valid(struct str s)
{
    return utf8_valid_prefix(s) == s.len;
}

size_t utf8_valid_prefix(struct str s)
{
    size_t at = 0;
    uint64_t word;
    uint32_t cp;
    unsigned len;

    while (at < s.len) {
        while (s.len - at >= sizeof(word)) {
            memcpy(&word, s.ptr + at, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) != 0) {
                break;
            }
            at += sizeof(word);
        }
        if (at == s.len) {
            break;
        }
        len = utf8_decode(s, at, &cp);
        if (len == 0) {
            return at;
        }
        at += len;
    }
    return at;
}

size_t utf8_incomplete_tail(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned char low;
    unsigned char high;

    for (size_t tail = 1; tail <= 3 && tail <= s.len; tail++) {
        unsigned char lead = p[s.len - tail];

        if ((lead & 0xC0) == 0x80) {
            continue;
        }
        if (lead_length(lead, &low, &high) <= tail) {
            return 0;
        }
        if (tail > 1 && (p[s.len - tail + 1] < low || p[s.len - tail + 1] > high)) {
            return 0;
        }
        return tail;
    }
    return 0;
}
