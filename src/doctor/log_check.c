#include "doctor/log_check.h"

#include "doctor/log_reader.h"
#include "doctor/log_scan.h"
#include "doctor/log_verdict.h"

#include <string.h>

enum status log_check_run(const char *path, const struct rules *r,
                          const struct log_check_fact *facts, uint32_t n_facts,
                          struct report *report, struct error *err)
{
    struct log_reader *reader = NULL;
    struct log_scan *scan = NULL;
    struct str block;
    enum status rc = log_scan_create(r, &scan, err);

    if (rc == OK) {
        rc = log_reader_open(path, &reader, err);
    }
    for (uint32_t i = 0; rc == OK && i < n_facts; i++) {
        log_scan_tell(scan, facts[i].name, facts[i].value);
    }
    while (rc == OK) {
        rc = log_reader_next(reader, &block, err);
        if (rc == OK) {
            log_scan_feed(scan, block);
        }
    }
    if (rc == E_CLOSED) {
        struct str name = strcmp(path, "-") == 0 ? STR("(stdin)") : str_from_c(path);

        rc = OK;
        log_verdict(r, scan, name, report);
        if (strcmp(log_reader_encoding(reader), "UTF-8") != 0) {
            report_add_fact(report, STR("encoding"), str_from_c(log_reader_encoding(reader)), 0);
        }
    }
    log_reader_close(reader);
    log_scan_destroy(scan);
    return rc;
}
