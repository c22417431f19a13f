/* batch.h - the arrays of one step's ragged batch, allocated once.
 *
 * Rows lie in order of the scheduler's parts; each part's rows have ascending positions.
 * Engine-owned: engine thread only.
 */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include "base/status.h"
#include "model/model.h"

#include <stdint.h>

struct engine;

struct batch {
    int32_t *ids;           // owned [max_num_batched_tokens]
    int32_t *positions;     // owned [max_num_batched_tokens]
    uint32_t *slots;        // owned [max_num_batched_tokens]
    struct batch_seq *seqs; // owned [max_num_seqs]
    uint32_t *logit_rows;   // owned [max_num_seqs]
    uint32_t *logit_parts;  // owned [max_num_seqs]: the scheduler's part each logit row belongs to
    struct model_batch model; // views of the above, as last filled
};

/** Errors: NO_MEMORY (then batch_done). */
MUST_USE enum status batch_init(struct batch *b, const struct engine *e);
void batch_done(struct batch *b);
/** Fill from the scheduler's parts.  Never allocates. */
void batch_fill(struct engine *e);

#endif
