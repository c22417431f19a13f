#include "model/safetensors.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux reads at most this much at once; smaller keeps a cancelled start prompt. */
#define READ_BYTES_MAX ((size_t)64 << 20)

struct safetensors {
    int fd;                 // owned
    const char *name;       // base name, in the arena
    struct stat seen;       // when the header was read
    struct tensor *tensors; // [n_tensors] in the arena
    uint32_t n_tensors;
};

static enum status read_at(int fd, uint64_t offset, uint64_t n_bytes, void *ret_bytes,
                           struct error *err)
{
    char *to = ret_bytes;

    while (n_bytes > 0) {
        size_t part = n_bytes < READ_BYTES_MAX ? (size_t)n_bytes : READ_BYTES_MAX;
        ssize_t got = pread(fd, to, part, (off_t)offset);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set(err, E_IO, "reading at byte %" PRIu64 ": %s", offset, strerror(errno));
        }
        if (got == 0) {
            return error_set(err, E_INVALID, "the file ends at byte %" PRIu64 ", it became shorter",
                             offset);
        }
        to += got;
        offset += (uint64_t)got;
        n_bytes -= (uint64_t)got;
    }
    return OK;
}

/* Never blocks: a FIFO or device in the place of a file is refused after the open. */
static enum status open_regular(const char *path, struct safetensors *f, struct error *err)
{
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "cannot open: %s",
                         strerror(errno));
    }
    if (fstat(f->fd, &f->seen) != 0) {
        return error_set(err, E_IO, "cannot stat: %s", strerror(errno));
    }
    if (!S_ISREG(f->seen.st_mode)) {
        return error_set(err, E_INVALID, "is %s, not a file",
                         S_ISDIR(f->seen.st_mode) ? "a folder" : "a device, pipe or socket");
    }
    (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return OK;
}

static enum status read_header(struct safetensors *f, struct buf *header, struct error *err)
{
    uint64_t file_bytes = (uint64_t)f->seen.st_size;
    uint8_t prefix[SAFETENSORS_PREFIX_BYTES] = {0};
    uint64_t n = 0;
    enum status rc = OK;
    char *to;

    if (file_bytes >= sizeof(prefix)) {
        rc = read_at(f->fd, 0, sizeof(prefix), prefix, err);
    }
    if (rc == OK) {
        rc = safetensors_header_bytes(prefix, file_bytes, &n, err);
    }
    if (rc != OK) {
        return rc;
    }
    to = buf_reserve(header, (size_t)n);
    if (to == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for a header of %" PRIu64 " bytes", n);
    }
    rc = read_at(f->fd, sizeof(prefix), n, to, err);
    if (rc == OK) {
        buf_commit(header, (size_t)n);
    }
    return rc;
}

static enum status open_into(struct safetensors *f, const char *path, struct arena *arena,
                             struct faults *faults)
{
    const char *slash = strrchr(path, '/');
    struct str name = str_from_c(slash == NULL ? path : slash + 1);
    struct buf header;
    struct error err = {.status = OK};
    enum status rc = arena_dup(arena, name, &name);

    if (rc != OK) {
        faults_add(faults, rc, "", "no memory");
        return rc;
    }
    f->name = name.ptr;
    buf_init(&header, SAFETENSORS_HEADER_MAX + 1);
    rc = open_regular(path, f, &err);
    if (rc == OK) {
        rc = read_header(f, &header, &err);
    }
    if (rc != OK) {
        faults_add_error(faults, f->name, &err);
    } else {
        rc = safetensors_parse(arena, buf_str(&header), (uint64_t)f->seen.st_size, f->name, faults,
                               &f->tensors, &f->n_tensors);
    }
    buf_done(&header);
    return rc;
}

enum status safetensors_open(const char *path, struct arena *arena, struct faults *faults,
                             struct safetensors **ret_file)
{
    struct safetensors *f = calloc(1, sizeof(*f));
    enum status rc;

    if (f == NULL) {
        faults_add(faults, E_NO_MEMORY, path, "no memory");
        return E_NO_MEMORY;
    }
    f->fd = -1;
    rc = open_into(f, path, arena, faults);
    if (rc != OK) {
        safetensors_close(f);
        return rc;
    }
    *ret_file = f;
    return OK;
}

void safetensors_close(struct safetensors *f)
{
    if (f == NULL) {
        return;
    }
    if (f->fd >= 0) {
        (void)close(f->fd);
    }
    free(f);
}

const struct tensor *safetensors_tensors(const struct safetensors *f, uint32_t *ret_n)
{
    *ret_n = f->n_tensors;
    return f->tensors;
}

const char *safetensors_name(const struct safetensors *f)
{
    return f->name;
}

uint64_t safetensors_file_bytes(const struct safetensors *f)
{
    return (uint64_t)f->seen.st_size;
}

enum status safetensors_read(const struct safetensors *f, const struct tensor *t, uint64_t begin,
                             uint64_t n_bytes, void *ret_bytes, struct error *err)
{
    enum status rc;

    CHECK(begin <= t->n_bytes && n_bytes <= t->n_bytes - begin);
    rc = read_at(f->fd, t->offset + begin, n_bytes, ret_bytes, err);
    return rc == OK ? OK : error_prefix(err, rc, "%s: tensor %s", f->name, t->name);
}

enum status safetensors_check_unchanged(const struct safetensors *f, struct error *err)
{
    struct stat now;

    if (fstat(f->fd, &now) != 0) {
        return error_set(err, E_IO, "%s: cannot stat: %s", f->name, strerror(errno));
    }
    if (now.st_size != f->seen.st_size || now.st_mtim.tv_sec != f->seen.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != f->seen.st_mtim.tv_nsec) {
        return error_set(
            err, E_INVALID,
            "%s changed while it was read; copy the checkpoint completely, then start again",
            f->name);
    }
    return OK;
}
