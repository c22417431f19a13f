/* pool.c - the pool of threads, the count of processors, the choice of a level. */
#include "compute/pool.h"
#include "compute/cpu/level.h"
#include "compute/cpus.h"
#include "compute/memory.h"
#include "kernel/kernel_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define THREADS_MAX 7

struct counts {
    uint64_t by_thread[THREADS_MAX][8]; // a cache line each
    uint64_t input;
    uint64_t output[THREADS_MAX];
    struct pool_range range;
    uint8_t done[1000];
    atomic_uint n_bad;
};

static struct pool *open_pool(uint32_t n_threads, uint32_t n_cpus)
{
    struct pool *p = NULL;

    EXPECT_OK(pool_create(n_threads, n_cpus, &p, NULL));
    EXPECT_EQ_U32(pool_threads(p), n_threads);
    return p;
}

static void count_run(void *arg, uint32_t thread_idx)
{
    struct counts *c = arg;

    c->by_thread[thread_idx][0]++;
    c->output[thread_idx] = c->input + thread_idx;
}

/* Plain variables on both sides: what the caller wrote is seen by all, what they wrote by the
 * caller. */
static void check_runs(uint32_t n_threads, uint32_t n_cpus, uint32_t n_runs)
{
    struct pool *p = open_pool(n_threads, n_cpus);
    struct counts c = {0};

    for (uint32_t i = 0; i < n_runs; i++) {
        c.input = (uint64_t)i * 100;
        pool_run(p, count_run, &c);
        for (uint32_t t = 0; t < n_threads; t++) {
            EXPECT_EQ_U64(c.by_thread[t][0], i + 1);
            EXPECT_EQ_U64(c.output[t], c.input + t);
        }
        if (i % 64 == 63) { // long enough for everybody to fall asleep
            nanosleep(&(struct timespec){0, 200000}, NULL);
        }
    }
    pool_destroy(p);
}

TEST(each_run_calls_every_thread_once)
{
    for (uint32_t n_threads = 1; n_threads <= THREADS_MAX; n_threads++) {
        check_runs(n_threads, n_threads, 1000);
    }
}

TEST(more_threads_than_processors_sleep_instead_of_spinning)
{
    check_runs(THREADS_MAX, 1, 1000);
}

static void take_run(void *arg, uint32_t thread_idx)
{
    struct counts *c = arg;
    uint64_t begin;
    uint64_t end;

    (void)thread_idx;
    while (pool_range_take(&c->range, &begin, &end)) {
        if (begin >= end || end - begin > c->range.grain) {
            atomic_fetch_add(&c->n_bad, 1); // EXPECT belongs to the test's own thread
        }
        for (uint64_t i = begin; i < end; i++) {
            c->done[i]++;
        }
    }
}

TEST(a_range_gives_each_item_to_one_thread)
{
    struct pool *p = open_pool(3, 2);
    struct counts c = {0};

    for (uint64_t n = 0; n <= 1000; n += 37) {
        for (uint64_t grain = 1; grain < 1500; grain *= 3) {
            memset(c.done, 0, sizeof(c.done));
            pool_range_init(&c.range, n, grain);
            pool_run(p, take_run, &c);
            EXPECT_EQ_U32(atomic_load(&c.n_bad), 0);
            for (uint64_t i = 0; i < 1000; i++) {
                EXPECT_EQ_U32(c.done[i], i < n ? 1 : 0);
            }
        }
    }
    pool_destroy(p);
}

TEST(a_pool_ends_at_any_moment)
{
    for (uint32_t i = 0; i < 50; i++) {
        struct pool *p = open_pool(1 + i % 5, 1 + i % 3);
        struct counts c = {0};

        for (uint32_t n = 0; n < i % 4; n++) {
            pool_run(p, count_run, &c);
        }
        if (i % 7 == 0) {
            nanosleep(&(struct timespec){0, 100000}, NULL);
        }
        pool_destroy(p);
    }
    pool_destroy(NULL);
}

/* Idle threads use no processor: 30 ms of idling cost far less than 30 ms. */
TEST(idle_threads_sleep)
{
    struct pool *p = open_pool(2, 2);
    struct counts c = {0};
    struct timespec before;
    struct timespec after;
    int64_t used_ns;

    pool_run(p, count_run, &c);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&(struct timespec){0, 30000000}, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    used_ns = (after.tv_sec - before.tv_sec) * 1000000000 + (after.tv_nsec - before.tv_nsec);
    pool_destroy(p);
    if (used_ns > 10000000) {
        FAIL("an idle pool used %lld ns of processor time in 30 ms", (long long)used_ns);
    }
}

/* A folder that looks like /sys/fs/cgroup. */
static char root[] = "/tmp/kontor-cgroup-XXXXXX";

static void put(const char *relative, const char *text)
{
    char path[256];
    FILE *f;

    for (size_t i = 1; relative[i] != '\0'; i++) {
        if (relative[i] == '/') {
            snprintf(path, sizeof(path), "%s%.*s", root, (int)i, relative);
            (void)mkdir(path, 0700);
        }
    }
    snprintf(path, sizeof(path), "%s%s", root, relative);
    f = fopen(path, "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void drop_root(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    CHECK(system(command) == 0);
}

TEST(the_quota_is_the_smallest_on_the_way_up)
{
    CHECK(mkdtemp(root) != NULL);
    EXPECT_EQ_U32(cpus_in_quota("0::/\n", root), UINT32_MAX);
    EXPECT_EQ_U32(cpus_in_quota("", root), UINT32_MAX);
    EXPECT_EQ_U32(cpus_in_quota("nonsense\n0:\n::\n", root), UINT32_MAX);
    put("/a/cpu.max", "350000 100000\n");
    put("/a/b/cpu.max", "max 100000\n");
    EXPECT_EQ_U32(cpus_in_quota("0::/a/b\n", root), 4); // 3.5, rounded up
    EXPECT_EQ_U32(cpus_in_quota("0::/a\n", root), 4);
    EXPECT_EQ_U32(cpus_in_quota("0::/other\n", root), UINT32_MAX);
    put("/a/b/cpu.max", "50000 100000\n");
    EXPECT_EQ_U32(cpus_in_quota("0::/a/b\n", root), 1);
    put("/cpu.max", "200000 100000\n"); // as inside a container, where the root is the group
    EXPECT_EQ_U32(cpus_in_quota("0::/\n", root), 2);
    put("/cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
    put("/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ_U32(cpus_in_quota("3:memory:/x\n4:cpu,cpuacct:/x\n", root), 3);
    put("/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    EXPECT_EQ_U32(cpus_in_quota("4:cpu,cpuacct:/x\n", root), UINT32_MAX);
    put("/cpu,cpuacct/x/cpu.cfs_period_us", "0\n");
    put("/cpu,cpuacct/x/cpu.cfs_quota_us", "5\n");
    EXPECT_EQ_U32(cpus_in_quota("4:cpu,cpuacct:/x\n", root), UINT32_MAX);
    put("/unified/h/cpu.max", "100000 100000\n");
    EXPECT_EQ_U32(cpus_in_quota("4:cpuset:/\n0::/h\n", root), 1);
    drop_root();
    EXPECT_TRUE(cpus_usable() >= 1 && cpus_usable() <= cpus_in_affinity_mask());
}

TEST(levels_are_named_and_capped)
{
    const char *before = getenv("KONTOR_CPU_LEVEL");
    char *kept = before == NULL ? NULL : strdup(before);
    enum level level = LEVEL_COUNT;
    struct error err;

    unsetenv("KONTOR_CPU_LEVEL");
    EXPECT_STATUS(level_pick("sse9", &level, &err), E_UNSUPPORTED);
    EXPECT_CONTAINS(err.text, "this machine has: ref");
    EXPECT_EQ_INT(level, LEVEL_COUNT); // untouched on failure
    EXPECT_OK(level_pick("ref", &level, &err));
    EXPECT_EQ_INT(level, LEVEL_REF);
    EXPECT_OK(level_pick(NULL, &level, &err));
    EXPECT_OK(level_pick(level_name(level), &level, &err)); // the best one by its name

    setenv("KONTOR_CPU_LEVEL", "ref", 1);
    EXPECT_OK(level_pick(NULL, &level, &err));
    EXPECT_EQ_INT(level, LEVEL_REF);
    EXPECT_STATUS(level_pick("avx2", &level, &err), E_UNSUPPORTED);
    EXPECT_CONTAINS(err.text, "KONTOR_CPU_LEVEL");
    setenv("KONTOR_CPU_LEVEL", "fast", 1);
    EXPECT_STATUS(level_pick(NULL, &level, &err), E_UNSUPPORTED);
    EXPECT_CONTAINS(err.text, "\"fast\"");
    unsetenv("KONTOR_CPU_LEVEL");
    if (kept != NULL) {
        setenv("KONTOR_CPU_LEVEL", kept, 1);
        free(kept);
    }
}

TEST(memory_is_zeroed_and_aligned)
{
    static const size_t sizes[] = {1, 63, 4096, 2097151, 2097152, 2097153, 9000001};

    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        unsigned char *ptr = memory_alloc(sizes[i]);

        EXPECT_TRUE(ptr != NULL && ((uintptr_t)ptr & 63) == 0);
        for (size_t b = 0; b < sizes[i]; b += 509) {
            EXPECT_EQ_INT(ptr[b], 0);
        }
        ptr[sizes[i] - 1] = 1;
        memory_free(ptr, sizes[i]);
    }
    EXPECT_TRUE(memory_alloc(0) == NULL);
    EXPECT_TRUE(memory_alloc(SIZE_MAX) == NULL);
    memory_free(NULL, 5);
}

TEST(scratch_is_what_was_announced)
{
    struct compute_options o = {.n_threads = 2, .rows_max = 100, .cols_max = 512, .level = "ref"};
    uint64_t small = compute_scratch_bytes(&o);
    struct compute *c = NULL;

    EXPECT_OK(compute_create(&o, &c, NULL));
    EXPECT_EQ_U32(compute_threads(c), 2);
    EXPECT_EQ_C_STR(compute_level(c), "ref");
    compute_destroy(c);
    compute_destroy(NULL);
    o.rows_max = 10000; // more rows than one chunk cost almost nothing more
    EXPECT_TRUE(compute_scratch_bytes(&o) < small + 512u * 512u * 4u + 10000u * 16u);
    o.level = "nothing";
    EXPECT_STATUS(compute_create(&o, &c, NULL), E_UNSUPPORTED);
}
