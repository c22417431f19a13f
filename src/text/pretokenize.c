/* pretokenize.c - the alternatives of the regular expression, in its order, without backtracking.
 *
 *   1  (?i:'s|'t|'re|'ve|'m|'ll|'d)
 *   2  [^\r\n\p{L}\p{N}]?\p{L}+
 *   3  \p{N}{1,3}
 *   4   ?[^\s\p{L}\p{N}]+[\r\n]*
 *   5  \s*[\r\n]+          everything up to the last line end of a run of white space
 *   6  \s+(?!\S)           a run of white space without its last character, if text follows
 *   7  \s+                 what is left: one white space character
 *
 * The class of the first character leaves at most four of them: a letter can only start 2, a number
 * only 3, white space 2 and 4 to 7, anything else 1, 2 and 4.
 */
#include "text/pretokenize.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdbool.h>
#include <stdint.h>

#define NUMBERS_PER_PIECE 3

struct character {
    enum unicode_class class;
    unsigned len; // bytes, 1..4
    uint32_t cp;  // U+FFFD for a stray byte
};

/* at < text.len */
static inline struct character character_at(struct str text, size_t at)
{
    struct character c = {.len = 1, .cp = (unsigned char)text.ptr[at]};

    if (c.cp >= 0x80) {
        c.len = utf8_decode(text, at, &c.cp);
        if (c.len == 0) {
            c.len = 1;
            c.class = UNICODE_OTHER;
            return c;
        }
    }
    c.class = unicode_class_of(c.cp);
    return c;
}

static bool is_line_end(uint32_t cp)
{
    return cp == '\r' || cp == '\n';
}

/* End of the run of characters of one class that begins at `at`, at most n_max of them. */
static size_t run_end(struct str text, size_t at, enum unicode_class class, size_t n_max)
{
    while (at < text.len && n_max > 0) {
        struct character c = character_at(text, at);

        if (c.class != class) {
            break;
        }
        at += c.len;
        n_max--;
    }
    return at;
}

static size_t line_ends_end(struct str text, size_t at)
{
    while (at < text.len && is_line_end((unsigned char)text.ptr[at])) {
        at++;
    }
    return at;
}

/* Alternative 1; `at` is behind the apostrophe.  Returns the end, or `at` when none fits. */
static size_t contraction_end(struct str text, size_t at)
{
    static const char pairs[][2] = {{'r', 'e'}, {'v', 'e'}, {'l', 'l'}};
    struct character c;
    char first;
    char second;
    size_t end;

    if (at >= text.len) {
        return at;
    }
    c = character_at(text, at);
    first = unicode_fold_ascii(c.cp);
    end = at + c.len;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return end;
    }
    if (first == '\0' || end >= text.len) {
        return at;
    }
    c = character_at(text, end);
    second = unicode_fold_ascii(c.cp);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (first == pairs[i][0] && second == pairs[i][1]) {
            return end + c.len;
        }
    }
    return at;
}

/* Alternatives 5 to 7: a run of white space at `at` that neither 2 nor 4 may begin. */
static size_t blanks_end(struct str text, size_t at)
{
    size_t begin = at;
    size_t last = at;     // where the last character of the run begins
    size_t line_end = at; // behind the last line end of the run

    while (at < text.len) {
        struct character c = character_at(text, at);

        if (c.class != UNICODE_SPACE) {
            break;
        }
        last = at;
        at += c.len;
        if (is_line_end(c.cp)) {
            line_end = at;
        }
    }
    if (line_end > begin) {
        return line_end;
    }
    return at == text.len || last == begin ? at : last;
}

static size_t others_end(struct str text, size_t at)
{
    return line_ends_end(text, run_end(text, at, UNICODE_OTHER, SIZE_MAX));
}

size_t pretokenize_next(struct str text, size_t at)
{
    struct character first = character_at(text, at);
    size_t second_at = at + first.len;
    struct character second = {.class = UNICODE_SPACE};
    size_t end;

    if (first.class == UNICODE_LETTER) {
        return run_end(text, second_at, UNICODE_LETTER, SIZE_MAX);
    }
    if (first.class == UNICODE_NUMBER) {
        return run_end(text, second_at, UNICODE_NUMBER, NUMBERS_PER_PIECE - 1);
    }
    if (first.cp == '\'') {
        end = contraction_end(text, second_at);
        if (end > second_at) {
            return end;
        }
    }
    if (second_at < text.len) {
        second = character_at(text, second_at);
    }
    if (second.class == UNICODE_LETTER && !is_line_end(first.cp)) {
        return run_end(text, second_at + second.len, UNICODE_LETTER, SIZE_MAX);
    }
    if (first.class == UNICODE_OTHER) {
        return others_end(text, second_at);
    }
    if (first.cp == ' ' && second.class == UNICODE_OTHER) {
        return others_end(text, second_at + second.len);
    }
    return blanks_end(text, at);
}
