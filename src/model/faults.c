#include "model/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names come from files: a control character must not break the line or steer a terminal. */
static void append_line(struct buf *out, const char *prefix, const char *where, const char *text)
{
    const char *parts[] = {prefix, where, where[0] != '\0' ? ": " : "", text};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (const char *p = parts[i]; *p != '\0'; p++) {
            unsigned char byte = (unsigned char)*p;

            buf_append_byte(out, byte < 0x20 || byte == 0x7f ? '?' : *p);
        }
    }
    buf_append_byte(out, '\n');
}

void faults_init(struct faults *f, struct buf *lines)
{
    *f = (struct faults){.lines = lines, .first = {.status = OK}};
}

static void add_text(struct faults *f, enum status s, const char *where, const char *text)
{
    if (f->n_faults == 0) {
        (void)error_set(&f->first, s, "%s%s%s", where, where[0] != '\0' ? ": " : "", text);
    }
    f->n_faults++;
    if (f->n_faults <= FAULTS_LINES_MAX) {
        append_line(f->lines, "", where, text);
    } else if (f->n_faults == FAULTS_LINES_MAX + 1) {
        append_line(f->lines, "note: ", "", "more faults follow, they are only counted");
    }
}

void faults_add(struct faults *f, enum status s, const char *where, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    add_text(f, s, where, text);
}

void faults_add_error(struct faults *f, const char *where, const struct error *err)
{
    add_text(f, err->status, where, err->text);
}

void faults_note(struct faults *f, const char *where, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    f->n_notes++;
    if (f->n_notes <= FAULTS_LINES_MAX) {
        append_line(f->lines, "note: ", where, text);
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
