#include "store/ledger_verify.h"
#include "base/arena.h"
#include "base/hash.h"
#include "store/journal.h"
#include "store/ledger_internal.h"
#include "store/ledger_report.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ledger_verify_good(const struct ledger_verify *v)
{
    return strcmp(v->database, "ok") == 0 && v->n_days_wrong == 0 && v->n_damaged == 0 &&
           v->n_set_aside == 0 && v->n_different == 0;
}

#ifdef KONTOR_WITH_SQLITE

#include "store/ledger_report_internal.h"

#define SLOTS 65536
#define NAMES_BYTES_MAX ((size_t)1 << 30)

/* What the journal knows of one request. */
struct request {
    struct request *next;
    struct str id; // in the arena
    bool reserved;
    bool settled;
    int64_t time_ms;   // of the reservation
    int64_t cost_nano; // of the first settle
};

struct requests {
    struct arena *arena;    // owned
    struct request **slots; // owned, [SLOTS]
    struct ledger_verify *result;
};

static struct request *request_of(struct requests *all, struct str id)
{
    struct request **slot = &all->slots[hash_bytes(id.ptr, id.len, 0) % SLOTS];
    struct request *r = *slot;

    while (r != NULL && !str_eq(r->id, id)) {
        r = r->next;
    }
    if (r != NULL) {
        return r;
    }
    r = arena_zalloc(all->arena, 1, sizeof(*r));
    if (r == NULL || arena_dup(all->arena, id, &r->id) != OK) {
        return NULL;
    }
    r->next = *slot;
    *slot = r;
    return r;
}

static enum status on_record(void *user, uint8_t type, struct str payload)
{
    struct requests *all = user;
    struct ledger_reservation reservation;
    struct ledger_progress_mark mark;
    struct ledger_entry entry;
    struct request *r;

    if (type == LEDGER_RECORD_RESERVE && ledger_record_get_reserve(payload, &reservation) == OK) {
        r = request_of(all, reservation.request_id);
        if (r == NULL) {
            return E_NO_MEMORY;
        }
        r->reserved = true;
        r->time_ms = reservation.time_ms;
    } else if (type == LEDGER_RECORD_SETTLE && ledger_record_get_settle(payload, &entry) == OK) {
        r = request_of(all, entry.reservation.request_id);
        if (r == NULL) {
            return E_NO_MEMORY;
        }
        r->cost_nano = r->settled ? r->cost_nano : entry.cost_nano;
        r->settled = true;
        r->time_ms = entry.reservation.time_ms;
    } else if (type != LEDGER_RECORD_PROGRESS || ledger_record_get_progress(payload, &mark) != OK) {
        all->result->n_damaged++;
    }
    return OK;
}

static enum status read_journal(const char *folder, struct requests *all, struct error *err)
{
    const struct journal_reader reader = {on_record, all};
    struct journal_scan scan = {0};
    uint32_t *segments = NULL;
    uint32_t n = 0;
    enum status rc = journal_list(folder, &segments, &n, err);

    for (uint32_t i = 0; rc == OK && i < n; i++) {
        rc = journal_read_segment(folder, segments[i], &reader, &scan, err);
        if (rc == E_NOT_FOUND) { // the gateway removed it: everything in it is booked
            rc = OK;
        } else if (rc == E_NO_MEMORY) {
            error_set(err, rc, "no memory to read the journal in %s", folder);
        }
    }
    free(segments);
    all->result->n_segments = scan.n_segments;
    all->result->n_torn = scan.n_torn;
    all->result->n_damaged += scan.n_damaged;
    return rc;
}

static uint64_t count_set_aside(const char *folder)
{
    DIR *dir = opendir(folder);
    uint64_t n = 0;

    if (dir == NULL) {
        return 0;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        n += str_starts(str_from_c(e->d_name), STR("journal-")) &&
             str_ends(str_from_c(e->d_name), STR(".damaged"));
    }
    closedir(dir);
    return n;
}

/* Which requests of the journal have a row? */
static enum status compare_requests(struct ledger_report *report, struct requests *all,
                                    struct error *err)
{
    sqlite3_stmt *s = NULL;
    enum status status =
        ledger_report_prepare(report,
                              "SELECT cost_nano FROM entries WHERE time_ms = ? AND request_id = ?",
                              &s, err);

    for (uint32_t slot = 0; status == OK && slot < SLOTS; slot++) {
        for (const struct request *r = all->slots[slot]; r != NULL; r = r->next) {
            int rc;

            sqlite3_bind_int64(s, 1, r->time_ms);
            sqlite3_bind_text(s, 2, r->id.ptr, (int)r->id.len, SQLITE_STATIC);
            rc = sqlite3_step(s);
            all->result->n_different +=
                rc == SQLITE_ROW && r->settled && sqlite3_column_int64(s, 0) != r->cost_nano;
            sqlite3_reset(s);
            if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
                status = ledger_report_failed(report, rc, err);
                break;
            }
            all->result->n_uncommitted += rc == SQLITE_DONE && r->settled;
            all->result->n_open += rc == SQLITE_DONE && r->reserved && !r->settled;
        }
    }
    sqlite3_finalize(s);
    return status;
}

/* sum() of SQL fails where the ledger's sums saturate. */
static void sum_step(sqlite3_context *context, int n_args, sqlite3_value **args)
{
    int64_t *sum = sqlite3_aggregate_context(context, sizeof(*sum));

    (void)n_args;
    if (sum != NULL && __builtin_add_overflow(*sum, sqlite3_value_int64(args[0]), sum)) {
        *sum = INT64_MAX;
    }
}

static void sum_final(sqlite3_context *context)
{
    const int64_t *sum = sqlite3_aggregate_context(context, 0);

    sqlite3_result_int64(context, sum == NULL ? 0 : *sum);
}

#define GROUP_COLUMNS "currency, key_id, team, route_model, provider, model, upstream"
#define DAILY_SQL                                                                                  \
    "SELECT day, " GROUP_COLUMNS ", n_requests, n_estimated, prompt_tokens, cached_tokens,"        \
    " completion_tokens, reasoning_tokens, cost_nano FROM daily"
/* The division rounds down before 1970 too. */
#define ENTRIES_SQL                                                                                \
    "SELECT (end_ms - ((end_ms % 86400000) + 86400000) % 86400000) / 86400000 AS day,"             \
    " " GROUP_COLUMNS ", count(*), sum_of(estimated), sum_of(prompt_tokens),"                      \
    " sum_of(cached_tokens), sum_of(completion_tokens), sum_of(reasoning_tokens),"                 \
    " sum_of(cost_nano) FROM entries GROUP BY day, " GROUP_COLUMNS

static enum status compare_sums(struct ledger_report *report, struct ledger_verify *v,
                                struct error *err)
{
    int64_t extra = 0;
    int64_t missing = 0;
    enum status rc;

    if (sqlite3_create_function(ledger_report_db(report), "sum_of", 1,
                                SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, NULL, sum_step,
                                sum_final) != SQLITE_OK) {
        return error_set(err, E_NO_MEMORY, "no memory to check the ledger");
    }
    rc = ledger_report_number(report,
                              "SELECT count(*) FROM (" DAILY_SQL
                              " EXCEPT SELECT * FROM (" ENTRIES_SQL "))",
                              &extra, err);
    if (rc == OK) {
        rc = ledger_report_number(report,
                                  "SELECT count(*) FROM (SELECT * FROM (" ENTRIES_SQL
                                  ") EXCEPT " DAILY_SQL ")",
                                  &missing, err);
    }
    v->n_days_wrong = (uint64_t)(extra > missing ? extra : missing);
    return rc;
}

static enum status check_database(struct ledger_report *report, struct ledger_verify *v,
                                  struct error *err)
{
    sqlite3_stmt *s = NULL;
    int64_t n = 0;
    enum status rc = ledger_report_prepare(report, "PRAGMA integrity_check(1)", &s, err);

    if (rc != OK) {
        return rc;
    }
    if (sqlite3_step(s) == SQLITE_ROW) {
        snprintf(v->database, sizeof(v->database), "%s", (const char *)sqlite3_column_text(s, 0));
    } else {
        snprintf(v->database, sizeof(v->database), "%s", sqlite3_errmsg(ledger_report_db(report)));
    }
    sqlite3_finalize(s);
    for (char *c = v->database; *c != '\0'; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
    if (strcmp(v->database, "ok") != 0) {
        return OK; // sums of a damaged file say nothing
    }
    rc = ledger_report_number(report, "SELECT count(*) FROM entries", &n, err);
    v->n_rows = (uint64_t)n;
    if (rc == OK) {
        rc = ledger_report_number(report, "SELECT count(*) FROM entries WHERE estimated", &n, err);
        v->n_estimated = (uint64_t)n;
    }
    return rc == OK ? compare_sums(report, v, err) : rc;
}

enum status ledger_verify_run(const char *folder, struct ledger_verify *ret, struct error *err)
{
    struct ledger_verify v = {0};
    struct requests all = {.result = &v};
    struct ledger_report *report = NULL;
    int64_t ignored;
    enum status rc = ledger_report_open(folder, &report, err);

    if (rc != OK) {
        return rc;
    }
    all.arena = arena_create(NAMES_BYTES_MAX);
    all.slots = calloc(SLOTS, sizeof(struct request *));
    if (all.arena == NULL || all.slots == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory to check the ledger");
        goto out;
    }
    /* The journal first: what leaves it meanwhile is in the snapshot that follows. */
    v.n_set_aside = count_set_aside(folder);
    rc = read_journal(folder, &all, err);
    if (rc == OK &&
        sqlite3_exec(ledger_report_db(report), "BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
        rc = error_set(err, E_IO, "cannot read the ledger in %s", folder);
    }
    if (rc == OK) { // the snapshot begins with the first read
        rc = ledger_report_number(report, "SELECT count(*) FROM sqlite_schema", &ignored, err);
    }
    if (rc == OK) {
        rc = check_database(report, &v, err);
    }
    if (rc == OK && strcmp(v.database, "ok") == 0) {
        rc = compare_requests(report, &all, err);
    }
out:
    ledger_report_close(report);
    free(all.slots);
    arena_destroy(all.arena);
    if (rc == OK) {
        *ret = v;
    }
    return rc;
}

#else

enum status ledger_verify_run(const char *folder, struct ledger_verify *ret, struct error *err)
{
    struct ledger_report *report = NULL;

    (void)ret;
    return ledger_report_open(folder, &report, err); // says what is missing
}

#endif
