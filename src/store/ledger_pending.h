/* ledger_pending.h - table of the requests that are reserved and not settled.
 *
 * A request is known by 128 bits of hash of its id under a secret of the process, so that a table
 * holds no texts.  Not thread-safe: the ledger's lock guards it.
 */
#ifndef STORE_LEDGER_PENDING_H
#define STORE_LEDGER_PENDING_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger_pending_slot {
    uint64_t hash[2];          // both 0: empty
    uint32_t segment;          // of the journal, of the reservation
    uint32_t progress_segment; // of the last promise, 0: none
    int64_t time_ms;           // of the reservation
};

struct ledger_pending_table {
    struct ledger_pending_slot *slots; // owned, [mask + 1]
    uint32_t mask;
    uint32_t count;
    uint64_t seed[2];
};

/** Errors: NO_MEMORY. */
MUST_USE enum status ledger_pending_init(struct ledger_pending_table *t);
void ledger_pending_done(struct ledger_pending_table *t);
/** NULL when it is not there; valid until the next change. */
struct ledger_pending_slot *ledger_pending_find(struct ledger_pending_table *t,
                                                struct str request_id);
/** Make room for one more.  Errors: NO_MEMORY. */
MUST_USE enum status ledger_pending_grow(struct ledger_pending_table *t);
/** Add one that is not there; call ledger_pending_grow before. */
struct ledger_pending_slot *ledger_pending_add(struct ledger_pending_table *t,
                                               struct str request_id);
void ledger_pending_remove(struct ledger_pending_table *t, struct ledger_pending_slot *slot);

#endif
