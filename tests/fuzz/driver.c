/* Runs a fuzz target over the files of its corpus folder, without libFuzzer: the regression half of
 * fuzzing, part of `make test`.  Each input lies directly before an unreadable page, so that a read
 * past its end faults. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void run_guarded(const uint8_t *bytes, size_t n_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t span = (n_bytes + page - 1) / page * page;
    uint8_t *map = mmap(NULL, span + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED || mprotect(map + span, page, PROT_NONE) != 0) {
        fprintf(stderr, "no memory for %zu bytes\n", n_bytes);
        exit(2);
    }
    memcpy(map + span - n_bytes, bytes, n_bytes);
    (void)LLVMFuzzerTestOneInput(map + span - n_bytes, n_bytes);
    munmap(map, span + page);
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long n_bytes;
    int rc = -1;

    if (f == NULL) {
        return -1;
    }
    if (fseek(f, 0, SEEK_END) == 0 && (n_bytes = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        bytes = malloc((size_t)n_bytes + 1);
        if (bytes != NULL && fread(bytes, 1, (size_t)n_bytes, f) == (size_t)n_bytes) {
            run_guarded(bytes, (size_t)n_bytes);
            rc = 0;
        }
    }
    free(bytes);
    fclose(f);
    return rc;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    char path[4096];
    int n_files = 0;

    puts("1..1");
    if (dir == NULL) {
        printf("not ok 1 - corpus # %s: %s\n", argc == 2 ? argv[1] : "usage: fuzz_x CORPUS",
               strerror(errno));
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        printf("# %s\n", entry->d_name); // the last one printed is the culprit of a crash
        fflush(stdout);
        if (run_file(path) != 0) {
            printf("not ok 1 - cannot read %s\n", path);
            return 1;
        }
        n_files++;
    }
    closedir(dir);
    printf("%s 1 - corpus of %d files\n", n_files > 0 ? "ok" : "not ok", n_files);
    return n_files > 0 ? 0 : 1;
}
