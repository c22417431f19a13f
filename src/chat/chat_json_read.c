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
