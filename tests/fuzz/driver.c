/* Runs a fuzz target over the files of its corpus folder, without libFuzzer: the regression half of
 * fuzzing, part of `make test`.  Each input ends at an unreadable page. */
#include "base/str.h"
#include "support/guard.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void run_guarded(struct str bytes)
{
    struct guard g = guard_copy(bytes);

    (void)LLVMFuzzerTestOneInput((const uint8_t *)g.text.ptr, g.text.len);
    guard_done(&g);
}

static bool run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *bytes = NULL;
    long n_bytes;
    bool done = false;

    if (f == NULL) {
        return false;
    }
    if (fseek(f, 0, SEEK_END) == 0 && (n_bytes = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
        bytes = malloc((size_t)n_bytes + 1);
        if (bytes != NULL && fread(bytes, 1, (size_t)n_bytes, f) == (size_t)n_bytes) {
            run_guarded((struct str){bytes, (size_t)n_bytes});
            done = true;
        }
    }
    free(bytes);
    fclose(f);
    return done;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    char path[4096];
    int n_files = 0;

    puts("1..1");
    if (dir == NULL) {
        printf("not ok 1 - %s: %s\n", argc == 2 ? argv[1] : "usage: fuzz_x CORPUS",
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
        if (!run_file(path)) {
            printf("not ok 1 - cannot read %s\n", path);
            return 1;
        }
        n_files++;
    }
    closedir(dir);
    printf("%s 1 - corpus of %d files\n", n_files > 0 ? "ok" : "not ok", n_files);
    return n_files > 0 ? 0 : 1;
}
