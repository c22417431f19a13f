#include "store/journal.h"
#include "store/ledger.h"
#include "store/ledger_verify.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef KONTOR_WITH_SQLITE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct temp_folder folder;

static struct ledger *open_with(uint32_t rows_max, uint32_t interval_ms, uint64_t segment_bytes)
{
    const struct ledger_options options = {.folder = folder.path,
                                           .commit_rows_max = rows_max,
                                           .commit_interval_ms = interval_ms,
                                           .journal_segment_bytes = segment_bytes};
    struct ledger *l = NULL;
    struct error err;

    if (ledger_open(&options, &l, &err) != OK) {
        FAIL("ledger_open: %s", err.text);
    }
    return l;
}

static struct ledger *open_here(void)
{
    return open_with(0, 1, 0);
}

/* A folder for one test. */
static struct ledger *start(void)
{
    temp_folder_open(&folder);
    return open_here();
}

static int64_t ask(const char *sql)
{
    char path[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int64_t v;

    temp_folder_path(&folder, "ledger.db", path);
    EXPECT_EQ_INT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW) {
        FAIL("%s: %s", sql, sqlite3_errmsg(db));
    }
    v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return v;
}

static struct ledger_reservation reservation(const char *id)
{
    return (struct ledger_reservation){.request_id = str_from_c(id),
                                       .key_id = STR("k_1"),
                                       .team = STR("risk"),
                                       .route_model = STR("glm"),
                                       .provider = STR("own"),
                                       .model = STR("glm-4-9b"),
                                       .currency = STR("USD"),
                                       .amount_nano = 1000,
                                       .prompt_tokens = 10,
                                       .completion_tokens = 90,
                                       .price_version = 0xFFFFFFFFFFFFFFFFu,
                                       .time_ms = 1773144000000};
}

static struct ledger_entry entry(const char *id, int64_t cost)
{
    return (struct ledger_entry){.reservation = reservation(id),
                                 .usage = {.prompt_tokens = 11,
                                           .completion_tokens = 22,
                                           .cached_tokens = 3,
                                           .reasoning_tokens = 4},
                                 .cost_nano = cost,
                                 .attempts = 1,
                                 .http_status = 200,
                                 .cause = STR("done"),
                                 .upstream = STR("rack-1"),
                                 .label = STR("internal"),
                                 .rule = STR("r"),
                                 .first_byte_us = 5,
                                 .total_us = 6,
                                 .end_ms = 1773144000500};
}

static void reserve(struct ledger *l, const char *id)
{
    const struct ledger_reservation r = reservation(id);
    struct error err;

    if (ledger_reserve(l, &r, &err) != OK) {
        FAIL("ledger_reserve: %s", err.text);
    }
}

static void settle(struct ledger *l, const char *id, int64_t cost)
{
    const struct ledger_entry e = entry(id, cost);

    ledger_settle(l, &e);
}

/* Ends like a killed process: the journal keeps what it has. */
static void abandon_in_child(void (*body)(struct ledger *l))
{
    pid_t child = fork();
    int wait_status;

    EXPECT_TRUE(child >= 0);
    if (child == 0) {
        body(open_with(100000, 600000, 0)); // nothing is committed
        raise(SIGKILL);
    }
    EXPECT_EQ_INT(waitpid(child, &wait_status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
}

TEST(settled_row_holds_every_field)
{
    struct ledger *l = start();
    struct ledger_health h;
    struct stat st;
    char path[512];

    reserve(l, "r1");
    settle(l, "r1", 777);
    EXPECT_OK(ledger_flush(l, 10000));
    ledger_health(l, &h);
    EXPECT_EQ_U64(h.n_open, 0);
    EXPECT_EQ_U64(h.n_queued, 0);
    EXPECT_EQ_U64(h.n_committed, 1);
    EXPECT_FALSE(h.failing);
    EXPECT_EQ_I64(
        ask("SELECT count(*) FROM entries WHERE request_id='r1' AND currency='USD' AND "
            "key_id='k_1' AND team='risk' AND route_model='glm' AND provider='own' AND "
            "model='glm-4-9b' AND upstream='rack-1' AND cause='done' AND label='internal' AND "
            "rule='r' AND end_ms=1773144000500 AND time_ms=1773144000000 AND prompt_tokens=11 AND "
            "cached_tokens=3 AND completion_tokens=22 AND reasoning_tokens=4 AND cost_nano=777 AND "
            "reserved_nano=1000 AND price_version=-1 AND estimated=0 AND attempts=1 AND "
            "http_status=200 AND first_byte_us=5 AND total_us=6"),
        1);
    EXPECT_EQ_I64(ask("SELECT count(*) FROM daily WHERE day=20522 AND n_requests=1 AND "
                      "n_estimated=0 AND cost_nano=777 AND prompt_tokens=11"),
                  1);
    temp_folder_path(&folder, "ledger.db", path);
    EXPECT_EQ_INT(stat(path, &st), 0);
    EXPECT_EQ_INT(st.st_mode & 0777, 0600);
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(row_is_known_by_the_time_of_its_reservation)
{
    struct ledger *l = start();
    struct ledger_entry e = entry("r1", 5);

    reserve(l, "r1");
    e.reservation.time_ms += 1; // whatever the settle says
    ledger_settle(l, &e);
    ledger_close(l);
    EXPECT_EQ_I64(ask("SELECT time_ms FROM entries"), 1773144000000);
    temp_folder_close(&folder);
}

TEST(open_reservation_becomes_estimated_after_a_crash)
{
    struct ledger *l = start();

    reserve(l, "lost");
    ledger_close(l); // an open reservation stays in the journal
    l = open_here();
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries WHERE request_id='lost' AND estimated=1 AND "
                      "cost_nano=1000 AND prompt_tokens=10 AND completion_tokens=90 AND "
                      "cause='lost' AND first_byte_us=-1 AND end_ms=time_ms"),
                  1);
    EXPECT_EQ_I64(ask("SELECT n_estimated FROM daily"), 1);
    ledger_close(l);
    l = open_here(); // nothing is booked a second time
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), 1);
    EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM daily"), 1000);
    ledger_close(l);
    temp_folder_close(&folder);
}

static void die_in_the_middle(struct ledger *l)
{
    struct error err;

    reserve(l, "a");
    reserve(l, "b");
    reserve(l, "c");
    settle(l, "b", 5);
    EXPECT_OK(ledger_progress(l, STR("c"), 30, 300, &err));
    EXPECT_OK(ledger_progress(l, STR("c"), 60, 600, &err));
    EXPECT_OK(ledger_progress(l, STR("a"), 9000, 99999, &err)); // never over the reservation
}

TEST(killed_process_loses_nothing)
{
    struct ledger_health h;
    struct ledger *l = start();

    ledger_close(l);
    abandon_in_child(die_in_the_middle);
    l = open_here();
    ledger_health(l, &h);
    EXPECT_EQ_U64(h.n_recovered, 3);
    EXPECT_EQ_U64(h.n_estimated, 2);
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), 3);
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM entries WHERE request_id='b'"), 5);
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM entries WHERE request_id='c' AND "
                      "completion_tokens=60 AND estimated=1"),
                  600);
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM entries WHERE request_id='a' AND "
                      "completion_tokens=90 AND estimated=1"),
                  1000);
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(wrong_uses_are_refused)
{
    struct ledger *l = start();
    struct ledger_reservation r = reservation("twice");
    char long_id[LEDGER_TEXT_MAX + 2];
    struct error err;

    reserve(l, "twice");
    EXPECT_STATUS(ledger_reserve(l, &r, &err), E_INVALID);
    r.request_id = STR("");
    EXPECT_STATUS(ledger_reserve(l, &r, &err), E_INVALID);
    memset(long_id, 'x', sizeof(long_id));
    r.request_id = (struct str){long_id, LEDGER_TEXT_MAX + 1};
    EXPECT_STATUS(ledger_reserve(l, &r, &err), E_INVALID);
    EXPECT_STATUS(ledger_progress(l, STR("nobody"), 1, 1, &err), E_NOT_FOUND);
    settle(l, "twice", 1);
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(second_process_is_told_who_writes)
{
    struct ledger *l = start();
    const struct ledger_options options = {.folder = folder.path};
    struct ledger *second = NULL;
    struct error err;
    char pid[32];

    snprintf(pid, sizeof(pid), "(%ld)", (long)getpid());
    EXPECT_STATUS(ledger_open(&options, &second, &err), E_BUSY);
    EXPECT_CONTAINS(err.text, pid);
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(repeated_id_keeps_the_first_row)
{
    struct ledger *l = start();
    struct ledger_health h;

    reserve(l, "r");
    settle(l, "r", 1);
    reserve(l, "r"); // settled before: nobody can know it was used
    settle(l, "r", 100);
    EXPECT_OK(ledger_flush(l, 10000));
    ledger_health(l, &h);
    EXPECT_EQ_U64(h.n_repeated, 1);
    EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM entries"), 1);
    EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM daily"), 1);
    ledger_close(l);
    temp_folder_close(&folder);
}

/* --- what goes wrong ------------------------------------------------------------------------ */

TEST(full_disk_refuses_requests_and_keeps_what_was_settled)
{
    const struct ledger_reservation late = reservation("late");
    struct ledger_health h;
    struct rlimit was, tiny;
    struct ledger *l;
    struct error err;

    temp_folder_open(&folder);
    l = open_with(0, 1, 64); // every record needs a new segment: a larger one would have room left
    reserve(l, "a");
    reserve(l, "b");
    signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ_INT(getrlimit(RLIMIT_FSIZE, &was), 0);
    tiny = was;
    tiny.rlim_cur = 100; // no file may grow past that: as on a full disk, everything fails
    EXPECT_EQ_INT(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    settle(l, "a", 11);
    settle(l, "b", 22);
    enum status refused = ledger_reserve(l, &late, &err);
    enum status flushed = ledger_flush(l, 300);
    ledger_health(l, &h);
    EXPECT_EQ_INT(setrlimit(RLIMIT_FSIZE, &was), 0);
    EXPECT_STATUS(refused, E_IO);
    EXPECT_CONTAINS(err.text, "cannot write the journal in");
    EXPECT_STATUS(flushed, E_TIMEOUT);
    EXPECT_TRUE(h.failing);
    EXPECT_EQ_U64(h.n_queued, 2);
    EXPECT_EQ_U64(h.n_in_memory, 2);
    EXPECT_TRUE(h.n_failures >= 3);
    EXPECT_TRUE(h.lag_ms >= 200);
    EXPECT_TRUE(h.why[0] != '\0');
    /* Room again: nothing was lost. */
    EXPECT_OK(ledger_flush(l, 20000));
    reserve(l, "late");
    settle(l, "late", 33);
    EXPECT_OK(ledger_flush(l, 20000));
    ledger_health(l, &h);
    EXPECT_FALSE(h.failing);
    EXPECT_EQ_C_STR(h.why, "");
    EXPECT_EQ_U64(h.n_in_memory, 0);
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries WHERE estimated = 0"), 3);
    EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM entries"), 66);
    ledger_close(l);
    temp_folder_close(&folder);
}

static ssize_t no_room(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    (void)fd;
    (void)bytes;
    (void)n_bytes;
    (void)at;
    errno = ENOSPC;
    return -1;
}

TEST(settle_without_a_journal_goes_to_the_database)
{
    struct ledger *l = start();
    struct ledger_health h;

    reserve(l, "a");
    journal_set_write_hook(no_room);
    settle(l, "a", 5);
    EXPECT_OK(ledger_flush(l, 10000));
    journal_set_write_hook(NULL);
    ledger_health(l, &h);
    EXPECT_EQ_U64(h.n_failures, 1);
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM entries WHERE estimated = 0"), 5);
    ledger_close(l);
    l = open_here(); // the reservation was released with its row
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), 1);
    ledger_close(l);
    temp_folder_close(&folder);
}

static void die_settled(struct ledger *l)
{
    for (int i = 0; i < 3; i++) {
        char id[16];

        snprintf(id, sizeof(id), "s%d", i);
        reserve(l, id);
        settle(l, id, 100 + i);
    }
    reserve(l, "open");
}

TEST(journal_that_comes_back_is_booked_once)
{
    struct ledger *l = start();
    char path[512];
    struct str journal;
    struct ledger_health h;

    ledger_close(l);
    abandon_in_child(die_settled);
    temp_folder_path(&folder, "journal-0000000001", path);
    journal = test_read_file(path);
    for (int i = 0; i < 3; i++) { // as if the process died before it removed the segment
        l = open_here();
        ledger_health(l, &h);
        EXPECT_EQ_U64(h.n_recovered, i == 0 ? 4 : 0);
        ledger_close(l);
        EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), 4);
        EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM daily"), 303 + 1000);
        EXPECT_TRUE(access(path, F_OK) != 0);
        temp_folder_write(&folder, "journal-0000000001", journal.ptr, journal.len);
    }
    temp_folder_close(&folder);
}

TEST(damaged_journal_costs_one_record_and_is_kept)
{
    struct ledger *l = start();
    struct ledger_health h;
    char path[512];
    struct str journal;
    char *bytes;

    ledger_close(l);
    abandon_in_child(die_settled);
    temp_folder_path(&folder, "journal-0000000001", path);
    journal = test_read_file(path);
    bytes = malloc(journal.len);
    memcpy(bytes, journal.ptr, journal.len);
    /* In the settle of s0: the second time that its id stands there. */
    size_t first = str_find(journal, STR("s0"), 0);
    size_t second = str_find(journal, STR("s0"), first + 1);
    bytes[second] = 'S';
    temp_folder_write(&folder, "journal-0000000001", bytes, journal.len);
    free(bytes);
    l = open_here();
    ledger_health(l, &h);
    EXPECT_EQ_U64(h.n_damaged, 1);
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), 4);
    EXPECT_EQ_I64(ask("SELECT estimated FROM entries WHERE request_id='s0'"), 1);
    EXPECT_EQ_I64(ask("SELECT estimated FROM entries WHERE request_id='s1'"), 0);
    EXPECT_TRUE(access(path, F_OK) != 0);
    temp_folder_path(&folder, "journal-0000000001.damaged", path);
    EXPECT_EQ_INT(access(path, F_OK), 0);
    ledger_close(l);
    temp_folder_close(&folder);
}

static enum status open_error(struct error *err)
{
    const struct ledger_options options = {.folder = folder.path};
    struct ledger *l = NULL;
    enum status rc = ledger_open(&options, &l, err);

    ledger_close(rc == OK ? l : NULL);
    return rc;
}

static void execute(const char *sql)
{
    char path[512];
    sqlite3 *db = NULL;

    temp_folder_path(&folder, "ledger.db", path);
    EXPECT_EQ_INT(sqlite3_open(path, &db), SQLITE_OK);
    EXPECT_EQ_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

TEST(wrong_databases_are_refused_with_advice)
{
    static const char text[] = "this is no database, but it is long enough to look like one; "
                               "a header has a hundred bytes, so some more words are needed";
    struct error err;

    temp_folder_open(&folder);
    temp_folder_text(&folder, "ledger.db", text);
    EXPECT_STATUS(open_error(&err), E_INVALID);
    EXPECT_CONTAINS(err.text, "restore it from a backup");
    temp_folder_remove(&folder, "ledger.db");
    execute("CREATE TABLE other(x)");
    EXPECT_STATUS(open_error(&err), E_INVALID);
    EXPECT_CONTAINS(err.text, "another program");
    temp_folder_remove(&folder, "ledger.db");
    EXPECT_OK(open_error(&err));
    execute("PRAGMA user_version=2");
    EXPECT_STATUS(open_error(&err), E_INVALID);
    EXPECT_CONTAINS(err.text, "layout 2");
    temp_folder_close(&folder);
}

TEST(too_many_open_requests_are_refused)
{
    struct ledger *l = start();
    struct ledger_reservation r = reservation("one more");
    struct error err;
    char id[32];

    for (int i = 0; i < LEDGER_UNSETTLED_MAX; i++) {
        snprintf(id, sizeof(id), "n%d", i);
        reserve(l, id);
    }
    EXPECT_STATUS(ledger_reserve(l, &r, &err), E_LIMIT);
    settle(l, "n77", 1);
    EXPECT_OK(ledger_flush(l, 20000));
    EXPECT_OK(ledger_reserve(l, &r, &err));
    EXPECT_STATUS(ledger_reserve(l, &r, &err), E_LIMIT);
    ledger_close(l);
    temp_folder_close(&folder);
}

/* --- long answers, threads, clocks ---------------------------------------------------------- */

TEST(last_promise_outlives_its_neighbours)
{
    struct error err;
    struct ledger *l;

    temp_folder_open(&folder);
    l = open_with(1, 1, 64); // every record a segment of its own
    reserve(l, "long");
    EXPECT_OK(ledger_progress(l, STR("long"), 30, 300, &err));
    EXPECT_OK(ledger_progress(l, STR("long"), 60, 600, &err));
    for (int i = 0; i < 20; i++) { // segments come and go
        reserve(l, "short");
        settle(l, "short", 1);
        EXPECT_OK(ledger_flush(l, 10000));
    }
    ledger_close(l);
    l = open_here();
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM entries WHERE request_id='long'"), 600);
    ledger_close(l);
    temp_folder_close(&folder);
}

#define THREADS 4
#define ROUNDS 2000

static struct ledger *shared;

static void *keep_books(void *user)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct ledger_reservation r;
        char id[32];

        snprintf(id, sizeof(id), "t%d-%d", *(const int *)user, i);
        r = reservation(id);
        if (ledger_reserve(shared, &r, NULL) != OK ||
            ledger_progress(shared, r.request_id, 1, 1, NULL) != OK) {
            return user;
        }
        settle(shared, id, i);
    }
    return NULL;
}

TEST(threads_keep_the_same_books)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    struct ledger_health h;

    shared = start();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        EXPECT_EQ_INT(pthread_create(&threads[i], NULL, keep_books, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;

        pthread_join(threads[i], &failed);
        EXPECT_TRUE(failed == NULL);
    }
    EXPECT_OK(ledger_flush(shared, 20000));
    ledger_health(shared, &h);
    EXPECT_EQ_U64(h.n_committed, THREADS * ROUNDS);
    EXPECT_EQ_U64(h.n_repeated, 0);
    ledger_close(shared);
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), THREADS * ROUNDS);
    EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM daily"),
                  (int64_t)THREADS * ROUNDS * (ROUNDS - 1) / 2);
    temp_folder_close(&folder);
}

TEST(wall_clock_may_say_anything)
{
    static const int64_t times[] = {0,         -1,        -86400000,    -86400001,
                                    INT64_MAX, INT64_MIN, 1773144000000};
    struct ledger *l = start();
    struct ledger_verify check = {0};
    struct error err;

    for (int i = 0; i < 7; i++) {
        char id[16];
        struct ledger_entry e;

        snprintf(id, sizeof(id), "w%d", i);
        e = entry(id, INT64_MAX / 2);
        e.reservation.time_ms = times[6 - i];
        e.end_ms = times[i];
        reserve(l, id);
        ledger_settle(l, &e);
    }
    EXPECT_OK(ledger_flush(l, 10000));
    EXPECT_EQ_I64(ask("SELECT count(*) FROM entries"), 7);
    EXPECT_EQ_I64(ask("SELECT count(*) FROM daily WHERE day = -1"), 1);
    EXPECT_EQ_I64(ask("SELECT n_requests FROM daily WHERE day = -2"), 1);
    EXPECT_OK(ledger_verify_run(folder.path, &check, &err));
    EXPECT_EQ_C_STR(check.database, "ok");
    EXPECT_EQ_U64(check.n_days_wrong, 0);
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(sums_saturate)
{
    struct ledger *l = start();
    struct ledger_verify check = {0};
    struct error err;

    for (int i = 0; i < 6; i++) {
        char id[16];

        snprintf(id, sizeof(id), "x%d", i);
        reserve(l, id);
        settle(l, id, i == 5 ? -7 : INT64_MAX / 3 * 2);
        if (i == 3) {
            EXPECT_OK(ledger_flush(l, 10000)); // within one transaction and across two
        }
    }
    EXPECT_OK(ledger_flush(l, 10000));
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM daily"), INT64_MAX);
    EXPECT_EQ_I64(ask("SELECT cost_nano FROM entries WHERE request_id='x5'"), 0);
    EXPECT_OK(ledger_verify_run(folder.path, &check, &err));
    EXPECT_EQ_U64(check.n_days_wrong, 0);
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(verify_counts_what_is_open_and_finds_what_differs)
{
    struct ledger *l = start();
    struct ledger_verify check = {0};
    struct str journal;
    char path[512];
    struct error err;

    ledger_close(l);
    abandon_in_child(die_settled);
    temp_folder_path(&folder, "journal-0000000001", path);
    journal = test_read_file(path);
    EXPECT_OK(ledger_verify_run(folder.path, &check, &err));
    EXPECT_TRUE(ledger_verify_good(&check));
    EXPECT_EQ_U64(check.n_open, 1);
    EXPECT_EQ_U64(check.n_uncommitted, 3);
    EXPECT_EQ_U64(check.n_segments, 1);
    l = open_here();
    ledger_close(l);
    EXPECT_OK(ledger_verify_run(folder.path, &check, &err));
    EXPECT_TRUE(ledger_verify_good(&check));
    EXPECT_EQ_U64(check.n_rows, 4);
    EXPECT_EQ_U64(check.n_estimated, 1);
    EXPECT_EQ_U64(check.n_open + check.n_uncommitted + check.n_segments, 0);
    execute("UPDATE entries SET cost_nano = cost_nano + 1 WHERE request_id = 's1'");
    EXPECT_OK(ledger_verify_run(folder.path, &check, &err));
    EXPECT_FALSE(ledger_verify_good(&check));
    EXPECT_EQ_U64(check.n_days_wrong, 1);
    EXPECT_EQ_U64(check.n_different, 0); // nothing to compare with any more
    execute("UPDATE daily SET cost_nano = cost_nano + 1 WHERE upstream = 'rack-1'");
    temp_folder_write(&folder, "journal-0000000001", journal.ptr, journal.len);
    EXPECT_OK(ledger_verify_run(folder.path, &check, &err));
    EXPECT_FALSE(ledger_verify_good(&check));
    EXPECT_EQ_U64(check.n_days_wrong, 0);
    EXPECT_EQ_U64(check.n_different, 1);
    temp_folder_close(&folder);
}

TEST(spent_money_by_subject_and_period)
{
    const int64_t noon = 1773144000000; // 2026-03-10
    const struct limits_rule rules[] = {
        {.subject = STR("key:k_1"), .money_nano = 1, .period = LIMITS_DAY},
        {.subject = STR("key:k_1"), .money_nano = 1, .period = LIMITS_MONTH},
        {.subject = STR("team:risk"), .money_nano = 1, .period = LIMITS_TOTAL},
        {.subject = STR("model:glm"), .money_nano = 1, .period = LIMITS_TOTAL},
        {.subject = STR("provider:own"), .money_nano = 1, .period = LIMITS_MONTH},
        {.subject = STR("key:k_2"), .money_nano = 1, .period = LIMITS_TOTAL},
        {.subject = STR("team:risk"), .period = LIMITS_TOTAL}, // no money
        {.subject = STR("pool:p"), .money_nano = 1, .period = LIMITS_TOTAL},
    };
    const int64_t want[8] = {1, 11, 111, 111, 11, 0, 0, 0};
    struct ledger *l = start();
    int64_t spent[8];
    struct error err;

    for (int i = 0; i < 3; i++) { // today, 9 days ago, 40 days ago
        const int64_t days_ago[] = {0, 9, 40};
        const int64_t cost[] = {1, 10, 100};
        char id[16];
        struct ledger_entry e;

        snprintf(id, sizeof(id), "m%d", i);
        e = entry(id, cost[i]);
        e.end_ms = noon - days_ago[i] * 86400000;
        reserve(l, id);
        ledger_settle(l, &e);
    }
    EXPECT_OK(ledger_flush(l, 10000));
    EXPECT_OK(ledger_spent(l, rules, 8, noon, spent, &err));
    for (int i = 0; i < 8; i++) {
        EXPECT_EQ_I64(spent[i], want[i]);
    }
    ledger_close(l);
    temp_folder_close(&folder);
}

TEST(power_loss_durability_books_the_same)
{
    struct ledger_options options = {.folder = folder.path,
                                     .durability = LEDGER_POWER_LOSS,
                                     .commit_interval_ms = 1};
    struct ledger *l = NULL;
    struct error err;

    temp_folder_open(&folder);
    EXPECT_OK(ledger_open(&options, &l, &err));
    for (int i = 0; i < 10; i++) {
        char id[16];

        snprintf(id, sizeof(id), "p%d", i);
        reserve(l, id);
        settle(l, id, 3);
    }
    ledger_close(l);
    EXPECT_EQ_I64(ask("SELECT sum(cost_nano) FROM entries WHERE estimated = 0"), 30);
    temp_folder_close(&folder);
}

#else

TEST(without_sqlite_the_ledger_says_what_to_install)
{
    struct temp_folder folder;
    struct ledger_options options = {.folder = folder.path};
    struct ledger *l = NULL;
    struct error err;

    temp_folder_open(&folder);
    EXPECT_STATUS(ledger_open(&options, &l, &err), E_UNSUPPORTED);
    EXPECT_CONTAINS(err.text, "libsqlite3-dev");
    temp_folder_close(&folder);
}

#endif
