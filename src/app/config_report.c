#include "app/config_report.h"
#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX 1000
#define ARENA_BYTES_MAX (1 << 20)
#define OUT_BYTES_MAX (1 << 20)

void config_report_init(struct config_report *r, const char *path)
{
    memset(r, 0, sizeof(*r));
    r->arena = arena_create(ARENA_BYTES_MAX);
    CHECK(r->arena != NULL);
    CHECK(arena_dup(r->arena, str_from_c(path), &r->file) == OK);
}

void config_report_done(struct config_report *r)
{
    arena_destroy(r->arena);
    memset(r, 0, sizeof(*r));
}

static void add(struct config_report *r, enum config_severity severity, struct yaml_mark mark,
                const char *text)
{
    struct config_issue *issue = &r->issues[r->n_issues];

    *(severity == CONFIG_ERROR ? &r->n_errors : &r->n_warnings) += 1;
    if (r->n_issues == CONFIG_REPORT_ISSUES_MAX) {
        return;
    }
    issue->severity = severity;
    issue->mark = mark;
    issue->order = r->n_issues;
    if (arena_dup(r->arena, str_from_c(text), &issue->text) == OK) {
        r->n_issues++;
    }
}

/* What the file says goes to terminals and logs: no escape sequences, no half characters. */
static void make_printable(char *text)
{
    size_t n = utf8_valid_prefix(str_from_c(text));

    text[n] = '\0'; // cut off in mid-character by the limit
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

static void add_formatted(struct config_report *r, enum config_severity severity,
                          struct yaml_mark mark, const char *fmt, va_list args)
    __attribute__((format(printf, 4, 0)));

static void add_formatted(struct config_report *r, enum config_severity severity,
                          struct yaml_mark mark, const char *fmt, va_list args)
{
    char text[TEXT_BYTES_MAX];

    vsnprintf(text, sizeof(text), fmt, args);
    make_printable(text);
    add(r, severity, mark, text);
}

void config_report_error(struct config_report *r, struct yaml_mark mark, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add_formatted(r, CONFIG_ERROR, mark, fmt, args);
    va_end(args);
}

void config_report_warn(struct config_report *r, struct yaml_mark mark, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add_formatted(r, CONFIG_WARNING, mark, fmt, args);
    va_end(args);
}

static int compare_issues(const void *a, const void *b)
{
    const struct config_issue *x = a;
    const struct config_issue *y = b;

    if (x->mark.line != y->mark.line) {
        return x->mark.line < y->mark.line ? -1 : 1;
    }
    if (x->mark.column != y->mark.column) {
        return x->mark.column < y->mark.column ? -1 : 1;
    }
    return x->order < y->order ? -1 : 1;
}

void config_report_sort(struct config_report *r)
{
    qsort(r->issues, r->n_issues, sizeof(r->issues[0]), compare_issues);
}

void config_report_print(const struct config_report *r, struct buf *out)
{
    uint32_t n_all = r->n_errors + r->n_warnings;

    for (uint32_t i = 0; i < r->n_issues; i++) {
        const struct config_issue *issue = &r->issues[i];

        buf_append_str(out, r->file);
        if (issue->mark.line > 0) {
            buf_printf(out, ":%u:%u", issue->mark.line, issue->mark.column);
        }
        buf_printf(out, ": %s: ", issue->severity == CONFIG_ERROR ? "error" : "warning");
        buf_append_str(out, issue->text);
        buf_append_byte(out, '\n');
    }
    if (n_all > r->n_issues) {
        buf_printf(out, "%.*s: %u more\n", STR_ARG(r->file), n_all - r->n_issues);
    }
}

void config_report_print_stderr(void *user, const struct config_report *r)
{
    struct buf out;

    (void)user;
    buf_init(&out, OUT_BYTES_MAX);
    config_report_print(r, &out);
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&out)));
    buf_done(&out);
}

void config_report_print_json(const struct config_report *r, struct buf *out)
{
    buf_append_c(out, "{\"file\": ");
    json_write_string(out, r->file);
    buf_printf(out, ", \"errors\": %u, \"warnings\": %u, \"issues\": [", r->n_errors,
               r->n_warnings);
    for (uint32_t i = 0; i < r->n_issues; i++) {
        const struct config_issue *issue = &r->issues[i];

        buf_printf(out, "%s\n  {\"severity\": \"%s\", \"line\": %u, \"column\": %u, \"message\": ",
                   i > 0 ? "," : "", issue->severity == CONFIG_ERROR ? "error" : "warning",
                   issue->mark.line, issue->mark.column);
        json_write_string(out, issue->text);
        buf_append_byte(out, '}');
    }
    buf_append_c(out, r->n_issues > 0 ? "\n]}\n" : "]}\n");
}

struct config_near config_report_near(struct str word)
{
    return (struct config_near){.word = word, .distance = SIZE_MAX};
}

void config_report_offer(struct config_near *near, struct str candidate)
{
    size_t d = str_distance(near->word, candidate);

    if (d > 1 && near->word.len >= 4 &&
        (str_find(candidate, near->word, 0) != SIZE_MAX ||
         (candidate.len >= 4 && str_find(near->word, candidate, 0) != SIZE_MAX))) {
        d = 1; // "latency" for "latency_gate"
    }
    if (d < near->distance) {
        near->distance = d;
        near->best = candidate;
    }
}

bool config_report_found(const struct config_near *near)
{
    return near->best.len > 0 && near->distance <= 1 + near->word.len / 4;
}
