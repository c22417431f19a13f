/* json.h - strict JSON (RFC 8259) into a tree inside an arena, and a writer into a buf.
 *
 * The parser refuses invalid UTF-8, lone surrogates, control characters, trailing bytes, numbers
 * outside the grammar, depth over the limit and duplicate keys (compared after unescaping).
 * Every value knows its bytes in the source, so a caller can splice instead of re-printing.
 * Order of object members is kept.  Pure; any thread, one arena per thread.
 * Untrusted input: never reads past text.len, never recurses deeper than depth_max.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,    // an integer literal that fits int64
    JSON_DOUBLE, // every other number; integer literals too big for int64 as well
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_value {
    enum json_kind kind;
    bool boolean;
    int64_t integer;
    double number;     // also set for JSON_INT
    struct str string; // unescaped UTF-8, in the arena or in the source text (borrowed from both)
    struct str source; // the bytes of this value in the parsed text, quotes and brackets included
    uint32_t n_items;  // array elements or object members
    struct json_value *items;    // [n_items] array elements
    struct json_member *members; // [n_items] object members
};

struct json_member {
    struct str key; // unescaped
    struct json_value value;
};

struct json_limits {
    uint32_t depth_max;        // 0: 64
    uint32_t values_max;       // 0: 4,000,000
    bool allow_duplicate_keys; // keep the last; only for files where publishers are known to repeat
};

/**
 * Parse one JSON document.
 *
 * text     must stay valid as long as the tree is used (unescaped strings point into it)
 * limits   NULL for the defaults
 * Errors: INVALID (err: what, "line L column C (byte B)"), LIMIT, NO_MEMORY (arena ceiling).
 * Cost: one pass, O(n); duplicate check O(k) per object by hashing above 8 members.
 */
MUST_USE enum status json_parse(struct arena *arena, struct str text,
                                const struct json_limits *limits,
                                const struct json_value **ret_root, struct error *err);

/** Member of an object, or NULL (also when `object` is NULL or no object). */
const struct json_value *json_get(const struct json_value *object, struct str key);
/** Typed views with defaults: NULL, JSON null or another kind give the default. */
struct str json_string_or(const struct json_value *v, struct str fallback);
int64_t json_int_or(const struct json_value *v, int64_t fallback);
double json_double_or(const struct json_value *v, double fallback); // takes JSON_INT too
bool json_bool_or(const struct json_value *v, bool fallback);
const char *json_kind_name(enum json_kind kind); // "string", "integer", "number", "array" ...

/* Writer: appends to a buf, no state.  The caller writes commas and brackets. */
/** Quoted and escaped; bytes that are not UTF-8 become U+FFFD. */
void json_write_string(struct buf *out, struct str s);
void json_write_i64(struct buf *out, int64_t v);
/** Shortest text that reads back equal; always with '.' or exponent when `python_style`
 *  (1.0, 1e-05 as Python prints them); NaN and infinities become null. */
void json_write_double(struct buf *out, double v, bool python_style);
/** The whole value again: ", " and ": " between, order kept, no ASCII escaping (Python's
 *  json.dumps(ensure_ascii=False)); indent 0 means one line. */
void json_write_value(struct buf *out, const struct json_value *v, uint32_t indent);

#endif
