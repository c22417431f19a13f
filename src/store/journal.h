/* journal.h - append-only segments of checked records: what was promised, before the database has
 * it.
 *
 * A segment is a file `journal-0000000001` in the ledger's folder:
 *
 *   header   0  8  magic "KONTORJ1"
 *            8  8  nonce, random, little endian as all numbers
 *           16  8  the nonce again
 *   record   0  2  magic 0x4A4B
 *            2  1  type (1..255)
 *            3  1  zero
 *            4  4  length of the payload, at most JOURNAL_PAYLOAD_MAX
 *            8  4  CRC-32C over nonce, offset of the record in the file, bytes 0..7, payload
 *           12  n  payload
 *
 * A record is valid when its magic, length and checksum are right; nonce and offset in the checksum
 * keep stale bytes and bytes that a client chose from looking like one.  Reading: records follow
 * each other.  Bytes that are no record and have no valid record behind them are a torn tail (a
 * write that was cut off; never promised).  Bytes that are no record with a valid one behind them
 * are damage: they are skipped, counted and the file is worth keeping.
 *
 * Zeros up to the end are room that was not used: a segment gets all its blocks when it is made,
 * and records are stored through a mapping.
 *
 * A segment is done when nothing in it is held any more.  Written by one thread at a time (the
 * ledger's lock); a killed process loses nothing that was appended, a lost machine only with sync.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOURNAL_PAYLOAD_MAX 4096
#define JOURNAL_SEGMENT_BYTES_MAX (1u << 30)
#define JOURNAL_SEGMENTS_MAX 65536 // at once, in one folder

struct journal;

/** A journal that appends to new segments in `folder` (existing ones are left alone, their numbers
 *  are passed over).  The first segment is made by the first append.  Errors: IO, NO_MEMORY. */
MUST_USE enum status journal_create(const char *folder, uint64_t segment_bytes,
                                    struct journal **ret_journal, struct error *err);
/** Closes the file; segments stay. */
void journal_destroy(struct journal *j);

/**
 * Append one record and hold its segment once.
 *
 * sync          also wait for the disk (fdatasync)
 * ret_segment   number of the segment, for journal_release
 * Errors: IO (nothing was appended; a next try may work).
 */
MUST_USE enum status journal_append(struct journal *j, uint8_t type, struct str payload, bool sync,
                                    uint32_t *ret_segment, struct error *err);
/** Give back one hold. */
void journal_release(struct journal *j, uint32_t segment);
/** End the current segment, so that it can be done too; the next append makes a new one. */
void journal_stop(struct journal *j);
/** Take up to `max` segments out that nobody holds (not the one being written); remove them with
 *  journal_remove, outside of the lock. */
uint32_t journal_take_done(struct journal *j, uint32_t *ret_segments, uint32_t max);
/** Unlink a segment.  Errors: IO. */
MUST_USE enum status journal_remove(const char *folder, uint32_t segment, struct error *err);

/* What reading met. */
struct journal_scan {
    uint64_t n_segments;
    uint64_t n_records;
    uint64_t n_torn;    // segments with a torn tail
    uint64_t n_damaged; // stretches of damage, unreadable headers included
    uint64_t damaged_bytes;
};

struct journal_reader {
    /* Called for every valid record in order; anything but OK ends the reading. */
    enum status (*on_record)(void *user, uint8_t type, struct str payload);
    void *user;
};

/** All records in the bytes of one segment; pure.  `scan` is added to.  Errors: of on_record. */
MUST_USE enum status journal_read_bytes(struct str bytes, const struct journal_reader *reader,
                                        struct journal_scan *scan);
/** Numbers of the segments in `folder`, ascending; free() them.  Errors: IO, LIMIT, NO_MEMORY. */
MUST_USE enum status journal_list(const char *folder, uint32_t **ret_segments, uint32_t *ret_n,
                                  struct error *err);
/** All records of one segment.  Errors: IO, NOT_FOUND (removed meanwhile), LIMIT, of on_record. */
MUST_USE enum status journal_read_segment(const char *folder, uint32_t segment,
                                          const struct journal_reader *reader,
                                          struct journal_scan *scan, struct error *err);
/** Rename a damaged segment to "...damaged", where nothing reads it again.  Errors: IO. */
MUST_USE enum status journal_set_aside(const char *folder, uint32_t segment, struct error *err);

/** Tests: replaces pwrite (NULL: pwrite again).  Set before a journal is used. */
void journal_set_write_hook(ssize_t (*hook)(int fd, const void *bytes, size_t n_bytes, off_t at));

#endif
