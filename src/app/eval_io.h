/* eval_io.h - the files of `kontor eval`: token ids in, a NumPy array out.  One thread. */
#ifndef APP_EVAL_IO_H
#define APP_EVAL_IO_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

#define EVAL_IO_IDS_BYTES_MAX ((size_t)256 << 20)

/**
 * Read white-space separated token ids.
 *
 * ret_ids  malloc'ed, at least one id, each below `vocab`
 * Errors: NOT_FOUND, IO, INVALID (word and position are named), LIMIT, NO_MEMORY.
 */
MUST_USE enum status eval_io_read_ids(const char *path, uint32_t vocab, int32_t **ret_ids,
                                      uint32_t *ret_n_ids, struct error *err);

/** Create `path` with the header of a float32 array [n_rows, n_cols] in C order (NumPy's format
 * 1.0);
 *  the caller writes the rows and closes.  Errors: IO. */
MUST_USE enum status eval_io_create_npy(const char *path, uint32_t n_rows, uint32_t n_cols,
                                        FILE **ret_file, struct error *err);
/** Append whole rows.  Errors: IO. */
MUST_USE enum status eval_io_write(FILE *f, const char *path, const float *values, size_t n,
                                   struct error *err);
/** Flush and close; NULL accepted.  Errors: IO. */
MUST_USE enum status eval_io_close(FILE *f, const char *path, struct error *err);

#endif
