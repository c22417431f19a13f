/* checkpoint.h - the weight files of a folder as one list of tensors.
 *
 * Either model.safetensors.index.json with the shards it names (it wins when both are there), or
 * model.safetensors alone.  Faults of all files are gathered: missing, unreadable and lying shards,
 * tensors that the index promises and no shard or another shard has.  Owned by one thread.
 */
#ifndef MODEL_CHECKPOINT_H
#define MODEL_CHECKPOINT_H

#include "base/arena.h"
#include "base/status.h"
#include "model/faults.h"
#include "model/safetensors.h"

#include <stdbool.h>
#include <stdint.h>

#define CHECKPOINT_SHARDS_MAX 4096
#define CHECKPOINT_INDEX_BYTES_MAX ((size_t)64 << 20)

struct checkpoint;

/** Read all headers.  Never fails: what is wrong goes to `faults`, what can be read is listed.
 *  NULL without memory. */
struct checkpoint *checkpoint_open(const char *dir, struct faults *faults);
void checkpoint_close(struct checkpoint *c);

/** Tensors of all files. */
uint32_t checkpoint_tensor_count(const struct checkpoint *c);
/** In order of file and offset. */
const struct tensor *checkpoint_tensor(const struct checkpoint *c, uint32_t idx);
/** NULL when no file has it. */
const struct tensor *checkpoint_find(const struct checkpoint *c, const char *name);
/** A fault that explains why no file has this tensor was reported already (its shard is missing,
 *  the index lies, nothing could be read). */
bool checkpoint_absence_is_known(const struct checkpoint *c, const char *name);
/** Name of a file in the folder. */
const char *checkpoint_file_name(const struct checkpoint *c, uint32_t file_idx);
uint32_t checkpoint_file_count(const struct checkpoint *c);
/** Bytes of all weight files. */
uint64_t checkpoint_bytes(const struct checkpoint *c);

/** As safetensors_read(). */
MUST_USE enum status checkpoint_read(const struct checkpoint *c, const struct tensor *t,
                                     uint64_t begin, uint64_t n_bytes, void *ret_bytes,
                                     struct error *err);
/** Errors: INVALID when any file changed since the headers were read. */
MUST_USE enum status checkpoint_check_unchanged(const struct checkpoint *c, struct error *err);

#endif
