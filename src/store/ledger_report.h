/* ledger_report.h - sums of the books, read while a gateway writes them.
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

#endif
