#include "base/check.h"
#include "store/ledger_internal.h"
#include "store/ledger_report.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000

/* One reading of the sums for each kind of subject and period that a rule asks for, however many
 * keys there are. */
static const struct {
    struct str prefix;
    enum ledger_report_by by;
} kinds[] = {
    {{"key:", 4}, LEDGER_REPORT_KEY},
    {{"team:", 5}, LEDGER_REPORT_TEAM},
    {{"model:", 6}, LEDGER_REPORT_MODEL},
    {{"provider:", 9}, LEDGER_REPORT_PROVIDER},
};

static const enum limits_period periods[] = {LIMITS_DAY, LIMITS_MONTH, LIMITS_TOTAL};

/* A rule that asks, under the name by which reports know its subject. */
struct asking {
    struct str group;
    uint32_t rule;
};

struct sums {
    const struct asking *asking; // [n], by group
    uint32_t n;
    int64_t *spent_nano; // by rule
};

static int compare(const void *a, const void *b)
{
    return str_cmp(((const struct asking *)a)->group, ((const struct asking *)b)->group);
}

/* First one whose group is not before `group`. */
static uint32_t lower_bound(const struct sums *s, struct str group)
{
    uint32_t begin = 0;
    uint32_t end = s->n;

    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;

        if (str_cmp(s->asking[middle].group, group) < 0) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

static enum status on_row(void *user, const struct ledger_report_row *row)
{
    const struct sums *s = user;

    for (uint32_t i = lower_bound(s, row->group);
         i < s->n && str_eq(s->asking[i].group, row->group); i++) {
        int64_t *spent = &s->spent_nano[s->asking[i].rule];

        if (__builtin_add_overflow(*spent, row->cost_nano, spent)) {
            *spent = INT64_MAX;
        }
    }
    return OK;
}

/* The rules of one kind and period, into `asking`. */
static uint32_t choose(const struct limits_rule *rules, uint32_t n_rules, struct str prefix,
                       enum limits_period period, struct asking *asking)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_rules; i++) {
        struct str subject = rules[i].subject;

        if (rules[i].money_nano != 0 && rules[i].period == period && str_starts(subject, prefix)) {
            asking[n++] = (struct asking){str_slice(subject, prefix.len, subject.len), i};
        }
    }
    qsort(asking, n, sizeof(*asking), compare);
    return n;
}

enum status ledger_spent_read(const char *folder, const struct limits_rule *rules, uint32_t n_rules,
                              int64_t now_ms, int64_t *ret_spent_nano, struct error *err)
{
    struct asking *asking = calloc((size_t)n_rules + 1, sizeof(*asking));
    struct ledger_report *report = NULL;
    enum status rc = ledger_report_open(folder, &report, err);

    if (rc == OK && asking == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory to read what was spent");
    }
    for (uint32_t i = 0; rc == OK && i < n_rules; i++) {
        ret_spent_nano[i] = 0;
    }
    for (size_t k = 0; k < ARRAY_COUNT(kinds); k++) {
        for (size_t p = 0; rc == OK && p < ARRAY_COUNT(periods); p++) {
            struct sums s = {asking, 0, ret_spent_nano};
            int64_t first_day = periods[p] == LIMITS_TOTAL
                                    ? INT64_MIN
                                    : limits_period_start(periods[p], now_ms) / DAY_MS;

            s.n = choose(rules, n_rules, kinds[k].prefix, periods[p], asking);
            if (s.n > 0) {
                rc = ledger_report_sums(report, kinds[k].by, first_day, INT64_MAX, on_row, &s, err);
            }
        }
    }
    ledger_report_close(report);
    free(asking);
    return rc;
}
