/* queue.h - requests on their way to the engine thread: bounded, first in first out.
 *
 * States of a ticket, who moves it, all under the queue's one lock:
 *
 *   (new)     -> PREP       queue_submit       any thread
 *   PREP      -> IN_PREP    queue_next_prep    prep thread
 *   IN_PREP   -> READY      queue_ready        prep thread: ids are there
 *   IN_PREP   -> GONE       queue_drop         prep thread: failed or cancelled, it sends the last
 *   event READY     -> GONE       queue_pop          engine thread: admitted READY     -> GONE
 *   queue_pop_cancelled  engine thread: it sends the last event
 *
 * Whoever moved a ticket last owns its fields until the next move; the lock makes them visible.
 * GONE belongs to the engine thread (or to nobody once the last event was sent).
 * PREP, IN_PREP and READY count as waiting and share the limit.  Order is kept: prep is one thread,
 * so READY is in order of submission.
 */
#ifndef ENGINE_QUEUE_H
#define ENGINE_QUEUE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct engine_ticket;
struct queue;

enum queue_state { QUEUE_NEW, QUEUE_PREP, QUEUE_IN_PREP, QUEUE_READY, QUEUE_GONE };

/* Lives inside a ticket; the queue's lock guards both fields. */
struct queue_link {
    struct engine_ticket *next;
    enum queue_state state;
};

/** n_max: tickets that may wait.  Start-up only.  Errors: NO_MEMORY. */
MUST_USE enum status queue_create(uint32_t n_max, struct queue **ret_queue);
/** NULL accepted.  CHECKs that nothing waits. */
void queue_destroy(struct queue *q);

/** Also numbers the ticket.  Errors: LIMIT (full), CLOSED.  Any thread. */
MUST_USE enum status queue_submit(struct queue *q, struct engine_ticket *t);
/** Submit gives CLOSED from now on; what is inside goes on.  Idempotent.  Any thread. */
void queue_close(struct queue *q);
bool queue_is_closed(struct queue *q);
/** Tickets in PREP, IN_PREP and READY.  Any thread. */
uint32_t queue_count(struct queue *q);

/** Oldest ticket in PREP.  wait: sleep until there is one; NULL then only after
 * queue_stop_prep(). */
struct engine_ticket *queue_next_prep(struct queue *q, bool wait);
void queue_ready(struct queue *q, struct engine_ticket *t);
void queue_drop(struct queue *q, struct engine_ticket *t);
/** queue_next_prep() returns NULL once PREP is empty.  Any thread. */
void queue_stop_prep(struct queue *q);

/** Oldest READY ticket, which stays; NULL when none.  Engine thread. */
struct engine_ticket *queue_peek(struct queue *q);
/** Take what queue_peek() returned.  Engine thread. */
void queue_pop(struct queue *q, struct engine_ticket *t);
/** Take the oldest READY ticket that is cancelled (all: whether or not); NULL when none.  O(n).
 *  Engine thread. */
struct engine_ticket *queue_pop_cancelled(struct queue *q, bool all);
/** Sleep until a ticket becomes READY or queue_wake() is called; at once if either happened since
 *  the last call.  Engine thread. */
void queue_wait(struct queue *q);
/** Any thread; after setting a flag the engine thread shall look at. */
void queue_wake(struct queue *q);

#endif
