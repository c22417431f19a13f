#include "base/json_scan.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json_internal.h"
#include "base/number.h"
#include "base/utf8.h"

#include <string.h>

#define SAFE_LITERAL_BYTES 300 // no number of so few digits and without exponent is infinite

void json_scan_init(struct json_scan *s, struct str text, struct json_scan_keys *keys)
{
    s->text = text;
    s->at = 0;
    s->depth = 0;
    s->fresh = false;
    s->fault = NULL;
    s->keys = keys;
    if (keys != NULL) {
        keys->n_keys = 0;
    }
}

static enum status fail(struct json_scan *s, enum status rc, const char *what)
{
    s->fault = what;
    return rc;
}

static void skip_blanks(struct json_scan *s)
{
    const char *ptr = s->text.ptr;
    size_t at = s->at;

    while (at < s->text.len &&
           (ptr[at] == ' ' || ptr[at] == '\n' || ptr[at] == '\r' || ptr[at] == '\t')) {
        at++;
    }
    s->at = at;
}

static bool next_is(const struct json_scan *s, char byte)
{
    return s->at < s->text.len && s->text.ptr[s->at] == byte;
}

/* --- strings --- */

/* Characters outside ASCII.  Three-byte ones, most of Chinese text, are looked at here; the rest
 * goes through the general decoder. */
static bool skip_utf8(struct json_scan *s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s->text.ptr;
    const size_t len = s->text.len;
    size_t i = *at;
    uint32_t cp;

    while (i < len && p[i] >= 0x80) {
        if (len - i >= 3 && p[i] > 0xE0 && p[i] < 0xF0 && p[i] != 0xED &&
            (p[i + 1] & 0xC0) == 0x80 && (p[i + 2] & 0xC0) == 0x80) {
            i += 3;
            continue;
        }
        const unsigned n = utf8_decode(s->text, i, &cp);

        if (n == 0) {
            *at = i;
            return false;
        }
        i += n;
    }
    *at = i;
    return true;
}

static enum status skip_escape(struct json_scan *s, size_t *at)
{
    struct json_text in = {.text = s->text, .at = *at};
    char out[4];
    size_t n;

    if (json_text_escape(&in, out, &n) != OK) {
        s->at = *at;
        return fail(s, E_INVALID, "malformed escape in a string");
    }
    *at = in.at;
    return OK;
}

enum status json_scan_string(struct json_scan *s, struct str *ret_raw, bool *ret_has_escape)
{
    size_t at;
    size_t begin;
    bool escaped = false;

    skip_blanks(s);
    if (!next_is(s, '"')) {
        return fail(s, E_INVALID, "a string is expected");
    }
    begin = s->at + 1;
    at = begin;
    for (;;) {
        at = json_text_skip_plain(s->text, at);
        if (at >= s->text.len) {
            s->at = s->text.len;
            return fail(s, E_INVALID, "the text ends inside a string");
        }
        const unsigned char c = (unsigned char)s->text.ptr[at];

        if (c == '"') {
            break;
        }
        if (c == '\\') {
            const enum status rc = skip_escape(s, &at);

            escaped = true;
            if (rc != OK) {
                return rc;
            }
        } else if (c < 0x20 || !skip_utf8(s, &at)) {
            s->at = at;
            return fail(s, E_INVALID,
                        c < 0x20 ? "control character inside a string" : "invalid UTF-8");
        }
    }
    *ret_raw = str_slice(s->text, begin, at);
    *ret_has_escape = escaped;
    s->at = at + 1;
    s->fresh = false;
    return OK;
}

/* --- keys --- */

static enum status unescape_key(struct json_scan *s, struct str raw, struct str *ret_key)
{
    struct json_text in = {.text = raw};
    size_t len = 0;
    size_t n;

    while (in.at < raw.len) {
        if (len + 4 > sizeof(s->key)) {
            return fail(s, E_LIMIT, "a key is too long");
        }
        if (raw.ptr[in.at] != '\\') {
            s->key[len++] = raw.ptr[in.at++];
            continue;
        }
        CHECK(json_text_escape(&in, s->key + len, &n) == OK); // was checked as part of the string
        len += n;
    }
    *ret_key = (struct str){s->key, len};
    return OK;
}

static enum status note_key(struct json_scan *s, struct str key)
{
    struct json_scan_keys *k = s->keys;
    const uint64_t hash = hash_bytes(key.ptr, key.len, hash_process_seed());

    for (uint32_t i = k->base[s->depth]; i < k->n_keys; i++) {
        if (k->hashes[i] == hash) {
            return fail(s, E_INVALID, "a key appears twice in one object");
        }
    }
    if (k->n_keys == JSON_SCAN_KEYS_MAX) {
        return fail(s, E_LIMIT, "an object has too many keys");
    }
    k->hashes[k->n_keys++] = hash;
    return OK;
}

/* --- containers --- */

enum status json_scan_kind(struct json_scan *s, enum json_kind *ret_kind)
{
    skip_blanks(s);
    if (s->at == s->text.len) {
        return fail(s, E_INVALID, "the text ends too early");
    }
    switch (s->text.ptr[s->at]) {
    case '{':
        *ret_kind = JSON_OBJECT;
        break;
    case '[':
        *ret_kind = JSON_ARRAY;
        break;
    case '"':
        *ret_kind = JSON_STRING;
        break;
    case 't':
    case 'f':
        *ret_kind = JSON_BOOL;
        break;
    case 'n':
        *ret_kind = JSON_NULL;
        break;
    default:
        *ret_kind = JSON_DOUBLE;
        break;
    }
    return OK;
}

enum status json_scan_enter(struct json_scan *s)
{
    skip_blanks(s);
    if (!next_is(s, '{') && !next_is(s, '[')) {
        return fail(s, E_INVALID, "an object or array is expected");
    }
    if (s->depth == JSON_SCAN_DEPTH_MAX) {
        return fail(s, E_LIMIT, "too deeply nested");
    }
    s->depth++;
    if (s->keys != NULL) {
        s->keys->base[s->depth] = s->keys->n_keys;
    }
    s->at++;
    s->fresh = true;
    return OK;
}

static enum status leave(struct json_scan *s)
{
    s->at++;
    if (s->keys != NULL) {
        s->keys->n_keys = s->keys->base[s->depth];
    }
    s->depth--;
    s->fresh = false;
    return E_CLOSED;
}

/* Between elements: the end, or a comma where one belongs. */
static enum status separate(struct json_scan *s, char closing)
{
    skip_blanks(s);
    if (next_is(s, closing)) {
        return leave(s);
    }
    if (!s->fresh) {
        if (!next_is(s, ',')) {
            return fail(s, E_INVALID,
                        closing == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        s->at++;
        skip_blanks(s);
    }
    s->fresh = false;
    return OK;
}

enum status json_scan_member(struct json_scan *s, struct str *ret_key)
{
    struct str raw;
    bool escaped;
    enum status rc = separate(s, '}');

    if (rc != OK) {
        return rc;
    }
    if (!next_is(s, '"')) {
        return fail(s, E_INVALID, "expected a key in quotes");
    }
    rc = json_scan_string(s, &raw, &escaped);
    if (rc == OK && escaped) {
        rc = unescape_key(s, raw, &raw);
    }
    if (rc == OK && s->keys != NULL) {
        rc = note_key(s, raw);
    }
    if (rc != OK) {
        return rc;
    }
    skip_blanks(s);
    if (!next_is(s, ':')) {
        return fail(s, E_INVALID, "expected ':'");
    }
    s->at++;
    *ret_key = raw;
    return OK;
}

enum status json_scan_element(struct json_scan *s)
{
    return separate(s, ']');
}

/* --- whole values --- */

static enum status skip_number(struct json_scan *s)
{
    bool is_integer;
    const size_t len = number_scan(s->text, s->at, &is_integer);
    const struct str literal = str_slice(s->text, s->at, s->at + len);
    const size_t end = s->at + len;
    double value;

    if (len == 0) {
        return fail(s, E_INVALID, "expected a value");
    }
    if (end < s->text.len && memchr("0123456789.eE+-", s->text.ptr[end], 15) != NULL) {
        return fail(s, E_INVALID, "malformed number");
    }
    if ((len > SAFE_LITERAL_BYTES || memchr(literal.ptr, 'e', len) != NULL ||
         memchr(literal.ptr, 'E', len) != NULL) &&
        number_to_f64(literal, &value) != OK) {
        return fail(s, E_INVALID, "number too large or too long");
    }
    s->at = end;
    return OK;
}

static enum status skip_word(struct json_scan *s, struct str word)
{
    if (!str_starts(str_slice(s->text, s->at, s->text.len), word)) {
        return fail(s, E_INVALID, "expected a value");
    }
    s->at += word.len;
    return OK;
}

static enum status skip_value(struct json_scan *s);

static enum status skip_object(struct json_scan *s)
{
    struct str key;
    enum status rc = json_scan_enter(s);

    while (rc == OK) {
        rc = json_scan_member(s, &key);
        if (rc == OK) {
            rc = skip_value(s);
        }
    }
    return rc == E_CLOSED ? OK : rc;
}

static enum status skip_array(struct json_scan *s)
{
    enum status rc = json_scan_enter(s);

    while (rc == OK) {
        rc = json_scan_element(s);
        if (rc == OK) {
            rc = skip_value(s);
        }
    }
    return rc == E_CLOSED ? OK : rc;
}

static enum status skip_scalar(struct json_scan *s)
{
    struct str raw;
    bool escaped;

    switch (s->text.ptr[s->at]) {
    case '"':
        return json_scan_string(s, &raw, &escaped);
    case 't':
        return skip_word(s, STR("true"));
    case 'f':
        return skip_word(s, STR("false"));
    case 'n':
        return skip_word(s, STR("null"));
    default:
        return skip_number(s);
    }
}

static enum status skip_value(struct json_scan *s)
{
    enum status rc;

    skip_blanks(s);
    if (s->at == s->text.len) {
        return fail(s, E_INVALID, "the text ends too early");
    }
    if (s->text.ptr[s->at] == '{') {
        rc = skip_object(s);
    } else if (s->text.ptr[s->at] == '[') {
        rc = skip_array(s);
    } else {
        rc = skip_scalar(s);
    }
    s->fresh = false;
    return rc;
}

enum status json_scan_skip(struct json_scan *s, struct str *ret_source)
{
    size_t begin;
    enum status rc;

    skip_blanks(s);
    begin = s->at;
    rc = skip_value(s);
    if (rc == OK && ret_source != NULL) {
        *ret_source = str_slice(s->text, begin, s->at);
    }
    return rc;
}

enum status json_scan_end(struct json_scan *s)
{
    skip_blanks(s);
    return s->at == s->text.len ? OK : fail(s, E_INVALID, "something follows behind the document");
}
