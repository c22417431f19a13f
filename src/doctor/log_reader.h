/* log_reader.h - a log as blocks of whole lines in UTF-8, in constant memory.
 *
 * UTF-16 and UTF-32 (with a byte order mark, or seen by their zero bytes) and GB18030 are converted
 * block by block; other bytes pass as they are.  A line longer than a block comes in pieces.  One
 * thread.
 */
#ifndef DOCTOR_LOG_READER_H
#define DOCTOR_LOG_READER_H

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

#define LOG_READER_BLOCK_BYTES (1u << 20)

struct log_reader;

/** "-" is standard input.  Errors: NOT_FOUND, IO, DENIED, INVALID (a folder, binary, compressed),
 *  NO_MEMORY. */
MUST_USE enum status log_reader_open(const char *path, struct log_reader **ret_reader,
                                     struct error *err);
/** The next block, valid until the next call.  Errors: CLOSED at the end, IO. */
MUST_USE enum status log_reader_next(struct log_reader *r, struct str *ret_block,
                                     struct error *err);
/** NULL accepted. */
void log_reader_close(struct log_reader *r);

/** "UTF-8", "UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE" or "GB18030" (some block was). */
const char *log_reader_encoding(const struct log_reader *r);
/** Bytes read from the file so far. */
uint64_t log_reader_bytes(const struct log_reader *r);

#endif
