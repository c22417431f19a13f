/* ledger_internal.h - the parts of the ledger: records of the journal, the database's one writer,
 * the replay.
 */
#ifndef STORE_LEDGER_INTERNAL_H
#define STORE_LEDGER_INTERNAL_H

#include "base/status.h"
#include "base/str.h"
#include "store/ledger.h"

#include <stdint.h>

enum ledger_record_type {
    LEDGER_RECORD_RESERVE = 1,  // a reservation
    LEDGER_RECORD_SETTLE = 2,   // an entry, whole: needs no reservation to be understood
    LEDGER_RECORD_PROGRESS = 3, // request id, tokens, amount
};

struct ledger_progress_mark {
    struct str request_id;
    uint32_t completion_tokens;
    int64_t amount_nano;
};

#define LEDGER_RECORD_BYTES_MAX 4096
#define LEDGER_CAUSE_LOST "lost" // of rows that replay estimated

/* Payloads of the journal.  Texts over LEDGER_TEXT_MAX bytes are cut at a character. */
size_t ledger_record_put_reserve(char bytes[LEDGER_RECORD_BYTES_MAX],
                                 const struct ledger_reservation *r);
size_t ledger_record_put_settle(char bytes[LEDGER_RECORD_BYTES_MAX], const struct ledger_entry *e);
size_t ledger_record_put_progress(char bytes[LEDGER_RECORD_BYTES_MAX],
                                  const struct ledger_progress_mark *m);
/** Views into `payload`.  Errors: INVALID (untrusted: a file). */
MUST_USE enum status ledger_record_get_reserve(struct str payload, struct ledger_reservation *ret);
MUST_USE enum status ledger_record_get_settle(struct str payload, struct ledger_entry *ret);
MUST_USE enum status ledger_record_get_progress(struct str payload,
                                                struct ledger_progress_mark *ret);

/* The database: one connection, used by one thread at a time.  Built without SQLite every call says
 * UNSUPPORTED. */
struct ledger_sqlite;

/** Open or create `folder`/ledger.db for writing.  Errors: IO, INVALID (damaged, no database, newer
 *  version), UNSUPPORTED. */
MUST_USE enum status ledger_sqlite_open(const char *folder, struct ledger_sqlite **ret_db,
                                        struct error *err);
void ledger_sqlite_close(struct ledger_sqlite *db);
MUST_USE enum status ledger_sqlite_begin(struct ledger_sqlite *db, struct error *err);
/** *ret_new: false when a row with this request id is there already; it stays as it is. */
MUST_USE enum status ledger_sqlite_insert(struct ledger_sqlite *db, const struct ledger_entry *e,
                                          bool *ret_new, struct error *err);
/** After a failure the transaction is rolled back. */
MUST_USE enum status ledger_sqlite_commit(struct ledger_sqlite *db, struct error *err);
void ledger_sqlite_rollback(struct ledger_sqlite *db);

/* What a replay did. */
struct ledger_replay {
    uint64_t n_settled;   // entries that were put into the database
    uint64_t n_estimated; // reservations without one
    uint64_t n_known;     // entries that were there already
    uint64_t n_damaged;
    uint64_t damaged_bytes;
};

/** Bring everything that the journal in `folder` holds into the database, then remove it.
 *  Idempotent: it may be ended at any point and run again.  Errors: IO, LIMIT, NO_MEMORY. */
MUST_USE enum status ledger_replay_run(const char *folder, struct ledger_sqlite *db,
                                       struct ledger_replay *ret_result, struct error *err);

/** What ledger_spent does, without a ledger: see there. */
MUST_USE enum status ledger_spent_read(const char *folder, const struct limits_rule *rules,
                                       uint32_t n_rules, int64_t now_ms, int64_t *ret_spent_nano,
                                       struct error *err);

#endif
