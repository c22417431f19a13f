/* response_scan.c - what one chunk or body says.
 *
 * One walk for all dialects: their names do not collide.  Members that are not listed are passed,
 * and checked on the way.
 *
 *   chat, completions   choices[].finish_reason, choices[].delta|message|text, usage, error
 *   responses           type, delta (a string), response.usage, usage, error
 *   messages            type, delta.text|partial_json|thinking, message.usage, usage, error
 *   embeddings          usage
 */
#include "base/json_scan.h"
#include "gateway/response.h"

#include <math.h>
#include <string.h>

#define TOKEN_BYTES_MAX 16 // a shorter piece of text is one token
#define BYTES_PER_TOKEN 4

struct walk {
    struct json_scan scan;
    struct response_facts *out;
    uint32_t input; // of one usage object, as the messages dialect splits it
    uint32_t cache_read;
    uint32_t cache_created;
};

typedef enum status (*member_fn)(struct walk *w, struct str key, enum json_kind kind);

/* Call `member` before each value of the object at the cursor; it must pass the value. */
static enum status each_member(struct walk *w, member_fn member)
{
    enum json_kind kind;
    struct str key;
    enum status rc = json_scan_enter(&w->scan);

    while (rc == OK) {
        rc = json_scan_member(&w->scan, &key);
        if (rc == OK) {
            rc = json_scan_kind(&w->scan, &kind);
        }
        if (rc == OK) {
            rc = member(w, key, kind);
        }
    }
    return rc == E_CLOSED ? OK : rc;
}

/* The same for objects in an array; other elements are passed. */
static enum status each_object(struct walk *w, member_fn member, uint32_t *ret_n)
{
    enum json_kind kind;
    enum status rc = json_scan_enter(&w->scan);

    while (rc == OK) {
        rc = json_scan_element(&w->scan);
        if (rc == OK) {
            rc = json_scan_kind(&w->scan, &kind);
        }
        if (rc == OK) {
            *ret_n += 1;
            rc = kind == JSON_OBJECT ? each_member(w, member) : json_scan_skip(&w->scan, NULL);
        }
    }
    return rc == E_CLOSED ? OK : rc;
}

static enum status skip(struct walk *w)
{
    return json_scan_skip(&w->scan, NULL);
}

static enum status count_text(struct walk *w)
{
    struct str raw;
    bool escaped;
    const enum status rc = json_scan_string(&w->scan, &raw, &escaped);

    if (rc == OK) {
        w->out->text_bytes += raw.len;
    }
    return rc;
}

/* --- usage --- */

/* Both spellings of one count may stand in an object, with one of them zero: the larger holds.
 * Negative, broken and absent numbers are none. */
static enum status read_count(struct walk *w, uint32_t *count, bool *ret_has)
{
    struct str source;
    double value;
    const enum status rc = json_scan_skip(&w->scan, &source);

    if (rc == OK && str_to_f64(source, &value) == OK && value >= 0 && value == floor(value)) {
        const uint32_t n = value >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)value;

        *count = n > *count ? n : *count;
        *ret_has = true;
    }
    return rc;
}

static enum status detail_member(struct walk *w, struct str key, enum json_kind kind)
{
    bool has = false;

    (void)kind;
    if (str_eq(key, STR("cached_tokens"))) {
        return read_count(w, &w->out->usage.cached_tokens, &has);
    }
    if (str_eq(key, STR("reasoning_tokens"))) {
        return read_count(w, &w->out->usage.reasoning_tokens, &has);
    }
    return skip(w);
}

static enum status usage_member(struct walk *w, struct str key, enum json_kind kind)
{
    struct response_facts *f = w->out;
    bool has = false;

    if (kind == JSON_OBJECT && str_ends(key, STR("_tokens_details"))) {
        return each_member(w, detail_member);
    }
    if (str_eq(key, STR("prompt_tokens"))) {
        return read_count(w, &f->usage.prompt_tokens, &f->has_prompt);
    }
    if (str_eq(key, STR("input_tokens"))) {
        return read_count(w, &w->input, &f->has_prompt);
    }
    if (str_eq(key, STR("completion_tokens")) || str_eq(key, STR("output_tokens"))) {
        return read_count(w, &f->usage.completion_tokens, &f->has_completion);
    }
    if (str_eq(key, STR("cache_read_input_tokens"))) { // messages: not part of input_tokens
        return read_count(w, &w->cache_read, &has);
    }
    if (str_eq(key, STR("cache_creation_input_tokens"))) {
        return read_count(w, &w->cache_created, &has);
    }
    return skip(w);
}

static uint32_t sum(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static enum status read_usage(struct walk *w, enum json_kind kind)
{
    struct chat_usage *u = &w->out->usage;
    enum status rc;
    uint32_t input;

    if (kind != JSON_OBJECT) {
        return skip(w);
    }
    w->out->has_usage = true;
    *u = (struct chat_usage){0};
    w->input = 0;
    w->cache_read = 0;
    w->cache_created = 0;
    rc = each_member(w, usage_member);
    input = sum(w->input, sum(w->cache_read, w->cache_created));
    u->prompt_tokens = input > u->prompt_tokens ? input : u->prompt_tokens;
    u->cached_tokens = w->cache_read > u->cached_tokens ? w->cache_read : u->cached_tokens;
    return rc;
}

/* --- text --- */

static enum status function_member(struct walk *w, struct str key, enum json_kind kind)
{
    return kind == JSON_STRING && (str_eq(key, STR("arguments")) || str_eq(key, STR("name")))
               ? count_text(w)
               : skip(w);
}

static enum status tool_member(struct walk *w, struct str key, enum json_kind kind)
{
    return kind == JSON_OBJECT && str_eq(key, STR("function")) ? each_member(w, function_member)
                                                               : skip(w);
}

static enum status take_content(struct walk *w)
{
    bool escaped;
    const enum status rc = json_scan_string(&w->scan, &w->out->content, &escaped);

    if (rc == OK) {
        w->out->text_bytes += w->out->content.len;
    }
    return rc;
}

static enum status delta_member(struct walk *w, struct str key, enum json_kind kind)
{
    static const struct str texts[] = {
        {"content", 7},  {"reasoning", 9}, {"reasoning_content", 17}, {"text", 4},
        {"thinking", 8}, {"refusal", 7},   {"partial_json", 12},
    };
    bool reasoned = false;
    uint32_t n = 0;

    if (kind == JSON_ARRAY && str_eq(key, STR("tool_calls"))) {
        return each_object(w, tool_member, &n);
    }
    for (size_t i = 0; kind == JSON_STRING && i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (str_eq(key, texts[i])) {
            // both names of reasoning carry the same text
            reasoned = i == 2 && w->out->text_bytes > 0;
            return reasoned ? skip(w) : i == 0 ? take_content(w) : count_text(w);
        }
    }
    return skip(w);
}

static enum status choice_member(struct walk *w, struct str key, enum json_kind kind)
{
    if (str_eq(key, STR("finish_reason"))) {
        w->out->finished |= kind == JSON_STRING;
        return skip(w);
    }
    if (kind == JSON_OBJECT && (str_eq(key, STR("delta")) || str_eq(key, STR("message")))) {
        return each_member(w, delta_member);
    }
    return kind == JSON_STRING && str_eq(key, STR("text")) ? count_text(w) : skip(w);
}

/* --- the top --- */

static enum status read_type(struct walk *w)
{
    static const struct str last[] = {{"response.completed", 18},
                                      {"response.incomplete", 19},
                                      {"message_stop", 12}};
    static const struct str failures[] = {{"response.failed", 15}, {"error", 5}};
    struct str raw;
    bool escaped;
    const enum status rc = json_scan_string(&w->scan, &raw, &escaped);

    for (size_t i = 0; rc == OK && i < 3; i++) {
        w->out->ends |= str_eq(raw, last[i]);
    }
    for (size_t i = 0; rc == OK && i < 2; i++) {
        w->out->failed |= str_eq(raw, failures[i]);
    }
    return rc;
}

/* Members of `response` and of message_start's `message`. */
static enum status inner_member(struct walk *w, struct str key, enum json_kind kind)
{
    return str_eq(key, STR("usage")) ? read_usage(w, kind) : skip(w);
}

static enum status top_member(struct walk *w, struct str key, enum json_kind kind)
{
    if (str_eq(key, STR("choices")) && kind == JSON_ARRAY) {
        const size_t begin = w->scan.at;
        const enum status rc = each_object(w, choice_member, &w->out->n_choices);

        w->out->has_choices = true;
        w->out->choices = str_slice(w->scan.text, begin, w->scan.at);
        return rc;
    }
    if (str_eq(key, STR("id"))) {
        return json_scan_skip(&w->scan, &w->out->id);
    }
    if (str_eq(key, STR("created"))) {
        return json_scan_skip(&w->scan, &w->out->created);
    }
    if (str_eq(key, STR("model"))) {
        return json_scan_skip(&w->scan, &w->out->model);
    }
    if (str_eq(key, STR("usage"))) {
        return read_usage(w, kind);
    }
    if (str_eq(key, STR("error"))) {
        w->out->failed |= kind != JSON_NULL && kind != JSON_BOOL;
        return skip(w);
    }
    if (str_eq(key, STR("type")) && kind == JSON_STRING) {
        return read_type(w);
    }
    if (str_eq(key, STR("delta"))) {
        return kind == JSON_STRING   ? count_text(w)
               : kind == JSON_OBJECT ? each_member(w, delta_member)
                                     : skip(w);
    }
    if (kind == JSON_OBJECT && (str_eq(key, STR("response")) || str_eq(key, STR("message")))) {
        return each_member(w, inner_member);
    }
    return skip(w);
}

enum status response_scan(struct str json, struct response_facts *ret_facts)
{
    struct walk w;
    enum json_kind kind;
    enum status rc;

    *ret_facts = (struct response_facts){0};
    w.out = ret_facts;
    json_scan_init(&w.scan, json, NULL);
    rc = json_scan_kind(&w.scan, &kind);
    if (rc == OK) {
        rc = kind == JSON_OBJECT ? each_member(&w, top_member) : E_INVALID;
    }
    return rc == OK ? json_scan_end(&w.scan) : rc;
}

uint32_t response_guess_tokens(uint64_t text_bytes)
{
    const uint64_t n = (text_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;

    if (text_bytes == 0) {
        return 0;
    }
    return text_bytes <= TOKEN_BYTES_MAX ? 1 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}
