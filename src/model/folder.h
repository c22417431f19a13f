/* folder.h - small text files of a checkpoint folder.
 *
 * Start-up only, one thread.
 */
#ifndef MODEL_FOLDER_H
#define MODEL_FOLDER_H

#include "base/buf.h"
#include "base/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/** "dir/name" into path[PATH_MAX].  Errors: LIMIT when it is longer. */
MUST_USE enum status folder_path(const char *dir, const char *name, char path[PATH_MAX],
                                 struct error *err);
/** Is there a readable folder?  Errors: NOT_FOUND, INVALID (a file), IO (permission ...). */
MUST_USE enum status folder_check(const char *dir, struct error *err);
/** Something of that name exists in the folder. */
bool folder_has(const char *dir, const char *name);
/**
 * Append the whole file to `out` (its ceiling is the limit of the file's size).
 * Errors: NOT_FOUND, INVALID (a folder, a pipe ...), IO, LIMIT (larger than the ceiling),
 * NO_MEMORY.
 */
MUST_USE enum status folder_read(const char *dir, const char *name, struct buf *out,
                                 struct error *err);

#endif
