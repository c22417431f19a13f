/* faults.h - everything that is wrong with a checkpoint folder, gathered before anybody is told.
 *
 * One line per fault, in the order of discovery, plus lines that begin with "note: " for what is
 * odd but harmless.  The first fault gives the status and the summary.  Owned by one thread.
 */
#ifndef MODEL_FAULTS_H
#define MODEL_FAULTS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

#define FAULTS_LINES_MAX 200 // later ones are counted, not printed

struct faults {
    struct buf *lines; // borrowed: outlives the collector
    uint32_t n_faults;
    uint32_t n_notes;
    struct error first; // status OK while there is no fault
};

/** An empty collector; lines are appended to `lines`. */
void faults_init(struct faults *f, struct buf *lines);
/** Append "WHERE: text" as one line; WHERE is a file or tensor name. */
void faults_add(struct faults *f, enum status s, const char *where, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/** Append a fault from an error that a reader returned. */
void faults_add_error(struct faults *f, const char *where, const struct error *err);
/** Append "note: WHERE: text". */
void faults_note(struct faults *f, const char *where, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** OK when there is none; else the first fault's status, and err says how many there are. */
MUST_USE enum status faults_status(const struct faults *f, const char *folder, struct error *err);

#endif
