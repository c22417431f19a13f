#include "store/ledger_report.h"
#include "base/buf.h"
#include "base/check.h"
#include "store/ledger_internal.h"
#include "store/ledger_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef KONTOR_WITH_SQLITE

#include "store/ledger_report_internal.h"

#define BUSY_MS 2000
#define URI_BYTES_MAX 16384

struct ledger_report {
    sqlite3 *db;
    char folder[4096];
    char path[4096 + 32];
};

/* In the order of enum ledger_report_by. */
static const char *const columns[] = {"key_id", "route_model", "provider",
                                      "team",   "day",         "upstream"};

enum status ledger_report_failed(struct ledger_report *r, int rc, struct error *err)
{
    switch (rc & 0xFF) {
    case SQLITE_NOTADB:
        return error_set(
            err, E_INVALID,
            "%s is not an SQLite database. Restore it from a backup; the gateway makes "
            "a new one when the file is moved away",
            r->path);
    case SQLITE_CORRUPT:
        return error_set(
            err, E_INVALID,
            "%s is damaged (%s). Stop the gateway, then restore the file from a backup "
            "or let `sqlite3 %s .recover` save what it can",
            r->path, sqlite3_errmsg(r->db), r->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, E_BUSY,
                         "%s is locked by another program: the gateway locks it for moments only, "
                         "look for an open sqlite3 shell or a backup that runs",
                         r->path);
    case SQLITE_CANTOPEN:
        return error_set(err, E_IO,
                         "cannot open %s: %s. Reading needs the right to write its -shm file: run "
                         "as the user of the gateway",
                         r->path, sqlite3_errmsg(r->db));
    default:
        return error_set(err, E_IO, "cannot read %s: %s", r->path, sqlite3_errmsg(r->db));
    }
}

enum status ledger_report_prepare(struct ledger_report *r, const char *sql, sqlite3_stmt **ret,
                                  struct error *err)
{
    int rc = sqlite3_prepare_v2(r->db, sql, -1, ret, NULL);

    return rc == SQLITE_OK ? OK : ledger_report_failed(r, rc, err);
}

enum status ledger_report_number(struct ledger_report *r, const char *sql, int64_t *ret,
                                 struct error *err)
{
    sqlite3_stmt *s = NULL;
    enum status status = ledger_report_prepare(r, sql, &s, err);
    int rc;

    if (status != OK) {
        return status;
    }
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        *ret = sqlite3_column_int64(s, 0);
    } else {
        status = ledger_report_failed(r, rc, err);
    }
    sqlite3_finalize(s);
    return status;
}

sqlite3 *ledger_report_db(struct ledger_report *r)
{
    return r->db;
}

static enum status check_schema(struct ledger_report *r, struct error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    enum status rc = ledger_report_number(r, "PRAGMA application_id", &application, err);

    if (rc == OK) {
        rc = ledger_report_number(r, "PRAGMA user_version", &version, err);
    }
    if (rc != OK) {
        return rc;
    }
    if (application != LEDGER_SCHEMA_APPLICATION) {
        return error_set(err, E_INVALID, "%s is not the ledger of a gateway", r->path);
    }
    if (version != LEDGER_SCHEMA_VERSION) {
        return error_set(err, E_INVALID, "%s has layout %lld, this program reads layout %d",
                         r->path, (long long)version, LEDGER_SCHEMA_VERSION);
    }
    return OK;
}

/* A path as SQLite reads it in a URI. */
static void write_uri(const char *path, struct buf *out)
{
    buf_append_c(out, "file:");
    for (; *path != '\0'; path++) {
        if (*path == '%' || *path == '?' || *path == '#') {
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*path);
        } else {
            buf_append_byte(out, *path);
        }
    }
    buf_append_c(out, "?mode=ro");
}

enum status ledger_report_open(const char *folder, struct ledger_report **ret_report,
                               struct error *err)
{
    struct ledger_report *r = calloc(1, sizeof(*r));
    struct buf uri;
    enum status status = OK;
    int rc;

    buf_init(&uri, URI_BYTES_MAX);
    if (r == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory to read the ledger");
    }
    if (snprintf(r->folder, sizeof(r->folder), "%s", folder) >= (int)sizeof(r->folder)) {
        status = error_set(err, E_INVALID, "the path of the state folder is too long");
        goto out;
    }
    snprintf(r->path, sizeof(r->path), "%s/" LEDGER_SCHEMA_FILE, folder);
    if (access(r->path, F_OK) != 0) {
        status = error_set(err, E_NOT_FOUND,
                           "there is no ledger in %s: name the state_dir of the gateway's "
                           "configuration; the file is made when the gateway starts first",
                           folder);
        goto out;
    }
    write_uri(r->path, &uri);
    rc = buf_c(&uri) == NULL
             ? SQLITE_NOMEM
             : sqlite3_open_v2(buf_c(&uri), &r->db,
                               SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(r->db, BUSY_MS);
        status = check_schema(r, err);
    } else {
        status = ledger_report_failed(r, rc, err);
    }
out:
    buf_done(&uri);
    if (status != OK) {
        ledger_report_close(r);
        return status;
    }
    *ret_report = r;
    return OK;
}

void ledger_report_close(struct ledger_report *r)
{
    if (r == NULL) {
        return;
    }
    sqlite3_close(r->db);
    free(r);
}

static struct str column_text(sqlite3_stmt *s, int column)
{
    const void *text = sqlite3_column_text(s, column);

    return (struct str){text, (size_t)sqlite3_column_bytes(s, column)};
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* SQL adds up nothing here: its sum() fails where ours saturates. */
static enum status add_rows(struct ledger_report *r, sqlite3_stmt *s,
                            enum status (*on_row)(void *user, const struct ledger_report_row *row),
                            void *user, struct error *err)
{
    struct ledger_report_row row = {.n_requests = 0};
    struct buf names; // of the group and the currency, while the next rows come
    enum status status = OK;
    int rc = SQLITE_ROW;

    buf_init(&names, 8192);
    while (status == OK) {
        struct str group;
        struct str currency;

        rc = sqlite3_step(s);
        group = rc == SQLITE_ROW ? column_text(s, 0) : (struct str){NULL, 0};
        currency = rc == SQLITE_ROW ? column_text(s, 1) : (struct str){NULL, 0};
        if (row.n_requests > 0 &&
            (rc != SQLITE_ROW || !str_eq(group, row.group) || !str_eq(currency, row.currency))) {
            if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
                status = on_row(user, &row);
            }
            row.n_requests = 0;
        }
        if (rc != SQLITE_ROW) {
            break;
        }
        if (row.n_requests == 0) {
            buf_reset(&names);
            buf_append_str(&names, group);
            buf_append_str(&names, currency);
            row = (struct ledger_report_row){
                .group = {names.ptr, group.len},
                .currency = {names.ptr + group.len, currency.len},
            };
        }
        row.n_requests = plus(row.n_requests, sqlite3_column_int64(s, 2));
        row.n_estimated = plus(row.n_estimated, sqlite3_column_int64(s, 3));
        row.prompt_tokens = plus(row.prompt_tokens, sqlite3_column_int64(s, 4));
        row.cached_tokens = plus(row.cached_tokens, sqlite3_column_int64(s, 5));
        row.completion_tokens = plus(row.completion_tokens, sqlite3_column_int64(s, 6));
        row.reasoning_tokens = plus(row.reasoning_tokens, sqlite3_column_int64(s, 7));
        row.cost_nano = plus(row.cost_nano, sqlite3_column_int64(s, 8));
    }
    buf_done(&names);
    if (status == OK && rc != SQLITE_DONE) {
        return ledger_report_failed(r, rc, err);
    }
    return status;
}

enum status ledger_report_sums(struct ledger_report *r, enum ledger_report_by by, int64_t first_day,
                               int64_t last_day,
                               enum status (*on_row)(void *user,
                                                     const struct ledger_report_row *row),
                               void *user, struct error *err)
{
    char sql[512];
    sqlite3_stmt *s = NULL;
    enum status rc;

    snprintf(sql, sizeof(sql),
             "SELECT %s%s%s, currency, n_requests, n_estimated, prompt_tokens, cached_tokens,"
             " completion_tokens, reasoning_tokens, cost_nano FROM daily"
             " WHERE day BETWEEN ? AND ? ORDER BY %s, currency",
             by == LEDGER_REPORT_DAY ? "date(" : "", columns[by],
             by == LEDGER_REPORT_DAY ? " * 86400, 'unixepoch')" : "", columns[by]);
    rc = ledger_report_prepare(r, sql, &s, err);
    if (rc != OK) {
        return rc;
    }
    sqlite3_bind_int64(s, 1, first_day);
    sqlite3_bind_int64(s, 2, last_day);
    rc = add_rows(r, s, on_row, user, err);
    sqlite3_finalize(s);
    return rc;
}

#else

enum status ledger_report_open(const char *folder, struct ledger_report **ret_report,
                               struct error *err)
{
    (void)folder;
    (void)ret_report;
    return error_set(err, E_UNSUPPORTED,
                     "this program was built without SQLite and cannot read a ledger: install "
                     "libsqlite3-dev and build it again");
}

void ledger_report_close(struct ledger_report *r)
{
    (void)r;
}

enum status ledger_report_sums(struct ledger_report *r, enum ledger_report_by by, int64_t first_day,
                               int64_t last_day,
                               enum status (*on_row)(void *user,
                                                     const struct ledger_report_row *row),
                               void *user, struct error *err)
{
    (void)r;
    (void)by;
    (void)first_day;
    (void)last_day;
    (void)on_row;
    (void)user;
    return error_set(err, E_UNSUPPORTED, "built without SQLite");
}

#endif
