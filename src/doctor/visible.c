#include "doctor/visible.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>

static bool is_hidden(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c || // Arabic letter mark
           (cp >= 0x200e && cp <= 0x200f) ||                         // marks of direction
           (cp >= 0x2028 && cp <= 0x202e) || // separators, embeddings, overrides
           (cp >= 0x2066 && cp <= 0x2069) || // isolates
           (cp >= 0xe0000 && cp <= 0xe007f); // tags
}

static void append(struct buf *out, struct str s, bool keeps_line_ends)
{
    size_t at = 0;

    while (at < s.len) {
        uint32_t cp;
        unsigned n = utf8_decode(s, at, &cp);

        if (n == 0) {
            buf_append_byte(out, '?');
            n = 1;
        } else if (is_hidden(cp) && !(keeps_line_ends && cp == '\n')) {
            buf_append_byte(out, ' ');
        } else {
            buf_append_str(out, str_slice(s, at, at + n));
        }
        at += n;
    }
}

void visible_append(struct buf *out, struct str s)
{
    append(out, s, false);
}

void visible_append_lines(struct buf *out, struct str s)
{
    append(out, s, true);
}
