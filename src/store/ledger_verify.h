/* ledger_verify.h - do journal and database of a ledger hold together?
 *
 * May run beside a gateway that writes: what it finds is then the state of a moment.
 */
#ifndef STORE_LEDGER_VERIFY_H
#define STORE_LEDGER_VERIFY_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger_verify {
    uint64_t n_rows;
    uint64_t n_estimated;
    uint64_t n_days_wrong;  // groups of `daily` that differ from the sums of the rows
    uint64_t n_segments;    // of the journal
    uint64_t n_open;        // reserved, neither settled nor booked: in flight, or to be estimated
    uint64_t n_uncommitted; // settled in the journal and not in the database yet
    uint64_t n_different;   // settled in the journal, and their row says another amount
    uint64_t n_torn;        // segments whose last record was cut off: harmless
    uint64_t n_damaged;     // stretches of damage in the journal, unreadable records included
    uint64_t n_set_aside;   // damaged segments that earlier starts kept
    char database[256];     // "ok", or what SQLite's own check found first
};

/** Read everything.  Errors: as ledger_report_open, NO_MEMORY.  What is wrong inside is no error
 *  but in the result; ledger_verify_good sums up. */
MUST_USE enum status ledger_verify_run(const char *folder, struct ledger_verify *ret,
                                       struct error *err);
/** Nothing is damaged and the sums agree. */
bool ledger_verify_good(const struct ledger_verify *v);

#endif
