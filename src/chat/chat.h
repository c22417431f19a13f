/* chat.h - the nouns of a conversation: request, sampling, event, usage, failure.  No I/O.
 *
 * A local engine and a remote server speak the same struct chat_event; nothing after routing knows
 * which one answers.  All text is UTF-8.  A request lives in one arena and is immutable once it was
 * submitted; events borrow their text for the duration of the callback.
 */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define CHAT_STOP_MAX 16         // stop strings per request (OpenAI allows 4, vLLM any number)
#define CHAT_STOP_BYTES_MAX 1024 // of one stop string
#define CHAT_STOP_IDS_MAX 64

/* Sampling.  Defaults (chat_sampling_default): temperature 1, top_p 1, everything else off; the
 * engine puts the checkpoint's generation_config.json under what the request left unset. */
struct chat_sampling {
    double temperature;   // 0: greedy.  0..2
    double top_p;         // (0, 1]
    int32_t top_k;        // 0 or -1: off
    double min_p;         // 0: off
    bool has_temperature; // the request named it; otherwise the checkpoint's default may apply
    bool has_top_p;
    bool has_top_k;
    bool has_seed;
    uint64_t seed;       // any 64-bit number
    uint32_t max_tokens; // 0: as many as the context holds
    uint32_t min_tokens;
    bool ignore_eos;
    bool skip_special_tokens; // default true
    bool include_stop;        // keep the stop string in the text; default false
    bool logprobs;            // each event carries its token's log-probability
    struct str stop[CHAT_STOP_MAX];
    uint32_t n_stop;
    int32_t stop_ids[CHAT_STOP_IDS_MAX];
    uint32_t n_stop_ids;
};

/** Temperature 1, top_p 1, specials skipped, everything else off. */
void chat_sampling_default(struct chat_sampling *s);

enum chat_prompt_kind {
    CHAT_PROMPT_MESSAGES, // rendered by the checkpoint's template
    CHAT_PROMPT_TEXT,     // encoded as it is (/v1/completions)
    CHAT_PROMPT_IDS,
};

struct chat_request {
    struct str id;    // "chatcmpl-..." ; visible ASCII
    struct str model; // name the client asked for
    enum chat_prompt_kind prompt_kind;
    const struct json_value *messages;        // array of validated objects; content null already ""
    const struct json_value *tools;           // array or NULL
    const struct json_value *template_kwargs; // object or NULL (chat_template_kwargs)
    bool add_generation_prompt;               // default true
    bool continue_final_message;
    struct str prompt_text;
    const int32_t *prompt_ids; // [n_prompt_ids]
    uint32_t n_prompt_ids;
    bool add_special_tokens; // text prompts only; default true (vLLM)
    struct chat_sampling sampling;
};

struct chat_usage {
    uint32_t prompt_tokens;
    uint32_t completion_tokens;
    uint32_t cached_tokens;    // of the prompt, found in the KV pool
    uint32_t reasoning_tokens; // of the completion
};

/* Why an answer ended, as OpenAI words it on the wire ("stop", "length", ...). */
enum chat_finish {
    CHAT_FINISH_STOP,
    CHAT_FINISH_LENGTH,
    CHAT_FINISH_TOOL_CALLS,
    CHAT_FINISH_ABORT, // cancelled by the client or by us; never sent to a client
};

/** The word on the wire; never NULL. */
const char *chat_finish_name(enum chat_finish f);

/* A failure that can be shown to a client: OpenAI's error object plus the HTTP status. */
struct chat_failure {
    int http_status;    // 400..599
    const char *type;   // static string: "invalid_request_error", "server_error" ...
    const char *code;   // static string or NULL: "context_length_exceeded" ...
    char param[128];    // "" for null
    char message[1024]; // says what to do; no paths, addresses, keys
};

/** Fill in a failure; type and code must be static strings (code and param may be NULL). */
void chat_failure_set(struct chat_failure *f, int http_status, const char *type, const char *code,
                      const char *param, const char *fmt, ...) PRINTF_LIKE(6, 7);

enum chat_event_kind {
    CHAT_EVENT_START, // admitted: prompt_tokens known; exactly once, before any text, unless ERROR
    CHAT_EVENT_TEXT,  // piece of content
    CHAT_EVENT_REASONING,
    CHAT_EVENT_TOOL_CALL, // delta of a tool call
    CHAT_EVENT_DONE,      // last: finish and usage
    CHAT_EVENT_ERROR,     // last: failure (and usage of what was produced)
};

struct chat_event {
    enum chat_event_kind kind;
    /* TEXT, REASONING, TOOL_CALL arguments: whole characters, may hold several tokens */
    struct str text;
    uint32_t tool_index;      // TOOL_CALL
    struct str tool_id;       // TOOL_CALL, first delta only
    struct str tool_name;     // TOOL_CALL, first delta only
    const int32_t *token_ids; // [n_tokens] tokens of this text; held-back ones come with it
    const float *logprobs;    // [n_tokens] natural log of the sampled token's probability, or NULL
    uint32_t n_tokens;
    enum chat_finish finish;            // DONE
    struct str stop_reason;             // DONE: the stop string that matched, or empty
    int32_t stop_token;                 // DONE: the stop token id that matched, or -1
    struct chat_usage usage;            // START (prompt only), DONE, ERROR
    const struct chat_failure *failure; // ERROR
    /* Bytes as a remote server sent them, where it speaks the client's dialect: one complete
     * server-sent event with its blank line, or a whole JSON body; else empty. */
    struct str wire;
};

#endif
