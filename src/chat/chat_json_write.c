#include "base/check.h"
#include "base/utf8.h"
#include "chat/chat_json_internal.h"

#include <math.h>
#include <string.h>

#define LOGPROB_FLOOR (-9999.0) // JSON has no minus infinity

static void put_u32(struct buf *out, uint32_t v)
{
    char digits[10];
    size_t n = sizeof(digits);

    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    buf_append(out, digits + n, sizeof(digits) - n);
}

static void put_key_str(struct buf *out, const char *key, struct str value)
{
    buf_append_byte(out, '"');
    buf_append_c(out, key);
    buf_append_str(out, STR("\":"));
    json_write_string(out, value);
}

void chat_json_write_prefix(struct buf *out, const struct chat_json_frame *f)
{
    buf_append_byte(out, '{');
    put_key_str(out, "id", f->id);
    buf_append_c(out, f->completion ? ",\"object\":\"text_completion\",\"created\":"
                                    : ",\"object\":\"chat.completion.chunk\",\"created\":");
    json_write_i64(out, f->created_s);
    buf_append_byte(out, ',');
    put_key_str(out, "model", f->model);
    buf_append_byte(out, ',');
}

/* --- logprobs --- */

static void put_logprob(struct buf *out, float logprob)
{
    const double v = (double)logprob;

    json_write_double(out, isfinite(v) ? v : LOGPROB_FLOOR, false);
}

static void put_bytes(struct buf *out, struct str text)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < text.len; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        put_u32(out, (unsigned char)text.ptr[i]);
    }
    buf_append_byte(out, ']');
}

static void put_chat_logprobs(struct buf *out, const struct chat_json_token *tokens, uint32_t n)
{
    buf_append_str(out, STR("{\"content\":["));
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(out, i == 0 ? "{" : ",{");
        put_key_str(out, "token", tokens[i].text);
        buf_append_str(out, STR(",\"logprob\":"));
        put_logprob(out, tokens[i].logprob);
        buf_append_str(out, STR(",\"bytes\":"));
        put_bytes(out, tokens[i].text);
        buf_append_str(out, STR(",\"top_logprobs\":[]}"));
    }
    buf_append_str(out, STR("],\"refusal\":null}"));
}

/* The legacy form: parallel arrays; offsets count characters from the beginning of this piece. */
static void put_completion_logprobs(struct buf *out, const struct chat_json_token *tokens,
                                    uint32_t n)
{
    size_t offset = 0;

    buf_append_str(out, STR("{\"text_offset\":["));
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(out, i == 0 ? "" : ",");
        json_write_i64(out, (int64_t)offset);
        for (size_t k = 0; k < tokens[i].text.len; k++) {
            offset += ((unsigned char)tokens[i].text.ptr[k] & 0xC0) != 0x80;
        }
    }
    buf_append_str(out, STR("],\"token_logprobs\":["));
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(out, i == 0 ? "" : ",");
        put_logprob(out, tokens[i].logprob);
    }
    buf_append_str(out, STR("],\"tokens\":["));
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(out, i == 0 ? "" : ",");
        json_write_string(out, tokens[i].text);
    }
    buf_append_str(out, STR("],\"top_logprobs\":null}"));
}

static void put_logprobs(struct buf *out, bool completion, const struct chat_json_token *tokens,
                         uint32_t n)
{
    buf_append_str(out, STR(",\"logprobs\":"));
    if (tokens == NULL) {
        buf_append_str(out, STR("null"));
    } else if (completion) {
        put_completion_logprobs(out, tokens, n);
    } else {
        put_chat_logprobs(out, tokens, n);
    }
}

/* --- usage --- */

void chat_json_write_usage(struct buf *out, const struct chat_usage *usage)
{
    buf_append_str(out, STR("{\"prompt_tokens\":"));
    put_u32(out, usage->prompt_tokens);
    buf_append_str(out, STR(",\"completion_tokens\":"));
    put_u32(out, usage->completion_tokens);
    buf_append_str(out, STR(",\"total_tokens\":"));
    json_write_i64(out, (int64_t)usage->prompt_tokens + usage->completion_tokens);
    buf_append_str(out, STR(",\"prompt_tokens_details\":{\"cached_tokens\":"));
    put_u32(out, usage->cached_tokens);
    buf_append_str(out, STR("},\"completion_tokens_details\":{\"reasoning_tokens\":"));
    put_u32(out, usage->reasoning_tokens);
    buf_append_str(out, STR("}}"));
}

/* --- chunks --- */

static void put_finish(struct buf *out, enum chat_finish finish, struct str stop_reason,
                       int32_t stop_token)
{
    buf_append_str(out, STR(",\"finish_reason\":\""));
    buf_append_c(out, chat_finish_name(finish));
    buf_append_str(out, STR("\",\"stop_reason\":"));
    if (stop_reason.len > 0) {
        json_write_string(out, stop_reason);
    } else if (stop_token >= 0) {
        json_write_i64(out, stop_token);
    } else {
        buf_append_str(out, STR("null"));
    }
}

static void put_delta(struct buf *out, const struct chat_json_chunk *chunk)
{
    switch (chunk->kind) {
    case CHAT_EVENT_START:
        buf_append_str(out, STR("{\"role\":\"assistant\",\"content\":\"\"}"));
        break;
    case CHAT_EVENT_TEXT:
        buf_append_byte(out, '{');
        put_key_str(out, "content", chunk->text);
        buf_append_byte(out, '}');
        break;
    case CHAT_EVENT_REASONING: // both names that clients look for
        buf_append_byte(out, '{');
        put_key_str(out, "reasoning", chunk->text);
        buf_append_byte(out, ',');
        put_key_str(out, "reasoning_content", chunk->text);
        buf_append_byte(out, '}');
        break;
    case CHAT_EVENT_DONE:
    case CHAT_EVENT_TOOL_CALL:
    case CHAT_EVENT_ERROR:
        buf_append_str(out, STR("{}"));
        break;
    }
}

void chat_json_write_chunk(struct buf *out, const struct chat_json_chunk *chunk)
{
    const bool done = chunk->kind == CHAT_EVENT_DONE;

    buf_append_str(out, chunk->prefix);
    buf_append_str(out, STR("\"choices\":[{\"index\":0,"));
    if (chunk->completion) {
        put_key_str(out, "text", chunk->text);
    } else {
        buf_append_str(out, STR("\"delta\":"));
        put_delta(out, chunk);
    }
    put_logprobs(out, chunk->completion, chunk->tokens, chunk->n_tokens);
    if (done) {
        put_finish(out, chunk->finish, chunk->stop_reason, chunk->stop_token);
    } else {
        buf_append_str(out, STR(",\"finish_reason\":null"));
    }
    buf_append_str(out, STR("}]"));
    if (chunk->fingerprint.len > 0) {
        buf_append_byte(out, ',');
        put_key_str(out, "system_fingerprint", chunk->fingerprint);
    }
    if (chunk->usage != NULL) {
        buf_append_str(out, STR(",\"usage\":"));
        chat_json_write_usage(out, chunk->usage);
    }
    buf_append_byte(out, '}');
}

void chat_json_write_usage_chunk(struct buf *out, struct str prefix, struct str fingerprint,
                                 const struct chat_usage *usage)
{
    buf_append_str(out, prefix);
    buf_append_str(out, STR("\"choices\":[],\"usage\":"));
    chat_json_write_usage(out, usage);
    if (fingerprint.len > 0) {
        buf_append_byte(out, ',');
        put_key_str(out, "system_fingerprint", fingerprint);
    }
    buf_append_byte(out, '}');
}

/* --- whole answers --- */

static void put_message(struct buf *out, const struct chat_json_answer *a)
{
    buf_append_str(out, STR("\"message\":{\"role\":\"assistant\","));
    put_key_str(out, "content", a->text);
    buf_append_str(out, STR(",\"refusal\":null"));
    if (a->reasoning.len > 0) {
        buf_append_byte(out, ',');
        put_key_str(out, "reasoning", a->reasoning);
        buf_append_byte(out, ',');
        put_key_str(out, "reasoning_content", a->reasoning);
    }
    buf_append_byte(out, '}');
}

void chat_json_write_answer(struct buf *out, const struct chat_json_frame *f,
                            const struct chat_json_answer *answer)
{
    buf_append_byte(out, '{');
    put_key_str(out, "id", f->id);
    buf_append_c(out, f->completion ? ",\"object\":\"text_completion\",\"created\":"
                                    : ",\"object\":\"chat.completion\",\"created\":");
    json_write_i64(out, f->created_s);
    buf_append_byte(out, ',');
    put_key_str(out, "model", f->model);
    buf_append_str(out, STR(",\"choices\":[{\"index\":0,"));
    if (f->completion) {
        put_key_str(out, "text", answer->text);
    } else {
        put_message(out, answer);
    }
    put_logprobs(out, f->completion, answer->tokens, answer->n_tokens);
    put_finish(out, answer->finish, answer->stop_reason, answer->stop_token);
    buf_append_str(out, STR("}],\"usage\":"));
    chat_json_write_usage(out, &answer->usage);
    buf_append_str(out, STR(",\"service_tier\":null,"));
    put_key_str(out, "system_fingerprint", f->fingerprint);
    buf_append_byte(out, '}');
}

/* --- failures --- */

static const char *vllm_type(int http_status)
{
    switch (http_status) {
    case 401:
        return "Unauthorized";
    case 404:
        return "NotFoundError";
    case 422:
        return "UnprocessableEntityError";
    case 501:
        return "NotImplementedError";
    default:
        return http_status >= 500 ? "InternalServerError" : "BadRequestError";
    }
}

static void put_or_null(struct buf *out, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        buf_append_str(out, STR("null"));
    } else {
        json_write_string(out, str_from_c(text));
    }
}

void chat_json_write_failure(struct buf *out, const struct chat_failure *failure,
                             enum chat_json_style style)
{
    const bool vllm = style == CHAT_JSON_STYLE_VLLM;
    const char *type = failure->type == NULL ? "server_error" : failure->type;

    buf_append_str(out, STR("{\"error\":{"));
    put_key_str(out, "message", str_from_c(failure->message));
    buf_append_byte(out, ',');
    put_key_str(out, "type", str_from_c(vllm ? vllm_type(failure->http_status) : type));
    buf_append_str(out, STR(",\"param\":"));
    put_or_null(out, failure->param);
    buf_append_str(out, STR(",\"code\":"));
    if (vllm) {
        json_write_i64(out, failure->http_status);
    } else {
        put_or_null(out, failure->code);
    }
    buf_append_str(out, STR("}}"));
}
