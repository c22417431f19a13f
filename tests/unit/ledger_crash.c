/* Children that keep books and are killed; afterwards the books are compared with what the child
 * wrote down in shared memory before and after each call. */
#include "base/rng.h"
#include "store/journal.h"
#include "store/ledger.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef KONTOR_WITH_SQLITE

#include <sqlite3.h>

#define KILLS 50
#define KILLS_CAMPAIGN 1000
#define THREADS 2
#define REQUESTS_MAX 4000 // of one thread of one child
#define OPEN_MAX 24
#define TOKEN_NANO 10
#define AHEAD 64 // tokens of a promise

enum stage {
    UNUSED,
    RESERVING, // the call has begun
    REFUSED,
    RESERVED, // the request may have been sent
    SETTLING,
    SETTLED,
};

/* What really happened to one request; written by the child, read after its death. */
struct witness {
    _Atomic int stage;
    _Atomic int64_t relayed;   // tokens that a client may have seen
    _Atomic bool write_failed; // of the settle
    int64_t ceiling;           // tokens
    int64_t cost;              // of the settle
};

struct shared {
    _Atomic bool opened; // the child got through ledger_open
    struct witness requests[THREADS][REQUESTS_MAX];
};

struct plan {
    uint64_t seed;
    uint32_t round;
    bool failing_writes;
    int kill_at_write; // the child kills itself around its n-th write; -1: the parent kills it
    uint32_t delay_us; // of the parent
    uint32_t segment_bytes;
    uint32_t n_replays_killed; // children that only open, and are killed meanwhile
};

static struct temp_folder folder;
static struct shared *shared;
static struct plan plan;
static _Atomic int n_writes;
static _Thread_local bool last_write_failed;

static uint32_t below(uint64_t *step, uint32_t n)
{
    uint32_t words[4];

    rng_block(plan.seed, plan.round, (*step)++, words);
    return words[0] % n;
}

/* Fails at random, or dies before, inside or after one write. */
static ssize_t hostile_write(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    int number = n_writes++;
    uint64_t step = ((uint64_t)1 << 40) + (uint64_t)number * 4;

    last_write_failed = false;
    if (number == plan.kill_at_write) {
        uint32_t how = below(&step, 3);
        size_t n = how == 0 ? 0 : how == 1 ? n_bytes / 2 : n_bytes;

        if (pwrite(fd, bytes, n, at) >= 0) {
            raise(SIGKILL);
        }
    }
    if (plan.failing_writes && below(&step, 8) == 0) {
        last_write_failed = true;
        if (below(&step, 2) == 0) {
            errno = ENOSPC;
            return -1;
        }
        return pwrite(fd, bytes, below(&step, (uint32_t)n_bytes), at);
    }
    return pwrite(fd, bytes, n_bytes, at);
}

static void make_id(char id[48], uint32_t round, uint32_t thread, uint32_t number)
{
    snprintf(id, 48, "r%u-t%u-%u", round, thread, number);
}

static struct ledger_reservation reservation(const char *id, int64_t ceiling)
{
    return (struct ledger_reservation){.request_id = str_from_c(id),
                                       .key_id = STR("k"),
                                       .route_model = STR("m"),
                                       .provider = STR("p"),
                                       .model = STR("m"),
                                       .currency = STR("USD"),
                                       .amount_nano = ceiling * TOKEN_NANO,
                                       .completion_tokens = (uint32_t)ceiling,
                                       .time_ms = 1773144000000};
}

/* A request in the child's hands. */
struct call {
    uint32_t number;
    int64_t promised;
};

static void settle(struct ledger *l, uint32_t thread, const struct call *c)
{
    struct witness *w = &shared->requests[thread][c->number];
    struct ledger_entry e;
    char id[48];

    make_id(id, plan.round, thread, c->number);
    e = (struct ledger_entry){.reservation = reservation(id, w->ceiling),
                              .usage = {.completion_tokens = (uint32_t)w->relayed},
                              .cost_nano = w->relayed * TOKEN_NANO,
                              .cause = STR("done"),
                              .end_ms = 1773144000000};
    w->cost = e.cost_nano;
    w->stage = SETTLING;
    last_write_failed = false;
    ledger_settle(l, &e);
    w->write_failed = last_write_failed;
    w->stage = SETTLED;
}

static void relay(struct ledger *l, uint32_t thread, struct call *c, uint64_t *step)
{
    struct witness *w = &shared->requests[thread][c->number];
    int64_t next = w->relayed + 1 + below(step, 40);
    char id[48];

    next = next < w->ceiling ? next : w->ceiling;
    if (next > c->promised) {
        int64_t ahead = next + AHEAD < w->ceiling ? next + AHEAD : w->ceiling;

        make_id(id, plan.round, thread, c->number);
        if (ledger_progress(l, str_from_c(id), (uint32_t)ahead, ahead * TOKEN_NANO, NULL) != OK) {
            return; // not promised: not relayed
        }
        c->promised = ahead;
    }
    w->relayed = next;
}

static struct ledger *child_ledger;

static void *child_main(void *user)
{
    uint32_t thread = *(const uint32_t *)user;
    uint64_t step = (uint64_t)(thread + 1) << 32;
    struct call calls[OPEN_MAX];
    uint32_t n_calls = 0;
    uint32_t next = 0;

    while (next < REQUESTS_MAX) {
        uint32_t what = below(&step, 10);

        if (what < 4 && n_calls < OPEN_MAX) {
            struct witness *w = &shared->requests[thread][next];
            struct ledger_reservation r;
            char id[48];

            make_id(id, plan.round, thread, next);
            w->ceiling = 1 + below(&step, 1000);
            r = reservation(id, w->ceiling);
            w->stage = RESERVING;
            if (ledger_reserve(child_ledger, &r, NULL) == OK) {
                w->stage = RESERVED;
                calls[n_calls++] = (struct call){next, 0};
            } else {
                w->stage = REFUSED;
            }
            next++;
        } else if (n_calls > 0) {
            uint32_t which = below(&step, n_calls);

            if (what < 7) {
                relay(child_ledger, thread, &calls[which], &step);
            } else {
                settle(child_ledger, thread, &calls[which]);
                calls[which] = calls[--n_calls];
            }
        }
    }
    return NULL;
}

static struct ledger_options options(void)
{
    return (struct ledger_options){.folder = folder.path,
                                   .commit_rows_max = 32,
                                   .commit_interval_ms = 2,
                                   .journal_segment_bytes = plan.segment_bytes};
}

static _Noreturn void child(void)
{
    const struct ledger_options o = options();
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];

    journal_set_write_hook(hostile_write);
    if (ledger_open(&o, &child_ledger, NULL) != OK) {
        _exit(1);
    }
    shared->opened = true;
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, child_main, &numbers[i]) != 0) {
            _exit(1);
        }
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    raise(SIGKILL); // it was faster than the parent
    _exit(1);
}

static void run_child(void)
{
    pid_t pid;
    int wait_status;

    memset(shared, 0, sizeof(*shared));
    n_writes = 0;
    pid = fork();
    EXPECT_TRUE(pid >= 0);
    if (pid == 0) {
        child();
    }
    if (plan.kill_at_write < 0) {
        usleep(plan.delay_us);
        kill(pid, SIGKILL);
    }
    EXPECT_EQ_INT(waitpid(pid, &wait_status, 0), pid);
    if (!WIFSIGNALED(wait_status) || WTERMSIG(wait_status) != SIGKILL) {
        FAIL("round %u: the child ended by itself (status %d)", plan.round, wait_status);
    }
}

/* Replays the journal and dies at any moment of it. */
static void kill_a_replay(uint32_t delay_us)
{
    const struct ledger_options o = options();
    struct ledger *l = NULL;
    pid_t pid = fork();

    EXPECT_TRUE(pid >= 0);
    if (pid == 0) {
        if (ledger_open(&o, &l, NULL) != OK) {
            _exit(1);
        }
        pause();
    }
    usleep(delay_us);
    kill(pid, SIGKILL);
    EXPECT_EQ_INT(waitpid(pid, NULL, 0), pid);
}

/* --- afterwards ----------------------------------------------------------------------------- */

struct books {
    sqlite3 *db;
    sqlite3_stmt *row;
};

static struct books open_books(void)
{
    struct books b = {NULL, NULL};
    char path[512];

    temp_folder_path(&folder, "ledger.db", path);
    EXPECT_EQ_INT(sqlite3_open_v2(path, &b.db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    EXPECT_EQ_INT(sqlite3_prepare_v2(b.db,
                                     "SELECT count(*), sum(estimated), sum(cost_nano),"
                                     " sum(completion_tokens) FROM entries"
                                     " WHERE time_ms = 1773144000000 AND request_id = ?",
                                     -1, &b.row, NULL),
                  SQLITE_OK);
    return b;
}

static int64_t ask(struct books *b, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t v;

    EXPECT_EQ_INT(sqlite3_prepare_v2(b->db, sql, -1, &s, NULL), SQLITE_OK);
    EXPECT_EQ_INT(sqlite3_step(s), SQLITE_ROW);
    v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return v;
}

static void close_books(struct books *b)
{
    sqlite3_finalize(b->row);
    sqlite3_close(b->db);
}

struct tally {
    int64_t n_rows;
    int64_t n_estimated;
    int64_t n_exact;
};

static void judge(struct books *b, uint32_t thread, uint32_t number, struct tally *t)
{
    const struct witness *w = &shared->requests[thread][number];
    int stage = w->stage;
    int64_t n_rows, estimated, cost, tokens;
    bool bounded;
    char id[48];

    make_id(id, plan.round, thread, number);
    sqlite3_bind_text(b->row, 1, id, -1, SQLITE_STATIC);
    EXPECT_EQ_INT(sqlite3_step(b->row), SQLITE_ROW);
    n_rows = sqlite3_column_int64(b->row, 0);
    estimated = sqlite3_column_int64(b->row, 1);
    cost = sqlite3_column_int64(b->row, 2);
    tokens = sqlite3_column_int64(b->row, 3);
    sqlite3_reset(b->row);
    t->n_rows += n_rows;
    t->n_estimated += estimated;
    bounded = cost >= w->relayed * TOKEN_NANO && cost <= w->ceiling * TOKEN_NANO &&
              tokens >= w->relayed && tokens <= w->ceiling;
    switch (stage) {
    case UNUSED:
    case REFUSED:
        if (n_rows != 0) {
            FAIL("%s was not reserved and has %" PRId64 " rows", id, n_rows);
        }
        return;
    case RESERVING:
        if (n_rows > 1 || (n_rows == 1 && (estimated != 1 || !bounded))) {
            FAIL("%s was being reserved: %" PRId64 " rows", id, n_rows);
        }
        return;
    default:
        break;
    }
    if (n_rows != 1) {
        FAIL("%s at stage %d has %" PRId64 " rows", id, stage, n_rows);
    }
    if (stage == SETTLED && !w->write_failed && (estimated != 0 || cost != w->cost)) {
        FAIL("%s was settled with %" PRId64 ", its row says %" PRId64 "%s", id, w->cost, cost,
             estimated ? ", estimated" : "");
    }
    if (estimated == 0 ? stage == RESERVED || cost != w->cost : !bounded) {
        FAIL("%s at stage %d, relayed %" PRId64 " of %" PRId64 " tokens: the row says %" PRId64
             " nano, %" PRId64 " tokens%s",
             id, stage, w->relayed, w->ceiling, cost, tokens, estimated ? ", estimated" : "");
    }
    t->n_exact += estimated == 0;
}

static void judge_all(struct tally *t)
{
    const struct ledger_options o = options();
    struct ledger_health h;
    struct ledger *l = NULL;
    struct books b;
    struct error err;

    if (ledger_open(&o, &l, &err) != OK) {
        FAIL("round %u: %s", plan.round, err.text);
    }
    ledger_health(l, &h);
    EXPECT_EQ_U64(h.n_damaged, 0);
    ledger_close(l);
    b = open_books();
    for (uint32_t thread = 0; thread < THREADS; thread++) {
        for (uint32_t i = 0; i < REQUESTS_MAX && shared->requests[thread][i].stage != UNUSED; i++) {
            judge(&b, thread, i, t);
        }
    }
    if (plan.round % 10 != 0) { // these read all rows of all rounds
        close_books(&b);
        return;
    }
    EXPECT_EQ_I64(ask(&b, "SELECT count(*) FROM entries"), t->n_rows);
    EXPECT_EQ_I64(ask(&b, "SELECT coalesce(sum(estimated), 0) FROM entries"), t->n_estimated);
    EXPECT_EQ_I64(ask(&b, "SELECT coalesce(sum(n_requests), 0) FROM daily"), t->n_rows);
    EXPECT_EQ_I64(ask(&b, "SELECT coalesce(sum(cost_nano), 0) FROM daily"),
                  ask(&b, "SELECT coalesce(sum(cost_nano), 0) FROM entries"));
    close_books(&b);
}

static void make_plan(uint32_t round)
{
    uint64_t step = 0;

    plan.round = round;
    plan.failing_writes = below(&step, 3) == 0;
    plan.kill_at_write = below(&step, 2) == 0 ? (int)below(&step, 1500) : -1;
    /* Some children die inside of ledger_open, while they replay. */
    plan.delay_us = below(&step, 4) == 0 ? below(&step, 4000) : below(&step, 60000);
    /* Small ones come and go while the requests in them live. */
    plan.segment_bytes = below(&step, 2) == 0 ? 512 : 32768;
    plan.n_replays_killed = below(&step, 3);
}

TEST(killed_children_lose_and_double_nothing)
{
    uint32_t n_kills = getenv("KONTOR_CAMPAIGN") != NULL ? KILLS_CAMPAIGN : KILLS;
    const char *seed = getenv("KONTOR_SEED");
    struct tally t = {0, 0, 0};
    uint32_t n_unopened = 0;

    temp_folder_open(&folder);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_TRUE(shared != MAP_FAILED);
    plan.seed = rng_from_system();
    if (seed != NULL) {
        EXPECT_OK(str_to_u64(str_from_c(seed), &plan.seed));
    }
    printf("# KONTOR_SEED=%" PRIu64 "\n", plan.seed);
    fflush(stdout);
    for (uint32_t round = 1; round <= n_kills; round++) {
        make_plan(round);
        run_child();
        n_unopened += !shared->opened;
        for (uint64_t i = 0; i < plan.n_replays_killed; i++) {
            uint64_t step = ((uint64_t)1 << 50) + i;

            kill_a_replay(below(&step, 6000));
        }
        judge_all(&t);
    }
    printf("# %u kills (%u while opening): %" PRId64 " rows, %" PRId64 " exact, %" PRId64
           " estimated\n",
           n_kills, n_unopened, t.n_rows, t.n_exact, t.n_estimated);
    EXPECT_TRUE(t.n_exact > 0 && t.n_estimated > 0);
    munmap(shared, sizeof(*shared));
    temp_folder_close(&folder);
}

#else

TEST(killed_children_lose_and_double_nothing)
{
    SKIP("built without SQLite");
}

#endif
