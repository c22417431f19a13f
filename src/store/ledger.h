/* ledger.h - the books: every request is reserved before it is sent and settled exactly once.
 *
 *   loop: ledger_reserve  -> one record in the journal (written, not synced)
 *   loop: ledger_progress -> one record for every few hundred tokens of a long answer (optional)
 *   loop: ledger_settle   -> one record in the journal, one row for the writer
 *   writer thread: group commit into SQLite, then journal segments in which nothing is open or
 *                  uncommitted any more are removed
 *
 * After a crash ledger_open replays the journal: settled entries are inserted (idempotent by
 * request id and time of the reservation), reservations without one become rows marked estimated,
 * cause "lost".  Their amount is what the last ledger_progress promised not to exceed, without one
 * the whole reservation: never less than was relayed.  A crash at any
 * point loses and doubles nothing.  One process writes: a lock file says who.  docs/ledger.md.
 *
 * Times in records are what the caller says; the ledger itself looks at the monotonic clock only.
 * All functions but open and close: any thread, they never wait for the disk's sync unless
 * durability is power loss.
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "base/status.h"
#include "base/str.h"
#include "chat/chat.h"
#include "store/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_TEXT_MAX 256         // longer texts are cut, a longer request id is refused
#define LEDGER_UNSETTLED_MAX 262144 // open reservations and rows not committed, together

struct ledger;

enum ledger_durability { LEDGER_PROCESS, LEDGER_POWER_LOSS };

/* Zero means the default in brackets. */
struct ledger_options {
    const char *folder; // journal, ledger.db, lock; created 0700 when missing
    enum ledger_durability durability;
    uint32_t commit_rows_max;       // that many waiting rows start a transaction at once [2048]
    uint32_t commit_interval_ms;    // a row waits at most that long for its transaction [200]
    uint64_t journal_segment_bytes; // [8388608]
};

/* What is known before a request is sent. */
struct ledger_reservation {
    struct str request_id; // unique, not empty
    struct str key_id;     // "" without keys
    struct str team;
    struct str route_model; // as the client asked
    struct str provider;    // of the first candidate
    struct str model;       // there
    struct str currency;
    int64_t amount_nano;        // upper estimate; negative counts as 0
    uint32_t prompt_tokens;     // estimate
    uint32_t completion_tokens; // ceiling
    uint64_t price_version;
    int64_t time_ms; // unix
};

/* How it ended. */
struct ledger_entry {
    struct ledger_reservation
        reservation; // as reserved; provider and model of the one that answered; time_ms is
                     // taken from what was reserved
    struct chat_usage usage;
    bool estimated;    // usage was not reported but counted from relayed tokens, or not at all
    int64_t cost_nano; // negative counts as 0
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
 *  mend), UNSUPPORTED (built without SQLite), NO_MEMORY. */
MUST_USE enum status ledger_open(const struct ledger_options *options, struct ledger **ret_ledger,
                                 struct error *err);
/** Waits until everything is in the database; rows that it does not take stay in the journal for
 *  the next ledger_open, and so do reservations that were not settled.  NULL accepted. */
void ledger_close(struct ledger *l);
/** Errors: IO (disk full: the request must be refused), LIMIT (too much is unsettled), INVALID (id
 *  empty, too long, or reserved and not settled yet). */
MUST_USE enum status ledger_reserve(struct ledger *l, const struct ledger_reservation *r,
                                    struct error *err);
/**
 * Promise, *before* relaying, that no more than this will have been relayed until the next promise:
 * tightens what a crash books for a long answer.  A gateway promises some hundred tokens ahead.
 *
 * completion_tokens, amount_nano   totals of the request; over the reservation where a server sends
 * more Errors: IO (the promise does not hold: do not relay beyond the one before, or accept that a
 * crash books too little), NOT_FOUND (not reserved).
 */
MUST_USE enum status ledger_progress(struct ledger *l, struct str request_id,
                                     uint32_t completion_tokens, int64_t amount_nano,
                                     struct error *err);
/** Cannot fail for the caller: what the journal cannot take is kept in memory and written later;
 *  ledger_health tells.  Exactly once per successful reserve. */
void ledger_settle(struct ledger *l, const struct ledger_entry *e);
/** Wait until every row settled before this call is in the database.  Blocks; not for loops.
 *  Errors: TIMEOUT. */
MUST_USE enum status ledger_flush(struct ledger *l, uint32_t timeout_ms);
/**
 * Money spent so far by the subject of each rule in the rule's current period, for limits_preload.
 *
 * ret_spent_nano  [n_rules] 0 for rules without money and subjects of other kinds than key, team,
 *                 model (as the client asked) and provider.  All currencies count alike.
 * Call after ledger_open, before serving: reads the database on the calling thread.  Errors: IO.
 */
MUST_USE enum status ledger_spent(struct ledger *l, const struct limits_rule *rules,
                                  uint32_t n_rules, int64_t now_ms, int64_t *ret_spent_nano,
                                  struct error *err);

struct ledger_health {
    uint64_t n_open;      // reserved, not settled
    uint64_t n_queued;    // settled, not committed
    uint64_t lag_ms;      // age of the oldest of those
    uint64_t n_committed; // rows since ledger_open
    uint64_t n_in_memory; // of n_queued: not in the journal either
    uint64_t n_failures;  // failed writes of journal and database since ledger_open
    uint64_t n_repeated;  // settled with an id and time that have a row already: not booked, a bug
    uint64_t n_recovered; // rows that ledger_open took from the journal, estimated ones included
    uint64_t n_estimated; // of those: reservations without a settle
    uint64_t n_damaged;   // stretches of damage that ledger_open met; the files are kept
    bool failing;         // the last write failed
    char why[256];
};
/** Any thread. */
void ledger_health(struct ledger *l, struct ledger_health *ret_health);

#endif
