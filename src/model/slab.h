/* slab.h - one large block of memory, handed out from the front and freed as a whole.
 *
 * For weights, KV cache and workspace: page aligned, huge pages where the system has them, pieces
 * aligned to 64 bytes.  Owned by one thread at a time.
 */
#ifndef MODEL_SLAB_H
#define MODEL_SLAB_H

#include "base/status.h"

#include <stdint.h>

struct slab {
    char *base; // owned mapping
    uint64_t bytes;
    uint64_t used;
};

/** `what` names the block in the message.  Errors: NO_MEMORY.  0 bytes is allowed. */
MUST_USE enum status slab_open(struct slab *s, uint64_t bytes, const char *what, struct error *err);
/** Take the page faults now and not in the first step.  Errors: NO_MEMORY. */
MUST_USE enum status slab_populate(struct slab *s, const char *what, struct error *err);
/** Zeroed, 64-byte aligned.  More than is left is our bug (CHECK). */
void *slab_take(struct slab *s, uint64_t bytes);
/** What slab_take() of `bytes` consumes. */
uint64_t slab_rounded(uint64_t bytes);
/** A zeroed or closed slab is accepted. */
void slab_close(struct slab *s);

#endif
