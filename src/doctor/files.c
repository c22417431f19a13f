#include "doctor/files.h"

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "doctor/files_internal.h"
#include "doctor/files_kinds.h"
#include "doctor/visible.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX 4096
#define VIEW_COLUMNS 80
#define VIEW_LINES_ALL 120 // longer files: only lines with a remark

struct str files_text(struct files_ctx *c, const char *fmt, ...)
{
    char text[TEXT_BYTES_MAX];
    struct str copied = STR("");
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < 0) {
        return copied;
    }
    if ((size_t)n >= sizeof(text)) {
        n = (int)sizeof(text) - 1;
    }
    if (arena_dup(c->arena, (struct str){text, (size_t)n}, &copied) != OK) {
        c->no_memory = true;
        return STR("");
    }
    return copied;
}

uint32_t files_line_of(const struct files_ctx *c, size_t at)
{
    uint32_t low = 0;
    uint32_t high = c->n_lines;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (c->line_at[mid] <= at) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low + 1;
}

struct str files_line(const struct files_ctx *c, uint32_t line)
{
    size_t begin = c->line_at[line - 1];
    size_t end = line < c->n_lines ? c->line_at[line] - 1 : c->text.len;

    end -= end > begin && c->text.ptr[end - 1] == '\n';
    return str_slice(c->text, begin, end);
}

static bool note(struct files_ctx *c, uint32_t line, enum files_note_kind kind, struct str id,
                 struct str text)
{
    for (uint32_t i = 0; i < c->n_notes; i++) {
        const struct files_note *n = &c->notes[i];

        if (n->line == line && n->kind == kind && str_eq(n->id, id) &&
            (kind == NOTE_WRONG || str_eq(n->text, text))) {
            return false;
        }
    }
    if (c->n_notes == FILES_NOTES_MAX) {
        return false;
    }
    c->notes[c->n_notes++] = (struct files_note){line, kind, id, text};
    return true;
}

static void add(struct files_ctx *c, size_t at, struct finding *f)
{
    f->state = FINDING_PROBLEM;
    f->line = files_line_of(c, at);
    f->file = c->path;
    f->evidence = str_trim(files_line(c, (uint32_t)f->line));
    if (note(c, (uint32_t)f->line, NOTE_WRONG, f->id, f->title)) {
        report_add(c->report, f);
    }
}

void files_wrong(struct files_ctx *c, size_t at, const char *id, struct str title, struct str cause,
                 struct str fix)
{
    struct finding f = {.grade = FINDING_CERTAIN,
                        .id = str_from_c(id),
                        .title = title,
                        .cause = cause,
                        .fix = fix};

    add(c, at, &f);
}

void files_likely(struct files_ctx *c, size_t at, const char *id, struct str title,
                  struct str cause, struct str fix, struct str confirm)
{
    struct finding f = {.grade = FINDING_LIKELY,
                        .id = str_from_c(id),
                        .title = title,
                        .cause = cause,
                        .fix = fix,
                        .confirm = confirm};

    add(c, at, &f);
}

void files_advise(struct files_ctx *c, size_t at, struct str text)
{
    note(c, files_line_of(c, at), NOTE_ADVICE, STR(""), text);
}

bool files_has(const struct files_ctx *c, const char *id)
{
    for (uint32_t i = 0; i < c->n_notes; i++) {
        if (c->notes[i].kind == NOTE_WRONG && str_eq(c->notes[i].id, str_from_c(id))) {
            return true;
        }
    }
    return false;
}

void files_replace(struct files_ctx *c, size_t begin, size_t end, struct str with)
{
    uint32_t i = c->n_edits;

    if (c->n_edits == FILES_EDITS_MAX || begin > end || end > c->text.len) {
        return;
    }
    for (uint32_t k = 0; k < c->n_edits; k++) {
        const struct files_edit *e = &c->edits[k];

        if ((begin < e->end && e->begin < end) || (begin == e->begin && end == e->end)) {
            return;
        }
    }
    while (i > 0 && c->edits[i - 1].begin > begin) { // sorted by place
        c->edits[i] = c->edits[i - 1];
        i--;
    }
    c->edits[i] = (struct files_edit){begin, end, with};
    c->n_edits++;
}

static void trim_end(struct buf *b, const char *bytes)
{
    while (b->len > 0 && strchr(bytes, b->ptr[b->len - 1]) != NULL) {
        b->len--;
    }
}

/* A line with marks of removal: without them; when nothing else is on it, it goes. */
static void close_gap(struct str line, struct buf *out)
{
    size_t before = out->len;
    struct str kept;

    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != '\x01') {
            buf_append_byte(out, line.ptr[i]);
        }
    }
    kept = str_trim((struct str){out->ptr + before, out->len - before});
    if (str_eq(kept, STR("\\"))) {
        out->len = before;
    } else if (kept.len == 0) { // the command ends with the line above
        out->len = before;
        trim_end(out, "\n ");
        if (out->len > 0 && out->ptr[out->len - 1] == '\\') {
            out->len--;
            trim_end(out, " ");
        }
        buf_append_c(out, out->len > 0 ? "\n" : "");
    }
}

/* Lines that a removal emptied go; so does the backslash that led to them. */
static void close_gaps(struct str text, struct buf *out)
{
    size_t at = 0;

    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at);
        size_t next = end == SIZE_MAX ? text.len : end + 1;
        struct str line = str_slice(text, at, next);

        if (str_find_byte(line, '\x01', 0) == SIZE_MAX) {
            buf_append_str(out, line);
        } else {
            close_gap(line, out);
        }
        at = next;
    }
}

void files_fixed_text(const struct files_ctx *c, struct buf *out)
{
    struct buf edited;
    size_t at = 0;

    buf_init(&edited, (size_t)FILES_BYTES_MAX * 2);
    for (uint32_t i = 0; i < c->n_edits; i++) {
        buf_append_str(&edited, str_slice(c->text, at, c->edits[i].begin));
        buf_append_str(&edited, c->edits[i].with);
        at = c->edits[i].end;
    }
    buf_append_str(&edited, str_slice(c->text, at, c->text.len));
    close_gaps(buf_str(&edited), out);
    buf_done(&edited);
}

uint32_t files_edit_count(const struct files_ctx *c)
{
    return c->n_edits;
}

enum files_kind files_kind_of(const struct files_ctx *c)
{
    return c->kind;
}

static MUST_USE enum status split_lines(struct files_ctx *c, struct error *err)
{
    uint32_t n = 1;

    for (size_t i = 0; i < c->text.len; i++) {
        n += c->text.ptr[i] == '\n';
        if (n > FILES_LINES_MAX) {
            return error_set(err, E_LIMIT, "%.*s has more than %d lines; that is no such file",
                             STR_ARG(c->path), FILES_LINES_MAX);
        }
    }
    c->line_at = arena_zalloc(c->arena, n, sizeof(*c->line_at));
    c->notes = arena_zalloc(c->arena, FILES_NOTES_MAX, sizeof(*c->notes));
    c->edits = arena_zalloc(c->arena, FILES_EDITS_MAX, sizeof(*c->edits));
    if (c->line_at == NULL || c->notes == NULL || c->edits == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    c->n_lines = 1;
    for (size_t i = 0; i < c->text.len; i++) {
        if (c->text.ptr[i] == '\n') {
            c->line_at[c->n_lines++] = (uint32_t)i + 1;
        }
    }
    if (c->n_lines > 1 && c->line_at[c->n_lines - 1] == c->text.len) {
        c->n_lines--; // no line behind the last line end
    }
    return OK;
}

static bool is_binary(struct str text)
{
    size_t odd = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.ptr[i];

        if (b == 0) {
            return true;
        }
        odd += b < 0x20 && b != '\n' && b != '\r' && b != '\t' && b != 0x1b;
    }
    return odd > 8 && odd > text.len / 50;
}

MUST_USE enum status files_check(struct arena *arena, struct str name, struct str text,
                                 struct report *report, struct files_ctx **ret_ctx,
                                 struct error *err)
{
    struct files_ctx *c = arena_zalloc(arena, 1, sizeof(*c));
    enum status rc;

    if (c == NULL) {
        return error_set(err, E_NO_MEMORY, "not enough memory");
    }
    if (text.len > FILES_BYTES_MAX) {
        return error_set(err, E_LIMIT, "%.*s is larger than %u MiB; that is no such file",
                         STR_ARG(name), FILES_BYTES_MAX >> 20);
    }
    if (is_binary(text)) {
        return error_set(err, E_INVALID, "%.*s is a binary file, not a text", STR_ARG(name));
    }
    if (str_trim(text).len == 0) {
        return error_set(err, E_INVALID, "%.*s is empty", STR_ARG(name));
    }
    *c = (struct files_ctx){.arena = arena, .report = report, .path = name, .text = text};
    c->kind = files_recognise(name, text);
    if (c->kind == FILES_UNKNOWN) {
        return error_set(err, E_INVALID,
                         "%.*s: cannot tell what this file is. Known are scripts (.sh, #!), "
                         "Dockerfile, Compose files, daemon.json, Kubernetes manifests and .env; "
                         "give it such a name",
                         STR_ARG(name));
    }
    rc = split_lines(c, err);
    if (rc == OK) {
        rc = files_kinds_check(c, err);
    }
    if (rc == OK && c->no_memory) {
        rc = error_set(err, E_NO_MEMORY, "not enough memory for %.*s", STR_ARG(name));
    }
    if (rc == OK) {
        *ret_ctx = c;
    }
    return rc;
}

/* The text of a line after the corrections, or "" when it goes or has none. */
static bool corrected_line(const struct files_ctx *c, uint32_t line, struct buf *out)
{
    struct str whole = files_line(c, line);
    size_t begin = c->line_at[line - 1];
    size_t end = begin + whole.len;
    size_t at = begin;
    bool any = false;

    for (uint32_t i = 0; i < c->n_edits; i++) {
        const struct files_edit *e = &c->edits[i];

        if (e->end < begin || e->begin > end || (e->begin == end && e->end > end + 1)) {
            continue;
        }
        any = true;
        if (e->begin > at) {
            buf_append_str(out, str_slice(c->text, at, e->begin));
        }
        if (e->begin >= begin) {
            buf_append_str(out, e->with);
        }
        at = e->end;
    }
    if (any && at < end) {
        buf_append_str(out, str_slice(c->text, at, end));
    }
    for (size_t i = 0; i < out->len; i++) {
        out->ptr[i] = out->ptr[i] == '\x01' ? ' ' : out->ptr[i];
    }
    return any;
}

static void append_cut(struct buf *out, struct str s, size_t columns)
{
    bool cut = s.len > columns;

    if (cut) {
        size_t n = columns - 3;

        while (n > 0 && ((unsigned char)s.ptr[n] & 0xc0) == 0x80) { // not inside a character
            n--;
        }
        s.len = n;
    }
    visible_append(out, s);
    buf_append_c(out, cut ? "..." : "");
}

/* What is said about one line. */
struct line_verdict {
    const struct files_note *wrong;  // first
    const struct files_note *advice; // first
    bool corrected;
    const char *word;
};

static struct line_verdict verdict_of(const struct files_ctx *c, uint32_t line, struct buf *now)
{
    struct line_verdict v = {0};

    for (uint32_t i = 0; i < c->n_notes; i++) {
        const struct files_note *n = &c->notes[i];

        if (n->line == line && n->kind == NOTE_WRONG && v.wrong == NULL) {
            v.wrong = n;
        }
        if (n->line == line && n->kind == NOTE_ADVICE && v.advice == NULL) {
            v.advice = n;
        }
    }
    buf_reset(now);
    v.corrected = corrected_line(c, line, now);
    v.word = v.corrected ? "translated" : v.wrong != NULL ? "wrong" : "kept";
    return v;
}

void files_print(const struct files_ctx *c, bool color, bool all, struct buf *out)
{
    struct buf now;

    buf_init(&now, FILES_BYTES_MAX);
    visible_append(out, c->path);
    buf_printf(out, ": %s, %u lines\n\n", files_kind_name(c->kind), c->n_lines);
    for (uint32_t i = 1; i <= c->n_lines; i++) {
        struct line_verdict v = verdict_of(c, i, &now);
        const char *paint = v.corrected ? "\033[33m" : v.wrong != NULL ? "\033[31m" : NULL;

        if (paint == NULL && v.advice == NULL && !all && c->n_lines > VIEW_LINES_ALL) {
            continue;
        }
        buf_printf(out, "%4u %s%-10s%s  ", i, color && paint ? paint : "", v.word,
                   color && paint ? "\033[0m" : "");
        append_cut(out, files_line(c, i), VIEW_COLUMNS - 17);
        buf_append_byte(out, '\n');
        if (v.wrong != NULL) {
            buf_printf(out, "%17sbecause: ", "");
            append_cut(out, v.wrong->text, VIEW_COLUMNS - 26);
            buf_append_byte(out, '\n');
        }
        if (v.corrected) {
            struct str left = str_trim(buf_str(&now));
            bool gone = left.len == 0 || str_eq(left, STR("\\"));

            buf_printf(out, "%17sto: ", "");
            append_cut(out, gone ? STR("(removed)") : str_trim(buf_str(&now)), VIEW_COLUMNS - 21);
            buf_append_byte(out, '\n');
        }
        if (v.advice != NULL) {
            buf_printf(out, "%17snote: ", "");
            append_cut(out, v.advice->text, VIEW_COLUMNS - 23);
            buf_append_byte(out, '\n');
        }
    }
    buf_append_byte(out, '\n');
    buf_done(&now);
}

void files_json(const struct files_ctx *c, struct buf *out)
{
    struct buf now;

    buf_init(&now, FILES_BYTES_MAX);
    buf_append_byte(out, '[');
    for (uint32_t i = 1; i <= c->n_lines; i++) {
        struct line_verdict v = verdict_of(c, i, &now);

        buf_printf(out, "%s\n  {\"line\": %u, \"verdict\": \"%s\", \"text\": ", i > 1 ? "," : "", i,
                   v.word);
        json_write_string(out, files_line(c, i));
        if (v.wrong != NULL) {
            buf_append_c(out, ", \"rule\": ");
            json_write_string(out, v.wrong->id);
        }
        if (v.corrected) {
            buf_append_c(out, ", \"to\": ");
            json_write_string(out, buf_str(&now));
        }
        if (v.advice != NULL) {
            buf_append_c(out, ", \"note\": ");
            json_write_string(out, v.advice->text);
        }
        buf_append_byte(out, '}');
    }
    buf_append_c(out, "]");
    buf_done(&now);
}
