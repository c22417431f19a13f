/* log_check.h - `kontor doctor --log`: read, scan, answer.  Blocks; one thread. */
#ifndef DOCTOR_LOG_CHECK_H
#define DOCTOR_LOG_CHECK_H

#include "base/status.h"
#include "base/str.h"
#include "doctor/report.h"
#include "doctor/rules.h"

#include <stdint.h>

struct log_check_fact {
    struct str name;
    struct str value;
};

/**
 * Check one log.
 *
 * path      "-": standard input
 * facts     [n_facts] what the caller knows already, for example engine and model
 * Errors (nothing is added then): as log_reader_open and log_scan_create.
 */
MUST_USE enum status log_check_run(const char *path, const struct rules *r,
                                   const struct log_check_fact *facts, uint32_t n_facts,
                                   struct report *report, struct error *err);

#endif
