#include "store/ledger.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/journal.h"
#include "store/ledger_internal.h"
#include "store/ledger_pending.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMIT_ROWS_DEFAULT 2048
#define COMMIT_INTERVAL_MS_DEFAULT 200
#define RETRY_MS_MIN 10 // doubled after each failure
#define RETRY_MS_MAX 320
#define QUEUE_BYTES_MAX ((size_t)1 << 30)
#define DONE_SEGMENTS_MAX 64

/* In front of each payload in the queue. */
struct row {
    uint32_t n_bytes; // of the payload
    uint32_t segment; // holds of the journal: of the reservation, the promise, the entry; 0: none
    uint32_t progress_segment;
    uint32_t settle_segment; // 0: the journal did not take it
    uint64_t since_ns;
};

/* A queue of rows is a buf of struct row and payload in turn. */
struct rows {
    struct buf bytes;
    uint64_t n;
    uint64_t n_in_memory; // without settle_segment
};

struct ledger {
    char *folder;                // owned, immutable
    bool sync;                   // immutable
    uint32_t commit_rows_max;    // immutable
    uint32_t commit_interval_ms; // immutable
    int lock_fd;                 // owned, immutable
    pthread_t writer;            // immutable
    pthread_cond_t wake;         // of the writer; CLOCK_MONOTONIC
    pthread_cond_t committed;    // of ledger_flush; CLOCK_MONOTONIC
    pthread_mutex_t lock;        // guards everything below but what the writer owns
    struct journal *journal;     // owned
    struct ledger_pending_table open;
    struct rows queue;  // settled, not taken by the writer
    uint64_t n_taken;   // rows in the writer's hands
    uint64_t n_settled; // since ledger_open
    uint64_t oldest_ns; // since when the oldest row waits, 0: none
    uint64_t writer_oldest_ns;
    bool writer_waits; // for anything at all: wake it at the first row
    bool stopping;
    bool journal_failing; // its last write failed
    bool database_failing;
    struct ledger_health health; // counters and `why`; the rest is filled in when asked
    /* owned by the writer thread while it runs */
    struct ledger_sqlite *db;
    struct rows batch;
};

static uint64_t now_ns(void)
{
    return kontor_clock_now_ns(&kontor_clock_system);
}

/* --- failures ------------------------------------------------------------------------------- */

/* `failing` is the flag of the journal or of the database. */
static void note_failure(struct ledger *l, bool *failing, const struct error *err)
{
    *failing = true;
    l->health.n_failures++;
    snprintf(l->health.why, sizeof(l->health.why), "%.*s", (int)sizeof(l->health.why) - 1,
             err->text);
}

static void note_success(struct ledger *l, bool *failing)
{
    *failing = false;
    if (!l->journal_failing && !l->database_failing) {
        l->health.why[0] = '\0';
    }
}

static enum status append(struct ledger *l, enum ledger_record_type type, struct str payload,
                          uint32_t *ret_segment, struct error *err)
{
    bool sync = l->sync && type != LEDGER_RECORD_SETTLE; // a settle that is lost is an estimate
    struct error why;
    enum status rc = journal_append(l->journal, (uint8_t)type, payload, sync, ret_segment, &why);

    if (rc == OK) {
        note_success(l, &l->journal_failing);
        return OK;
    }
    note_failure(l, &l->journal_failing, &why);
    return error_set(err, rc, "%s", why.text);
}

/* --- reserve, progress, settle -------------------------------------------------------------- */

static enum status check_request(struct ledger *l, const struct ledger_reservation *r,
                                 struct error *err)
{
    if (r->request_id.len == 0 || r->request_id.len > LEDGER_TEXT_MAX) {
        return error_set(err, E_INVALID, "a request id has 1 to %d bytes, not %zu", LEDGER_TEXT_MAX,
                         r->request_id.len);
    }
    if (l->open.count + l->queue.n + l->n_taken >= LEDGER_UNSETTLED_MAX) {
        return error_set(err, E_LIMIT, "%d requests wait to be booked%s%s", LEDGER_UNSETTLED_MAX,
                         l->health.why[0] == '\0' ? "" : ": ", l->health.why);
    }
    if (ledger_pending_find(&l->open, r->request_id) != NULL) {
        return error_set(err, E_INVALID, "request id %.*s is open already", STR_ARG(r->request_id));
    }
    if (ledger_pending_grow(&l->open) != OK) {
        return error_set(err, E_LIMIT, "no memory for one more open request");
    }
    return OK;
}

static int64_t not_negative(int64_t nano)
{
    return nano < 0 ? 0 : nano;
}

enum status ledger_reserve(struct ledger *l, const struct ledger_reservation *r, struct error *err)
{
    struct ledger_reservation reservation = *r;
    char bytes[LEDGER_RECORD_BYTES_MAX];
    uint32_t segment = 0;
    enum status rc;
    size_t n;

    reservation.amount_nano = not_negative(r->amount_nano);
    n = ledger_record_put_reserve(bytes, &reservation);
    pthread_mutex_lock(&l->lock);
    rc = check_request(l, r, err);
    if (rc == OK) {
        rc = append(l, LEDGER_RECORD_RESERVE, (struct str){bytes, n}, &segment, err);
    }
    if (rc == OK) {
        struct ledger_pending_slot *slot = ledger_pending_add(&l->open, r->request_id);

        slot->segment = segment;
        slot->time_ms = r->time_ms;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

enum status ledger_progress(struct ledger *l, struct str request_id, uint32_t completion_tokens,
                            int64_t amount_nano, struct error *err)
{
    struct ledger_progress_mark mark = {request_id, completion_tokens, not_negative(amount_nano)};
    char bytes[LEDGER_RECORD_BYTES_MAX];
    struct ledger_pending_slot *slot;
    uint32_t segment;
    enum status rc;

    pthread_mutex_lock(&l->lock);
    slot = ledger_pending_find(&l->open, request_id);
    if (slot == NULL) {
        pthread_mutex_unlock(&l->lock);
        return error_set(err, E_NOT_FOUND, "request id %.*s is not reserved", STR_ARG(request_id));
    }
    rc = append(l, LEDGER_RECORD_PROGRESS,
                (struct str){bytes, ledger_record_put_progress(bytes, &mark)}, &segment, err);
    if (rc == OK) {
        if (slot->progress_segment != 0) {
            journal_release(l->journal, slot->progress_segment);
        }
        slot->progress_segment = segment;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

/* False: no memory.  What the journal holds is booked at the next start then. */
static bool queue_row(struct rows *q, const struct row *row, const char *payload)
{
    char *at = buf_reserve(&q->bytes, sizeof(*row) + row->n_bytes);

    if (at == NULL) {
        q->bytes.status = OK; // what it has is good
        return false;
    }
    memcpy(at, row, sizeof(*row));
    memcpy(at + sizeof(*row), payload, row->n_bytes);
    buf_commit(&q->bytes, sizeof(*row) + row->n_bytes);
    q->n++;
    q->n_in_memory += row->settle_segment == 0;
    return true;
}

/* Locked.  Takes the request out of the open ones; its holds go to the row.  Id and time of the
 * reservation are what both records of a request are known by. */
static void close_open(struct ledger *l, struct ledger_reservation *r, struct row *row)
{
    struct ledger_pending_slot *slot = ledger_pending_find(&l->open, r->request_id);

    if (slot == NULL) {
        return;
    }
    row->segment = slot->segment;
    row->progress_segment = slot->progress_segment;
    r->time_ms = slot->time_ms;
    ledger_pending_remove(&l->open, slot);
}

void ledger_settle(struct ledger *l, const struct ledger_entry *e)
{
    struct ledger_entry entry = *e;
    char bytes[LEDGER_RECORD_BYTES_MAX];
    struct row row = {.since_ns = now_ns()};
    bool wake;

    CHECK(e->reservation.request_id.len > 0);
    entry.cost_nano = not_negative(e->cost_nano);
    entry.reservation.amount_nano = not_negative(e->reservation.amount_nano);
    pthread_mutex_lock(&l->lock);
    close_open(l, &entry.reservation, &row);
    row.n_bytes = (uint32_t)ledger_record_put_settle(bytes, &entry);
    if (append(l, LEDGER_RECORD_SETTLE, (struct str){bytes, row.n_bytes}, &row.settle_segment,
               NULL) != OK) {
        row.settle_segment = 0;
    }
    if (!queue_row(&l->queue, &row, bytes)) {
        l->health.n_failures++;
    }
    l->n_settled++;
    if (l->oldest_ns == 0) {
        l->oldest_ns = row.since_ns;
    }
    wake = l->writer_waits || l->queue.n == l->commit_rows_max;
    l->writer_waits = false;
    pthread_mutex_unlock(&l->lock);
    if (wake) {
        pthread_cond_signal(&l->wake);
    }
}

/* --- the writer ----------------------------------------------------------------------------- */

static void wait_until(struct ledger *l, pthread_cond_t *cond, uint64_t deadline_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                          .tv_nsec = (long)(deadline_ns % 1000000000u)};

    pthread_cond_timedwait(cond, &l->lock, &ts);
}

/* Locked.  Waits for enough rows, or for the oldest to be old enough, or for the end. */
static void wait_for_rows(struct ledger *l)
{
    while (!l->stopping && l->queue.n < l->commit_rows_max) {
        uint64_t deadline;

        if (l->queue.n == 0) {
            l->writer_waits = true;
            pthread_cond_wait(&l->wake, &l->lock);
            continue;
        }
        deadline = l->oldest_ns + (uint64_t)l->commit_interval_ms * 1000000u;
        if (now_ns() >= deadline) {
            return;
        }
        wait_until(l, &l->wake, deadline);
    }
}

/* The next row of a batch; false at its end. */
static bool next_row(const struct rows *rows, size_t *at, struct row *ret_row,
                     struct str *ret_payload)
{
    if (*at >= rows->bytes.len) {
        return false;
    }
    memcpy(ret_row, rows->bytes.ptr + *at, sizeof(*ret_row));
    *ret_payload = (struct str){rows->bytes.ptr + *at + sizeof(*ret_row), ret_row->n_bytes};
    *at += sizeof(*ret_row) + ret_row->n_bytes;
    return true;
}

/* All rows of the batch in one transaction. */
static enum status commit_batch(struct ledger *l, uint64_t *ret_repeated, struct error *err)
{
    enum status rc = ledger_sqlite_begin(l->db, err);
    struct str payload;
    struct row row;
    size_t at = 0;

    *ret_repeated = 0;
    while (rc == OK && next_row(&l->batch, &at, &row, &payload)) {
        struct ledger_entry e;
        bool is_new = false;

        CHECK(ledger_record_get_settle(payload, &e) == OK);
        rc = ledger_sqlite_insert(l->db, &e, &is_new, err);
        *ret_repeated += !is_new;
    }
    if (rc != OK) {
        ledger_sqlite_rollback(l->db);
        return rc;
    }
    return ledger_sqlite_commit(l->db, err);
}

static void release(struct ledger *l, uint32_t segment)
{
    if (segment != 0) {
        journal_release(l->journal, segment);
    }
}

/* Locked.  The batch is in the database: nothing of it is needed in the journal. */
static void batch_done(struct ledger *l, uint64_t n_repeated)
{
    struct str payload;
    struct row row;
    size_t at = 0;

    while (next_row(&l->batch, &at, &row, &payload)) {
        release(l, row.segment);
        release(l, row.progress_segment);
        release(l, row.settle_segment);
    }
    l->health.n_committed += l->batch.n;
    l->health.n_repeated += n_repeated;
    buf_reset(&l->batch.bytes);
    if (l->batch.bytes.cap > (1u << 20)) { // a burst is over
        buf_done(&l->batch.bytes);
    }
    l->batch.n = 0;
    l->batch.n_in_memory = 0;
    l->n_taken = 0;
    l->writer_oldest_ns = 0;
    pthread_cond_broadcast(&l->committed);
}

/* Locked.  The database does not take the batch: what the journal has not is offered it again. */
static void journal_batch(struct ledger *l)
{
    struct str payload;
    struct row row;
    size_t at = 0;

    while (l->batch.n_in_memory > 0 && next_row(&l->batch, &at, &row, &payload)) {
        if (row.settle_segment != 0) {
            continue;
        }
        if (append(l, LEDGER_RECORD_SETTLE, payload, &row.settle_segment, NULL) != OK) {
            return;
        }
        memcpy(l->batch.bytes.ptr + at - payload.len - sizeof(row), &row, sizeof(row));
        l->batch.n_in_memory--;
    }
}

/* Unlocked: unlinking a file takes its time. */
static void remove_segments(struct ledger *l, const uint32_t *segments, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct error why;

        if (journal_remove(l->folder, segments[i], &why) != OK) {
            pthread_mutex_lock(&l->lock);
            note_failure(l, &l->journal_failing,
                         &why); // replayed at the next start: nothing is doubled
            pthread_mutex_unlock(&l->lock);
        }
    }
}

/* Locked.  Takes the queue; the writer's empty batch becomes the new queue. */
static void take_queue(struct ledger *l)
{
    struct rows empty = l->batch;

    l->batch = l->queue;
    l->queue = empty;
    l->n_taken = l->batch.n;
    l->writer_oldest_ns = l->oldest_ns;
    l->oldest_ns = 0;
}

/* One try to book the batch.  Locked on entry and exit. */
static bool book_batch(struct ledger *l)
{
    uint32_t done[DONE_SEGMENTS_MAX];
    uint64_t n_repeated = 0;
    uint32_t n_done = 0;
    struct error why;
    enum status rc;

    pthread_mutex_unlock(&l->lock);
    rc = commit_batch(l, &n_repeated, &why);
    pthread_mutex_lock(&l->lock);
    if (rc == OK) {
        note_success(l, &l->database_failing);
        batch_done(l, n_repeated);
        n_done = journal_take_done(l->journal, done, DONE_SEGMENTS_MAX);
    } else {
        note_failure(l, &l->database_failing, &why);
        journal_batch(l);
    }
    pthread_mutex_unlock(&l->lock);
    remove_segments(l, done, n_done);
    pthread_mutex_lock(&l->lock);
    return rc == OK;
}

static void *writer_main(void *user)
{
    struct ledger *l = user;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        uint64_t retry_ms = RETRY_MS_MIN;

        wait_for_rows(l);
        if (l->queue.n == 0) {
            break; // stopping
        }
        take_queue(l);
        while (!book_batch(l)) {
            if (l->stopping) {
                goto out; // the journal has it, or had no room for it either
            }
            wait_until(l, &l->wake, now_ns() + retry_ms * 1000000u);
            retry_ms = retry_ms < RETRY_MS_MAX ? retry_ms * 2 : RETRY_MS_MAX;
        }
    }
out:
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* --- open and close ------------------------------------------------------------------------- */

static enum status take_lock(struct ledger *l, struct error *err)
{
    char path[4096];
    char line[32];
    int n;

    if (mkdir(l->folder, 0700) != 0 && errno != EEXIST) {
        return error_set(err, E_IO, "cannot make the state folder %s: %s", l->folder,
                         strerror(errno));
    }
    if (snprintf(path, sizeof(path), "%s/lock", l->folder) >= (int)sizeof(path)) {
        return error_set(err, E_INVALID, "the path of the state folder is too long");
    }
    l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->lock_fd < 0) {
        return error_set(err, E_IO, "cannot open %s: %s", path, strerror(errno));
    }
    if (flock(l->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t got = pread(l->lock_fd, line, sizeof(line) - 1, 0);

        line[got > 0 ? got : 0] = '\0';
        line[strcspn(line, "\n")] = '\0';
        return error_set(err, E_BUSY,
                         "another process (%s) keeps the books in %s: stop it, or name another "
                         "state folder",
                         line[0] == '\0' ? "unknown" : line, l->folder);
    }
    n = snprintf(line, sizeof(line), "%ld\n", (long)getpid());
    if (ftruncate(l->lock_fd, 0) != 0 || pwrite(l->lock_fd, line, (size_t)n, 0) != n) {
        /* The lock holds; its text is only for people. */
        errno = 0;
    }
    return OK;
}

static void init_sync(struct ledger *l)
{
    pthread_condattr_t attr;

    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&l->wake, &attr) == 0);
    CHECK(pthread_cond_init(&l->committed, &attr) == 0);
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    pthread_condattr_destroy(&attr);
}

static void destroy(struct ledger *l)
{
    ledger_sqlite_close(l->db);
    journal_destroy(l->journal);
    ledger_pending_done(&l->open);
    buf_done(&l->queue.bytes);
    buf_done(&l->batch.bytes);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->committed);
    pthread_mutex_destroy(&l->lock);
    if (l->lock_fd >= 0) {
        close(l->lock_fd);
    }
    free(l->folder);
    free(l);
}

static struct ledger *make(const struct ledger_options *o)
{
    struct ledger *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    init_sync(l);
    l->lock_fd = -1;
    l->sync = o->durability == LEDGER_POWER_LOSS;
    l->commit_rows_max = o->commit_rows_max == 0 ? COMMIT_ROWS_DEFAULT : o->commit_rows_max;
    l->commit_interval_ms =
        o->commit_interval_ms == 0 ? COMMIT_INTERVAL_MS_DEFAULT : o->commit_interval_ms;
    buf_init(&l->queue.bytes, QUEUE_BYTES_MAX);
    buf_init(&l->batch.bytes, QUEUE_BYTES_MAX);
    l->folder = strdup(o->folder);
    if (l->folder == NULL || ledger_pending_init(&l->open) != OK) {
        destroy(l);
        return NULL;
    }
    return l;
}

enum status ledger_open(const struct ledger_options *options, struct ledger **ret_ledger,
                        struct error *err)
{
    struct ledger *l = make(options);
    struct ledger_replay replay = {0};
    enum status rc;

    if (l == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the ledger");
    }
    rc = take_lock(l, err);
    if (rc == OK) {
        rc = ledger_sqlite_open(l->folder, &l->db, err);
    }
    if (rc == OK) {
        rc = ledger_replay_run(l->folder, l->db, &replay, err);
    }
    if (rc == OK) {
        rc = journal_create(l->folder, options->journal_segment_bytes, &l->journal, err);
    }
    if (rc == OK && pthread_create(&l->writer, NULL, writer_main, l) != 0) {
        rc = error_set(err, E_NO_MEMORY, "cannot start the ledger's thread");
    }
    if (rc != OK) {
        destroy(l);
        return rc;
    }
    l->health.n_recovered = replay.n_settled + replay.n_estimated;
    l->health.n_estimated = replay.n_estimated;
    l->health.n_damaged = replay.n_damaged;
    *ret_ledger = l;
    return OK;
}

void ledger_close(struct ledger *l)
{
    uint32_t done[DONE_SEGMENTS_MAX];
    uint32_t n_done;

    if (l == NULL) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    pthread_cond_signal(&l->wake);
    pthread_join(l->writer, NULL);
    journal_stop(l->journal);
    do {
        n_done = journal_take_done(l->journal, done, DONE_SEGMENTS_MAX);
        remove_segments(l, done, n_done);
    } while (n_done > 0);
    destroy(l);
}

enum status ledger_flush(struct ledger *l, uint32_t timeout_ms)
{
    uint64_t deadline = now_ns() + (uint64_t)timeout_ms * 1000000u;
    enum status rc = OK;
    uint64_t goal;

    pthread_mutex_lock(&l->lock);
    goal = l->n_settled;
    while (rc == OK && l->n_settled - l->queue.n - l->n_taken < goal) {
        if (now_ns() >= deadline) {
            rc = E_TIMEOUT;
        } else {
            wait_until(l, &l->committed, deadline);
        }
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

enum status ledger_spent(struct ledger *l, const struct limits_rule *rules, uint32_t n_rules,
                         int64_t now_ms, int64_t *ret_spent_nano, struct error *err)
{
    return ledger_spent_read(l->folder, rules, n_rules, now_ms, ret_spent_nano, err);
}

void ledger_health(struct ledger *l, struct ledger_health *ret_health)
{
    uint64_t oldest;

    pthread_mutex_lock(&l->lock);
    *ret_health = l->health;
    ret_health->failing = l->journal_failing || l->database_failing;
    ret_health->n_open = l->open.count;
    ret_health->n_queued = l->queue.n + l->n_taken;
    ret_health->n_in_memory = l->queue.n_in_memory + (l->n_taken > 0 ? l->batch.n_in_memory : 0);
    oldest = l->writer_oldest_ns != 0 ? l->writer_oldest_ns : l->oldest_ns;
    pthread_mutex_unlock(&l->lock);
    ret_health->lag_ms = oldest == 0 ? 0 : (now_ns() - oldest) / 1000000u;
}
