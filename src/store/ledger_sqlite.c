#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "store/ledger_internal.h"
#include "store/ledger_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef KONTOR_WITH_SQLITE

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

/* Sums of the open transaction, flushed into `daily` when full and before the commit: most rows of
 * a group share few combinations. */
#define SUMS_MAX 512
#define SUM_SLOTS 1024
#define SUM_TEXTS 7
#define SUM_KEYS_BYTES_MAX (SUMS_MAX * SUM_TEXTS * (LEDGER_TEXT_MAX + 2) + 4096)

struct sum {
    uint64_t hash;
    uint32_t key_at; // into keys: SUM_TEXTS texts, each a length of two bytes and the bytes
    uint32_t key_len;
    int64_t day;
    int64_t n_requests, n_estimated;
    int64_t prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens;
    int64_t cost_nano;
};

/* Used by one thread at a time. */
struct ledger_sqlite {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback, *insert, *add;
    char path[4096];
    struct sum sums[SUMS_MAX];
    uint32_t n_sums;
    uint16_t slots[SUM_SLOTS]; // 1 + index into sums; 0: empty
    struct buf keys;
};

static enum status failed(struct ledger_sqlite *db, int rc, const char *what, struct error *err)
{
    const char *text = sqlite3_errmsg(db->db);

    switch (rc & 0xFF) {
    case SQLITE_FULL:
        return error_set(err, E_IO, "%s: the disk is full", db->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return error_set(
            err, E_INVALID,
            "%s is damaged (%s). Move it away with its -wal and -shm files, restore it "
            "from a backup or let `sqlite3 %s .recover` save what it can; the journal "
            "beside it is complete on its own",
            db->path, text, db->path);
    default:
        return error_set(err, E_IO, "%s: cannot %s: %s", db->path, what, text);
    }
}

static enum status execute(struct ledger_sqlite *db, const char *sql, const char *what,
                           struct error *err)
{
    int rc = sqlite3_exec(db->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? OK : failed(db, rc, what, err);
}

static enum status read_number(struct ledger_sqlite *db, const char *sql, int64_t *ret,
                               struct error *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->db, sql, -1, &s, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(s);
    }
    if (rc == SQLITE_ROW) {
        *ret = sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? OK : failed(db, rc, "read it", err);
}

static enum status check_schema(struct ledger_sqlite *db, struct error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t n_tables = 0;
    enum status rc = read_number(db, "PRAGMA application_id", &application, err);

    if (rc == OK) {
        rc = read_number(db, "PRAGMA user_version", &version, err);
    }
    if (rc == OK) {
        rc = read_number(db, "SELECT count(*) FROM sqlite_schema", &n_tables, err);
    }
    if (rc != OK) {
        return rc;
    }
    if (n_tables == 0) {
        return execute(db, "BEGIN IMMEDIATE;" LEDGER_SCHEMA_SQL "COMMIT", "create its tables", err);
    }
    if (application != LEDGER_SCHEMA_APPLICATION) {
        return error_set(err, E_INVALID,
                         "%s is a database of another program; name another state folder",
                         db->path);
    }
    if (version != LEDGER_SCHEMA_VERSION) {
        return error_set(err, E_INVALID,
                         "%s has layout %lld, this program writes layout %d: use the program that "
                         "made it, or a newer one",
                         db->path, (long long)version, LEDGER_SCHEMA_VERSION);
    }
    return OK;
}

static enum status prepare(struct ledger_sqlite *db, const char *sql, sqlite3_stmt **ret,
                           struct error *err)
{
    int rc = sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

    return rc == SQLITE_OK ? OK : failed(db, rc, "use its tables", err);
}

static enum status prepare_all(struct ledger_sqlite *db, struct error *err)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } all[] = {
        {&db->begin, "BEGIN IMMEDIATE"},   {&db->commit, "COMMIT"},
        {&db->rollback, "ROLLBACK"},       {&db->insert, LEDGER_SCHEMA_INSERT_SQL},
        {&db->add, LEDGER_SCHEMA_ADD_SQL},
    };
    enum status rc = OK;

    for (size_t i = 0; rc == OK && i < ARRAY_COUNT(all); i++) {
        rc = prepare(db, all[i].sql, all[i].statement, err);
    }
    return rc;
}

/* SQLite would make the file readable for everybody; -wal and -shm get the rights of the file.
 * That it cannot be made SQLite says better. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
    }
}

enum status ledger_sqlite_open(const char *folder, struct ledger_sqlite **ret_db, struct error *err)
{
    struct ledger_sqlite *db = calloc(1, sizeof(*db));
    enum status rc;
    int sql_rc;

    if (db == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the ledger");
    }
    buf_init(&db->keys, SUM_KEYS_BYTES_MAX);
    if (snprintf(db->path, sizeof(db->path), "%s/" LEDGER_SCHEMA_FILE, folder) >=
        (int)sizeof(db->path)) {
        rc = error_set(err, E_INVALID, "the path of the state folder is too long");
        goto out;
    }
    make_private(db->path);
    sql_rc =
        sqlite3_open_v2(db->path, &db->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sql_rc != SQLITE_OK) {
        rc = failed(db, sql_rc, "open it", err);
        goto out;
    }
    sqlite3_extended_result_codes(db->db, 1);
    sqlite3_busy_timeout(db->db, 5000);
    rc = execute(db,
                 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
                 "PRAGMA cache_size=-8192; PRAGMA journal_size_limit=67108864;"
                 "PRAGMA wal_autocheckpoint=4000",
                 "prepare it", err);
    if (rc == OK) {
        rc = check_schema(db, err);
    }
    if (rc == OK) {
        rc = prepare_all(db, err);
    }
out:
    if (rc != OK) {
        ledger_sqlite_close(db);
        return rc;
    }
    *ret_db = db;
    return OK;
}

void ledger_sqlite_close(struct ledger_sqlite *db)
{
    if (db == NULL) {
        return;
    }
    sqlite3_finalize(db->begin);
    sqlite3_finalize(db->commit);
    sqlite3_finalize(db->rollback);
    sqlite3_finalize(db->insert);
    sqlite3_finalize(db->add);
    sqlite3_close(db->db);
    buf_done(&db->keys);
    free(db);
}

static enum status run(struct ledger_sqlite *db, sqlite3_stmt *s, const char *what,
                       struct error *err)
{
    int rc = sqlite3_step(s);
    enum status status = rc == SQLITE_DONE ? OK : failed(db, rc, what, err);

    sqlite3_reset(s);
    return status;
}

static void forget_sums(struct ledger_sqlite *db)
{
    db->n_sums = 0;
    memset(db->slots, 0, sizeof(db->slots));
    buf_reset(&db->keys);
}

enum status ledger_sqlite_begin(struct ledger_sqlite *db, struct error *err)
{
    forget_sums(db);
    return run(db, db->begin, "begin a transaction", err);
}

static void bind_text(sqlite3_stmt *s, int column, struct str text)
{
    /* Never NULL: an empty text is a value. */
    CHECK(sqlite3_bind_text(s, column, text.len == 0 ? "" : text.ptr, (int)text.len,
                            SQLITE_STATIC) == SQLITE_OK);
}

static void bind_i64(sqlite3_stmt *s, int column, int64_t v)
{
    CHECK(sqlite3_bind_int64(s, column, v) == SQLITE_OK);
}

static int64_t saturating_add(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t day_of(int64_t unix_ms)
{
    int64_t day = unix_ms / 86400000;

    return unix_ms % 86400000 < 0 ? day - 1 : day;
}

static enum status flush_sums(struct ledger_sqlite *db, struct error *err)
{
    enum status rc = OK;

    for (uint32_t i = 0; rc == OK && i < db->n_sums; i++) {
        const struct sum *sum = &db->sums[i];
        const char *at = db->keys.ptr + sum->key_at;
        int column = 1;

        bind_i64(db->add, column++, sum->day);
        for (uint32_t t = 0; t < SUM_TEXTS; t++) {
            uint16_t len;

            memcpy(&len, at, sizeof(len));
            bind_text(db->add, column++, (struct str){at + sizeof(len), len});
            at += sizeof(len) + len;
        }
        bind_i64(db->add, column++, sum->n_requests);
        bind_i64(db->add, column++, sum->n_estimated);
        bind_i64(db->add, column++, sum->prompt_tokens);
        bind_i64(db->add, column++, sum->cached_tokens);
        bind_i64(db->add, column++, sum->completion_tokens);
        bind_i64(db->add, column++, sum->reasoning_tokens);
        bind_i64(db->add, column, sum->cost_nano);
        rc = run(db, db->add, "add to the sums of a day", err);
    }
    forget_sums(db);
    return rc;
}

static void put_key(struct buf *keys, const struct ledger_entry *e)
{
    const struct ledger_reservation *r = &e->reservation;
    const struct str texts[SUM_TEXTS] = {r->currency, r->key_id, r->team,    r->route_model,
                                         r->provider, r->model,  e->upstream};

    for (uint32_t i = 0; i < SUM_TEXTS; i++) {
        const uint16_t len = (uint16_t)texts[i].len;

        buf_append(keys, &len, sizeof(len));
        buf_append(keys, texts[i].ptr, texts[i].len);
    }
}

/* The sum that `e` belongs to; its key is at the end of `keys` and stays when it is new. */
static struct sum *find_sum(struct ledger_sqlite *db, const struct ledger_entry *e)
{
    size_t key_at = db->keys.len;
    int64_t day = day_of(e->end_ms);
    size_t key_len;
    uint64_t hash;

    put_key(&db->keys, e);
    if (buf_status(&db->keys) != OK) {
        return NULL;
    }
    key_len = db->keys.len - key_at;
    hash = hash_bytes(db->keys.ptr + key_at, key_len, (uint64_t)day);
    for (uint32_t slot = (uint32_t)hash % SUM_SLOTS;; slot = (slot + 1) % SUM_SLOTS) {
        struct sum *sum;

        if (db->slots[slot] == 0) {
            db->slots[slot] = (uint16_t)(db->n_sums + 1);
            sum = &db->sums[db->n_sums++];
            *sum = (struct sum){.hash = hash,
                                .key_at = (uint32_t)key_at,
                                .key_len = (uint32_t)key_len,
                                .day = day};
            return sum;
        }
        sum = &db->sums[db->slots[slot] - 1];
        if (sum->hash == hash && sum->day == day && sum->key_len == key_len &&
            memcmp(db->keys.ptr + sum->key_at, db->keys.ptr + key_at, key_len) == 0) {
            db->keys.len = key_at;
            return sum;
        }
    }
}

static enum status add_to_sums(struct ledger_sqlite *db, const struct ledger_entry *e,
                               struct error *err)
{
    struct sum *sum;

    if (db->n_sums == SUMS_MAX) {
        enum status rc = flush_sums(db, err);

        if (rc != OK) {
            return rc;
        }
    }
    sum = find_sum(db, e);
    if (sum == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the sums of a transaction");
    }
    sum->n_requests++;
    sum->n_estimated += e->estimated;
    sum->prompt_tokens += e->usage.prompt_tokens;
    sum->cached_tokens += e->usage.cached_tokens;
    sum->completion_tokens += e->usage.completion_tokens;
    sum->reasoning_tokens += e->usage.reasoning_tokens;
    sum->cost_nano = saturating_add(sum->cost_nano, e->cost_nano);
    return OK;
}

static void bind_entry(sqlite3_stmt *s, const struct ledger_entry *e)
{
    const struct ledger_reservation *r = &e->reservation;
    const struct str texts[] = {r->request_id,  r->currency, r->key_id, r->team,
                                r->route_model, r->provider, r->model,  e->upstream,
                                e->cause,       e->label,    e->rule};
    const int64_t numbers[] = {
        e->end_ms,
        r->time_ms,
        e->usage.prompt_tokens,
        e->usage.cached_tokens,
        e->usage.completion_tokens,
        e->usage.reasoning_tokens,
        e->cost_nano,
        r->amount_nano,
        (int64_t)r->price_version,
        e->estimated,
        e->attempts,
        e->http_status,
        e->first_byte_us,
        e->total_us,
    };
    int column = 1;

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        bind_text(s, column++, texts[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        bind_i64(s, column++, numbers[i]);
    }
}

enum status ledger_sqlite_insert(struct ledger_sqlite *db, const struct ledger_entry *e,
                                 bool *ret_new, struct error *err)
{
    enum status rc;

    bind_entry(db->insert, e);
    rc = run(db, db->insert, "insert a row", err);
    if (rc != OK) {
        return rc;
    }
    *ret_new = sqlite3_changes(db->db) == 1;
    return *ret_new ? add_to_sums(db, e, err) : OK;
}

enum status ledger_sqlite_commit(struct ledger_sqlite *db, struct error *err)
{
    enum status rc = flush_sums(db, err);

    if (rc == OK) {
        rc = run(db, db->commit, "commit", err);
    }
    if (rc != OK) {
        ledger_sqlite_rollback(db);
    }
    return rc;
}

void ledger_sqlite_rollback(struct ledger_sqlite *db)
{
    forget_sums(db);
    if (sqlite3_get_autocommit(db->db) == 0) { // SQLite rolls back itself after some errors
        sqlite3_step(db->rollback);
        sqlite3_reset(db->rollback);
    }
}

#else

enum status ledger_sqlite_open(const char *folder, struct ledger_sqlite **ret_db, struct error *err)
{
    (void)folder;
    (void)ret_db;
    return error_set(err, E_UNSUPPORTED,
                     "this program was built without SQLite and cannot keep a ledger: install "
                     "libsqlite3-dev and build it again");
}

void ledger_sqlite_close(struct ledger_sqlite *db)
{
    (void)db;
}

enum status ledger_sqlite_begin(struct ledger_sqlite *db, struct error *err)
{
    (void)db;
    return error_set(err, E_UNSUPPORTED, "built without SQLite");
}

enum status ledger_sqlite_insert(struct ledger_sqlite *db, const struct ledger_entry *e,
                                 bool *ret_new, struct error *err)
{
    (void)db;
    (void)e;
    (void)ret_new;
    return error_set(err, E_UNSUPPORTED, "built without SQLite");
}

enum status ledger_sqlite_commit(struct ledger_sqlite *db, struct error *err)
{
    (void)db;
    return error_set(err, E_UNSUPPORTED, "built without SQLite");
}

void ledger_sqlite_rollback(struct ledger_sqlite *db)
{
    (void)db;
}

#endif
