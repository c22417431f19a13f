/* ledger_report.h - reading the books while a gateway writes them: sums, and a check of everything.
 *
 * Opens ledger.db with mode=ro and never writes.  One thread per reader.
 */
#ifndef STORE_LEDGER_REPORT_H
#define STORE_LEDGER_REPORT_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger_report;

enum ledger_report_by {
    LEDGER_REPORT_KEY,
    LEDGER_REPORT_MODEL, // as clients asked for it
    LEDGER_REPORT_PROVIDER,
    LEDGER_REPORT_TEAM,
    LEDGER_REPORT_DAY,
    LEDGER_REPORT_UPSTREAM,
};

/* Sums of one group and currency. */
struct ledger_report_row {
    struct str group; // for days "YYYY-MM-DD"
    struct str currency;
    int64_t n_requests;
    int64_t n_estimated;
    int64_t prompt_tokens;
    int64_t cached_tokens;
    int64_t completion_tokens;
    int64_t reasoning_tokens;
    int64_t cost_nano; // saturates
};

/** Errors: NOT_FOUND (no database there), INVALID (damaged, of another program, newer), IO,
 *  UNSUPPORTED (built without SQLite).  The text says what to do. */
MUST_USE enum status ledger_report_open(const char *folder, struct ledger_report **ret_report,
                                        struct error *err);
void ledger_report_close(struct ledger_report *r);
/**
 * Sums of the days first_day..last_day (from 1970-01-01 UTC, inclusive), ordered by group and
 * currency.
 *
 * on_row  the row is valid during the call; anything but OK ends the report
 * Errors: IO, INVALID (damaged), of on_row.
 */
MUST_USE enum status ledger_report_sums(struct ledger_report *r, enum ledger_report_by by,
                                        int64_t first_day, int64_t last_day,
                                        enum status (*on_row)(void *user,
                                                              const struct ledger_report_row *row),
                                        void *user, struct error *err);
/** Money of one group, all currencies together; saturates.  Errors: IO, INVALID. */
MUST_USE enum status ledger_report_spent(struct ledger_report *r, enum ledger_report_by by,
                                         struct str group, int64_t first_day, int64_t last_day,
                                         int64_t *ret_nano, struct error *err);

/* What a check met. */
struct ledger_report_check {
    uint64_t n_rows;
    uint64_t n_estimated;
    uint64_t n_days_wrong; // groups of `daily` that differ from the sums of the rows
    uint64_t n_segments;   // of the journal
    uint64_t n_open;       // reservations without a settle, in flight or to be estimated
    uint64_t n_uncommitted; // settled in the journal, not in the database yet
    uint64_t n_torn;
    uint64_t n_damaged; // stretches of the journal, set-aside segments included
    char database[256]; // "ok", or what SQLite's own check found first
};

/** Read everything: SQLite's own check, rows against sums, the journal.  May run beside a writer:
 *  the database is one snapshot, the journal is read after it.  Errors: IO, INVALID. */
MUST_USE enum status ledger_report_verify(struct ledger_report *r, struct ledger_report_check *ret,
                                          struct error *err);

#endif
