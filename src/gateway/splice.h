/* splice.h - a request body that is passed on: checked, looked at, and sent with few bytes changed.
 *
 * The body of a request to a remote upstream is never printed again.  splice_read walks over it
 * once, refuses what two JSON readers could understand differently, and notes where the few fields
 * are that the gateway reads; splice_pieces cuts it into the client's own bytes and replacements.
 * Unknown fields pass untouched.
 * Pure; any thread.  Untrusted input.
 */
#ifndef GATEWAY_SPLICE_H
#define GATEWAY_SPLICE_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "chat/chat.h"

#include <stdbool.h>
#include <stdint.h>

#define SPLICE_PIECES_MAX 8

/* What the gateway reads of a body.  Strings point into the body or the arena. */
struct splice {
    struct str body;
    struct str model;         // unescaped; "" when absent
    struct str model_source;  // with its quotes; empty: absent
    struct str prompt_source; // value of messages, prompt or input
    bool stream;
    bool include_usage;              // the client asked for usage in the stream
    bool continues;                  // continue_final_message or add_generation_prompt is there
    bool has_tools;                  // tools or functions is neither absent nor null
    uint64_t max_tokens;             // completion ceiling asked for; 0: none
    uint32_t n;                      // answers made for each prompt (n, best_of), at least 1
    uint32_t n_prompts;              // texts or token lists in `prompt`, at least 1
    bool has_token_ids;              // the prompt is numbers, at least in part
    size_t object_at;                // behind the opening brace
    struct str options_source;       // value of stream_options; empty: absent
    size_t options_at;               // behind its brace
    bool options_empty;              // {} or null
    struct str include_usage_source; // value in stream_options; empty: absent
};

/**
 * Check a body and find the fields.
 *
 * Refused: what json_parse refuses (repeated keys at any depth among it), a document that is no
 * object, a key that equals one of the fields only after case folding (U+017F and U+212A included),
 * wrong types of the fields.
 *
 * Errors: INVALID, LIMIT, NO_MEMORY; ret_failure says why (400 or 413).
 * Cost: one pass, about 0.3 ns per byte of text.
 */
MUST_USE enum status splice_read(struct arena *arena, struct str body, struct splice *ret_splice,
                                 struct chat_failure *ret_failure);

/**
 * The body as it is sent: the model renamed to `model` (empty: as it is) and, with `inject_usage`,
 * stream_options.include_usage set to true.
 *
 * ret_pieces  [SPLICE_PIECES_MAX]; valid as long as body and arena
 *
 * Errors: NO_MEMORY.
 */
MUST_USE enum status splice_pieces(struct arena *arena, const struct splice *s, struct str model,
                                   bool inject_usage, struct str *ret_pieces,
                                   uint32_t *ret_n_pieces);

#endif
