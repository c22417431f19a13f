/* response.h - reads the body of an upstream's answer: bytes in, chat events out, bytes kept.
 *
 * Every event carries `wire`, the bytes as the server sent them: one complete server-sent event
 * with its blank line, or the whole JSON body.  What is inside is looked at only as far as the
 * gateway needs it (usage, ends, errors, how much text) and checked to be JSON.
 *
 *   response_init -> response_feed for each piece -> response_end at the end of the body
 *
 * Loop-owned; no I/O.  Untrusted input: every buffer has a limit.
 */
#ifndef GATEWAY_RESPONSE_H
#define GATEWAY_RESPONSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "chat/chat.h"

#include <stdbool.h>
#include <stdint.h>

#define RESPONSE_EVENT_BYTES_MAX (4U << 20) // one server-sent event
#define RESPONSE_BODY_BYTES_MAX (64U << 20) // a JSON body
#define RESPONSE_KEEP_BYTES 8192            // a stream keeps no larger buffer between events

/* What one JSON text says, of any of the dialects. */
struct response_facts {
    bool has_choices;
    uint32_t n_choices;
    bool finished;           // a finish_reason, or the type of a last event
    bool failed;             // an error object, or the type of a failure
    bool ends;               // type of a last event: response.completed, message_stop ...
    bool has_usage;          // a usage object, whatever is in it
    bool has_prompt;         // usage names prompt (or input) tokens
    bool has_completion;     // ... and completion (or output) tokens
    struct chat_usage usage; // where it is absent: zeros
    uint64_t text_bytes;     // of generated text, as escaped
    /* as they stand in the text; empty: absent */
    struct str content; // choices[].delta.content, between its quotes; of the last one
    struct str choices; // the array
    struct str id;
    struct str created;
    struct str model;
};

/** Look at one JSON document.  Errors: INVALID (no JSON), LIMIT (depth). */
MUST_USE enum status response_scan(struct str json, struct response_facts *ret_facts);
/** Tokens that a piece of text of that many bytes may be: what is billed when nobody reports. */
uint32_t response_guess_tokens(uint64_t text_bytes);

struct response {
    struct arena *arena; // borrowed; for failures
    bool sse;
    bool done_marks;  // the dialect ends streams with [DONE]
    bool strip_usage; // the usage event was our wish, not the client's
    bool idle;        // during push: a comment or the like, no data
    bool finished;    // a finish reason was seen: a stream that ends now is complete
    bool ended;       // DONE or ERROR was pushed; what follows is dropped
    bool has_prompt;
    bool has_completion;
    struct chat_usage usage; // reported so far
    uint64_t guessed_tokens; // of the text seen
    struct buf carry;        // unfinished event, or the JSON body so far
    struct buf joined;       // data lines of an event that has several
    size_t line_at;          // in carry: begin of the unfinished line
    size_t seen;             // of carry: no line end behind line_at before that
    /** TEXT (n_tokens guessed; 0: no text), then one DONE (n_tokens of a JSON body) or ERROR;
     *  `wire` is valid during the call. */
    void (*push)(void *user, const struct chat_event *event);
    void *user;
    const struct response_facts *facts; // of the event that is pushed; NULL: of none
};

/** True when the server has said what is to be billed: the prompt's tokens, and those of the answer
 *  if it had any text. */
bool response_has_usage(const struct response *r);
/** Zeroed but for `sse` and the four pointers; no memory is taken yet. */
void response_init(struct response *r, struct arena *arena, bool sse,
                   void (*push)(void *user, const struct chat_event *event), void *user);
void response_done(struct response *r);
/** Errors: INVALID (no JSON, no UTF-8), LIMIT, NO_MEMORY; CLOSED: the answer has ended, the rest is
 *  dropped. */
MUST_USE enum status response_feed(struct response *r, struct str piece);
/** The body is complete.  Errors: CLOSED (cut off: no end was seen), INVALID, NO_MEMORY.  OK: DONE
 *  or ERROR was pushed. */
MUST_USE enum status response_end(struct response *r);

#endif
