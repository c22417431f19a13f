/* The field tables: what each known field of a request body may be, and what becomes of it. */
#include "base/check.h"
#include "chat/chat_json_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { ANY, BOOLEAN, INTEGER, NUMBER, STRING, ARRAY, OBJECT };

enum verdict {
    TAKE,   // checked against type and range, then `take` stores it
    IGNORE, // changes no answer: accepted whatever it is
    REFUSE, // not built yet: refused unless null or neutral
};

/* Values that change nothing, beside null. */
enum neutral {
    NEUTRAL_NONE,
    NEUTRAL_FALSE,
    NEUTRAL_TRUE,
    NEUTRAL_ZERO,
    NEUTRAL_ONE,
    NEUTRAL_EMPTY,       // [], {} or ""
    NEUTRAL_TEXT_FORMAT, // {"type":"text"}
    NEUTRAL_NO_CHOICE,   // "none" or "auto" where no tools can be given
};

enum endpoint { CHAT = 1, COMPLETION = 2, BOTH = 3 };

typedef enum status (*take_fn)(struct chat_json_reader *r, const char *name,
                               const struct json_value *v);

struct field {
    const char *name;
    enum endpoint endpoints;
    enum type type;
    enum verdict verdict;
    enum neutral neutral;
    double min;
    double max;
    take_fn take;
    const char *hint; // what to use instead, or NULL
};

/* --- checks --- */

static const char *type_text(enum type t)
{
    static const char *const texts[] = {"a value",  "a boolean", "an integer", "a number",
                                        "a string", "an array",  "an object"};

    return texts[t];
}

/* Integral floats count as integers: JavaScript and Lua clients send them. */
static bool integral(const struct json_value *v, int64_t *ret_value)
{
    if (v->kind == JSON_INT) {
        *ret_value = v->integer;
        return true;
    }
    if (v->kind == JSON_DOUBLE && fabs(v->number) < 9007199254740992.0 &&
        floor(v->number) == v->number) {
        *ret_value = (int64_t)v->number;
        return true;
    }
    return false;
}

static bool has_type(const struct json_value *v, enum type t)
{
    int64_t ignored;

    switch (t) {
    case ANY:
        return true;
    case BOOLEAN:
        return v->kind == JSON_BOOL;
    case INTEGER:
        return integral(v, &ignored);
    case NUMBER:
        return v->kind == JSON_INT || v->kind == JSON_DOUBLE;
    case STRING:
        return v->kind == JSON_STRING;
    case ARRAY:
        return v->kind == JSON_ARRAY;
    case OBJECT:
        return v->kind == JSON_OBJECT;
    }
    return false;
}

static bool is_neutral(const struct json_value *v, enum neutral n)
{
    const bool number = v->kind == JSON_INT || v->kind == JSON_DOUBLE;

    switch (n) {
    case NEUTRAL_NONE:
        return false;
    case NEUTRAL_FALSE:
        return v->kind == JSON_BOOL && !v->boolean;
    case NEUTRAL_TRUE:
        return v->kind == JSON_BOOL && v->boolean;
    case NEUTRAL_ZERO:
        return number && fpclassify(v->number) == FP_ZERO;
    case NEUTRAL_ONE:
        return number && !(v->number < 1.0) && !(v->number > 1.0);
    case NEUTRAL_EMPTY:
        return (v->kind == JSON_STRING && v->string.len == 0) ||
               ((v->kind == JSON_ARRAY || v->kind == JSON_OBJECT) && v->n_items == 0);
    case NEUTRAL_TEXT_FORMAT:
        return v->kind == JSON_OBJECT &&
               str_eq(json_string_or(json_get(v, STR("type")), STR("")), STR("text"));
    case NEUTRAL_NO_CHOICE:
        return v->kind == JSON_STRING &&
               (str_eq(v->string, STR("none")) || str_eq(v->string, STR("auto")));
    }
    return false;
}

static enum status refuse_range(struct chat_failure *f, const char *name, enum type t, bool above,
                                const struct json_value *v, double bound)
{
    char code[40];
    static const char *const codes[] = {"integer_below_min_value", "integer_above_max_value",
                                        "decimal_below_min_value", "decimal_above_max_value"};
    const size_t which = (t == INTEGER ? 0U : 2U) + (above ? 1U : 0U);

    snprintf(code, sizeof(code), "%s %s %s value", t == INTEGER ? "integer" : "decimal",
             above ? "above" : "below", above ? "maximum" : "minimum");
    return chat_json_refuse(f, codes[which], name,
                            "Invalid '%s': %s. Expected a value %s %.15g, but got %.15g instead.",
                            name, code, above ? "<=" : ">=", bound, v->number);
}

static enum status check_range(struct chat_failure *f, const struct field *field,
                               const struct json_value *v)
{
    if (!(field->min < field->max)) {
        return OK; // no range
    }
    if (v->number < field->min) {
        return refuse_range(f, field->name, field->type, false, v, field->min);
    }
    if (v->number > field->max) {
        return refuse_range(f, field->name, field->type, true, v, field->max);
    }
    return OK;
}

/* --- what becomes of a value --- */

static struct chat_sampling *sampling(struct chat_json_reader *r)
{
    return &r->request->chat.sampling;
}

static int64_t whole(const struct json_value *v)
{
    int64_t n = 0;

    CHECK(integral(v, &n)); // the table has checked it
    return n;
}

static enum status take_messages(struct chat_json_reader *r, const char *name,
                                 const struct json_value *v)
{
    (void)name;
    return chat_json_read_messages(r->arena, v, &r->request->chat.messages, r->failure);
}

static enum status take_prompt(struct chat_json_reader *r, const char *name,
                               const struct json_value *v)
{
    struct json_value one;

    if (v->kind == JSON_ARRAY && v->n_items == 1 && v->items[0].kind == JSON_STRING) {
        one = v->items[0];
        v = &one;
    }
    if (v->kind == JSON_ARRAY && v->n_items == 0) {
        return chat_json_refuse(r->failure, "empty_array", name,
                                "Invalid 'prompt': empty array. Send one string.");
    }
    if (v->kind == JSON_ARRAY) {
        return chat_json_refuse(r->failure, "unsupported_parameter", name,
                                "Unsupported parameter: 'prompt' as a list is not supported yet. "
                                "Send one string per request.");
    }
    if (v->kind != JSON_STRING) {
        return chat_json_refuse_type(r->failure, name, "a string", v);
    }
    r->request->chat.prompt_kind = CHAT_PROMPT_TEXT;
    r->request->chat.prompt_text = v->string;
    return OK;
}

static enum status take_model(struct chat_json_reader *r, const char *name,
                              const struct json_value *v)
{
    (void)name;
    r->request->chat.model = v->string;
    return OK;
}

static enum status take_request_id(struct chat_json_reader *r, const char *name,
                                   const struct json_value *v)
{
    (void)name;
    r->request->request_id = v->string;
    return OK;
}

static enum status take_temperature(struct chat_json_reader *r, const char *name,
                                    const struct json_value *v)
{
    (void)name;
    sampling(r)->temperature = v->number;
    sampling(r)->has_temperature = true;
    return OK;
}

static enum status take_top_p(struct chat_json_reader *r, const char *name,
                              const struct json_value *v)
{
    if (!(v->number > 0)) {
        return chat_json_refuse(r->failure, "decimal_below_min_value", name,
                                "Invalid 'top_p': top_p must be in (0, 1], got %.15g.", v->number);
    }
    sampling(r)->top_p = v->number;
    sampling(r)->has_top_p = true;
    return OK;
}

static enum status take_top_k(struct chat_json_reader *r, const char *name,
                              const struct json_value *v)
{
    (void)name;
    sampling(r)->top_k = (int32_t)whole(v);
    sampling(r)->has_top_k = true;
    return OK;
}

static enum status take_min_p(struct chat_json_reader *r, const char *name,
                              const struct json_value *v)
{
    (void)name;
    sampling(r)->min_p = v->number;
    return OK;
}

/* -1 means "none" to vLLM's clients. */
static enum status take_seed(struct chat_json_reader *r, const char *name,
                             const struct json_value *v)
{
    const int64_t seed = whole(v);

    (void)name;
    sampling(r)->has_seed = seed != -1;
    sampling(r)->seed = (uint64_t)seed;
    return OK;
}

static enum status take_max_tokens(struct chat_json_reader *r, const char *name,
                                   const struct json_value *v)
{
    const bool newer = strcmp(name, "max_completion_tokens") == 0;

    if (newer || !r->max_tokens_settled) {
        sampling(r)->max_tokens = (uint32_t)whole(v);
        r->max_tokens_settled = newer;
    }
    return OK;
}

static enum status take_min_tokens(struct chat_json_reader *r, const char *name,
                                   const struct json_value *v)
{
    (void)name;
    sampling(r)->min_tokens = (uint32_t)whole(v);
    return OK;
}

static enum status take_ignore_eos(struct chat_json_reader *r, const char *name,
                                   const struct json_value *v)
{
    (void)name;
    sampling(r)->ignore_eos = v->boolean;
    return OK;
}

static enum status take_skip_special(struct chat_json_reader *r, const char *name,
                                     const struct json_value *v)
{
    (void)name;
    sampling(r)->skip_special_tokens = v->boolean;
    return OK;
}

static enum status take_include_stop(struct chat_json_reader *r, const char *name,
                                     const struct json_value *v)
{
    (void)name;
    sampling(r)->include_stop = v->boolean;
    return OK;
}

static enum status take_logprobs(struct chat_json_reader *r, const char *name,
                                 const struct json_value *v)
{
    int64_t n;

    if (!r->request->completion) {
        if (v->kind != JSON_BOOL) {
            return chat_json_refuse_type(r->failure, name, "a boolean", v);
        }
        sampling(r)->logprobs = v->boolean;
        return OK;
    }
    if (!integral(v, &n)) {
        return chat_json_refuse_type(r->failure, name, "an integer", v);
    }
    if (n < 0 || n > 20) {
        return refuse_range(r->failure, name, INTEGER, n > 20, v, n < 0 ? 0 : 20);
    }
    if (n > 0) {
        return chat_json_refuse(
            r->failure, "unsupported_parameter", name,
            "Unsupported parameter: 'logprobs' above 0 (alternatives per token) "
            "is not supported yet. Use 0 for the chosen tokens.");
    }
    sampling(r)->logprobs = true;
    return OK;
}

static enum status take_top_logprobs(struct chat_json_reader *r, const char *name,
                                     const struct json_value *v)
{
    r->has_top_logprobs = true;
    if (whole(v) != 0) {
        return chat_json_refuse(r->failure, "unsupported_parameter", name,
                                "Unsupported parameter: 'top_logprobs' above 0 is not supported "
                                "yet. Use 'logprobs': true alone for the chosen tokens.");
    }
    return OK;
}

static enum status add_stop(struct chat_json_reader *r, const char *path,
                            const struct json_value *v)
{
    struct chat_sampling *s = sampling(r);

    if (v->kind != JSON_STRING) {
        return chat_json_refuse_type(r->failure, path, "a string", v);
    }
    if (v->string.len == 0) {
        return chat_json_refuse(r->failure, "invalid_value", path,
                                "stop cannot contain an empty string.");
    }
    if (v->string.len > CHAT_STOP_BYTES_MAX) {
        return chat_json_refuse(r->failure, "string_above_max_length", path,
                                "Invalid '%s': string too long. Expected at most %d bytes, but got "
                                "%zu instead.",
                                path, CHAT_STOP_BYTES_MAX, v->string.len);
    }
    s->stop[s->n_stop++] = v->string;
    return OK;
}

static enum status refuse_long_array(struct chat_json_reader *r, const char *name, uint32_t max,
                                     uint32_t got)
{
    return chat_json_refuse(r->failure, "array_above_max_length", name,
                            "Invalid '%s': array too long. Expected an array with maximum length "
                            "%u, but got an array with length %u instead.",
                            name, max, got);
}

static enum status take_stop(struct chat_json_reader *r, const char *name,
                             const struct json_value *v)
{
    char path[32];

    if (v->kind == JSON_STRING) {
        return add_stop(r, name, v);
    }
    if (v->kind != JSON_ARRAY) {
        return chat_json_refuse_type(r->failure, name, "a string or an array of strings", v);
    }
    if (v->n_items > CHAT_STOP_MAX) {
        return refuse_long_array(r, name, CHAT_STOP_MAX, v->n_items);
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        enum status rc;

        snprintf(path, sizeof(path), "stop[%u]", i);
        rc = add_stop(r, path, &v->items[i]);
        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

static enum status take_stop_ids(struct chat_json_reader *r, const char *name,
                                 const struct json_value *v)
{
    struct chat_sampling *s = sampling(r);
    char path[40];
    int64_t id;

    if (v->n_items > CHAT_STOP_IDS_MAX) {
        return refuse_long_array(r, name, CHAT_STOP_IDS_MAX, v->n_items);
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        snprintf(path, sizeof(path), "stop_token_ids[%u]", i);
        if (!integral(&v->items[i], &id)) {
            return chat_json_refuse_type(r->failure, path, "an integer", &v->items[i]);
        }
        if (id < 0 || id > INT32_MAX) {
            return refuse_range(r->failure, path, INTEGER, id > 0, &v->items[i],
                                id < 0 ? 0 : INT32_MAX);
        }
        s->stop_ids[s->n_stop_ids++] = (int32_t)id;
    }
    return OK;
}

static enum status take_stream(struct chat_json_reader *r, const char *name,
                               const struct json_value *v)
{
    (void)name;
    r->request->stream = v->boolean;
    return OK;
}

static enum status take_stream_options(struct chat_json_reader *r, const char *name,
                                       const struct json_value *v)
{
    static const char *const flags[] = {"include_usage", "continuous_usage_stats"};
    char path[64];

    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        const struct json_value *flag = json_get(v, str_from_c(flags[i]));

        if (flag == NULL || flag->kind == JSON_NULL) {
            continue;
        }
        if (flag->kind != JSON_BOOL) {
            snprintf(path, sizeof(path), "%s.%s", name, flags[i]);
            return chat_json_refuse_type(r->failure, path, "a boolean", flag);
        }
        if (i == 0) {
            r->request->include_usage = flag->boolean;
        } else {
            r->request->continuous_usage = flag->boolean;
        }
    }
    r->has_stream_options = true;
    return OK;
}

static enum status take_template_kwargs(struct chat_json_reader *r, const char *name,
                                        const struct json_value *v)
{
    (void)name;
    r->request->chat.template_kwargs = v;
    return OK;
}

static enum status take_generation_prompt(struct chat_json_reader *r, const char *name,
                                          const struct json_value *v)
{
    (void)name;
    r->request->chat.add_generation_prompt = v->boolean;
    r->wants_generation_prompt = v->boolean;
    return OK;
}

static enum status take_continue(struct chat_json_reader *r, const char *name,
                                 const struct json_value *v)
{
    (void)name;
    r->request->chat.continue_final_message = v->boolean;
    return OK;
}

static enum status take_special_tokens(struct chat_json_reader *r, const char *name,
                                       const struct json_value *v)
{
    (void)name;
    r->request->chat.add_special_tokens = v->boolean;
    return OK;
}

static enum status take_echo(struct chat_json_reader *r, const char *name,
                             const struct json_value *v)
{
    (void)name;
    r->request->echo = v->boolean;
    return OK;
}

/* --- the table --- */

#define TAKEN(name, where, type, lo, hi, fn)                                                       \
    {                                                                                              \
        name, where, type, TAKE, NEUTRAL_NONE, lo, hi, fn, NULL                                    \
    }
#define LATER(name, where, neutral)                                                                \
    {                                                                                              \
        name, where, ANY, REFUSE, neutral, 0, 0, NULL, NULL                                        \
    }
#define GONE(name, hint)                                                                           \
    {                                                                                              \
        name, BOTH, ANY, REFUSE, NEUTRAL_EMPTY, 0, 0, NULL, hint                                   \
    }
#define UNUSED(name)                                                                               \
    {                                                                                              \
        name, BOTH, ANY, IGNORE, NEUTRAL_NONE, 0, 0, NULL, NULL                                    \
    }

#define TOKENS_MAX 2147483647.0
#define GUIDED_HINT "'response_format' with a JSON schema (constrained output is not built yet)"

/* In alphabetical order; tests/unit/chat_json.c checks that. */
static const struct field fields[] = {
    TAKEN("add_generation_prompt", CHAT, BOOLEAN, 0, 0, take_generation_prompt),
    TAKEN("add_special_tokens", COMPLETION, BOOLEAN, 0, 0, take_special_tokens),
    LATER("allowed_token_ids", BOTH, NEUTRAL_NONE),
    LATER("audio", CHAT, NEUTRAL_NONE),
    LATER("bad_words", BOTH, NEUTRAL_EMPTY),
    LATER("best_of", BOTH, NEUTRAL_ONE),
    UNUSED("cache_salt"),
    LATER("chat_template", CHAT, NEUTRAL_NONE),
    TAKEN("chat_template_kwargs", CHAT, OBJECT, 0, 0, take_template_kwargs),
    TAKEN("continue_final_message", CHAT, BOOLEAN, 0, 0, take_continue),
    LATER("documents", CHAT, NEUTRAL_EMPTY),
    TAKEN("echo", BOTH, BOOLEAN, 0, 0, take_echo),
    LATER("frequency_penalty", BOTH, NEUTRAL_ZERO),
    {"function_call", CHAT, ANY, REFUSE, NEUTRAL_NO_CHOICE, 0, 0, NULL, "'tool_choice'"},
    {"functions", CHAT, ANY, REFUSE, NEUTRAL_EMPTY, 0, 0, NULL, "'tools'"},
    GONE("guided_choice", GUIDED_HINT),
    GONE("guided_grammar", GUIDED_HINT),
    GONE("guided_json", GUIDED_HINT),
    GONE("guided_regex", GUIDED_HINT),
    TAKEN("ignore_eos", BOTH, BOOLEAN, 0, 0, take_ignore_eos),
    LATER("include_reasoning", CHAT, NEUTRAL_TRUE),
    TAKEN("include_stop_str_in_output", BOTH, BOOLEAN, 0, 0, take_include_stop),
    LATER("length_penalty", BOTH, NEUTRAL_ONE),
    LATER("logit_bias", BOTH, NEUTRAL_EMPTY),
    LATER("logprob_token_ids", BOTH, NEUTRAL_EMPTY),
    TAKEN("logprobs", BOTH, ANY, 0, 0, take_logprobs),
    TAKEN("max_completion_tokens", CHAT, INTEGER, 1, TOKENS_MAX, take_max_tokens),
    TAKEN("max_tokens", BOTH, INTEGER, 1, TOKENS_MAX, take_max_tokens),
    TAKEN("messages", CHAT, ANY, 0, 0, take_messages),
    UNUSED("metadata"),
    TAKEN("min_p", BOTH, NUMBER, 0, 1, take_min_p),
    TAKEN("min_tokens", BOTH, INTEGER, 0, TOKENS_MAX, take_min_tokens),
    LATER("modalities", CHAT, NEUTRAL_NONE),
    TAKEN("model", BOTH, STRING, 0, 0, take_model),
    LATER("n", BOTH, NEUTRAL_ONE),
    UNUSED("parallel_tool_calls"), // there are no tools yet
    UNUSED("prediction"),          // a hint for speed
    LATER("presence_penalty", BOTH, NEUTRAL_ZERO),
    TAKEN("prompt", COMPLETION, ANY, 0, 0, take_prompt),
    UNUSED("prompt_cache_key"),
    LATER("prompt_embeds", COMPLETION, NEUTRAL_NONE),
    LATER("prompt_logprobs", BOTH, NEUTRAL_NONE),
    LATER("reasoning_effort", CHAT, NEUTRAL_NONE),
    LATER("repetition_penalty", BOTH, NEUTRAL_ONE),
    TAKEN("request_id", BOTH, STRING, 0, 0, take_request_id),
    LATER("response_format", BOTH, NEUTRAL_TEXT_FORMAT),
    LATER("return_prompt_text", BOTH, NEUTRAL_FALSE),
    LATER("return_token_ids", BOTH, NEUTRAL_FALSE),
    LATER("return_tokens_as_token_ids", BOTH, NEUTRAL_FALSE),
    UNUSED("safety_identifier"),
    TAKEN("seed", BOTH, INTEGER, 0, 0, take_seed),
    UNUSED("service_tier"),
    TAKEN("skip_special_tokens", BOTH, BOOLEAN, 0, 0, take_skip_special),
    UNUSED("spaces_between_special_tokens"), // GLM's detokeniser never puts any
    TAKEN("stop", BOTH, ANY, 0, 0, take_stop),
    TAKEN("stop_token_ids", BOTH, ARRAY, 0, 0, take_stop_ids),
    UNUSED("store"),
    TAKEN("stream", BOTH, BOOLEAN, 0, 0, take_stream),
    UNUSED("stream_interval"), // how many tokens per chunk is ours to choose
    TAKEN("stream_options", BOTH, OBJECT, 0, 0, take_stream_options),
    LATER("structured_outputs", BOTH, NEUTRAL_EMPTY),
    LATER("suffix", COMPLETION, NEUTRAL_EMPTY),
    TAKEN("temperature", BOTH, NUMBER, 0, 2, take_temperature),
    LATER("thinking_token_budget", CHAT, NEUTRAL_NONE),
    LATER("tool_choice", CHAT, NEUTRAL_NO_CHOICE),
    LATER("tools", CHAT, NEUTRAL_EMPTY),
    TAKEN("top_k", BOTH, INTEGER, -1, TOKENS_MAX, take_top_k),
    TAKEN("top_logprobs", CHAT, INTEGER, 0, 20, take_top_logprobs),
    TAKEN("top_p", BOTH, NUMBER, 0, 1, take_top_p),
    LATER("truncate_prompt_tokens", BOTH, NEUTRAL_NONE),
    LATER("use_beam_search", BOTH, NEUTRAL_FALSE),
    UNUSED("user"),
    LATER("verbosity", CHAT, NEUTRAL_NONE),
    LATER("web_search_options", CHAT, NEUTRAL_NONE),
};

static int compare_name(const void *key, const void *element)
{
    const struct str *name = key;
    const struct field *f = element;

    return str_cmp(*name, str_from_c(f->name));
}

static const struct field *find(struct str name, bool completion)
{
    const struct field *f =
        bsearch(&name, fields, ARRAY_COUNT(fields), sizeof(fields[0]), compare_name);

    return f != NULL && (f->endpoints & (completion ? COMPLETION : CHAT)) != 0 ? f : NULL;
}

static enum status read_field(struct chat_json_reader *r, const struct field *f,
                              const struct json_value *v)
{
    enum status rc;

    if (v->kind == JSON_NULL || f->verdict == IGNORE) {
        return OK;
    }
    if (f->verdict == REFUSE) {
        if (is_neutral(v, f->neutral)) {
            return OK;
        }
        return chat_json_refuse(r->failure, "unsupported_parameter", f->name,
                                "Unsupported parameter: '%s' is not supported %s%s.%s", f->name,
                                f->hint == NULL ? "yet" : "here; use ",
                                f->hint == NULL ? "" : f->hint,
                                f->hint == NULL ? " Leave it out or send its neutral value." : "");
    }
    if (!has_type(v, f->type)) {
        return chat_json_refuse_type(r->failure, f->name, type_text(f->type), v);
    }
    rc = check_range(r->failure, f, v);
    return rc == OK ? f->take(r, f->name, v) : rc;
}

enum status chat_json_fields_read(struct chat_json_reader *r, const struct json_value *root)
{
    for (uint32_t i = 0; i < root->n_items; i++) {
        const struct field *f = find(root->members[i].key, r->request->completion);

        if (f != NULL) {
            const enum status rc = read_field(r, f, &root->members[i].value);

            if (rc != OK) {
                return rc;
            }
        }
    }
    return OK;
}

const char *chat_json_fields_disorder(void)
{
    for (size_t i = 1; i < ARRAY_COUNT(fields); i++) {
        if (strcmp(fields[i - 1].name, fields[i].name) >= 0) {
            return fields[i].name;
        }
    }
    return NULL;
}
