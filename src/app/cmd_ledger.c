#include "app/cmd_ledger.h"
#include "app/command.h"
#include "app/ledger_view.h"
#include "base/check.h"
#include "store/ledger_report.h"
#include "store/ledger_verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX ((size_t)1 << 30)
#define OUT_BYTES_MAX ((size_t)1 << 30)

static const struct option options[] = {
    {"state-dir", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR",
     "The gateway's state_dir, which holds ledger.db and the journal.", NULL, NULL, 0, 0},
    {"by", NULL, OPTION_CHOICE, OPTION_HONOUR, "key", "WHAT",
     "Group by key, model (as clients named it), provider, team, day (UTC) or upstream.",
     "key|model|provider|team|day|upstream", NULL, 0, 0},
    {"from", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DATE", "First day, UTC: 2026-01-31.", NULL,
     NULL, 0, 0},
    {"to", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DATE", "Last day, UTC, included.", NULL, NULL,
     0, 0},
    {"format", NULL, OPTION_CHOICE, OPTION_HONOUR, "table", "WORD", "table, csv or json.",
     "table|csv|json", NULL, 0, 0},
};

const struct option_set cmd_ledger_options = {
    .usage = "kontor ledger report|verify --state-dir DIR [options]",
    .about = "report sums requests, tokens and money of the gateway's ledger; verify reads all of "
             "it and the\n"
             "journal and says whether they hold together. Both only read, also while a gateway "
             "runs.",
    .positional = "report|verify",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog = "examples:\n"
              "  kontor ledger report --state-dir /var/lib/kontor --by team --from 2026-01-01\n"
              "  kontor ledger report --state-dir /var/lib/kontor --by day --format csv\n"
              "  kontor ledger verify --state-dir /var/lib/kontor\n"
              "exit codes: 0 done (verify: everything holds together), 1 cannot be read or is "
              "damaged\n"
              "(the message says why), 2 wrong usage",
};

/* In the order of enum ledger_report_by. */
static const char *const groups[] = {"key", "model", "provider", "team", "day", "upstream"};

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* "2026-01-31" as days from 1970-01-01. */
static enum status read_date(const char *option, struct str s, int64_t *ret_day, struct error *err)
{
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year = 0;
    uint64_t month = 0;
    uint64_t day = 0;
    int64_t days;
    bool good = s.len == 10 && s.ptr[4] == '-' && s.ptr[7] == '-' &&
                str_to_u64(str_slice(s, 0, 4), &year) == OK &&
                str_to_u64(str_slice(s, 5, 7), &month) == OK &&
                str_to_u64(str_slice(s, 8, 10), &day) == OK && year >= 1970 && month >= 1 &&
                month <= 12 && day >= 1;

    if (good) {
        good = day <= month_days[month - 1] + (uint64_t)(month == 2 && is_leap((int64_t)year));
    }
    if (!good) {
        return error_set(err, E_INVALID,
                         "--%s is a day of the calendar, YYYY-MM-DD, for example 2026-01-31, not "
                         "\"%.*s\"",
                         option, STR_ARG(s));
    }
    days = (int64_t)day - 1;
    for (int64_t y = 1970; y < (int64_t)year; y++) {
        days += is_leap(y) ? 366 : 365;
    }
    for (uint64_t m = 1; m < month; m++) {
        days += month_days[m - 1] + (m == 2 && is_leap((int64_t)year));
    }
    *ret_day = days;
    return OK;
}

/* Rows of a report on their way into an array. */
struct collection {
    struct arena *arena;
    struct ledger_report_row *rows; // owned
    uint32_t n_rows;
    uint32_t cap;
};

static enum status collect(void *user, const struct ledger_report_row *row)
{
    struct collection *c = user;
    struct ledger_report_row *copy;
    enum status rc;

    if (c->n_rows == c->cap) {
        uint32_t cap = c->cap == 0 ? 64 : c->cap * 2;
        struct ledger_report_row *grown =
            cap > LEDGER_VIEW_ROWS_MAX * 2 ? NULL : realloc(c->rows, cap * sizeof(*grown));

        if (grown == NULL) {
            return E_LIMIT;
        }
        c->rows = grown;
        c->cap = cap;
    }
    copy = &c->rows[c->n_rows];
    *copy = *row;
    rc = arena_dup(c->arena, row->group, &copy->group);
    if (rc == OK) {
        rc = arena_dup(c->arena, row->currency, &copy->currency);
    }
    c->n_rows += rc == OK;
    return rc == OK ? OK : E_LIMIT;
}

struct request {
    const char *folder;
    enum ledger_report_by by;
    struct str from, to;
    int64_t first_day, last_day;
};

static enum status read_request(const struct option_values *v, struct request *r, struct error *err)
{
    enum status rc = OK;

    r->folder = option_string(v, "state-dir");
    if (r->folder == NULL) {
        return error_set(err, E_INVALID, "name the gateway's state folder with --state-dir DIR");
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(groups); i++) {
        if (strcmp(option_string(v, "by"), groups[i]) == 0) {
            r->by = (enum ledger_report_by)i;
        }
    }
    r->from = str_from_c(option_string(v, "from"));
    r->to = str_from_c(option_string(v, "to"));
    r->first_day = INT64_MIN;
    r->last_day = INT64_MAX;
    if (option_is_set(v, "from")) {
        rc = read_date("from", r->from, &r->first_day, err);
    }
    if (rc == OK && option_is_set(v, "to")) {
        rc = read_date("to", r->to, &r->last_day, err);
    }
    if (rc == OK && r->first_day > r->last_day) {
        rc = error_set(err, E_INVALID, "--from %.*s is after --to %.*s", STR_ARG(r->from),
                       STR_ARG(r->to));
    }
    return rc;
}

static int print(const struct request *r, const struct collection *c, const char *format)
{
    const struct ledger_view view = {groups[r->by], r->from, r->to, c->rows, c->n_rows};
    struct buf out;
    int code = EXIT_CODE_OK;

    buf_init(&out, OUT_BYTES_MAX);
    if (strcmp(format, "csv") == 0) {
        ledger_view_csv(&view, &out);
    } else if (strcmp(format, "json") == 0) {
        ledger_view_json(&view, &out);
    } else {
        ledger_view_table(&view, &out);
    }
    if (buf_status(&out) != OK) {
        code = command_failed("ledger", "the report is too long: ask for fewer days");
    } else if (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
        code = command_failed("ledger", "cannot write the report");
    }
    buf_done(&out);
    return code;
}

static int report(const struct option_values *v)
{
    struct collection c = {.arena = arena_create(ARENA_BYTES_MAX)};
    struct ledger_report *ledger = NULL;
    struct request r = {0};
    struct error err = {0};
    int code = EXIT_CODE_FAILED;
    enum status rc = read_request(v, &r, &err);

    if (rc != OK) {
        command_failed("ledger", err.text);
        code = EXIT_CODE_USAGE;
        goto out;
    }
    if (c.arena == NULL) {
        code = command_failed("ledger", "no memory for a report");
        goto out;
    }
    rc = ledger_report_open(r.folder, &ledger, &err);
    if (rc == OK) {
        rc = ledger_report_sums(ledger, r.by, r.first_day, r.last_day, collect, &c, &err);
    }
    if (rc == E_LIMIT) {
        error_set(&err, rc, "the report has too many rows: ask for fewer days");
    }
    code =
        rc == OK ? print(&r, &c, option_string(v, "format")) : command_failed("ledger", err.text);
out:
    ledger_report_close(ledger);
    free(c.rows);
    arena_destroy(c.arena);
    return code;
}

static void print_count(const char *what, uint64_t n, const char *remark)
{
    printf("%-32s %12" PRIu64 "%s%s\n", what, n, remark[0] == '\0' ? "" : "  ", remark);
}

static int verify(const struct option_values *v)
{
    struct ledger_verify check = {0};
    struct request r = {0};
    struct error err = {0};

    if (read_request(v, &r, &err) != OK) {
        command_failed("ledger", err.text);
        return EXIT_CODE_USAGE;
    }
    if (ledger_verify_run(r.folder, &check, &err) != OK) {
        return command_failed("ledger", err.text);
    }
    printf("%-32s %12s\n", "database", check.database);
    print_count("rows", check.n_rows, "");
    print_count("of them estimated", check.n_estimated, "");
    print_count("sums that differ from the rows", check.n_days_wrong, "");
    print_count("journal segments", check.n_segments, "");
    print_count("settled, not in the database", check.n_uncommitted, "the gateway commits them");
    print_count("settled, their row differs", check.n_different, "");
    print_count("open reservations", check.n_open, "in flight, or estimated at the next start");
    print_count("torn ends", check.n_torn, "harmless: cut-off writes");
    print_count("damaged stretches", check.n_damaged, "");
    print_count("segments set aside as damaged", check.n_set_aside, "");
    if (ledger_verify_good(&check)) {
        printf("the books hold together\n");
        return EXIT_CODE_OK;
    }
    fflush(stdout);
    if (strcmp(check.database, "ok") != 0) {
        return command_failed("ledger", "ledger.db is damaged: stop the gateway, then restore the "
                                        "file from a backup or save what can be saved with "
                                        "`sqlite3 ledger.db .recover`");
    }
    if (check.n_days_wrong > 0 || check.n_different > 0) {
        return command_failed("ledger",
                              "the books contradict each other: something else than Kontor "
                              "wrote into ledger.db; compare with a backup and the "
                              "providers' bills");
    }
    return command_failed("ledger", "the journal is damaged: what could be read is booked at the "
                                    "gateway's start; look at the files named *.damaged, compare "
                                    "with the providers' bills, then move them away");
}

int cmd_ledger_run(int argc, char **argv)
{
    struct arena *arena = arena_create(1 << 20);
    struct option_values *values = NULL;
    const char *what;
    int code;

    if (arena == NULL) {
        return command_failed("ledger", "no memory for the command line");
    }
    switch (option_parse(&cmd_ledger_options, argc, argv, arena, &values)) {
    case OPTION_EXIT_0:
        code = EXIT_CODE_OK;
        goto out;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        goto out;
    case OPTION_RUN:
        break;
    }
    what = option_positional(values);
    if (what != NULL && strcmp(what, "report") == 0) {
        code = report(values);
    } else if (what != NULL && strcmp(what, "verify") == 0) {
        code = verify(values);
    } else {
        command_failed("ledger", "say report or verify; see kontor ledger --help");
        code = EXIT_CODE_USAGE;
    }
out:
    arena_destroy(arena);
    return code;
}
