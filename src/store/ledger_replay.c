#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "store/journal.h"
#include "store/ledger_internal.h"

#include <stdlib.h>
#include <string.h>

/* Two passes over the segments: the first puts every settled entry into the database and gathers
 * reservations, the second (over what was gathered) those that no entry answered.  Order does not
 * matter, so that segments may have been removed out of order. */

#define ROWS_PER_TRANSACTION 4096
#define OPEN_BYTES_MAX ((size_t)1 << 30)

/* What is known of one request. */
struct open {
    struct open *next; // of all
    struct open *same_slot;
    struct ledger_reservation reservation; // texts in the arena; request_id always set
    bool reserved;
    bool settled;
    bool promised;
    uint32_t completion_tokens; // of the last promise
    int64_t amount_nano;
};

#define SLOTS 65536

struct replay {
    struct ledger_sqlite *db;
    struct ledger_replay *result;
    struct error *err;
    struct arena *arena; // owned
    struct open **slots; // owned, [SLOTS]
    struct open *first;
    uint64_t n_rows; // of the open transaction
};

static struct open *open_of(struct replay *r, struct str request_id)
{
    uint64_t hash = hash_bytes(request_id.ptr, request_id.len, 0);
    struct open **slot = &r->slots[hash % SLOTS];
    struct open *o;

    for (o = *slot; o != NULL; o = o->same_slot) {
        if (str_eq(o->reservation.request_id, request_id)) {
            return o;
        }
    }
    o = arena_zalloc(r->arena, 1, sizeof(*o));
    if (o == NULL || arena_dup(r->arena, request_id, &o->reservation.request_id) != OK) {
        error_set(r->err, E_NO_MEMORY, "no memory to replay the journal");
        return NULL;
    }
    o->next = r->first;
    o->same_slot = *slot;
    r->first = o;
    *slot = o;
    return o;
}

static enum status insert(struct replay *r, const struct ledger_entry *e)
{
    bool is_new = false;
    enum status rc = OK;

    if (r->n_rows == ROWS_PER_TRANSACTION) {
        r->n_rows = 0;
        rc = ledger_sqlite_commit(r->db, r->err);
        if (rc != OK) {
            return rc;
        }
        rc = ledger_sqlite_begin(r->db, r->err);
    }
    if (rc == OK) {
        rc = ledger_sqlite_insert(r->db, e, &is_new, r->err);
    }
    if (rc != OK) {
        return rc;
    }
    r->n_rows++;
    if (!is_new) {
        r->result->n_known++;
    } else if (str_eq(e->cause, STR(LEDGER_CAUSE_LOST))) {
        r->result->n_estimated++;
    } else {
        r->result->n_settled++;
    }
    return OK;
}

static enum status on_reserve(struct replay *r, struct str payload)
{
    struct ledger_reservation found;
    struct open *o;
    struct str *texts[6];
    enum status rc;

    if (ledger_record_get_reserve(payload, &found) != OK) {
        r->result->n_damaged++;
        return OK;
    }
    o = open_of(r, found.request_id);
    if (o == NULL) {
        return E_NO_MEMORY;
    }
    found.request_id = o->reservation.request_id;
    texts[0] = &found.key_id;
    texts[1] = &found.team;
    texts[2] = &found.route_model;
    texts[3] = &found.provider;
    texts[4] = &found.model;
    texts[5] = &found.currency;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        rc = arena_dup(r->arena, *texts[i], texts[i]);
        if (rc != OK) {
            return error_set(r->err, rc, "no memory to replay the journal");
        }
    }
    o->reservation = found;
    o->reserved = true;
    return OK;
}

static enum status on_settle(struct replay *r, struct str payload)
{
    struct ledger_entry e;
    struct open *o;

    if (ledger_record_get_settle(payload, &e) != OK) {
        r->result->n_damaged++;
        return OK;
    }
    o = open_of(r, e.reservation.request_id);
    if (o == NULL) {
        return E_NO_MEMORY;
    }
    o->settled = true;
    return insert(r, &e);
}

static enum status on_progress(struct replay *r, struct str payload)
{
    struct ledger_progress_mark m;
    struct open *o;

    if (ledger_record_get_progress(payload, &m) != OK) {
        r->result->n_damaged++;
        return OK;
    }
    o = open_of(r, m.request_id);
    if (o == NULL) {
        return E_NO_MEMORY;
    }
    o->promised = true;
    o->completion_tokens = m.completion_tokens;
    o->amount_nano = m.amount_nano;
    return OK;
}

static enum status on_record(void *user, uint8_t type, struct str payload)
{
    struct replay *r = user;

    switch (type) {
    case LEDGER_RECORD_RESERVE:
        return on_reserve(r, payload);
    case LEDGER_RECORD_SETTLE:
        return on_settle(r, payload);
    case LEDGER_RECORD_PROGRESS:
        return on_progress(r, payload);
    default:
        return error_set(r->err, E_INVALID,
                         "the journal holds a record of kind %u, which a newer program wrote: "
                         "start that one",
                         type);
    }
}

/* The row of a request whose process died: what was promised last, else the reservation. */
static void estimate(const struct open *o, struct ledger_entry *e)
{
    const struct ledger_reservation *r = &o->reservation;

    memset(e, 0, sizeof(*e));
    e->reservation = *r;
    e->usage.prompt_tokens = r->prompt_tokens;
    e->usage.completion_tokens = r->completion_tokens;
    e->cost_nano = r->amount_nano;
    if (o->promised) {
        e->cost_nano = o->amount_nano;
        e->usage.completion_tokens = o->completion_tokens;
    }
    e->estimated = true;
    e->attempts = 1;
    e->cause = STR(LEDGER_CAUSE_LOST);
    e->first_byte_us = -1;
    e->end_ms = r->time_ms;
}

static enum status insert_estimates(struct replay *r)
{
    enum status rc = OK;

    for (const struct open *o = r->first; rc == OK && o != NULL; o = o->next) {
        struct ledger_entry e;

        if (!o->reserved || o->settled) {
            continue;
        }
        estimate(o, &e);
        rc = insert(r, &e);
    }
    return rc;
}

static enum status remove_segments(const char *folder, const uint32_t *segments,
                                   const uint64_t *damage, uint32_t n, struct error *err)
{
    enum status rc = OK;

    for (uint32_t i = 0; rc == OK && i < n; i++) {
        rc = damage[i] > 0 ? journal_set_aside(folder, segments[i], err)
                           : journal_remove(folder, segments[i], err);
    }
    return rc;
}

enum status ledger_replay_run(const char *folder, struct ledger_sqlite *db,
                              struct ledger_replay *ret_result, struct error *err)
{
    struct ledger_replay result = {0};
    struct replay r = {.db = db, .result = &result, .err = err};
    struct journal_reader reader = {on_record, &r};
    uint32_t *segments = NULL;
    uint64_t *damage = NULL; // [n] of each segment
    uint32_t n = 0;
    enum status rc = journal_list(folder, &segments, &n, err);

    if (rc != OK || n == 0) {
        goto out;
    }
    r.arena = arena_create(OPEN_BYTES_MAX);
    r.slots = calloc(SLOTS, sizeof(struct open *));
    damage = calloc(n, sizeof(*damage));
    if (r.arena == NULL || r.slots == NULL || damage == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory to replay the journal");
        goto out;
    }
    rc = ledger_sqlite_begin(db, err);
    for (uint32_t i = 0; rc == OK && i < n; i++) {
        struct journal_scan scan = {0};
        uint64_t before = result.n_damaged;

        rc = journal_read_segment(folder, segments[i], &reader, &scan, err);
        result.n_damaged += scan.n_damaged;
        result.damaged_bytes += scan.damaged_bytes;
        damage[i] = result.n_damaged - before;
    }
    if (rc == OK) {
        rc = insert_estimates(&r);
    }
    if (rc == OK) {
        rc = ledger_sqlite_commit(db, err);
    } else {
        ledger_sqlite_rollback(db);
    }
    if (rc == OK) {
        rc = remove_segments(folder, segments, damage, n, err);
    }
out:
    free(damage);
    free(r.slots);
    arena_destroy(r.arena);
    free(segments);
    if (rc == OK) {
        *ret_result = result;
    }
    return rc;
}
