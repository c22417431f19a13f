/* small_tokenizer.h - a tokenizer made in memory: all bytes in their own order (id = byte), some
 * joined tokens, three added ones.  For fuzz targets, which know no files. */
#ifndef TESTS_FUZZ_SMALL_TOKENIZER_H
#define TESTS_FUZZ_SMALL_TOKENIZER_H

#include "base/check.h"
#include "text/tokenizer.h"

static inline void small_tokenizer_line(struct buf *out, struct str token, unsigned rank)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < token.len; i += 3) {
        uint32_t bits = 0;

        for (size_t k = 0; k < 3; k++) {
            bits = bits << 8 | (i + k < token.len ? (unsigned char)token.ptr[i + k] : 0u);
        }
        for (size_t k = 0; k < 4; k++) {
            buf_append_byte(out, i + k > token.len ? '=' : digits[bits >> (18 - 6 * k) & 63]);
        }
    }
    buf_printf(out, " %u\n", rank);
}

/** Made once, kept until the process ends.  Ids 256.. are the joined tokens, 268..270 the added. */
static inline const struct tokenizer *small_tokenizer(void)
{
    static const char *const joined[] = {"aa",           "aaaa",     "ab",   "ba",
                                         "aba",          "  ",       " a",   "\xE4\xBD",
                                         "\xE4\xBD\xA0", "\xA0\xE4", "\n\n", "'s"};
    static struct tokenizer *made;
    struct buf ranks;
    struct error err = {0};

    if (made != NULL) {
        return made;
    }
    buf_init(&ranks, 1 << 16);
    for (unsigned i = 0; i < 256; i++) {
        char byte = (char)i;

        small_tokenizer_line(&ranks, (struct str){&byte, 1}, i);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(joined); i++) {
        small_tokenizer_line(&ranks, str_from_c(joined[i]), 256 + i);
    }
    CHECK(tokenizer_parse_ranks(
              buf_str(&ranks),
              STR("{\"added_tokens_decoder\": {\"268\": {\"content\": \"<a>\", \"special\": true}, "
                  "\"269\": {\"content\": \"<a>b\"}, \"270\": {\"content\": \"aab<\"}}}"),
              &made, &err) == OK);
    buf_done(&ranks);
    return made;
}

#endif
