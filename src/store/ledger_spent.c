#include "store/ledger_internal.h"
#include "store/ledger_report.h"

#include <string.h>

#define DAY_MS 86400000

static const struct {
    struct str prefix;
    enum ledger_report_by by;
} kinds[] = {
    {{"key:", 4}, LEDGER_REPORT_KEY},
    {{"team:", 5}, LEDGER_REPORT_TEAM},
    {{"model:", 6}, LEDGER_REPORT_MODEL},
    {{"provider:", 9}, LEDGER_REPORT_PROVIDER},
};

static enum status spent_of(struct ledger_report *report, const struct limits_rule *rule,
                            int64_t now_ms, int64_t *ret_nano, struct error *err)
{
    int64_t first_ms = limits_period_start(rule->period, now_ms);
    int64_t first_day = rule->period == LIMITS_TOTAL ? INT64_MIN : first_ms / DAY_MS;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (str_starts(rule->subject, kinds[i].prefix)) {
            struct str group = str_slice(rule->subject, kinds[i].prefix.len, rule->subject.len);

            return ledger_report_spent(report, kinds[i].by, group, first_day, INT64_MAX, ret_nano,
                                       err);
        }
    }
    *ret_nano = 0;
    return OK;
}

enum status ledger_spent_read(const char *folder, const struct limits_rule *rules, uint32_t n_rules,
                              int64_t now_ms, int64_t *ret_spent_nano, struct error *err)
{
    struct ledger_report *report = NULL;
    enum status rc = ledger_report_open(folder, &report, err);

    for (uint32_t i = 0; rc == OK && i < n_rules; i++) {
        if (rules[i].money_nano == 0) {
            ret_spent_nano[i] = 0;
        } else {
            rc = spent_of(report, &rules[i], now_ms, &ret_spent_nano[i], err);
        }
    }
    ledger_report_close(report);
    return rc;
}
