#include "chat/chat_json_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *chat_json_kind_text(enum json_kind kind)
{
    switch (kind) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "a boolean";
    case JSON_INT:
        return "an integer";
    case JSON_DOUBLE:
        return "a decimal";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    }
    return "something else";
}

enum status chat_json_refuse(struct chat_failure *f, const char *code, const char *param,
                             const char *fmt, ...)
{
    va_list args;

    chat_failure_set(f, 400, "invalid_request_error", code, param, "%s", "");
    va_start(args, fmt);
    vsnprintf(f->message, sizeof(f->message), fmt, args);
    va_end(args);
    return E_INVALID;
}

enum status chat_json_refuse_type(struct chat_failure *f, const char *param, const char *expected,
                                  const struct json_value *got)
{
    return chat_json_refuse(f, "invalid_type", param,
                            "Invalid type for '%s': expected %s, but got %s instead.", param,
                            expected, chat_json_kind_text(got->kind));
}

enum status chat_json_refuse_memory(struct chat_failure *f)
{
    chat_failure_set(f, 413, "invalid_request_error", "request_too_large", NULL,
                     "The request needs more memory than one request may have. Send less.");
    return E_NO_MEMORY;
}

static void set_defaults(struct chat_json_request *q, bool completion)
{
    memset(q, 0, sizeof(*q));
    q->completion = completion;
    q->chat.prompt_kind = CHAT_PROMPT_MESSAGES;
    q->chat.add_generation_prompt = true;
    q->chat.add_special_tokens = true;
    chat_sampling_default(&q->chat.sampling);
    if (completion) {
        q->chat.sampling.max_tokens = 16; // OpenAI's default here
    }
}

/* Rules over several fields. */
static enum status check_together(const struct chat_json_reader *r)
{
    const struct chat_json_request *q = r->request;
    const struct chat_sampling *s = &q->chat.sampling;

    if (!q->completion && q->chat.messages == NULL) {
        return chat_json_refuse(r->failure, "missing_required_parameter", "messages",
                                "Missing required parameter: 'messages'.");
    }
    if (q->completion && q->chat.prompt_kind != CHAT_PROMPT_TEXT) {
        return chat_json_refuse(r->failure, "missing_required_parameter", "prompt",
                                "Missing required parameter: 'prompt'.");
    }
    if (r->has_stream_options && !q->stream) {
        return chat_json_refuse(r->failure, "invalid_value", "stream_options",
                                "Stream options can only be defined when `stream=True`.");
    }
    if (r->has_top_logprobs && !s->logprobs) {
        return chat_json_refuse(r->failure, "invalid_value", "top_logprobs",
                                "when using `top_logprobs`, `logprobs` must be set to true.");
    }
    if (s->max_tokens != 0 && s->min_tokens > s->max_tokens) {
        return chat_json_refuse(r->failure, "integer_above_max_value", "min_tokens",
                                "min_tokens must be less than or equal to max_tokens=%u, got %u.",
                                s->max_tokens, s->min_tokens);
    }
    if (q->chat.continue_final_message && r->wants_generation_prompt) {
        return chat_json_refuse(r->failure, "invalid_value", "add_generation_prompt",
                                "Cannot set both `continue_final_message` and "
                                "`add_generation_prompt` to True.");
    }
    if (q->echo && !q->completion) {
        return chat_json_refuse(r->failure, "unsupported_parameter", "echo",
                                "Unsupported parameter: 'echo' is not supported for chat yet.");
    }
    if (q->echo && s->logprobs) {
        return chat_json_refuse(r->failure, "unsupported_parameter", "echo",
                                "Unsupported parameter: 'echo' with 'logprobs' is not supported "
                                "yet.");
    }
    return OK;
}

static enum status read_body(struct arena *arena, const struct json_value *root, bool completion,
                             struct chat_json_request *ret_request,
                             struct chat_failure *ret_failure)
{
    struct chat_json_reader r = {
        .arena = arena,
        .request = ret_request,
        .failure = ret_failure,
    };
    enum status rc;

    if (root->kind != JSON_OBJECT) {
        return chat_json_refuse(ret_failure, "invalid_type", NULL,
                                "The request body must be a JSON object, but is %s.",
                                chat_json_kind_text(root->kind));
    }
    set_defaults(ret_request, completion);
    rc = chat_json_fields_read(&r, root);
    return rc == OK ? check_together(&r) : rc;
}

enum status chat_json_read_chat(struct arena *arena, const struct json_value *root,
                                struct chat_json_request *ret_request,
                                struct chat_failure *ret_failure)
{
    return read_body(arena, root, false, ret_request, ret_failure);
}

enum status chat_json_read_completion(struct arena *arena, const struct json_value *root,
                                      struct chat_json_request *ret_request,
                                      struct chat_failure *ret_failure)
{
    return read_body(arena, root, true, ret_request, ret_failure);
}

/* --- the client's side --- */

void chat_json_read_failure(const struct json_value *root, int http_status,
                            struct chat_failure *ret_failure)
{
    const struct json_value *e = json_get(root, STR("error"));
    const struct json_value *object = e != NULL && e->kind == JSON_OBJECT ? e : root;
    const struct json_value *text = json_get(object, STR("message"));
    struct str param = json_string_or(json_get(object, STR("param")), (struct str){NULL, 0});

    if (text == NULL) {
        text = e != NULL && e->kind == JSON_STRING ? e : json_get(root, STR("detail"));
    }
    chat_failure_set(ret_failure, http_status,
                     http_status < 500 ? "invalid_request_error" : "server_error", NULL, NULL,
                     "%.*s", STR_ARG(json_string_or(text, STR("The server gave no reason."))));
    snprintf(ret_failure->param, sizeof(ret_failure->param), "%.*s", STR_ARG(param));
}

static uint32_t token_count(const struct json_value *usage, struct str key)
{
    const int64_t n = json_int_or(json_get(usage, key), 0);

    return n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
}

static void read_usage(const struct json_value *usage, struct chat_json_delta *d)
{
    if (usage == NULL || usage->kind != JSON_OBJECT) {
        return;
    }
    d->has_usage = true;
    d->usage.prompt_tokens = token_count(usage, STR("prompt_tokens"));
    d->usage.completion_tokens = token_count(usage, STR("completion_tokens"));
    d->usage.cached_tokens =
        token_count(json_get(usage, STR("prompt_tokens_details")), STR("cached_tokens"));
    d->usage.reasoning_tokens =
        token_count(json_get(usage, STR("completion_tokens_details")), STR("reasoning_tokens"));
}

static void read_choice(const struct json_value *choice, struct chat_json_delta *d)
{
    const struct json_value *delta = json_get(choice, STR("delta"));
    const struct json_value *finish = json_get(choice, STR("finish_reason"));
    const struct str none = {NULL, 0};

    if (delta == NULL) {
        d->content = json_string_or(json_get(choice, STR("text")), none);
    } else {
        d->content = json_string_or(json_get(delta, STR("content")), none);
        d->reasoning = json_string_or(json_get(delta, STR("reasoning_content")), none);
        d->reasoning = json_string_or(json_get(delta, STR("reasoning")), d->reasoning);
    }
    d->has_finish = finish != NULL && finish->kind == JSON_STRING;
    d->finish = json_string_or(finish, none);
}

enum status chat_json_read_chunk(const struct json_value *root, struct chat_json_delta *ret_delta,
                                 struct chat_failure *ret_failure)
{
    const struct json_value *e = json_get(root, STR("error"));
    const struct json_value *choices = json_get(root, STR("choices"));
    struct chat_json_delta d = {0};

    if (e != NULL && e->kind != JSON_NULL) {
        const int64_t code = json_int_or(json_get(e, STR("code")), 500);

        chat_json_read_failure(root, code >= 400 && code <= 599 ? (int)code : 500, ret_failure);
        return E_INVALID;
    }
    if (choices == NULL || choices->kind != JSON_ARRAY) {
        chat_failure_set(ret_failure, 502, "server_error", NULL, NULL,
                         "The server sent something that is no chunk of an answer.");
        return E_INVALID;
    }
    if (choices->n_items > 0) {
        read_choice(&choices->items[0], &d);
    }
    read_usage(json_get(root, STR("usage")), &d);
    *ret_delta = d;
    return OK;
}
