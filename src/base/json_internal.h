/* json_internal.h - what the parser of json.c and the scalar readers of json_text.c share. */
#ifndef BASE_JSON_INTERNAL_H
#define BASE_JSON_INTERNAL_H

#include "base/json.h"

#define JSON_OUT_OF_ARENA "the document needs more memory than it may use"

struct json_text {
    struct str text;
    size_t at;           // next unread byte
    struct arena *arena; // borrowed
    struct error *err;   // borrowed, may be NULL
};

/** Fill the error with `what` and line, column and byte of offset `at`; returns `s`. */
enum status json_text_fail(struct json_text *in, enum status s, size_t at, const char *what);
/** The same for a repeated key whose value starts at `value`. */
enum status json_text_fail_key(struct json_text *in, struct str value, struct str key);
/** Read the string literal at in->at (a quote); leaves in->at behind it. */
MUST_USE enum status json_text_string(struct json_text *in, struct str *ret_string);
/** Read the number literal at in->at ('-' or a digit). */
MUST_USE enum status json_text_number(struct json_text *in, struct json_value *ret_value);
/** Offset of the first byte at or behind `at` that is a quote, a backslash, a control character or
 *  no ASCII; s.len when there is none. */
size_t json_text_skip_plain(struct str s, size_t at);
/** One escape at in->at (a backslash); writes up to 4 bytes to `out` and moves behind it. */
MUST_USE enum status json_text_escape(struct json_text *in, char *out, size_t *ret_len);

#endif
