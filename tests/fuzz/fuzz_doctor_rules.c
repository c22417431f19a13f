/* A rule file of unknown origin: it loads or names its faults; what loads can be built and used. */
#include "base/check.h"
#include "doctor/log_scan.h"
#include "doctor/log_verdict.h"
#include "doctor/rules.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct rules *r = rules_create();
    struct str text = {(const char *)bytes, n_bytes};
    struct log_scan *s = NULL;
    struct report *report = report_create();
    struct error err;
    struct buf faults;

    CHECK(r != NULL && report != NULL);
    buf_init(&faults, 1 << 20);
    if (rules_add(r, STR("fuzz"), text, &faults) != OK) {
        CHECK(faults.len > 0);
    } else if (log_scan_create(r, &s, &err) == OK) {
        log_scan_feed(s, text); // a file's examples and patterns make a good log
        log_verdict(r, s, STR("fuzz.log"), report);
        log_scan_destroy(s);
    }
    buf_done(&faults);
    report_destroy(report);
    rules_destroy(r);
    return 0;
}
