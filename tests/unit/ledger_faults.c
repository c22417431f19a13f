/* The database's writes fail one after the other: the n-th, then the n+1-th, until a run has fewer.
 * Whatever fails, in the end every row is there once and the sums agree. */
#include "store/ledger.h"
#include "store/ledger_verify.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#ifdef KONTOR_WITH_SQLITE

#include <sqlite3.h>

#define ROWS 6
#define CALLS_MAX 400

static _Atomic int n_calls;
static _Atomic int fail_first; // calls fail_first .. fail_first + fail_count - 1 fail
static _Atomic int fail_count;

static bool fails(void)
{
    int number = n_calls++;

    return number >= fail_first && number < fail_first + fail_count;
}

/* SQLite's own files, with our write, sync and truncate in front.  The real file follows behind. */
struct file {
    sqlite3_file base;
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real_methods;
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;

static sqlite3_file *real_file(sqlite3_file *f)
{
    return (sqlite3_file *)((struct file *)f + 1);
}

#define REAL(f) (real_file(f)->pMethods)

static int file_close(sqlite3_file *f)
{
    return REAL(f)->xClose(real_file(f));
}

static int file_read(sqlite3_file *f, void *bytes, int n, sqlite3_int64 at)
{
    return REAL(f)->xRead(real_file(f), bytes, n, at);
}

static int file_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    return fails() ? SQLITE_FULL : REAL(f)->xWrite(real_file(f), bytes, n, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fails() ? SQLITE_IOERR_TRUNCATE : REAL(f)->xTruncate(real_file(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    return fails() ? SQLITE_IOERR_FSYNC : REAL(f)->xSync(real_file(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->xFileSize(real_file(f), size);
}

static int file_lock(sqlite3_file *f, int level)
{
    return REAL(f)->xLock(real_file(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->xUnlock(real_file(f), level);
}

static int file_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->xCheckReservedLock(real_file(f), out);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->xFileControl(real_file(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
    return REAL(f)->xSectorSize(real_file(f));
}

static int file_traits(sqlite3_file *f)
{
    return REAL(f)->xDeviceCharacteristics(real_file(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return REAL(f)->xShmMap(real_file(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(f)->xShmLock(real_file(f), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
    REAL(f)->xShmBarrier(real_file(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove)
{
    return REAL(f)->xShmUnmap(real_file(f), remove);
}

static const sqlite3_io_methods methods = {
    2,           file_close,   file_read,     file_write,       file_truncate,  file_sync,
    file_size,   file_lock,    file_unlock,   file_reserved,    file_control,   file_sector,
    file_traits, file_shm_map, file_shm_lock, file_shm_barrier, file_shm_unmap, NULL,
    NULL,
};

static int open_file(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    int rc;

    (void)v;
    memset(f, 0, sizeof(struct file));
    rc = real_vfs->xOpen(real_vfs, name, real_file(f), flags, out_flags);
    f->pMethods = REAL(f) == NULL ? NULL : &methods;
    return rc;
}

static void install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "faults";
    vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    vfs.xOpen = open_file;
    EXPECT_EQ_INT(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

static struct temp_folder folder;

static enum status open_books(struct ledger **ret_ledger)
{
    const struct ledger_options options = {.folder = folder.path,
                                           .commit_rows_max = 2,
                                           .commit_interval_ms = 1,
                                           .journal_segment_bytes = 400};

    return ledger_open(&options, ret_ledger, NULL);
}

static void keep(struct ledger *l, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        char id[16];
        struct ledger_entry e = {.cost_nano = 1 << i, .cause = STR("done")};

        snprintf(id, sizeof(id), "r%d", i);
        e.reservation = (struct ledger_reservation){.request_id = str_from_c(id),
                                                    .currency = STR("USD"),
                                                    .amount_nano = 1 << 20};
        EXPECT_OK(ledger_reserve(l, &e.reservation, NULL));
        ledger_settle(l, &e);
    }
}

static void expect_books(int n_rows)
{
    struct ledger_verify v = {0};
    struct error err;

    if (ledger_verify_run(folder.path, &v, &err) != OK) {
        FAIL("calls from %d on: %s", fail_first, err.text);
    }
    if (!ledger_verify_good(&v) || v.n_rows != (uint64_t)n_rows || v.n_estimated != 0 ||
        v.n_open != 0 || v.n_segments != 0) {
        FAIL("calls from %d on: database %s, %" PRIu64 " rows, %" PRIu64 " estimated, %" PRIu64
             " sums wrong, %" PRIu64 " segments",
             fail_first, v.database, v.n_rows, v.n_estimated, v.n_days_wrong, v.n_segments);
    }
}

/* Open, book, close, open again (which books what the journal has); false when nothing failed. */
static bool run_once(int first, int count)
{
    struct ledger *l = NULL;
    int n_rows = 0;
    int used;

    temp_folder_open(&folder);
    n_calls = 0;
    fail_first = first;
    fail_count = count;
    if (open_books(&l) == OK) {
        keep(l, 0, ROWS);
        n_rows = ROWS;
        if (count == 1) {
            EXPECT_OK(ledger_flush(l, 10000));
        }
        ledger_close(l); // must not wait for ever while everything fails
    }
    used = n_calls;
    fail_count = 0;
    EXPECT_OK(open_books(&l));
    keep(l, ROWS, 1);
    ledger_close(l);
    expect_books(n_rows + 1);
    temp_folder_close(&folder);
    return first < used;
}

static void fail_each(int count)
{
    int first = 0;

    install();
    while (run_once(first, count)) {
        first++;
        EXPECT_TRUE(first < CALLS_MAX);
    }
    printf("# %d calls\n", first);
    EXPECT_TRUE(first > 20);
    sqlite3_vfs_unregister(&vfs);
}

TEST(any_single_failure_of_the_database_is_survived)
{
    fail_each(1);
}

TEST(failures_to_the_end_leave_the_rest_to_the_next_start)
{
    fail_each(1 << 20);
}

#else

TEST(any_single_failure_of_the_database_is_survived)
{
    SKIP("built without SQLite");
}

#endif
