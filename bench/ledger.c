/* ledger - processor time of the books: one thread reserves and settles, the writer commits.
 *
 *   build/bench/ledger [REQUESTS [FOLDER [random]]]    200000, a new folder in /tmp
 *
 * "random": request ids that do not begin with their time.  20 requests a millisecond.
 *
 * Prints microseconds of processor time per request on the loop's side and per row on the writer's,
 * and the same for two plain writes of the records' sizes, which is what the kernel asks for.
 */
#include "base/check.h"
#include "store/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double seconds(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static bool random_ids;

static struct str make_id(char text[32], uint64_t number)
{
    uint64_t scattered = number * 0x9E3779B97F4A7C15u;
    int n = snprintf(text, 32, "req-%016llx%04llx",
                     (unsigned long long)(random_ids ? scattered : number),
                     (unsigned long long)(scattered >> 48));

    return (struct str){text, (size_t)n};
}

static struct ledger_entry entry(struct str id, uint64_t number)
{
    static char key[16][8];
    uint64_t which = number % 16;

    snprintf(key[which], sizeof(key[which]), "k_%02llu", (unsigned long long)which);
    return (struct ledger_entry){
        .reservation = {.request_id = id,
                        .key_id = str_from_c(key[which]),
                        .team = STR("risk"),
                        .route_model = STR("glm-5-9b-chat"),
                        .provider = STR("own"),
                        .model = STR("glm-4-9b-chat"),
                        .currency = STR("USD"),
                        .amount_nano = 100000,
                        .prompt_tokens = 100,
                        .completion_tokens = 1000,
                        .price_version = 1,
                        .time_ms = 1773144000000 + (int64_t)(number / 20)},
        .usage = {.prompt_tokens = 100, .completion_tokens = 200},
        .cost_nano = 70000,
        .attempts = 1,
        .http_status = 200,
        .cause = STR("done"),
        .upstream = STR("rack-1"),
        .label = STR("internal"),
        .rule = STR("internal-may-burst"),
        .first_byte_us = 20000,
        .total_us = 400000,
        .end_ms = 1773144000400,
    };
}

static double plain_writes(const char *folder, uint64_t n)
{
    static const char bytes[256];
    char path[4096];
    double start;
    off_t at = 0;
    int fd;

    snprintf(path, sizeof(path), "%s/plain", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    start = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < n; i++) {
        CHECK(pwrite(fd, bytes, 140, at) == 140 && pwrite(fd, bytes, 230, at + 140) == 230);
        at += 370;
    }
    start = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
    close(fd);
    unlink(path);
    return start;
}

/* Seconds that the loop below spends on making its entries. */
static double preparation(uint64_t n)
{
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);

    for (uint64_t i = 0; i < n; i++) {
        char text[32];
        struct ledger_entry e = entry(make_id(text, i), i);

        __asm__ volatile("" : : "r"(&e) : "memory");
    }
    return seconds(CLOCK_THREAD_CPUTIME_ID) - start;
}

/* Requests first .. first + n - 1; `group` rows in each transaction, 0: as they come. */
static void measure(struct ledger *l, uint64_t first, uint64_t n, uint64_t group)
{
    double prepare_s = preparation(n);
    double whole_s = seconds(CLOCK_PROCESS_CPUTIME_ID);
    double loop_s = seconds(CLOCK_THREAD_CPUTIME_ID);
    struct error err;

    for (uint64_t i = first; i < first + n; i++) {
        char text[32];
        struct ledger_entry e = entry(make_id(text, i), i);

        while (ledger_reserve(l, &e.reservation, &err) != OK) {
            usleep(1000); // the writer is behind
        }
        ledger_settle(l, &e);
        if (group != 0 && i % group == group - 1) {
            CHECK(ledger_flush(l, 600000) == OK);
        }
    }
    loop_s = seconds(CLOCK_THREAD_CPUTIME_ID) - loop_s - prepare_s;
    CHECK(ledger_flush(l, 600000) == OK);
    whole_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - whole_s - prepare_s;
    printf("| %7llu | ", (unsigned long long)n);
    if (group == 0) {
        printf("as many as wait | %.2f us |", loop_s * 1e6 / (double)n);
    } else {
        printf("%15llu |         |", (unsigned long long)group);
    }
    printf(" %.2f us |\n", (whole_s - loop_s) * 1e6 / (double)n);
}

static void drop_folder(const char *folder)
{
    DIR *d = opendir(folder);

    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        (void)unlinkat(dirfd(d), e->d_name, 0); // "." and ".." refuse
    }
    if (d != NULL) {
        closedir(d);
    }
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    uint64_t n = 200000;
    char folder[4096] = "/tmp/kontor-bench-XXXXXX";
    struct ledger_options options = {.folder = folder, .commit_interval_ms = 0};
    struct ledger *l = NULL;
    struct error err;

    if (argc > 1 && str_to_u64(str_from_c(argv[1]), &n) != OK) {
        fprintf(stderr, "no number: %s\n", argv[1]);
        return 2;
    }
    random_ids = argc > 3 && strcmp(argv[3], "random") == 0;
    if (argc > 2) {
        snprintf(folder, sizeof(folder), "%s", argv[2]);
    } else if (mkdtemp(folder) == NULL) {
        perror("mkdtemp");
        return 1;
    }
    if (ledger_open(&options, &l, &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("| requests | rows a transaction | loop: reserve + settle | writer, a row |\n"
           "|---|---|---|---|\n");
    measure(l, 0, n, 0);
    options.commit_rows_max = 128;
    options.commit_interval_ms = 1;
    ledger_close(l);
    if (ledger_open(&options, &l, &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    measure(l, n, n / 16, 1024);
    measure(l, 2 * n, n / 16, 128);
    measure(l, 3 * n, n / 64, 16);
    ledger_close(l);
    printf("\ntwo plain writes of the records' sizes: %.2f us\n",
           plain_writes(folder, n) * 1e6 / (double)n);
    if (argc <= 2) {
        drop_folder(folder);
    }
    return 0;
}
