#include "doctor/host.h"

#include "base/check.h"
#include "doctor/host_internal.h"
#include "doctor/regular.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ARENA_BYTES_MAX ((size_t)128 << 20)
#define TEXT_BYTES_MAX 2048

static const struct {
    const char *name;
    uint32_t vendor;
} engines[] = {
    {"vllm", 0},
    {"vllm-ascend", VENDOR_ASCEND},
    {"vllm-mlu", VENDOR_CAMBRICON},
    {"vllm-musa", VENDOR_MTHREADS},
    {"sglang", 0},
    {"mindie", VENDOR_ASCEND},
    {"llama.cpp", 0},
    {"xllm", 0},
    {"lmdeploy", 0},
    {"kontor", 0},
};

struct str host_text(struct host *h, const char *fmt, ...)
{
    char text[TEXT_BYTES_MAX];
    struct str copied = STR("");
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < 0) {
        return copied;
    }
    n = (size_t)n < sizeof(text) ? n : (int)sizeof(text) - 1;
    if (arena_dup(h->arena, (struct str){text, (size_t)n}, &copied) != OK) {
        return STR("");
    }
    return copied;
}

const char *host_path(struct host *h, const char *path)
{
    struct str s = host_text(h, "%.*s%s", STR_ARG(h->root), path);

    return s.len > 0 ? s.ptr : "/nonexistent";
}

struct str host_read(struct host *h, const char *path)
{
    FILE *f = regular_open(host_path(h, path));
    struct str copied = STR("");
    struct buf b;

    if (f == NULL) {
        return copied;
    }
    buf_init(&b, HOST_FILE_BYTES_MAX);
    while (buf_status(&b) == OK) {
        char *room = buf_reserve(&b, 4096);
        size_t n = room != NULL ? fread(room, 1, 4096, f) : 0;

        if (n == 0) {
            break;
        }
        buf_commit(&b, n);
    }
    fclose(f);
    if (arena_dup(h->arena, str_trim(buf_str(&b)), &copied) != OK) {
        copied = STR("");
    }
    buf_done(&b);
    return copied;
}

bool host_exists(struct host *h, const char *path)
{
    struct stat st;

    return stat(host_path(h, path), &st) == 0;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

uint32_t host_names(struct host *h, const char *path, struct str **ret_names)
{
    DIR *d = opendir(host_path(h, path));
    struct str *names = arena_zalloc(h->arena, HOST_NAMES_MAX, sizeof(*names));
    uint32_t n = 0;

    *ret_names = names;
    if (d == NULL || names == NULL) {
        if (d != NULL) {
            closedir(d);
        }
        return 0;
    }
    for (struct dirent *e = readdir(d); e != NULL && n < HOST_NAMES_MAX; e = readdir(d)) {
        if (e->d_name[0] != '.' && arena_dup(h->arena, str_from_c(e->d_name), &names[n]) == OK) {
            n++;
        }
    }
    closedir(d);
    qsort(names, n, sizeof(*names), by_name);
    return n;
}

struct str host_value(struct str text, const char *key)
{
    struct str k = str_from_c(key);
    size_t at = 0;

    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at);
        struct str line = str_trim(str_slice(text, at, end == SIZE_MAX ? text.len : end));

        if (str_starts(line, k)) {
            return str_trim(str_slice(line, k.len, line.len));
        }
        at += (end == SIZE_MAX ? text.len : end) - at + 1;
    }
    return STR("");
}

void host_ok(struct host *h, const char *id, struct str title, struct str evidence)
{
    struct finding f = {.state = FINDING_OK,
                        .grade = FINDING_UNGRADED,
                        .id = str_from_c(id),
                        .title = title,
                        .evidence = evidence};

    report_add(h->report, &f);
}

void host_unknown(struct host *h, const char *id, struct str title, struct str why)
{
    struct finding f = {.state = FINDING_UNKNOWN,
                        .grade = FINDING_UNGRADED,
                        .id = str_from_c(id),
                        .title = title,
                        .cause = why};

    report_add(h->report, &f);
}

void host_problem(struct host *h, const char *id, struct str title, struct str cause,
                  struct str evidence, struct str fix)
{
    struct finding f = {.state = FINDING_PROBLEM,
                        .grade = FINDING_CERTAIN,
                        .id = str_from_c(id),
                        .title = title,
                        .cause = cause,
                        .evidence = evidence,
                        .fix = fix};

    report_add(h->report, &f);
}

uint32_t host_count(const struct host *h, uint32_t vendor)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < h->n_cards; i++) {
        n += h->cards[i].vendor == vendor;
    }
    return n;
}

static MUST_USE enum status find_engine(struct host *h, struct error *err)
{
    struct buf known;
    enum status rc;

    if (h->q->engine == NULL) {
        return OK;
    }
    buf_init(&known, 1024);
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
        if (strcmp(engines[i].name, h->q->engine) == 0) {
            h->want = engines[i].vendor;
            buf_done(&known);
            return OK;
        }
        buf_printf(&known, "%s%s", i > 0 ? ", " : "", engines[i].name);
    }
    rc = error_set(err, E_INVALID, "no engine \"%s\" is known; known are %s", h->q->engine,
                   buf_c(&known));
    buf_done(&known);
    return rc;
}

MUST_USE enum status host_run(const struct host_request *q, struct report *report,
                              struct error *err)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct host *h = arena != NULL ? arena_zalloc(arena, 1, sizeof(*h)) : NULL;
    struct stat st;
    enum status rc;

    if (h == NULL) {
        arena_destroy(arena);
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    h->q = q;
    h->arena = arena;
    h->report = report;
    h->root = str_from_c(q->root == NULL ? "" : q->root);
    while (h->root.len > 0 && h->root.ptr[h->root.len - 1] == '/') {
        h->root.len--;
    }
    rc = find_engine(h, err);
    if (rc == OK && q->root != NULL && (stat(q->root, &st) != 0 || !S_ISDIR(st.st_mode))) {
        rc = error_set(err, E_NOT_FOUND, "--root %s is no folder", q->root);
    }
    if (rc == OK) {
        host_pci_scan(h);
        host_vendor_check(h);
        host_runtime_check(h);
        host_python_check(h);
        host_system_check(h);
        rc = host_model_check(h, err);
    }
    arena_destroy(arena);
    return rc;
}
