/* `kontor doctor --file`: reading, printing, writing the corrected file. */
#include "base/check.h"
#include "base/json.h"
#include "doctor/files.h"
#include "doctor/visible.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_BYTES_MAX ((size_t)512 << 20)
#define PATH_BYTES_MAX 4096
#define FIX_ROUNDS_MAX 12

MUST_USE enum status files_fix(struct arena *arena, struct str name, struct str text,
                               struct buf *out, uint32_t *ret_left, struct error *err)
{
    enum status rc = OK;
    bool changed = true;

    buf_reset(out);
    buf_append_str(out, text);
    for (uint32_t round = 0; rc == OK && changed && round < FIX_ROUNDS_MAX; round++) {
        struct report *r = report_create();
        struct files_ctx *ctx = NULL;
        struct str now = STR("");

        rc = r == NULL ? E_NO_MEMORY : arena_dup(arena, buf_str(out), &now);
        if (rc == OK) {
            rc = files_check(arena, name, now, r, &ctx, err);
        }
        if (rc == OK) {
            *ret_left = report_count(r, FINDING_PROBLEM);
            buf_reset(out);
            files_fixed_text(ctx, out);
            changed = !str_eq(buf_str(out), now);
        }
        report_destroy(r);
    }
    return rc;
}

static MUST_USE enum status read_file(const char *path, struct buf *out, mode_t *ret_mode,
                                      struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "cannot read %s: %s", path,
                         strerror(errno));
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, E_INVALID, "%s is no regular file", path);
    }
    *ret_mode = st.st_mode & 0777;
    while (buf_status(out) == OK) {
        char *room = buf_reserve(out, 65536);
        ssize_t n = room != NULL ? read(fd, room, 65536) : -1;

        if (n <= 0) {
            if (room != NULL && n < 0) {
                close(fd);
                return error_set(err, E_IO, "cannot read %s: %s", path, strerror(errno));
            }
            break;
        }
        buf_commit(out, (size_t)n);
    }
    close(fd);
    if (buf_status(out) != OK) {
        return error_set(err, E_LIMIT, "%s is larger than %u MiB; that is no such file", path,
                         FILES_BYTES_MAX >> 20);
    }
    return OK;
}

void files_fixed_path(struct str path, struct buf *out)
{
    size_t slash = path.len;
    size_t dot = path.len;

    while (slash > 0 && path.ptr[slash - 1] != '/') {
        slash--;
    }
    while (dot > slash && path.ptr[dot - 1] != '.') {
        dot--;
    }
    if (dot <= slash + 1) { // no extension, or a name that begins with its only dot
        buf_append_str(out, path);
        buf_append_c(out, ".fixed");
        return;
    }
    buf_append_str(out, str_slice(path, 0, dot));
    buf_append_c(out, "fixed.");
    buf_append_str(out, str_slice(path, dot, path.len));
}

static bool write_all(int fd, struct str s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);

        if (n <= 0) {
            return false;
        }
        s = str_slice(s, (size_t)n, s.len);
    }
    return fsync(fd) == 0;
}

/* A new file under a temporary name, then its place: never half a file. */
static MUST_USE enum status write_fixed(const char *path, struct str text, mode_t mode, bool force,
                                        struct error *err)
{
    char temporary[PATH_BYTES_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    bool good;
    int fd;

    if (n < 0 || (size_t)n >= sizeof(temporary)) {
        return error_set(err, E_LIMIT, "the path %s is too long", path);
    }
    if (!force && access(path, F_OK) == 0) {
        return error_set(err, E_BUSY, "%s exists already; --force replaces it", path);
    }
    fd = mkstemp(temporary);
    if (fd < 0) {
        return error_set(err, E_IO, "cannot write beside %s: %s", path, strerror(errno));
    }
    good = write_all(fd, text) && fchmod(fd, mode) == 0;
    good = close(fd) == 0 && good;
    if (good && force) {
        good = rename(temporary, path) == 0;
    } else if (good) {
        good = link(temporary, path) == 0; // fails when somebody was faster
        unlink(temporary);
    }
    if (!good) {
        int cause = errno;

        unlink(temporary);
        return error_set(err, E_IO, "cannot write %s: %s", path, strerror(cause));
    }
    return OK;
}

static void print_people(const struct files_request *q, const struct files_ctx *ctx,
                         const char *fixed, uint32_t left, struct buf *out)
{
    files_print(ctx, q->color, q->all, out);
    if (fixed != NULL) {
        buf_append_c(out, "corrected: ");
        visible_append(out, str_from_c(fixed));
        buf_append_byte(out, '\n');
        if (left > 0) {
            buf_printf(out, "%u problem%s in it %s a decision; see kontor doctor --file on it.\n",
                       left, left == 1 ? "" : "s", left == 1 ? "needs" : "need");
        } else {
            buf_append_c(out, "The doctor finds nothing wrong in it.\n");
        }
        buf_append_byte(out, '\n');
    } else if (q->fix) {
        buf_append_c(out, "Nothing to correct; no file written.\n\n");
    }
}

static void print_json(const struct files_ctx *ctx, const char *path, const char *fixed,
                       uint32_t left, struct buf *out)
{
    buf_append_c(out, "{\"file\": ");
    json_write_string(out, str_from_c(path));
    buf_printf(out, ", \"kind\": \"%s\", \"corrections\": %u, \"fixed\": ",
               files_kind_name(files_kind_of(ctx)), files_edit_count(ctx));
    if (fixed != NULL) {
        json_write_string(out, str_from_c(fixed));
        buf_printf(out, ", \"left\": %u", left);
    } else {
        buf_append_c(out, "null");
    }
    buf_append_c(out, ", \"lines\": ");
    files_json(ctx, out);
    buf_append_byte(out, '}');
}

static MUST_USE enum status judge(const struct files_request *q, struct arena *arena,
                                  struct report *r, struct buf *out, struct error *err)
{
    struct buf text;
    struct buf path;
    struct buf fixed;
    struct files_ctx *ctx = NULL;
    mode_t mode = 0644;
    uint32_t left = 0;
    enum status rc;

    buf_init(&text, FILES_BYTES_MAX);
    buf_init(&path, PATH_BYTES_MAX);
    buf_init(&fixed, (size_t)FILES_BYTES_MAX * 2);
    rc = read_file(q->path, &text, &mode, err);
    if (rc == OK) {
        rc = files_check(arena, str_from_c(q->path), buf_str(&text), r, &ctx, err);
    }
    if (rc == OK) {
        bool write_it = q->fix && files_edit_count(ctx) > 0;

        files_fixed_path(str_from_c(q->path), &path);
        if (write_it && buf_c(&path) != NULL) {
            rc = files_fix(arena, str_from_c(q->path), buf_str(&text), &fixed, &left, err);
        }
        if (rc == OK && write_it) {
            rc = write_fixed(buf_c(&path), buf_str(&fixed), mode, q->force, err);
        }
        if (rc == OK && q->json) {
            print_json(ctx, q->path, write_it ? buf_c(&path) : NULL, left, out);
        } else if (rc == OK) {
            print_people(q, ctx, write_it ? buf_c(&path) : NULL, left, out);
        }
    }
    buf_done(&text);
    buf_done(&path);
    buf_done(&fixed);
    return rc;
}

MUST_USE enum status files_run(const struct files_request *q, struct report *report,
                               struct buf *out, struct error *err)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    enum status rc;

    if (arena == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    rc = judge(q, arena, report, out, err);
    arena_destroy(arena);
    return rc;
}
