/* ledger.h - the books: every request is reserved before it is sent and settled exactly once.
 *
 *   loop: ledger_reserve -> one record in the journal (written, not synced)
 *   loop: ledger_settle  -> one record in the journal, one entry for the writer
 *   writer thread: group commit into SQLite, then journal segments that are settled are removed
 *
 * After a crash ledger_open replays the journal: settled entries are inserted (idempotent by
 * request id), reservations without one become rows marked estimated.  A crash at any point loses
 * and doubles nothing.  One process writes: a lock file says who.
 * ledger_reserve and ledger_settle: any loop thread; they never wait for the disk's sync unless
 * durability is power loss.
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "base/status.h"
#include "base/str.h"
#include "chat/chat.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger;

enum ledger_durability { LEDGER_PROCESS, LEDGER_POWER_LOSS };

/* Zero means the default in brackets. */
struct ledger_options {
    const char *folder; // journal, ledger.db, lock; created 0700 when missing
    enum ledger_durability durability;
    uint32_t commit_rows_max;       // rows of one transaction [128]
    uint32_t commit_interval_ms;    // a row waits at most that long for its transaction [200]
    uint64_t journal_segment_bytes; // [8388608]
};

/* What is known before a request is sent. */
struct ledger_reservation {
    struct str request_id; // unique
    struct str key_id;     // "" without keys
    struct str team;
    struct str route_model; // as the client asked
    struct str provider;    // of the first candidate
    struct str model;       // there
    struct str currency;
    int64_t amount_nano;        // upper estimate
    uint32_t prompt_tokens;     // estimate
    uint32_t completion_tokens; // ceiling
    uint64_t price_version;
    int64_t time_ms; // unix
};

/* How it ended. */
struct ledger_entry {
    struct ledger_reservation
        reservation; // as reserved; provider and model of the one that answered
    struct chat_usage usage;
    bool estimated; // usage was not reported but counted from relayed tokens, or not at all
    int64_t cost_nano;
    uint32_t attempts;
    int http_status;
    struct str cause;    // "done", "client_gone" ...
    struct str upstream; // name in the configuration
    struct str label;
    struct str rule;       // of the policy that decided
    int64_t first_byte_us; // -1: none came
    int64_t total_us;
    int64_t end_ms; // unix
};

/** Errors: BUSY (another process writes), IO, INVALID (damaged: the text says what and how to
 *  mend), UNSUPPORTED (built without SQLite). */
MUST_USE enum status ledger_open(const struct ledger_options *options, struct ledger **ret_ledger,
                                 struct error *err);
/** Waits until everything is in the database. */
void ledger_close(struct ledger *l);
/** Errors: IO (disk full: the request must be refused), LIMIT (too much is unsettled). */
MUST_USE enum status ledger_reserve(struct ledger *l, const struct ledger_reservation *r,
                                    struct error *err);
/** Cannot fail for the caller: what the journal cannot take is kept in memory and written later;
 *  ledger_health tells. */
void ledger_settle(struct ledger *l, const struct ledger_entry *e);

struct ledger_health {
    uint64_t n_open;   // reserved, not settled
    uint64_t n_queued; // settled, not committed
    uint64_t lag_ms;   // age of the oldest of those
    bool failing;      // the last write failed
    char why[256];
};
/** Any thread. */
void ledger_health(struct ledger *l, struct ledger_health *ret_health);

#endif
