/* A log of unknown origin through reader, scan and verdict with the built-in rules. */
#include "base/check.h"
#include "doctor/log_check.h"
#include "doctor/report.h"
#include "doctor/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static struct rules *builtin(void)
{
    static struct rules *r; // loaded once, never freed
    struct buf faults;

    if (r == NULL) {
        r = rules_create();
        CHECK(r != NULL);
        buf_init(&faults, 1 << 20);
        CHECK(rules_add_builtin(r, &faults) == OK);
        buf_done(&faults);
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    FILE *f = tmpfile();
    struct report *report = report_create();
    struct error err;
    struct buf out;
    char path[64];

    CHECK(f != NULL && report != NULL);
    CHECK(fwrite(bytes, 1, n_bytes, f) == n_bytes && fflush(f) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(f));
    if (log_check_run(path, builtin(), NULL, 0, report, &err) == OK) {
        buf_init(&out, 16u << 20);
        report_json(report, &out);
        report_print(report, true, true, &out);
        CHECK(buf_status(&out) == OK);
        buf_done(&out);
    }
    fclose(f);
    report_destroy(report);
    return 0;
}
