#include "store/journal.h"
#include "store/ledger.h"
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
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW) {
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
                                 .usage = {.prompt_tokens = 11, .completion_tokens = 22,
                                           .cached_tokens = 3, .reasoning_tokens = 4},
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
    ledger_close(l);
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
