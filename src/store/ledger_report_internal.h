/* ledger_report_internal.h - the connection of a reader, for other readers. */
#ifndef STORE_LEDGER_REPORT_INTERNAL_H
#define STORE_LEDGER_REPORT_INTERNAL_H

#include "store/ledger_report.h"

#include <sqlite3.h>

/** Put what SQLite says into `err`: what is wrong with the file and what to do. */
enum status ledger_report_failed(struct ledger_report *r, int sqlite_rc, struct error *err);
MUST_USE enum status ledger_report_prepare(struct ledger_report *r, const char *sql,
                                           sqlite3_stmt **ret, struct error *err);
/** First column of the first row. */
MUST_USE enum status ledger_report_number(struct ledger_report *r, const char *sql, int64_t *ret,
                                          struct error *err);
sqlite3 *ledger_report_db(struct ledger_report *r);

#endif
