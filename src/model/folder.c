#include "model/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status folder_path(const char *dir, const char *name, char path[PATH_MAX], struct error *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

    if (n < 0 || n >= PATH_MAX) {
        return error_set(err, E_LIMIT, "the path is longer than %d bytes", PATH_MAX - 1);
    }
    return OK;
}

enum status folder_check(const char *dir, struct error *err)
{
    struct stat st;

    if (stat(dir, &st) != 0) {
        return error_set(err, errno == ENOENT || errno == ENOTDIR ? E_NOT_FOUND : E_IO,
                         "cannot open the folder: %s", strerror(errno));
    }
    if (!S_ISDIR(st.st_mode)) {
        return error_set(err, E_INVALID,
                         "is a file; name the folder that holds config.json and the weights");
    }
    if (access(dir, R_OK | X_OK) != 0) {
        return error_set(err, E_IO, "cannot read the folder: %s", strerror(errno));
    }
    return OK;
}

bool folder_has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    return folder_path(dir, name, path, NULL) == OK && lstat(path, &st) == 0;
}

static enum status read_all(int fd, struct buf *out, struct error *err)
{
    for (;;) {
        char part[16384];
        ssize_t got = read(fd, part, sizeof(part));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set(err, E_IO, "cannot read: %s", strerror(errno));
        }
        if (got == 0) {
            return OK;
        }
        buf_append(out, part, (size_t)got);
        if (buf_status(out) != OK) {
            return error_set(err, buf_status(out), "is larger than %zu bytes", out->max);
        }
    }
}

enum status folder_read(const char *dir, const char *name, struct buf *out, struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    enum status rc = folder_path(dir, name, path, err);
    int fd;

    if (rc != OK) {
        return rc;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "cannot open: %s",
                         strerror(errno));
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = error_set(err, E_INVALID, "is not a file");
    } else {
        rc = read_all(fd, out, err);
    }
    (void)close(fd);
    return rc;
}
