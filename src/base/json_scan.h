/* json_scan.h - walks over JSON text without building anything: for bytes that are passed on.
 *
 * A cursor.  The caller steps through the members it wants to see and skips the others; whatever is
 * passed is checked as strictly as json_parse does: grammar, UTF-8, lone surrogates, control
 * characters, numbers, depth and, with `keys`, repeated keys at every depth.  No allocation.
 * After the first failure the cursor is of no more use.
 * Untrusted input: never reads past text.len; depth and keys have limits.  Pure; any thread.
 */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include "base/json.h"

#define JSON_SCAN_DEPTH_MAX 64      // as json_parse
#define JSON_SCAN_KEYS_MAX 512      // of all open objects together, with `keys`
#define JSON_SCAN_KEY_BYTES_MAX 256 // of a key with escapes, unescaped

/* Keys of the objects that are open: hashes under the process's seed. */
struct json_scan_keys {
    uint32_t n_keys;
    uint32_t base[JSON_SCAN_DEPTH_MAX + 1]; // first key of the object at that depth
    uint64_t hashes[JSON_SCAN_KEYS_MAX];
};

struct json_scan {
    struct str text;
    size_t at; // next unread byte
    uint32_t depth;
    bool fresh;                  // the innermost container was just opened
    const char *fault;           // static text after a failure
    struct json_scan_keys *keys; // borrowed; NULL: repeated keys pass
    char key[JSON_SCAN_KEY_BYTES_MAX];
};

/** Start at the first value of `text`.  `keys` (or NULL) is storage for the duplicate check. */
void json_scan_init(struct json_scan *s, struct str text, struct json_scan_keys *keys);
/** Kind of the value at the cursor by its first byte; JSON_DOUBLE for every number.  Blanks before
 *  it are passed.  Errors: INVALID. */
MUST_USE enum status json_scan_kind(struct json_scan *s, enum json_kind *ret_kind);
/** Pass '{' or '['.  Errors: INVALID (another value), LIMIT (depth). */
MUST_USE enum status json_scan_enter(struct json_scan *s);
/**
 * Next member of the object that was entered: the cursor stands before its value, which must be
 * passed before the next call.
 *
 * ret_key  unescaped; valid until the next call
 *
 * Errors: CLOSED (the object ended and was left), INVALID, LIMIT (more keys, or a longer key, than
 * can be checked here: use json_parse).
 */
MUST_USE enum status json_scan_member(struct json_scan *s, struct str *ret_key);
/** The same for an array: the cursor stands before the next element. */
MUST_USE enum status json_scan_element(struct json_scan *s);
/** Pass a whole value.  ret_source (or NULL): its bytes, quotes and brackets included. */
MUST_USE enum status json_scan_skip(struct json_scan *s, struct str *ret_source);
/** Pass a string.  ret_raw: what stands between the quotes, escapes untouched. */
MUST_USE enum status json_scan_string(struct json_scan *s, struct str *ret_raw,
                                      bool *ret_has_escape);
/** Nothing but blanks may follow.  Errors: INVALID. */
MUST_USE enum status json_scan_end(struct json_scan *s);

#endif
