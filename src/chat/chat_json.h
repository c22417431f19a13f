/* chat_json.h - OpenAI's JSON to struct chat_request, and chat events to OpenAI's JSON.  No I/O.
 *
 * Reading is driven by one table per endpoint (chat_json_fields.c): every known field has a type, a
 * range and a verdict.  Unknown fields are accepted and dropped.  A known field that is not built
 * yet is refused with `unsupported_parameter` unless its value is neutral (changes no answer).
 * Writing appends to a buf.  Pure; any thread, one arena per thread.
 */
#ifndef CHAT_CHAT_JSON_H
#define CHAT_CHAT_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "chat/chat.h"

#include <stdbool.h>
#include <stdint.h>

#define CHAT_JSON_MESSAGES_MAX 16384 // messages of one request

/* A request body, read. */
struct chat_json_request {
    struct chat_request chat; // id is the caller's to set
    struct str request_id;    // body field `request_id`, or empty
    bool completion;          // /v1/completions, else /v1/chat/completions
    bool stream;
    bool include_usage;
    bool continuous_usage; // usage on every chunk
    bool echo;             // completions: the prompt comes first in the text
};

/**
 * Read the body of POST /v1/chat/completions.
 *
 * root  whole document; must stay valid (with its text) as long as the request
 *
 * Errors: INVALID (ret_failure: 400 with OpenAI's codes, param names the path), NO_MEMORY
 * (ret_failure 413: the arena's ceiling).
 */
MUST_USE enum status chat_json_read_chat(struct arena *arena, const struct json_value *root,
                                         struct chat_json_request *ret_request,
                                         struct chat_failure *ret_failure);
/** The same for POST /v1/completions (one string prompt). */
MUST_USE enum status chat_json_read_completion(struct arena *arena, const struct json_value *root,
                                               struct chat_json_request *ret_request,
                                               struct chat_failure *ret_failure);
/**
 * Messages alone, for /tokenize: validated and put into the form of chat_request.messages (content
 * a string, roles of the templates).  `messages` NULL is refused as missing.
 */
MUST_USE enum status chat_json_read_messages(struct arena *arena, const struct json_value *messages,
                                             const struct json_value **ret_messages,
                                             struct chat_failure *ret_failure);

/* What a client finds in one chunk of a streamed answer. */
struct chat_json_delta {
    struct str content;   // "" when absent
    struct str reasoning; // under either of its names
    bool has_finish;
    struct str finish; // "stop", "length" ...
    bool has_usage;
    struct chat_usage usage;
};

/**
 * Read one chunk (the data of an SSE event) of a chat or text completion.
 * Errors: INVALID: it is an error event, or no chunk at all; ret_failure says which (status 500 or
 * 502
 * unless the event names one).
 */
MUST_USE enum status chat_json_read_chunk(const struct json_value *root,
                                          struct chat_json_delta *ret_delta,
                                          struct chat_failure *ret_failure);
/** Message and param of an error body: `{"error":{...}}`, and the forms of vLLM and others.
 *  http_status: of the answer that carried it. */
void chat_json_read_failure(const struct json_value *root, int http_status,
                            struct chat_failure *ret_failure);

/* --- writing --- */

/* One token with its log-probability, as the wire shows it. */
struct chat_json_token {
    struct str text; // bytes of the token; may be half a character
    float logprob;
};

/* What all chunks of one answer share.  Immutable during the answer. */
struct chat_json_frame {
    struct str id;
    struct str model; // served name
    struct str fingerprint;
    int64_t created_s; // unix seconds
    bool completion;   // text_completion objects
};

/** `{"id":...,"object":...,"created":...,"model":...,` of chunks; constant, so write it once. */
void chat_json_write_prefix(struct buf *out, const struct chat_json_frame *f);

struct chat_json_chunk {
    struct str prefix;         // from chat_json_write_prefix
    enum chat_event_kind kind; // START: role; TEXT, REASONING: text; DONE: finish
    struct str text;
    const struct chat_json_token *tokens; // [n_tokens] or NULL: logprobs null
    uint32_t n_tokens;
    enum chat_finish finish;
    struct str stop_reason;         // DONE
    int32_t stop_token;             // DONE, -1: none
    struct str fingerprint;         // written when not empty
    const struct chat_usage *usage; // written when not NULL
    bool completion;
};

/** One chunk object without SSE framing. */
void chat_json_write_chunk(struct buf *out, const struct chat_json_chunk *chunk);
/** The usage event: empty choices. */
void chat_json_write_usage_chunk(struct buf *out, struct str prefix, struct str fingerprint,
                                 const struct chat_usage *usage);

struct chat_json_answer {
    struct str text;
    struct str reasoning;                 // empty: absent
    const struct chat_json_token *tokens; // [n_tokens] or NULL
    uint32_t n_tokens;
    enum chat_finish finish;
    struct str stop_reason;
    int32_t stop_token;
    struct chat_usage usage;
};

/** A whole chat.completion or text_completion object. */
void chat_json_write_answer(struct buf *out, const struct chat_json_frame *f,
                            const struct chat_json_answer *answer);
void chat_json_write_usage(struct buf *out, const struct chat_usage *usage);

enum chat_json_style {
    CHAT_JSON_STYLE_OPENAI, // code is a string or null
    CHAT_JSON_STYLE_VLLM,   // code is the HTTP status, types are vLLM's
};

/** `{"error":{...}}`. */
void chat_json_write_failure(struct buf *out, const struct chat_failure *failure,
                             enum chat_json_style style);

#endif
