#include "store/journal.h"
#include "base/check.h"
#include "base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 24
#define RECORD_BYTES 12
#define RECORD_MAGIC 0x4A4B
#define NAME_PREFIX "journal-"
#define NAME_DIGITS 10
#define PATH_BYTES 4096
#define SEGMENT_BYTES_DEFAULT (1u << 20)
#define MAP_BYTES(segment_bytes)                                                                   \
    ((size_t)(segment_bytes) + HEADER_BYTES + RECORD_BYTES + JOURNAL_PAYLOAD_MAX) // the first fits

static const char file_magic[8] = {'K', 'O', 'N', 'T', 'O', 'R', 'J', '1'};

struct segment {
    uint32_t number;
    uint32_t n_holds;
};

/* Used by one thread at a time. */
struct journal {
    char *folder; // owned
    uint64_t segment_bytes;
    int fd;    // of the current segment, -1: none
    char *map; // [MAP_BYTES(segment_bytes)] of it, NULL: written with pwrite
    uint64_t nonce;
    uint64_t end;             // where the next record goes; bytes behind it are of a failed write
    uint32_t next;            // number of the next segment
    struct segment *segments; // owned, ascending; the current one is the last
    uint32_t n_segments;
    uint32_t segments_cap;
};

static ssize_t (*_Atomic write_hook)(int fd, const void *bytes, size_t n_bytes, off_t at);

void journal_set_write_hook(ssize_t (*hook)(int fd, const void *bytes, size_t n_bytes, off_t at))
{
    write_hook = hook;
}

/* --- checksum ------------------------------------------------------------------------------- */

static uint32_t crc_table[8][256];

static void crc_prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++) {
            c = (c >> 1) ^ ((c & 1) ? 0x82F63B78u : 0);
        }
        crc_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            uint32_t before = crc_table[k - 1][i];

            crc_table[k][i] = (before >> 8) ^ crc_table[0][before & 0xFF];
        }
    }
}

static void crc_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, crc_prepare);
}

/* CRC-32C (Castagnoli, reflected), eight bytes a step. */
static uint32_t crc_add(uint32_t crc, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t lo;

        memcpy(&lo, p, 4);
        lo ^= crc;
        crc = crc_table[7][lo & 0xFF] ^ crc_table[6][(lo >> 8) & 0xFF] ^
              crc_table[5][(lo >> 16) & 0xFF] ^ crc_table[4][lo >> 24] ^ crc_table[3][p[4]] ^
              crc_table[2][p[5]] ^ crc_table[1][p[6]] ^ crc_table[0][p[7]];
    }
    for (; n > 0; p++, n--) {
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *p) & 0xFF];
    }
    return crc;
}

/* `record` points at RECORD_BYTES + payload bytes. */
static uint32_t record_crc(uint64_t nonce, uint64_t offset, const unsigned char *record,
                           size_t n_payload)
{
    unsigned char place[16];
    uint32_t crc = 0xFFFFFFFFu;

    memcpy(place, &nonce, 8);
    memcpy(place + 8, &offset, 8);
    crc = crc_add(crc, place, sizeof(place));
    crc = crc_add(crc, record, 8);
    crc = crc_add(crc, record + RECORD_BYTES, n_payload);
    return ~crc;
}

/* --- files ---------------------------------------------------------------------------------- */

static enum status segment_path(const char *folder, uint32_t number, char ret_path[PATH_BYTES])
{
    int n = snprintf(ret_path, PATH_BYTES, "%s/" NAME_PREFIX "%0*u", folder, NAME_DIGITS, number);

    return n > 0 && n < PATH_BYTES ? OK : E_LIMIT;
}

static bool segment_number(const char *name, uint32_t *ret_number)
{
    struct str s = str_from_c(name);
    uint64_t number;

    if (!str_starts(s, STR(NAME_PREFIX)) || s.len != sizeof(NAME_PREFIX) - 1 + NAME_DIGITS) {
        return false;
    }
    if (str_to_u64(str_slice(s, sizeof(NAME_PREFIX) - 1, s.len), &number) != OK || number == 0 ||
        number >= UINT32_MAX) {
        return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

enum status journal_list(const char *folder, uint32_t **ret_segments, uint32_t *ret_n,
                         struct error *err)
{
    DIR *dir = opendir(folder);
    uint32_t *numbers = malloc(JOURNAL_SEGMENTS_MAX * sizeof(*numbers));
    uint32_t n = 0;
    enum status rc = OK;

    if (dir == NULL) {
        rc = error_set(err, E_IO, "cannot read the folder %s: %s", folder, strerror(errno));
        goto out;
    }
    if (numbers == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory to list the journal");
        goto out;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        uint32_t number;

        if (!segment_number(e->d_name, &number)) {
            continue;
        }
        if (n == JOURNAL_SEGMENTS_MAX) {
            rc = error_set(err, E_LIMIT, "%s holds more than %d journal segments", folder,
                           JOURNAL_SEGMENTS_MAX);
            goto out;
        }
        numbers[n++] = number;
    }
    qsort(numbers, n, sizeof(*numbers), compare_numbers);
    *ret_segments = numbers;
    *ret_n = n;
    numbers = NULL;
out:
    if (dir != NULL) {
        closedir(dir);
    }
    free(numbers);
    return rc;
}

enum status journal_remove(const char *folder, uint32_t segment, struct error *err)
{
    char path[PATH_BYTES];

    if (segment_path(folder, segment, path) != OK) {
        return error_set(err, E_LIMIT, "the path %s is too long", folder);
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return error_set(err, E_IO, "cannot remove %s: %s", path, strerror(errno));
    }
    return OK;
}

enum status journal_set_aside(const char *folder, uint32_t segment, struct error *err)
{
    char path[PATH_BYTES];
    char aside[PATH_BYTES + 16];

    if (segment_path(folder, segment, path) != OK) {
        return error_set(err, E_LIMIT, "the path %s is too long", folder);
    }
    snprintf(aside, sizeof(aside), "%s.damaged", path);
    if (rename(path, aside) != 0) {
        return error_set(err, E_IO, "cannot rename %s: %s", path, strerror(errno));
    }
    return OK;
}

static enum status sync_folder(const char *folder, struct error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;

    if (!good) {
        error_set(err, E_IO, "cannot sync the folder %s: %s", folder, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return good ? OK : E_IO;
}

/* --- writing -------------------------------------------------------------------------------- */

enum status journal_create(const char *folder, uint64_t segment_bytes, struct journal **ret_journal,
                           struct error *err)
{
    uint32_t *existing = NULL;
    uint32_t n_existing = 0;
    struct journal *j;
    enum status rc = journal_list(folder, &existing, &n_existing, err);

    if (rc != OK) {
        return rc;
    }
    crc_ready();
    j = calloc(1, sizeof(*j));
    if (j != NULL) {
        j->folder = strdup(folder);
    }
    if (j == NULL || j->folder == NULL) {
        free(j);
        free(existing);
        return error_set(err, E_NO_MEMORY, "no memory for the journal");
    }
    j->segment_bytes = segment_bytes == 0 ? SEGMENT_BYTES_DEFAULT : segment_bytes;
    if (j->segment_bytes > JOURNAL_SEGMENT_BYTES_MAX / 2) {
        j->segment_bytes = JOURNAL_SEGMENT_BYTES_MAX / 2;
    }
    j->fd = -1;
    j->next = n_existing == 0 ? 1 : existing[n_existing - 1] + 1;
    free(existing);
    *ret_journal = j;
    return OK;
}

void journal_destroy(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    journal_stop(j);
    free(j->segments);
    free(j->folder);
    free(j);
}

static enum status write_at(struct journal *j, const void *bytes, size_t n_bytes, off_t at,
                            struct error *err)
{
    ssize_t (*hook)(int, const void *, size_t, off_t) = write_hook;
    ssize_t n;

    do {
        n = hook == NULL ? pwrite(j->fd, bytes, n_bytes, at) : hook(j->fd, bytes, n_bytes, at);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)n_bytes) {
        return OK;
    }
    /* What a short write left is overwritten by the next record; that it is not a record the
     * checksum says, so a failing truncation changes nothing. */
    if (n < 0 && errno != ENOSPC && errno != EDQUOT) {
        return error_set(err, E_IO, "cannot write the journal in %s: %s", j->folder,
                         strerror(errno));
    }
    if (n > 0 && ftruncate(j->fd, at) != 0) {
        errno = ENOSPC; // as said above
    }
    return error_set(err, E_IO,
                     "cannot write the journal in %s: the disk is full; requests are refused until "
                     "there is room",
                     j->folder);
}

static enum status add_segment(struct journal *j, struct error *err)
{
    if (j->n_segments == j->segments_cap) {
        uint32_t cap = j->segments_cap == 0 ? 16 : j->segments_cap * 2;
        struct segment *grown;

        if (j->n_segments >= JOURNAL_SEGMENTS_MAX) {
            return error_set(err, E_IO, "more than %d journal segments wait for the database",
                             JOURNAL_SEGMENTS_MAX);
        }
        grown = realloc(j->segments, cap * sizeof(*grown));
        if (grown == NULL) {
            return error_set(err, E_NO_MEMORY, "no memory for a journal segment");
        }
        j->segments = grown;
        j->segments_cap = cap;
    }
    j->segments[j->n_segments++] = (struct segment){.number = j->next++};
    return OK;
}

/* Records are copied into a shared mapping: no system call, and the kernel keeps what a killed
 * process has stored.  The file gets all its blocks before, so that a full disk is an error here
 * and never a signal later.  OK with j->map NULL: this file system cannot, pwrite it is. */
static enum status map_segment(struct journal *j, struct error *err)
{
    const size_t n_bytes = MAP_BYTES(j->segment_bytes);
    void *map;
    int rc;

    if (write_hook != NULL) {
        return OK;
    }
    do {
        rc = posix_fallocate(j->fd, 0, (off_t)n_bytes);
    } while (rc == EINTR);
    if (rc == ENOSPC || rc == EFBIG || rc == EDQUOT || rc == EIO) {
        return error_set(err, E_IO, "cannot write the journal in %s: %s", j->folder, strerror(rc));
    }
    if (rc == 0) {
        map = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd, 0);
        j->map = map == MAP_FAILED ? NULL : map;
    }
    return OK;
}

static enum status open_segment(struct journal *j, bool sync, struct error *err)
{
    unsigned char header[HEADER_BYTES];
    char path[PATH_BYTES];
    uint64_t nonce = rng_from_system();
    enum status rc;

    if (segment_path(j->folder, j->next, path) != OK) {
        return error_set(err, E_IO, "the path %s is too long", j->folder);
    }
    j->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (j->fd < 0) {
        return error_set(err, E_IO, "cannot create %s: %s", path, strerror(errno));
    }
    memcpy(header, file_magic, 8);
    memcpy(header + 8, &nonce, 8);
    memcpy(header + 16, &nonce, 8);
    rc = write_at(j, header, sizeof(header), 0, err);
    if (rc == OK) {
        rc = map_segment(j, err);
    }
    if (rc == OK && sync) {
        rc = sync_folder(j->folder, err);
    }
    if (rc == OK) {
        rc = add_segment(j, err);
    }
    j->nonce = nonce;
    j->end = HEADER_BYTES;
    if (rc != OK) {
        journal_stop(j);
        unlink(path);
        return E_IO;
    }
    return OK;
}

enum status journal_append(struct journal *j, uint8_t type, struct str payload, bool sync,
                           uint32_t *ret_segment, struct error *err)
{
    unsigned char record[RECORD_BYTES + JOURNAL_PAYLOAD_MAX];
    size_t n_bytes = RECORD_BYTES + payload.len;
    const uint16_t magic = RECORD_MAGIC;
    uint32_t n_payload;
    uint32_t crc;
    enum status rc;

    CHECK(type != 0 && payload.len > 0 && payload.len <= JOURNAL_PAYLOAD_MAX);
    if (j->fd >= 0 && j->end + n_bytes > j->segment_bytes) {
        journal_stop(j);
    }
    if (j->fd < 0) {
        rc = open_segment(j, sync, err);
        if (rc != OK) {
            return rc;
        }
    }
    n_payload = (uint32_t)payload.len;
    memcpy(record, &magic, 2);
    record[2] = type;
    record[3] = 0;
    memcpy(record + 4, &n_payload, 4);
    memcpy(record + RECORD_BYTES, payload.ptr, payload.len);
    crc = record_crc(j->nonce, j->end, record, payload.len);
    memcpy(record + 8, &crc, 4);
    if (j->map != NULL && write_hook == NULL) {
        memcpy(j->map + j->end, record, n_bytes);
    } else {
        rc = write_at(j, record, n_bytes, (off_t)j->end, err);
        if (rc != OK) {
            return rc;
        }
    }
    if (sync && fdatasync(j->fd) != 0) {
        error_set(err, E_IO, "cannot sync the journal in %s: %s", j->folder, strerror(errno));
        /* The record was refused, so it must not be found; and after a failed sync nobody knows
         * what is on the disk: never append to this file again. */
        if (ftruncate(j->fd, (off_t)j->end) != 0) {
            errno = EIO; // a replay books the refused request as an estimate then
        }
        journal_stop(j);
        return E_IO;
    }
    j->end += n_bytes;
    j->segments[j->n_segments - 1].n_holds++;
    *ret_segment = j->segments[j->n_segments - 1].number;
    return OK;
}

void journal_release(struct journal *j, uint32_t segment)
{
    /* The newest are asked for most. */
    for (uint32_t i = j->n_segments; i-- > 0;) {
        if (j->segments[i].number == segment) {
            CHECK(j->segments[i].n_holds > 0);
            j->segments[i].n_holds--;
            return;
        }
    }
    CHECK(!"a segment that was never held");
}

void journal_stop(struct journal *j)
{
    if (j->map != NULL) {
        munmap(j->map, MAP_BYTES(j->segment_bytes));
        j->map = NULL;
        if (ftruncate(j->fd, (off_t)j->end) != 0) {
            // the zeros stay; reading knows them
        }
    }
    if (j->fd >= 0) {
        close(j->fd);
        j->fd = -1;
    }
}

uint32_t journal_take_done(struct journal *j, uint32_t *ret_segments, uint32_t max)
{
    uint32_t n = 0;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < j->n_segments; i++) {
        bool current = i + 1 == j->n_segments && j->fd >= 0;

        if (j->segments[i].n_holds == 0 && !current && n < max) {
            ret_segments[n++] = j->segments[i].number;
        } else {
            j->segments[kept++] = j->segments[i];
        }
    }
    j->n_segments = kept;
    return n;
}

/* --- reading -------------------------------------------------------------------------------- */

/* Bytes of the record at `at`, or 0 when there is no valid one. */
static size_t record_at(struct str bytes, size_t at, uint64_t nonce)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr + at;
    uint16_t magic;
    uint32_t n_payload;
    uint32_t crc;

    if (bytes.len - at < RECORD_BYTES) {
        return 0;
    }
    memcpy(&magic, p, 2);
    memcpy(&n_payload, p + 4, 4);
    memcpy(&crc, p + 8, 4);
    if (magic != RECORD_MAGIC || p[2] == 0 || p[3] != 0 || n_payload == 0 ||
        n_payload > JOURNAL_PAYLOAD_MAX || bytes.len - at - RECORD_BYTES < n_payload) {
        return 0;
    }
    return record_crc(nonce, at, p, n_payload) == crc ? RECORD_BYTES + n_payload : 0;
}

/* The nonce stands twice: one flipped bit must not cost a whole segment. */
static uint64_t header_nonce(struct str bytes, struct journal_scan *scan)
{
    uint64_t first;
    uint64_t second;

    memcpy(&first, bytes.ptr + 8, 8);
    memcpy(&second, bytes.ptr + 16, 8);
    if (memcmp(bytes.ptr, file_magic, 8) != 0 || first != second) {
        scan->n_damaged++;
        scan->damaged_bytes += HEADER_BYTES;
    }
    return record_at(bytes, HEADER_BYTES, first) != 0 ? first : second;
}

/* Room that was made and not used. */
static bool is_blank(struct str bytes)
{
    size_t i = 0;

    while (i < bytes.len && bytes.ptr[i] == 0) {
        i++;
    }
    return i == bytes.len;
}

enum status journal_read_bytes(struct str bytes, const struct journal_reader *reader,
                               struct journal_scan *scan)
{
    uint64_t nonce;
    size_t at = HEADER_BYTES;

    crc_ready();
    scan->n_segments++;
    if (bytes.len < HEADER_BYTES) { // the process died while it made the file
        scan->n_torn += bytes.len > 0;
        return OK;
    }
    nonce = header_nonce(bytes, scan);
    while (at < bytes.len) {
        size_t next = at;
        size_t n = record_at(bytes, at, nonce);

        while (n == 0 && next < bytes.len) {
            next++;
            n = next < bytes.len ? record_at(bytes, next, nonce) : 0;
        }
        if (n == 0 && is_blank(str_slice(bytes, at, bytes.len))) {
            return OK;
        }
        if (n == 0) {
            /* A record cut short lies whole within one record's length, and a file whose nonce is
             * damaged has no valid record at all. */
            if (bytes.len - at > RECORD_BYTES + JOURNAL_PAYLOAD_MAX) {
                scan->n_damaged++;
                scan->damaged_bytes += bytes.len - at;
            } else {
                scan->n_torn++;
            }
            return OK;
        }
        if (next != at) {
            scan->n_damaged++;
            scan->damaged_bytes += next - at;
        }
        scan->n_records++;
        {
            struct str payload = str_slice(bytes, next + RECORD_BYTES, next + n);
            enum status rc = reader->on_record(reader->user, (uint8_t)bytes.ptr[next + 2], payload);

            if (rc != OK) {
                return rc;
            }
        }
        at = next + n;
    }
    return OK;
}

static enum status read_whole(int fd, const char *path, size_t n_bytes, char **ret_bytes,
                              struct error *err)
{
    char *bytes = malloc(n_bytes + 1);
    size_t got = 0;

    if (bytes == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory to read %s", path);
    }
    while (got < n_bytes) {
        ssize_t n = read(fd, bytes + got, n_bytes - got);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            free(bytes);
            return error_set(err, E_IO, "cannot read %s: %s", path,
                             n < 0 ? strerror(errno) : "it became shorter");
        }
        got += (size_t)n;
    }
    *ret_bytes = bytes;
    return OK;
}

enum status journal_read_segment(const char *folder, uint32_t segment,
                                 const struct journal_reader *reader, struct journal_scan *scan,
                                 struct error *err)
{
    char path[PATH_BYTES];
    char *bytes = NULL;
    struct stat st;
    enum status rc;
    int fd;

    if (segment_path(folder, segment, path) != OK) {
        return error_set(err, E_LIMIT, "the path %s is too long", folder);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "cannot open %s: %s", path,
                         strerror(errno));
    }
    if (fstat(fd, &st) != 0) {
        rc = error_set(err, E_IO, "cannot look at %s: %s", path, strerror(errno));
    } else if ((uint64_t)st.st_size > JOURNAL_SEGMENT_BYTES_MAX) {
        rc = error_set(err, E_LIMIT, "%s has more than %u bytes, which no journal segment has",
                       path, JOURNAL_SEGMENT_BYTES_MAX);
    } else {
        rc = read_whole(fd, path, (size_t)st.st_size, &bytes, err);
    }
    close(fd);
    if (rc == OK) {
        rc = journal_read_bytes((struct str){bytes, (size_t)st.st_size}, reader, scan);
    }
    free(bytes);
    return rc;
}
