#include "app/explain_record.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LINE_ARENA_BYTES_MAX (16u << 20)

static enum status read_file(const char *path, struct buf *out, struct error *err)
{
    const int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0) {
        return error_set(err, E_IO, "%s cannot be opened: %s", path, strerror(errno));
    }
    while (n > 0) {
        char *room = buf_reserve(out, 1 << 20);

        n = room == NULL ? 0 : read(fd, room, 1 << 20);
        if (n > 0) {
            buf_commit(out, (size_t)n);
        }
    }
    close(fd);
    if (buf_status(out) != OK) {
        return error_set(err, buf_status(out), "%s is too large; pick the line you want out of it",
                         path);
    }
    return n < 0 ? error_set(err, E_IO, "%s cannot be read: %s", path, strerror(errno)) : OK;
}

/* A line of an access log that holds a record, of the wanted request if one is wanted. */
static bool is_wanted(const struct explain_record_where *w, struct str line, struct arena *arena)
{
    const struct json_value *root;
    struct error err;

    if (json_parse(arena, line, NULL, &root, &err) != OK) {
        return false;
    }
    if (json_get(root, STR("policy")) == NULL && json_get(root, STR("verdict")) == NULL) {
        return false;
    }
    return w->request_id == NULL ||
           str_eq(json_string_or(json_get(root, STR("id")), STR("")), str_from_c(w->request_id));
}

/* Where `kontor explain` may choose by itself there is one record only. */
static enum status pick_line(const struct explain_record_where *w, struct str text,
                             struct str *ret_line, struct error *err)
{
    struct arena *arena = arena_create(LINE_ARENA_BYTES_MAX);
    uint64_t number = 0;
    uint64_t n_found = 0;

    if (arena == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the lines");
    }
    for (size_t at = 0; at < text.len;) {
        const size_t end = str_find_byte(text, '\n', at);
        const struct str line = str_slice(text, at, end == SIZE_MAX ? text.len : end);

        number++;
        at += line.len + 1;
        arena_reset(arena);
        if (w->line != 0 ? number == w->line : is_wanted(w, line, arena)) {
            *ret_line = line;
            n_found++;
        }
    }
    arena_destroy(arena);
    if (n_found == 1) {
        return OK;
    }
    if (n_found == 0) {
        return error_set(err, E_NOT_FOUND, "%s has no such record (%llu lines)", w->record,
                         (unsigned long long)number);
    }
    return error_set(err, E_INVALID,
                     "%s holds %llu records that fit; choose one with --line N or --request ID",
                     w->record, (unsigned long long)n_found);
}

enum status explain_record_find(const struct explain_record_where *where, struct arena *arena,
                                struct policy_record *ret_record, struct error *err)
{
    struct str text = str_trim(str_from_c(where->record));
    struct buf file;
    enum status rc = OK;

    buf_init(&file, EXPLAIN_RECORD_FILE_BYTES_MAX);
    if (!str_starts(text, STR("{"))) {
        rc = read_file(where->record, &file, err);
        text = str_trim(buf_str(&file));
        /* One object over several lines is a record; else each line is looked at. */
        if (rc == OK && (where->line != 0 || where->request_id != NULL ||
                         policy_read_record(text, arena, ret_record, NULL) != OK)) {
            rc = pick_line(where, buf_str(&file), &text, err);
        }
    }
    rc = rc != OK ? rc : policy_read_record(text, arena, ret_record, err);
    buf_done(&file);
    return rc;
}
