#include "model/host_memory.h"
#include "base/buf.h"
#include "base/str.h"
#include "model/folder.h"

#include <stdio.h>
#include <string.h>

#define PROC_BYTES_MAX 65536

/* The number behind `key` at the start of a line; blanks and a unit may follow. */
static bool line_value(struct str text, struct str key, uint64_t *ret_value)
{
    size_t at = 0;

    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at);
        struct str line = str_slice(text, at, end);

        if (str_starts(line, key)) {
            struct str word = str_trim(str_slice(line, key.len, line.len));
            size_t blank = str_find_byte(word, ' ', 0);

            return str_to_u64(str_slice(word, 0, blank), ret_value) == OK;
        }
        at = end == SIZE_MAX ? text.len : end + 1;
    }
    return false;
}

/* One number in a file; false when it is absent or "max". */
static bool file_value(const char *dir, const char *name, uint64_t *ret_value)
{
    struct buf text;
    bool found;

    buf_init(&text, PROC_BYTES_MAX);
    found = folder_read(dir, name, &text, NULL) == OK &&
            str_to_u64(str_trim(buf_str(&text)), ret_value) == OK;
    buf_done(&text);
    return found;
}

/* File cache of a group: it counts as used but gives way. */
static uint64_t cache_bytes(const char *dir)
{
    struct buf text;
    uint64_t inactive = 0;
    uint64_t active = 0;

    buf_init(&text, PROC_BYTES_MAX);
    if (folder_read(dir, "memory.stat", &text, NULL) == OK) {
        (void)line_value(buf_str(&text), STR("inactive_file "), &inactive);
        (void)line_value(buf_str(&text), STR("active_file "), &active);
    }
    buf_done(&text);
    return inactive + active;
}

struct controller {
    const char *mount;
    const char *limit;
    const char *usage;
};

static void apply_group(const char *dir, const struct controller *c, struct host_memory *m)
{
    uint64_t limit;
    uint64_t usage;
    uint64_t cache;
    uint64_t left;

    if (!file_value(dir, c->limit, &limit)) {
        return;
    }
    if (limit < m->total_bytes) {
        m->total_bytes = limit;
    }
    if (file_value(dir, c->usage, &usage)) {
        cache = cache_bytes(dir);
        usage = usage > cache ? usage - cache : 0;
        left = limit > usage ? limit - usage : 0;
        m->available_bytes = left < m->available_bytes ? left : m->available_bytes;
    }
}

/* The group at `path` and every one above it; in a container the path may lie outside what is
 * mounted, then the mount's own root still counts. */
static void apply_groups(const char *root, const struct controller *c, struct str path,
                         struct host_memory *m)
{
    char dir[PATH_MAX];

    for (;;) {
        int n = snprintf(dir, sizeof(dir), "%s%s%.*s", root, c->mount, STR_ARG(path));

        if (n > 0 && (size_t)n < sizeof(dir)) {
            apply_group(dir, c, m);
        }
        if (path.len == 0) {
            return;
        }
        do {
            path.len--;
        } while (path.len > 0 && path.ptr[path.len] != '/');
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (v2), "5:memory:/path" (v1). */
static void apply_line(const char *root, struct str line, struct host_memory *m)
{
    static const struct controller v2 = {"/sys/fs/cgroup", "memory.max", "memory.current"};
    static const struct controller v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                         "memory.usage_in_bytes"};
    size_t first = str_find_byte(line, ':', 0);
    size_t second = first == SIZE_MAX ? SIZE_MAX : str_find_byte(line, ':', first + 1);
    struct str names;

    if (second == SIZE_MAX) {
        return;
    }
    names = str_slice(line, first + 1, second);
    line = str_slice(line, second + 1, line.len);
    if (names.len == 0) {
        apply_groups(root, &v2, line, m);
    } else if (str_find(names, STR("memory"), 0) != SIZE_MAX) {
        apply_groups(root, &v1, line, m);
    }
}

enum status host_memory_read(const char *root, struct host_memory *ret_memory, struct error *err)
{
    struct host_memory m = {0, 0};
    struct buf text;
    char proc[PATH_MAX];
    enum status rc = folder_path(root, "proc", proc, err);

    if (rc != OK) {
        return rc;
    }
    buf_init(&text, PROC_BYTES_MAX);
    rc = folder_read(proc, "meminfo", &text, err);
    if (rc == OK && (!line_value(buf_str(&text), STR("MemTotal:"), &m.total_bytes) ||
                     !line_value(buf_str(&text), STR("MemAvailable:"), &m.available_bytes))) {
        rc = error_set(err, E_IO, "has no MemTotal or MemAvailable");
    }
    if (rc != OK) {
        rc = error_prefix(err, rc, "/proc/meminfo");
        goto out;
    }
    m.total_bytes *= 1024;
    m.available_bytes *= 1024;
    buf_reset(&text);
    if (folder_read(proc, "self/cgroup", &text, NULL) == OK) {
        struct str all = buf_str(&text);

        for (size_t at = 0; at < all.len;) {
            size_t end = str_find_byte(all, '\n', at);

            apply_line(root, str_slice(all, at, end), &m);
            at = end == SIZE_MAX ? all.len : end + 1;
        }
    }
    *ret_memory = m;
out:
    buf_done(&text);
    return rc;
}
