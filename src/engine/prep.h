/* prep.h - from a request to token ids: template, tokenizer, limits, sampling defaults.
 *
 * Runs on the prep thread, so that neither a gateway's loop nor the engine thread waits for a long
 * text.  A request that cannot be served gets its ERROR from here.
 */
#ifndef ENGINE_PREP_H
#define ENGINE_PREP_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"
#include "chat/chat.h"

#include <stdbool.h>

struct engine;

/**
 * Take the oldest waiting request through to READY, or end it.
 * wait   sleep until there is one; else return at once
 * Returns false when there was none (wait: prep is told to stop and nothing is left).  Prep thread.
 */
bool prep_run_one(struct engine *e, bool wait);

/** Render the messages of `request`; appended to `out`.  Errors: INVALID,
 *  NO_MEMORY, told in `failure`.  Any thread. */
MUST_USE enum status prep_render(const struct engine *e, const struct chat_request *request,
                                 struct buf *out, struct chat_failure *failure);
/** Append the ids of `text` (int32).  LIMIT: the ceiling of `ids` is reached, no failure is set.
 *  Other errors set `failure`.  Any thread. */
MUST_USE enum status prep_encode(const struct engine *e, struct str text, bool add_special,
                                 struct buf *ids, struct chat_failure *failure);

#endif
