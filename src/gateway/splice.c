#include "gateway/splice.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json_scan.h"

#include <string.h>

#define FOLDED_BYTES_MAX 64 // no field is longer
#define N_MAX 16384         // answers of one request

enum field {
    FIELD_MODEL,
    FIELD_STREAM,
    FIELD_STREAM_OPTIONS,
    FIELD_INCLUDE_USAGE, // inside stream_options
    FIELD_MAX_TOKENS,
    FIELD_N,
    FIELD_PROMPT,
    FIELD_TOOLS,
    FIELD_CONTINUE,
    FIELD_GUARDED, // not read here, but by upstreams: no twin in another case may stand beside it
    FIELD_OTHER,
};

/* Names at the top level, and what they are to us. */
static const struct {
    struct str name;
    enum field field;
} fields[] = {
    {{"model", 5}, FIELD_MODEL},
    {{"stream", 6}, FIELD_STREAM},
    {{"stream_options", 14}, FIELD_STREAM_OPTIONS},
    {{"max_tokens", 10}, FIELD_MAX_TOKENS},
    {{"max_completion_tokens", 21}, FIELD_MAX_TOKENS},
    {{"max_output_tokens", 17}, FIELD_MAX_TOKENS},
    {{"n", 1}, FIELD_N},
    {{"messages", 8}, FIELD_PROMPT},
    {{"prompt", 6}, FIELD_PROMPT},
    {{"input", 5}, FIELD_PROMPT},
    {{"tools", 5}, FIELD_TOOLS},
    {{"functions", 9}, FIELD_TOOLS},
    {{"continue_final_message", 22}, FIELD_CONTINUE},
    {{"add_generation_prompt", 21}, FIELD_CONTINUE},
    {{"best_of", 7}, FIELD_N},
    {{"instructions", 12}, FIELD_GUARDED},
    {{"metadata", 8}, FIELD_GUARDED},
    {{"service_tier", 12}, FIELD_GUARDED},
    {{"store", 5}, FIELD_GUARDED},
    {{"system", 6}, FIELD_GUARDED},
    {{"user", 4}, FIELD_GUARDED},
};

static const struct {
    struct str name;
    enum field field;
} option_fields[] = {
    {{"include_usage", 13}, FIELD_INCLUDE_USAGE},
};

struct reader {
    struct json_scan scan;
    struct json_scan_keys *keys;
    struct arena *arena;
    struct splice *out;
    struct chat_failure *failure;
};

/* --- refusals --- */

static enum status refuse(struct reader *r, enum status rc, const char *code, const char *param,
                          const char *text)
{
    chat_failure_set(r->failure, 400, "invalid_request_error", code, param, "%s", text);
    return rc;
}

static enum status refuse_type(struct reader *r, const char *param, const char *expected)
{
    chat_failure_set(r->failure, 400, "invalid_request_error", "invalid_type", param,
                     "Invalid type for '%s': expected %s.", param, expected);
    return E_INVALID;
}

static enum status refuse_twin(struct reader *r, struct str key, struct str name)
{
    chat_failure_set(r->failure, 400, "invalid_request_error", "invalid_value", NULL,
                     "The key \"%.*s\" differs from the field '%.*s' in case only. Servers "
                     "disagree on what that means; write '%.*s'.",
                     (int)(key.len < FOLDED_BYTES_MAX ? key.len : FOLDED_BYTES_MAX), key.ptr,
                     STR_ARG(name), STR_ARG(name));
    return E_INVALID;
}

/* --- keys --- */

/* Lower case of ASCII, and of the two characters outside it that fold into ASCII: U+017F (long s)
 * and U+212A (Kelvin sign).  Returns false for keys that are longer than any field. */
static bool fold(struct str key, char out[FOLDED_BYTES_MAX], size_t *ret_len)
{
    size_t len = 0;

    for (size_t i = 0; i < key.len; i++) {
        const char c = key.ptr[i];

        if (len == FOLDED_BYTES_MAX) {
            return false;
        }
        if (c >= 'A' && c <= 'Z') {
            out[len++] = (char)(c - 'A' + 'a');
        } else if (str_starts(str_slice(key, i, key.len), STR("\xC5\xBF"))) {
            out[len++] = 's';
            i += 1;
        } else if (str_starts(str_slice(key, i, key.len), STR("\xE2\x84\xAA"))) {
            out[len++] = 'k';
            i += 2;
        } else {
            out[len++] = c;
        }
    }
    *ret_len = len;
    return true;
}

static enum status know(struct reader *r, struct str key, bool in_options, enum field *ret_field)
{
    char folded[FOLDED_BYTES_MAX];
    const size_t n = in_options ? ARRAY_COUNT(option_fields) : ARRAY_COUNT(fields);
    size_t len;

    *ret_field = FIELD_OTHER;
    if (!fold(key, folded, &len)) {
        return OK;
    }
    for (size_t i = 0; i < n; i++) {
        const struct str name = in_options ? option_fields[i].name : fields[i].name;

        if (!str_eq(name, (struct str){folded, len})) {
            continue;
        }
        if (!str_eq(name, key)) {
            return refuse_twin(r, key, name);
        }
        *ret_field = in_options ? option_fields[i].field : fields[i].field;
        return OK;
    }
    return OK;
}

/* --- values --- */

static enum status unescape(struct reader *r, struct str source, struct str *ret_text)
{
    const struct json_value *v;
    const enum status rc = json_parse(r->arena, source, NULL, &v, NULL);

    if (rc != OK) {
        return refuse(r, rc, NULL, NULL, "The server has no memory for this request.");
    }
    *ret_text = v->string;
    return OK;
}

static enum status read_model(struct reader *r)
{
    enum json_kind kind;
    struct str raw;
    bool escaped;
    size_t begin;
    enum status rc = json_scan_kind(&r->scan, &kind);

    if (rc == OK && kind == JSON_NULL) {
        return json_scan_skip(&r->scan, NULL);
    }
    if (rc != OK || kind != JSON_STRING) {
        return rc != OK ? rc : refuse_type(r, "model", "a string");
    }
    begin = r->scan.at;
    rc = json_scan_string(&r->scan, &raw, &escaped);
    if (rc != OK) {
        return rc;
    }
    r->out->model_source = str_slice(r->scan.text, begin, r->scan.at);
    r->out->model = raw;
    return escaped ? unescape(r, r->out->model_source, &r->out->model) : OK;
}

static enum status read_bool(struct reader *r, const char *param, bool *ret_value,
                             struct str *ret_source)
{
    enum json_kind kind;
    enum status rc = json_scan_kind(&r->scan, &kind);

    if (rc != OK || (kind != JSON_BOOL && kind != JSON_NULL)) {
        return rc != OK ? rc : refuse_type(r, param, "a boolean");
    }
    rc = json_scan_skip(&r->scan, ret_source);
    if (rc == OK) {
        *ret_value = str_eq(*ret_source, STR("true"));
    }
    return rc;
}

/* A whole number, also written as 5.0; null is none. */
static enum status read_count(struct reader *r, const char *param, uint64_t *ret_value)
{
    enum json_kind kind;
    struct str source;
    double value;
    enum status rc = json_scan_kind(&r->scan, &kind);

    if (rc != OK || (kind != JSON_DOUBLE && kind != JSON_NULL)) {
        return rc != OK ? rc : refuse_type(r, param, "an integer");
    }
    rc = json_scan_skip(&r->scan, &source);
    if (rc != OK || kind == JSON_NULL) {
        return rc;
    }
    if (str_to_u64(source, ret_value) == OK) {
        return OK;
    }
    if (str_to_f64(source, &value) != OK || value < 0 || value > 4294967295.0) {
        chat_failure_set(r->failure, 400, "invalid_request_error", "integer_below_min_value", param,
                         "Invalid '%s': expected an integer from 0 to 4294967295.", param);
        return E_INVALID;
    }
    *ret_value = (uint64_t)value;
    return OK;
}

static enum status read_options(struct reader *r)
{
    struct splice *out = r->out;
    struct json_scan *scan = &r->scan;
    enum json_kind kind;
    enum field field;
    struct str key;
    size_t begin;
    enum status rc = json_scan_kind(scan, &kind);

    if (rc != OK || (kind != JSON_OBJECT && kind != JSON_NULL)) {
        return rc != OK ? rc : refuse_type(r, "stream_options", "an object");
    }
    begin = scan->at;
    out->options_empty = true;
    if (kind == JSON_NULL) {
        return json_scan_skip(scan, &out->options_source);
    }
    rc = json_scan_enter(scan);
    out->options_at = scan->at;
    while (rc == OK) {
        rc = json_scan_member(scan, &key);
        if (rc != OK) {
            break;
        }
        out->options_empty = false;
        rc = know(r, key, true, &field);
        if (rc == OK && field == FIELD_INCLUDE_USAGE) {
            rc = read_bool(r, "stream_options.include_usage", &out->include_usage,
                           &out->include_usage_source);
        } else if (rc == OK) {
            rc = json_scan_skip(scan, NULL);
        }
    }
    out->options_source = str_slice(scan->text, begin, scan->at);
    return rc == E_CLOSED ? OK : rc;
}

/* Where it stands, and of how many prompts it is: a list of texts or of lists holds several, but
 * only `prompt` is answered one by one.  Numbers are token ids. */
static enum status read_prompt(struct reader *r, const char *name)
{
    struct splice *out = r->out;
    struct json_scan *scan = &r->scan;
    uint32_t n = 0;
    enum json_kind kind;
    struct str source;
    size_t begin;
    enum status rc = json_scan_kind(scan, &kind);

    if (rc != OK) {
        return rc;
    }
    begin = scan->at;
    if (kind != JSON_ARRAY) {
        rc = json_scan_skip(scan, NULL);
    } else {
        rc = json_scan_enter(scan);
        while (rc == OK && (rc = json_scan_element(scan)) == OK) {
            rc = json_scan_kind(scan, &kind);
            out->has_token_ids |= rc == OK && (kind == JSON_DOUBLE || kind == JSON_ARRAY);
            n += rc == OK && kind != JSON_DOUBLE;
            rc = rc == OK ? json_scan_skip(scan, NULL) : rc;
        }
        rc = rc == E_CLOSED ? OK : rc;
    }
    source = str_slice(scan->text, begin, scan->at);
    if (source.len > out->prompt_source.len) {
        out->prompt_source = source;
    }
    if (n > out->n_prompts && strcmp(name, "prompt") == 0) {
        out->n_prompts = n;
    }
    return rc;
}

static enum status read_field(struct reader *r, enum field field, const char *name)
{
    struct splice *out = r->out;
    struct str source = {NULL, 0};
    uint64_t count = 0;
    enum status rc;

    switch (field) {
    case FIELD_MODEL:
        return read_model(r);
    case FIELD_STREAM:
        return read_bool(r, "stream", &out->stream, &source);
    case FIELD_STREAM_OPTIONS:
        return read_options(r);
    case FIELD_MAX_TOKENS:
        rc = read_count(r, name, &count);
        out->max_tokens = count > out->max_tokens ? count : out->max_tokens;
        return rc;
    case FIELD_N:
        rc = read_count(r, name, &count);
        if (rc == OK && count > N_MAX) {
            chat_failure_set(r->failure, 400, "invalid_request_error", "integer_above_max_value",
                             name, "Invalid '%s': integer above maximum value.", name);
            return E_INVALID;
        }
        out->n = count > out->n ? (uint32_t)count : out->n;
        return rc;
    case FIELD_PROMPT:
        return read_prompt(r, name);
    case FIELD_TOOLS:
        rc = json_scan_skip(&r->scan, &source);
        out->has_tools |= rc == OK && !str_eq(source, STR("null"));
        return rc;
    case FIELD_CONTINUE:
        out->continues = true;
        break;
    case FIELD_INCLUDE_USAGE:
    case FIELD_GUARDED:
    case FIELD_OTHER:
        break;
    }
    return json_scan_skip(&r->scan, NULL);
}

static const char *field_name(struct str key)
{
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        if (str_eq(fields[i].name, key)) {
            return fields[i].name.ptr;
        }
    }
    return "?";
}

/* One walk.  A failure without text in r->failure is one of the JSON. */
static enum status walk(struct reader *r, struct json_scan_keys *keys)
{
    const struct str body = r->out->body;
    enum json_kind kind;
    enum field field;
    struct str key;
    enum status rc;

    *r->out = (struct splice){.body = body, .n = 1, .n_prompts = 1};
    r->failure->http_status = 0;
    json_scan_init(&r->scan, body, keys);
    rc = json_scan_kind(&r->scan, &kind);
    if (rc == OK && kind != JSON_OBJECT) {
        // what is no JSON at all is named as such first
        rc = json_scan_skip(&r->scan, NULL);
        rc = rc == OK ? json_scan_end(&r->scan) : rc;
        return rc != OK ? rc
                        : refuse(r, E_INVALID, NULL, NULL,
                                 "The body of your request is not a JSON object.");
    }
    if (rc == OK) {
        rc = json_scan_enter(&r->scan);
    }
    r->out->object_at = r->scan.at;
    while (rc == OK) {
        rc = json_scan_member(&r->scan, &key);
        if (rc != OK) {
            break;
        }
        rc = know(r, key, false, &field);
        if (rc == OK) {
            rc = read_field(r, field, field == FIELD_OTHER ? "" : field_name(key));
        }
    }
    return rc == E_CLOSED ? json_scan_end(&r->scan) : rc;
}

/* The walk found a fault in the JSON, or an object with more keys than it checks: the parser says
 * where, or that all is well. */
static enum status ask_parser(struct reader *r)
{
    const struct json_value *root;
    struct error err = {0};
    const enum status rc = json_parse(r->arena, r->out->body, NULL, &root, &err);

    if (rc == E_NO_MEMORY || rc == E_LIMIT) {
        chat_failure_set(r->failure, 413, "invalid_request_error", "request_too_large", NULL,
                         "The JSON body of your request is too large: %s", err.text);
    } else if (rc != OK) {
        chat_failure_set(r->failure, 400, "invalid_request_error", NULL, NULL,
                         "We could not parse the JSON body of your request. (HINT: %s)", err.text);
    }
    return rc;
}

enum status splice_read(struct arena *arena, struct str body, struct splice *ret_splice,
                        struct chat_failure *ret_failure)
{
    struct json_scan_keys keys;
    struct reader r = {.arena = arena, .out = ret_splice, .failure = ret_failure};
    enum status rc;

    ret_splice->body = body;
    rc = walk(&r, &keys);
    if (rc == OK || ret_failure->http_status != 0) {
        return rc;
    }
    rc = ask_parser(&r);
    if (rc == OK) {
        rc = walk(&r, NULL); // repeated keys were looked for by the parser
    }
    if (rc != OK && ret_failure->http_status == 0) {
        return refuse(&r, rc, NULL, NULL, "We could not parse the JSON body of your request.");
    }
    return rc;
}

/* --- sending --- */

struct edit {
    size_t begin;
    size_t end; // of what is replaced
    struct str text;
};

static void add_edit(struct edit *edits, uint32_t *n, struct edit e)
{
    uint32_t i = *n;

    while (i > 0 && edits[i - 1].begin > e.begin) {
        edits[i] = edits[i - 1];
        i--;
    }
    edits[i] = e;
    *n += 1;
}

static size_t offset(const struct splice *s, struct str part)
{
    return (size_t)(part.ptr - s->body.ptr);
}

static struct edit replace(const struct splice *s, struct str part, struct str text)
{
    return (struct edit){offset(s, part), offset(s, part) + part.len, text};
}

static struct edit usage_edit(const struct splice *s)
{
    if (s->options_source.len == 0) {
        return (struct edit){s->object_at, s->object_at,
                             STR("\"stream_options\":{\"include_usage\":true},")};
    }
    if (s->include_usage_source.len > 0) {
        return replace(s, s->include_usage_source, STR("true"));
    }
    if (s->options_empty) {
        return replace(s, s->options_source, STR("{\"include_usage\":true}"));
    }
    return (struct edit){s->options_at, s->options_at, STR("\"include_usage\":true,")};
}

static enum status print_name(struct arena *arena, struct str model, struct str *ret_text)
{
    struct buf b;
    enum status rc;

    buf_init(&b, 65536);
    json_write_string(&b, model);
    rc = buf_status(&b);
    if (rc == OK) {
        rc = arena_dup(arena, buf_str(&b), ret_text);
    }
    buf_done(&b);
    return rc == OK ? OK : E_NO_MEMORY;
}

enum status splice_pieces(struct arena *arena, const struct splice *s, struct str model,
                          bool inject_usage, struct str *ret_pieces, uint32_t *ret_n_pieces)
{
    struct edit edits[2];
    uint32_t n_edits = 0;
    uint32_t n = 0;
    size_t at = 0;

    if (model.len > 0 && s->model_source.len > 0 && !str_eq(model, s->model)) {
        struct edit e = replace(s, s->model_source, (struct str){NULL, 0});

        if (print_name(arena, model, &e.text) != OK) {
            return E_NO_MEMORY;
        }
        add_edit(edits, &n_edits, e);
    }
    if (inject_usage && s->stream && !s->include_usage) {
        add_edit(edits, &n_edits, usage_edit(s));
    }
    for (uint32_t i = 0; i < n_edits; i++) {
        ret_pieces[n++] = str_slice(s->body, at, edits[i].begin);
        ret_pieces[n++] = edits[i].text;
        at = edits[i].end;
    }
    ret_pieces[n++] = str_slice(s->body, at, s->body.len);
    CHECK(n <= SPLICE_PIECES_MAX);
    *ret_n_pieces = n;
    return OK;
}
