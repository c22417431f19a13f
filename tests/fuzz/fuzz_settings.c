/* A configuration of the gateway: what is accepted prints as text that is accepted too and prints
 * as itself; what is refused has an error. */
#include "app/config_file.h"
#include "app/config_print.h"
#include "base/check.h"

#include <string.h>

#define OUT_BYTES (32 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* Prints accepted settings; false: refused. */
static bool print(struct str text, struct buf *out)
{
    struct config_file_options options = {.path = "f", .without_secrets = true};
    struct config_file file = {0};
    struct config_report report;
    bool accepted;

    config_report_init(&report, "f");
    accepted = config_file_parse(&options, text, &report, &file) == OK;
    CHECK(accepted == (report.n_errors == 0));
    for (uint32_t i = 0; i < report.n_issues; i++) {
        CHECK(report.issues[i].mark.line >= 1 && report.issues[i].text.len > 0);
    }
    if (accepted) {
        config_print_settings(&file, "f", out);
        CHECK(buf_status(out) == OK);
    }
    config_file_free(file.settings);
    config_report_done(&report);
    return accepted;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct buf first;
    struct buf second;

    buf_init(&first, OUT_BYTES);
    buf_init(&second, OUT_BYTES);
    if (print((struct str){(const char *)bytes, n_bytes}, &first) && first.len <= YAML_BYTES_MAX) {
        CHECK(print(buf_str(&first), &second));
        CHECK(str_eq(buf_str(&first), buf_str(&second)));
    }
    buf_done(&first);
    buf_done(&second);
    return 0;
}
