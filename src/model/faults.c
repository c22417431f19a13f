#include "model/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names come from files: a control character must neither break the line nor steer a terminal.  The
 * C1 controls U+0080 ... U+009F count as well. */
static void clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        } else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
            p[0] = '?';
            p[1] = '?';
        }
    }
}

/* "where: text" or, with an empty `where`, "text"; cut when too long. */
static void make_line(char line[ERROR_TEXT_MAX], const char *where, const char *text)
{
    struct error joined;

    (void)error_set(&joined, OK, "%s%s%s", where, where[0] != '\0' ? ": " : "", text);
    memcpy(line, joined.text, ERROR_TEXT_MAX);
    clean(line);
}

void faults_init(struct faults *f, struct buf *lines)
{
    *f = (struct faults){.lines = lines, .first = {.status = OK}};
}

static void add_line(struct faults *f, enum status s, const char *line)
{
    if (f->n_faults == 0) {
        (void)error_set(&f->first, s, "%s", line);
    }
    f->n_faults++;
    if (f->n_faults <= FAULTS_LINES_MAX) {
        buf_printf(f->lines, "%s\n", line);
    } else if (f->n_faults == FAULTS_LINES_MAX + 1) {
        buf_append_c(f->lines, "note: more faults follow, they are only counted\n");
    }
}

void faults_add(struct faults *f, enum status s, const char *where, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    char line[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    make_line(line, where, text);
    add_line(f, s, line);
}

void faults_add_error(struct faults *f, const char *where, const struct error *err)
{
    faults_add(f, err->status, where, "%s", err->text);
}

void faults_note(struct faults *f, const char *where, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    char line[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    make_line(line, where, text);
    f->n_notes++;
    if (f->n_notes <= FAULTS_LINES_MAX) {
        buf_printf(f->lines, "note: %s\n", line);
    }
}

enum status faults_status(const struct faults *f, const char *folder, struct error *err)
{
    if (f->n_faults == 0) {
        return OK;
    }
    if (f->n_faults == 1) {
        return error_set(err, f->first.status, "%s: %s", folder, f->first.text);
    }
    return error_set(err, f->first.status, "%s: %u faults, the first: %s", folder, f->n_faults,
                     f->first.text);
}
