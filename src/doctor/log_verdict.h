/* log_verdict.h - from what was found in a log to one answer: the first cause, graded.
 *
 * Every rule whose conditions hold is a candidate; the one nearest to the root (rank, then place in
 * the log, then number of conditions) is the finding, the others are named under it.  Without a
 * candidate an error at the end is reported as not known.  One thread.
 */
#ifndef DOCTOR_LOG_VERDICT_H
#define DOCTOR_LOG_VERDICT_H

#include "doctor/log_scan.h"
#include "doctor/report.h"
#include "doctor/rules.h"

/** Add the answer and the facts to `report`; `file` is the name shown. */
void log_verdict(const struct rules *r, const struct log_scan *s, struct str file,
                 struct report *report);

#endif
