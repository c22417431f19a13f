/* chat_json_internal.h - what the files of chat_json share. */
#ifndef CHAT_CHAT_JSON_INTERNAL_H
#define CHAT_CHAT_JSON_INTERNAL_H

#include "chat/chat_json.h"

/* State of reading one body. */
struct chat_json_reader {
    struct arena *arena;
    struct chat_json_request *request;
    struct chat_failure *failure;
    bool max_tokens_settled; // max_completion_tokens was given and wins over max_tokens
    bool has_stream_options;
    bool has_top_logprobs;
    bool wants_generation_prompt; // said so, not by default
};

/** Refuse with 400 invalid_request_error; returns INVALID. */
enum status chat_json_refuse(struct chat_failure *f, const char *code, const char *param,
                             const char *fmt, ...) PRINTF_LIKE(4, 5);
/** "Invalid type for 'p': expected a, but got b instead." */
enum status chat_json_refuse_type(struct chat_failure *f, const char *param, const char *expected,
                                  const struct json_value *got);
/** The arena's ceiling was reached; returns NO_MEMORY. */
enum status chat_json_refuse_memory(struct chat_failure *f);

/** Go through the members of `root` with the table of the endpoint. */
MUST_USE enum status chat_json_fields_read(struct chat_json_reader *r,
                                           const struct json_value *root);

/** NULL, or the name of the first field that stands out of order in the table.  Tests. */
const char *chat_json_fields_disorder(void);

/** "an object", "a string" ... for messages. */
const char *chat_json_kind_text(enum json_kind kind);

#endif
