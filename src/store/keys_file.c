/* Editing: records in memory, the file replaced as a whole. */
#include "store/keys_file.h"
#include "base/check.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "store/keys_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARENA_BYTES_MAX ((size_t)1 << 30)
#define LOCK_STEP_MS 20
#define PATH_BYTES_MAX 4096
#define ID_CHARS 12

struct keys_file {
    struct arena *arena; // owned
    char *path;          // owned
    int lock_fd;
    struct keys_table table;
    uint32_t cap; // records there is room for
};

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* --- random texts --- */

static void draw(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const uint64_t v = rng_from_system();

        memcpy(bytes + i, &v, n - i < 8 ? n - i : 8);
    }
}

/* Big-endian number to base 62, most significant first. */
static void to_base62(uint8_t number[HASH_SHA256_BYTES], char *ret_text, size_t n_chars)
{
    for (size_t i = n_chars; i-- > 0;) {
        uint32_t rest = 0;

        for (size_t k = 0; k < HASH_SHA256_BYTES; k++) {
            const uint32_t v = rest << 8 | number[k];

            number[k] = (uint8_t)(v / 62);
            rest = v % 62;
        }
        ret_text[i] = digits[rest];
    }
}

static void make_key(char ret_key[KEYS_KEY_CHARS + 1])
{
    const struct str prefix = STR(KEYS_PREFIX);
    uint8_t random[HASH_SHA256_BYTES];

    draw(random, sizeof(random));
    memcpy(ret_key, prefix.ptr, prefix.len);
    to_base62(random, ret_key + prefix.len, KEYS_BODY_CHARS);
    keys_checksum((struct str){ret_key, prefix.len + KEYS_BODY_CHARS},
                  ret_key + prefix.len + KEYS_BODY_CHARS);
    ret_key[KEYS_KEY_CHARS] = '\0';
}

/* --- owners --- */

static enum status folder_of(const char *path, char ret_folder[PATH_BYTES_MAX])
{
    const char *slash = strrchr(path, '/');
    int n = slash == NULL
                ? snprintf(ret_folder, PATH_BYTES_MAX, ".")
                : snprintf(ret_folder, PATH_BYTES_MAX, "%.*s", (int)(slash - path + 1), path);

    return n > 0 && n < PATH_BYTES_MAX ? OK : E_INVALID;
}

/* The gateway runs as a user of its own and must be able to read what root edits: files keep the
 * owner of the key file, a first one gets the folder's. */
static enum status keep_owner(const char *path, int fd, struct error *err)
{
    char folder[PATH_BYTES_MAX];
    struct stat st;
    const bool is_there = stat(path, &st) == 0;

    if (geteuid() != 0) {
        return !is_there || st.st_uid == geteuid()
                   ? OK
                   : error_set(
                         err, E_DENIED,
                         "the file belongs to another user (id %u); run this as that user, or "
                         "the gateway could not read it any more",
                         (unsigned)st.st_uid);
    }
    if (!is_there && (folder_of(path, folder) != OK || stat(folder, &st) != 0)) {
        return OK; // opening has failed, or will
    }
    if (fchown(fd, st.st_uid, st.st_gid) != 0) {
        return error_set(err, E_IO, "the owner cannot be set: %s", strerror(errno));
    }
    return OK;
}

/* --- opening --- */

static enum status lock(struct keys_file *f, struct error *err)
{
    char path[PATH_BYTES_MAX];
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
    int n = snprintf(path, sizeof(path), "%s.lock", f->path);

    if (n < 0 || (size_t)n >= sizeof(path)) {
        return error_set(err, E_INVALID, "the path is too long");
    }
    f->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->lock_fd < 0) {
        return error_set(err, E_IO, "the lock %s cannot be opened: %s", path, strerror(errno));
    }
    for (int waited = 0; flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0; waited += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return error_set(err, E_IO, "%s cannot be locked: %s", path, strerror(errno));
        }
        if (waited >= KEYS_FILE_LOCK_WAIT_MS) {
            return error_set(err, E_BUSY,
                             "another `kontor keys` holds the lock %s; try again when it is done",
                             path);
        }
        nanosleep(&step, NULL);
    }
    return keep_owner(f->path, f->lock_fd, err);
}

static enum status read_existing(struct keys_file *f, struct error *err)
{
    struct buf text;
    enum status rc;

    buf_init(&text, KEYS_FILE_BYTES_MAX);
    rc = keys_read_file(f->path, &text, err);
    if (rc == E_NOT_FOUND) {
        draw(f->table.hash_key, sizeof(f->table.hash_key));
        rc = OK;
    } else if (rc == OK) {
        rc = keys_read(buf_str(&text), f->arena, &f->table, err);
        f->cap = f->table.n_records;
    }
    buf_done(&text);
    return rc;
}

enum status keys_file_open(const char *path, struct keys_file **ret_file, struct error *err)
{
    struct keys_file *f = calloc(1, sizeof(*f));
    enum status rc = OK;

    if (f == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the key file");
    }
    f->lock_fd = -1;
    f->path = strdup(path);
    f->arena = arena_create(ARENA_BYTES_MAX);
    if (f->path == NULL || f->arena == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory for the key file");
    }
    rc = rc != OK ? rc : lock(f, err);
    rc = rc != OK ? rc : read_existing(f, err);
    if (rc != OK) {
        keys_file_close(f);
        return error_prefix(err, rc, "%s", path);
    }
    *ret_file = f;
    return OK;
}

void keys_file_close(struct keys_file *f)
{
    if (f == NULL) {
        return;
    }
    if (f->lock_fd >= 0) {
        close(f->lock_fd); // unlocks; the lock file stays, or two editors could hold different ones
    }
    arena_destroy(f->arena);
    free(f->path);
    free(f);
}

/* --- edits --- */

static struct keys_record *find(struct keys_file *f, struct str id)
{
    for (uint32_t i = 0; i < f->table.n_records; i++) {
        if (str_eq(f->table.records[i].key.id, id)) {
            return &f->table.records[i];
        }
    }
    return NULL;
}

static enum status not_found(struct str id, struct error *err)
{
    return error_set(err, E_NOT_FOUND,
                     "there is no key with the id \"%.*s\"; `kontor keys list` prints the ids",
                     STR_ARG(str_slice(id, 0, 64)));
}

/* The next record, zeroed; the array doubles, what was there stays in the arena. */
static struct keys_record *grow(struct keys_file *f)
{
    struct keys_table *t = &f->table;

    if (t->n_records == f->cap) {
        const uint32_t cap = f->cap < 8 ? 16 : 2 * f->cap;
        struct keys_record *more = arena_zalloc(f->arena, cap, sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        if (t->n_records > 0) {
            memcpy(more, t->records, t->n_records * sizeof(*more));
        }
        t->records = more;
        f->cap = cap;
    }
    memset(&t->records[t->n_records], 0, sizeof(*t->records));
    return &t->records[t->n_records];
}

static enum status copy_text(struct keys_file *f, struct str text, struct str *ret_copy,
                             struct error *err)
{
    if (text.len > KEYS_TEXT_BYTES_MAX) {
        return error_set(err, E_LIMIT, "\"%.*s...\" is too long: names have at most %d bytes",
                         STR_ARG(str_slice(text, 0, 32)), KEYS_TEXT_BYTES_MAX);
    }
    if (!utf8_valid(text)) {
        return error_set(err, E_INVALID, "a name is not valid UTF-8");
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7F) {
            return error_set(err, E_INVALID, "a name has a control character");
        }
    }
    return arena_dup(f->arena, text, ret_copy);
}

static enum status copy_list(struct keys_file *f, const struct str *list, uint32_t n,
                             const struct str **ret_list, struct error *err)
{
    struct str *copy = arena_zalloc(f->arena, n, sizeof(*copy));
    enum status rc = OK;

    if (copy == NULL) {
        return E_NO_MEMORY;
    }
    if (n > KEYS_SCOPE_MAX) {
        return error_set(err, E_LIMIT, "a scope has at most %d names", KEYS_SCOPE_MAX);
    }
    for (uint32_t i = 0; rc == OK && i < n; i++) {
        rc = list[i].len > 0 ? copy_text(f, list[i], &copy[i], err)
                             : error_set(err, E_INVALID, "a name in a scope is empty");
    }
    *ret_list = copy;
    return rc;
}

static enum status new_id(struct keys_file *f, struct str *ret_id)
{
    char id[2 + ID_CHARS];

    memcpy(id, "k_", 2);
    do {
        uint8_t random[HASH_SHA256_BYTES];

        draw(random, sizeof(random));
        to_base62(random, id + 2, ID_CHARS);
    } while (find(f, (struct str){id, sizeof(id)}) != NULL);
    return arena_dup(f->arena, (struct str){id, sizeof(id)}, ret_id);
}

enum status keys_file_create(struct keys_file *f, const struct keys_key *wanted, int64_t now_s,
                             char ret_key[KEYS_KEY_CHARS + 1], struct str *ret_id,
                             struct error *err)
{
    struct keys_record *r;
    struct keys_key *key;
    enum status rc;

    if (f->table.n_records >= KEYS_MAX) {
        return error_set(err, E_LIMIT, "a key file holds at most %d keys", KEYS_MAX);
    }
    r = grow(f);
    if (r == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the key");
    }
    key = &r->key;
    *key = *wanted;
    key->created_s = now_s;
    key->revoked = false;
    rc = copy_text(f, wanted->name, &key->name, err);
    rc = rc != OK ? rc : copy_text(f, wanted->team, &key->team, err);
    rc = rc != OK ? rc : copy_list(f, wanted->models, wanted->n_models, &key->models, err);
    rc = rc != OK ? rc : copy_list(f, wanted->pools, wanted->n_pools, &key->pools, err);
    rc = rc != OK ? rc : new_id(f, &key->id);
    r->secrets = arena_zalloc(f->arena, 1, sizeof(*r->secrets));
    if (rc == E_NO_MEMORY || (rc == OK && r->secrets == NULL)) {
        return error_set(err, E_NO_MEMORY, "no memory for the key");
    }
    if (rc != OK) {
        return rc;
    }
    make_key(ret_key);
    keys_hash(f->table.hash_key, (struct str){ret_key, KEYS_KEY_CHARS}, r->secrets[0].hash);
    r->secrets[0].created_s = now_s;
    r->n_secrets = 1;
    f->table.n_records++;
    *ret_id = key->id;
    return OK;
}

/* The old secrets that still run, ended; how many. */
static uint32_t end_secrets(const struct keys_record *r, int64_t now_s, int64_t old_ends_s,
                            struct keys_secret *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < r->n_secrets; i++) {
        struct keys_secret s = r->secrets[i];

        if (s.ends_s == 0 || old_ends_s < s.ends_s) {
            s.ends_s = old_ends_s;
        }
        if (s.ends_s > now_s) {
            out[n++] = s;
        }
    }
    return n;
}

enum status keys_file_rotate(struct keys_file *f, struct str id, int64_t now_s, int64_t old_ends_s,
                             char ret_key[KEYS_KEY_CHARS + 1], struct error *err)
{
    struct keys_record *r = find(f, id);
    struct keys_secret *s;
    uint32_t n;

    if (r == NULL) {
        return not_found(id, err);
    }
    if (r->key.revoked) {
        return error_set(err, E_INVALID, "the key \"%.*s\" is revoked; create a new one",
                         STR_ARG(id));
    }
    s = arena_zalloc(f->arena, KEYS_SECRETS_MAX + 1, sizeof(*s));
    if (s == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the key");
    }
    n = end_secrets(r, now_s, old_ends_s, s + 1);
    if (n + 1 > KEYS_SECRETS_MAX) {
        return error_set(err, E_LIMIT,
                         "%u older secrets of \"%.*s\" still run; rotate with a shorter --overlap, "
                         "or wait for the first to end",
                         n, STR_ARG(id));
    }
    make_key(ret_key);
    keys_hash(f->table.hash_key, (struct str){ret_key, KEYS_KEY_CHARS}, s[0].hash);
    s[0].created_s = now_s;
    r->secrets = s;
    r->n_secrets = n + 1;
    return OK;
}

enum status keys_file_revoke(struct keys_file *f, struct str id, struct error *err)
{
    struct keys_record *r = find(f, id);

    if (r == NULL) {
        return not_found(id, err);
    }
    r->key.revoked = true;
    return OK;
}

/* --- saving --- */

static enum status write_all(int fd, struct str text)
{
    while (text.len > 0) {
        const ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno != EINTR) {
            return E_IO;
        }
        if (n > 0) {
            text = str_slice(text, (size_t)n, text.len);
        }
    }
    return OK;
}

/* A rename is safe when the folder is synced too. */
static enum status sync_folder(const char *path)
{
    char folder[PATH_BYTES_MAX];
    enum status rc = folder_of(path, folder);
    int fd;

    if (rc != OK) {
        return rc;
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return E_IO;
    }
    if (fsync(fd) != 0 && errno != EINVAL) { // EINVAL: this file system cannot
        rc = E_IO;
    }
    close(fd);
    return rc;
}

static enum status write_fresh(const char *path, const char *fresh, struct str text)
{
    enum status rc;
    int fd;

    (void)unlink(fresh); // left by an editor that was killed; we hold the lock
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return E_IO;
    }
    rc = keep_owner(path, fd, NULL);
    rc = rc != OK ? rc : write_all(fd, text);
    if (rc == OK && fsync(fd) != 0) {
        rc = E_IO;
    }
    if (close(fd) != 0 && rc == OK) {
        rc = E_IO;
    }
    return rc;
}

enum status keys_file_save(struct keys_file *f, struct error *err)
{
    char fresh[PATH_BYTES_MAX];
    struct buf text;
    enum status rc = E_IO;
    int n = snprintf(fresh, sizeof(fresh), "%s.fresh", f->path);

    buf_init(&text, KEYS_FILE_BYTES_MAX);
    keys_write(&f->table, &text);
    if (buf_status(&text) != OK) {
        rc = error_set(err, buf_status(&text), "%s: the file would be larger than %u bytes",
                       f->path, KEYS_FILE_BYTES_MAX);
    } else if (n > 0 && (size_t)n < sizeof(fresh)) {
        rc = write_fresh(f->path, fresh, buf_str(&text));
        if (rc == OK && rename(fresh, f->path) != 0) {
            rc = E_IO;
        }
        rc = rc != OK ? rc : sync_folder(f->path);
        if (rc != OK) {
            rc = error_set(err, rc, "%s cannot be replaced: %s", f->path, strerror(errno));
            (void)unlink(fresh);
        }
    } else {
        rc = error_set(err, E_INVALID, "the path is too long");
    }
    buf_done(&text);
    return rc;
}
