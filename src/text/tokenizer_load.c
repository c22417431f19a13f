/* tokenizer_load.c - which files of a checkpoint folder hold the tokenizer, and reading them. */
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)256 << 20) // the largest published file has 20 MB
#define READ_BYTES ((size_t)1 << 20)

/* Append the file to `out`.  Errors: NOT_FOUND (no text in err), IO, LIMIT, NO_MEMORY. */
static enum status read_file(const char *dir, const char *name, struct buf *out, struct error *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f;
    size_t got;

    if (n < 0 || (size_t)n >= sizeof(path)) {
        return error_set(err, E_INVALID, "The path of the model folder is too long.");
    }
    f = fopen(path, "rbe");
    if (f == NULL && (errno == ENOENT || errno == ENOTDIR)) {
        return E_NOT_FOUND;
    }
    if (f == NULL) {
        return error_set(err, E_IO, "%s cannot be opened: %s.", path, strerror(errno));
    }
    do {
        char *to = buf_reserve(out, READ_BYTES);

        if (to == NULL) {
            break;
        }
        got = fread(to, 1, READ_BYTES, f);
        buf_commit(out, got);
    } while (got > 0);
    if (ferror(f)) {
        int code = errno;

        fclose(f);
        return error_set(err, E_IO, "%s cannot be read: %s.", path, strerror(code));
    }
    fclose(f);
    if (buf_status(out) != OK) {
        return error_set(err, buf_status(out), "%s is larger than %zu MiB, or memory is short.",
                         path, FILE_BYTES_MAX >> 20);
    }
    return OK;
}

static enum status load_ranks(const char *dir, struct buf *ranks, struct buf *config,
                              struct tokenizer **ret_tok, struct error *err)
{
    enum status rc = read_file(dir, TOKENIZER_RANKS_NAME, ranks, err);

    if (rc == E_NOT_FOUND) {
        return error_set(err, rc,
                         "%s has neither %s nor %s; copy the tokenizer files of the model there.",
                         dir, TOKENIZER_JSON_NAME, TOKENIZER_RANKS_NAME);
    }
    if (rc != OK) {
        return rc;
    }
    rc = read_file(dir, TOKENIZER_CONFIG_NAME, config, err);
    if (rc == E_NOT_FOUND) {
        return error_set(err, rc, "%s has %s but no %s, which names the special tokens.", dir,
                         TOKENIZER_RANKS_NAME, TOKENIZER_CONFIG_NAME);
    }
    if (rc != OK) {
        return rc;
    }
    return tokenizer_parse_ranks(buf_str(ranks), buf_str(config), ret_tok, err);
}

enum status tokenizer_load(const char *dir, struct tokenizer **ret_tok, struct error *err)
{
    struct buf text;
    struct buf config;
    enum status rc;

    buf_init(&text, FILE_BYTES_MAX + READ_BYTES);
    buf_init(&config, FILE_BYTES_MAX + READ_BYTES);
    rc = read_file(dir, TOKENIZER_JSON_NAME, &text, err);
    if (rc == OK) {
        rc = tokenizer_parse(buf_str(&text), ret_tok, err);
    } else if (rc == E_NOT_FOUND) {
        rc = load_ranks(dir, &text, &config, ret_tok, err);
    }
    buf_done(&text);
    buf_done(&config);
    return rc;
}
