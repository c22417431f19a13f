/* deliver.h - from sampled tokens to chat events: text, stop strings, ends.
 *
 * Text goes token by token through the detokenizer (whole characters) and the stop matcher (nothing
 * that may become a stop string); an event covers the tokens whose last byte it carries.  Tokens
 * that never reach the text (end of sequence, a stop string that was cut off) come with DONE.
 * Engine-owned except deliver_last(), which the prep thread calls for requests that never got
 * ready.
 */
#ifndef ENGINE_DELIVER_H
#define ENGINE_DELIVER_H

#include "base/buf.h"
#include "base/status.h"
#include "engine/sample.h"

#include <stdbool.h>

struct engine;
struct engine_ticket;

/* Scratch that one token needs; reserved once. */
struct deliver {
    struct buf piece; // what the detokenizer gave
    struct buf out;   // what may leave
};

/** Errors: NO_MEMORY (then deliver_done). */
MUST_USE enum status deliver_init(struct deliver *d, const struct engine *e);
void deliver_done(struct deliver *d);

/** The START event. */
void deliver_start(struct engine *e, struct engine_ticket *t);
/** Append a sampled token, send what became certain, notice the end (t->finished). */
void deliver_token(struct engine *e, struct engine_ticket *t, const struct sample_result *token);
/** Mark `t` failed with the failure set in t->failure; its last event is due. */
void deliver_fail(struct engine_ticket *t);
/** Send DONE or ERROR and drop the engine's reference.  Slot and blocks are free by now. */
void deliver_last(struct engine *e, struct engine_ticket *t);

#endif
