/* ledger_view.h - sums of the ledger as a table, as CSV and as JSON.
 *
 * Money is printed from its integer count of nano-units, all digits, never through a double.  Names
 * that clients chose are made harmless for a terminal in the table only.  Pure.
 */
#ifndef APP_LEDGER_VIEW_H
#define APP_LEDGER_VIEW_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/ledger_report.h"

#include <stdint.h>

#define LEDGER_VIEW_ROWS_MAX 1000000
#define LEDGER_VIEW_MONEY_MAX 32

struct ledger_view {
    const char *by;                 // heading of the first column: "key", "day"
    struct str from, to;            // "YYYY-MM-DD" or empty
    struct ledger_report_row *rows; // [n_rows] ordered by group and currency
    uint32_t n_rows;
};

/** "12.3456": the amount with two to nine decimals. */
void ledger_view_money(int64_t nano, char ret_text[LEDGER_VIEW_MONEY_MAX]);
/** 80 columns wide as long as the numbers allow; one total per currency. */
void ledger_view_table(const struct ledger_view *view, struct buf *out);
/** RFC 4180 with a heading line and \n; no totals. */
void ledger_view_csv(const struct ledger_view *view, struct buf *out);
void ledger_view_json(const struct ledger_view *view, struct buf *out);

#endif
