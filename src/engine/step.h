/* step.h - the engine's spine: one step from waiting requests to events.  Engine thread only. */
#ifndef ENGINE_STEP_H
#define ENGINE_STEP_H

#include <stdbool.h>

struct engine;

/**
 * Retire finished and cancelled, admit, schedule, run one ragged batch, sample, deliver.
 * Never allocates.  Returns false when there was nothing to do: the caller may sleep until
 * queue_wait() returns.
 */
bool step_run(struct engine *e);

#endif
