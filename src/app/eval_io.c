#include "app/eval_io.h"
#include "base/buf.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORD_SHOWN_MAX 40
#define NPY_HEADER_BYTES 128 // magic, version, length and a padded dictionary; data starts aligned

static enum status read_file(const char *path, struct buf *out, struct error *err)
{
    FILE *f = fopen(path, "rbe");
    enum status rc = OK;

    if (f == NULL) {
        return error_set(err, errno == ENOENT ? E_NOT_FOUND : E_IO, "%s: %s", path,
                         strerror(errno));
    }
    while (rc == OK) {
        char part[16384];
        size_t got = fread(part, 1, sizeof(part), f);

        buf_append(out, part, got);
        if (ferror(f)) {
            rc = error_set(err, E_IO, "%s: cannot read: %s", path, strerror(errno));
        } else if (buf_status(out) != OK) {
            rc = error_set(err, buf_status(out), "%s: is larger than %zu bytes", path, out->max);
        } else if (got == 0) {
            break;
        }
    }
    (void)fclose(f);
    return rc;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* The word that begins at or after *at; empty at the end. */
static struct str next_word(struct str text, size_t *at)
{
    size_t begin = *at;
    size_t end;

    while (begin < text.len && is_blank(text.ptr[begin])) {
        begin++;
    }
    end = begin;
    while (end < text.len && !is_blank(text.ptr[end])) {
        end++;
    }
    *at = end;
    return str_slice(text, begin, end);
}

static enum status parse_ids(const char *path, struct str text, uint32_t vocab, int32_t *ids,
                             uint32_t *ret_n, struct error *err)
{
    uint32_t n = 0;
    size_t at = 0;

    for (;;) {
        struct str word = next_word(text, &at);
        uint64_t id;

        if (word.len == 0) {
            break;
        }
        if (str_to_u64(word, &id) != OK || id >= vocab) {
            struct str shown = str_slice(word, 0, WORD_SHOWN_MAX);

            return error_set(err, E_INVALID,
                             "%s: word %" PRIu32
                             " is \"%.*s\", but must be a token id from 0 to %" PRIu32,
                             path, n + 1, STR_ARG(shown), vocab - 1);
        }
        ids[n++] = (int32_t)id;
    }
    if (n == 0) {
        return error_set(err, E_INVALID, "%s: holds no token id", path);
    }
    *ret_n = n;
    return OK;
}

enum status eval_io_read_ids(const char *path, uint32_t vocab, int32_t **ret_ids,
                             uint32_t *ret_n_ids, struct error *err)
{
    struct buf text;
    int32_t *ids = NULL;
    enum status rc;

    buf_init(&text, EVAL_IO_IDS_BYTES_MAX);
    rc = read_file(path, &text, err);
    if (rc != OK) {
        goto out;
    }
    ids = malloc((text.len / 2 + 1) * sizeof(*ids)); // a word and a blank take two bytes
    if (ids == NULL) {
        rc = error_set(err, E_NO_MEMORY, "%s: no memory", path);
        goto out;
    }
    rc = parse_ids(path, buf_str(&text), vocab, ids, ret_n_ids, err);
    if (rc == OK) {
        *ret_ids = ids;
        ids = NULL;
    }
out:
    free(ids);
    buf_done(&text);
    return rc;
}

enum status eval_io_create_npy(const char *path, uint32_t n_rows, uint32_t n_cols, FILE **ret_file,
                               struct error *err)
{
    static const unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    unsigned char header[NPY_HEADER_BYTES];
    size_t text_bytes = sizeof(header) - sizeof(magic) - 2;
    char text[NPY_HEADER_BYTES];
    FILE *f = fopen(path, "wbe");
    int n;

    if (f == NULL) {
        return error_set(err, E_IO, "%s: cannot create: %s", path, strerror(errno));
    }
    n = snprintf(text, sizeof(text),
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu32 ", %" PRIu32 "), }",
                 n_rows, n_cols);
    memset(header, ' ', sizeof(header));
    memcpy(header, magic, sizeof(magic));
    header[sizeof(magic)] = (unsigned char)text_bytes;
    header[sizeof(magic) + 1] = 0;
    memcpy(header + sizeof(magic) + 2, text, (size_t)n);
    header[sizeof(header) - 1] = '\n';
    if (fwrite(header, 1, sizeof(header), f) != sizeof(header)) {
        (void)fclose(f);
        return error_set(err, E_IO, "%s: cannot write: %s", path, strerror(errno));
    }
    *ret_file = f;
    return OK;
}

enum status eval_io_write(FILE *f, const char *path, const float *values, size_t n,
                          struct error *err)
{
    if (fwrite(values, sizeof(*values), n, f) != n) {
        return error_set(err, E_IO, "%s: cannot write: %s", path, strerror(errno));
    }
    return OK;
}

enum status eval_io_close(FILE *f, const char *path, struct error *err)
{
    if (f != NULL && fclose(f) != 0) {
        return error_set(err, E_IO, "%s: cannot write: %s", path, strerror(errno));
    }
    return OK;
}
