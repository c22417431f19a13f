#include "doctor/report.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/json.h"
#include "doctor/visible.h"

#include <inttypes.h>
#include <stdlib.h>

#define ARENA_BYTES_MAX (16u << 20)
#define RELATED_MAX 1024
#define WIDTH 80
#define INDENT 12 // column in which texts begin
#define EVIDENCE_BYTES_MAX 400

#define RED "\033[31m"
#define YELLOW "\033[33m"
#define GREEN "\033[32m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

struct related {
    uint32_t finding_idx;
    struct str id;
    struct str title;
    uint64_t line;
};

struct fact {
    struct str name;
    struct str value;
    uint64_t line;
};

struct report {
    struct arena *arena; // owned; all texts
    struct finding findings[REPORT_FINDINGS_MAX];
    struct related related[RELATED_MAX];
    struct fact facts[REPORT_FACTS_MAX];
    uint32_t n_findings;
    uint32_t n_related;
    uint32_t n_facts;
    uint32_t n_by_state[3]; // counts also what was not kept
    uint64_t n_lost;
    struct str verdict;
};

struct report *report_create(void)
{
    struct report *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return NULL;
    }
    r->arena = arena_create(ARENA_BYTES_MAX);
    if (r->arena == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

void report_destroy(struct report *r)
{
    if (r != NULL) {
        arena_destroy(r->arena);
        free(r);
    }
}

/* Text that cannot be copied is lost, not the finding. */
static struct str copy(struct report *r, struct str s)
{
    struct str copied = STR("");

    return arena_dup(r->arena, s, &copied) == OK ? copied : STR("");
}

void report_add(struct report *r, const struct finding *f)
{
    struct finding *slot;

    r->n_by_state[f->state]++;
    if (r->n_findings == REPORT_FINDINGS_MAX) {
        r->n_lost++;
        return;
    }
    slot = &r->findings[r->n_findings++];
    *slot = *f;
    slot->id = copy(r, f->id);
    slot->title = copy(r, f->title);
    slot->cause = copy(r, f->cause);
    slot->fix = copy(r, f->fix);
    slot->confirm = copy(r, f->confirm);
    slot->file = copy(r, f->file);
    slot->evidence = copy(r, str_slice(f->evidence, 0, EVIDENCE_BYTES_MAX));
}

void report_add_related(struct report *r, struct str id, struct str title, uint64_t line)
{
    if (r->n_findings > 0 && r->n_related < RELATED_MAX) {
        r->related[r->n_related++] =
            (struct related){r->n_findings - 1, copy(r, id), copy(r, title), line};
    }
}

void report_add_fact(struct report *r, struct str name, struct str value, uint64_t line)
{
    if (r->n_facts < REPORT_FACTS_MAX) {
        r->facts[r->n_facts++] = (struct fact){copy(r, name), copy(r, value), line};
    }
}

void report_set_verdict(struct report *r, struct str text)
{
    r->verdict = copy(r, text);
}

uint32_t report_count(const struct report *r, enum finding_state state)
{
    return r->n_by_state[state];
}

int report_exit_code(const struct report *r)
{
    return r->n_by_state[FINDING_PROBLEM] > 0 ? 1 : 0;
}

/* Words of `text`, broken at WIDTH; the first line goes on at column INDENT. */
static void append_wrapped(struct buf *out, struct str text)
{
    size_t column = INDENT;
    size_t at = 0;

    while (at < text.len) {
        size_t end = str_find_byte(text, ' ', at);
        size_t n = (end == SIZE_MAX ? text.len : end) - at;

        if (n > 0 && column > INDENT && column + 1 + n > WIDTH) {
            buf_printf(out, "\n%*s", INDENT, "");
            column = INDENT;
        } else if (n > 0 && column > INDENT) {
            buf_append_byte(out, ' ');
            column++;
        }
        visible_append(out, str_slice(text, at, at + n));
        column += n;
        at += n + 1;
    }
    buf_append_byte(out, '\n');
}

static void append_field(struct buf *out, const char *name, struct str text)
{
    if (text.len > 0) {
        buf_printf(out, "  %-*s", INDENT - 2, name);
        append_wrapped(out, text);
    }
}

/* "file:line" and the line itself, cut at the width. */
static void append_evidence(struct buf *out, const struct finding *f)
{
    struct str text = str_trim(f->evidence);

    if (f->file.len > 0) {
        buf_printf(out, "  %-*s", INDENT - 2, "seen");
        visible_append(out, f->file);
        if (f->line > 0) {
            buf_printf(out, ":%" PRIu64, f->line);
        }
        if (f->times > 1) {
            buf_printf(out, " (%" PRIu64 " times)", f->times);
        }
        buf_append_byte(out, '\n');
        if (text.len > 0) {
            buf_printf(out, "%*s", INDENT, "");
        }
    } else if (text.len > 0) {
        buf_printf(out, "  %-*s", INDENT - 2, "seen");
    }
    if (text.len > 0) {
        append_wrapped(out, text);
    }
}

static const char *word_of(const struct finding *f)
{
    static const char *const words[] = {"ok", "problem", "unknown"};

    if (f->state == FINDING_PROBLEM && f->grade == FINDING_LIKELY) {
        return "likely";
    }
    return words[f->state];
}

static const char *color_of(const struct finding *f)
{
    static const char *const colors[] = {GREEN, RED, YELLOW};

    return f->state == FINDING_PROBLEM && f->grade == FINDING_LIKELY ? YELLOW : colors[f->state];
}

static void append_related(const struct report *r, uint32_t finding_idx, struct buf *out)
{
    const char *name = "also";

    for (uint32_t i = 0; i < r->n_related; i++) {
        const struct related *a = &r->related[i];

        if (a->finding_idx != finding_idx) {
            continue;
        }
        buf_printf(out, "  %-*s", INDENT - 2, name);
        if (a->line > 0) {
            buf_printf(out, "line %" PRIu64 ": ", a->line);
        }
        visible_append(out, a->title);
        buf_append_c(out, " [");
        visible_append(out, a->id);
        buf_append_c(out, "]\n");
        name = "";
    }
}

static void append_finding(const struct report *r, uint32_t idx, bool color, struct buf *out)
{
    const struct finding *f = &r->findings[idx];

    buf_printf(out, "%s%-*s%s%s", color ? color_of(f) : "", INDENT, word_of(f), color ? PLAIN : "",
               color ? BOLD : "");
    append_wrapped(out, f->title.len > 0 ? f->title : f->id);
    if (color) {
        buf_append_c(out, PLAIN);
    }
    append_evidence(out, f);
    append_field(out, "cause", f->cause);
    append_field(out, "fix", f->fix);
    append_field(out, "confirm", f->confirm);
    append_related(r, idx, out);
    if (f->id.len > 0) {
        append_field(out, "rule", f->id);
    }
    buf_append_byte(out, '\n');
}

static void append_facts(const struct report *r, struct buf *out)
{
    if (r->n_facts == 0) {
        return;
    }
    buf_append_c(out, "facts\n");
    for (uint32_t i = 0; i < r->n_facts; i++) {
        const struct fact *f = &r->facts[i];

        buf_append_c(out, "  ");
        visible_append(out, f->name);
        for (size_t k = f->name.len; k < INDENT + 5; k++) {
            buf_append_byte(out, ' ');
        }
        visible_append(out, f->value);
        if (f->line > 0) {
            buf_printf(out, " (line %" PRIu64 ")", f->line);
        }
        buf_append_byte(out, '\n');
    }
    buf_append_byte(out, '\n');
}

static void append_verdict(const struct report *r, struct buf *out)
{
    if (r->verdict.len > 0) {
        visible_append(out, r->verdict);
    } else if (r->n_by_state[FINDING_PROBLEM] > 0) {
        buf_printf(out, "%u problem%s found.", r->n_by_state[FINDING_PROBLEM],
                   r->n_by_state[FINDING_PROBLEM] == 1 ? "" : "s");
    } else if (r->n_by_state[FINDING_UNKNOWN] > 0) {
        buf_printf(out, "No problem found; %u question%s could not be answered.",
                   r->n_by_state[FINDING_UNKNOWN], r->n_by_state[FINDING_UNKNOWN] == 1 ? "" : "s");
    } else {
        buf_append_c(out, "No problem found.");
    }
}

void report_print(const struct report *r, bool color, bool all, struct buf *out)
{
    static const enum finding_state order[] = {FINDING_PROBLEM, FINDING_UNKNOWN, FINDING_OK};

    for (size_t k = 0; k < ARRAY_COUNT(order); k++) {
        for (uint32_t i = 0; i < r->n_findings; i++) {
            if (r->findings[i].state == order[k] && (all || order[k] != FINDING_OK)) {
                append_finding(r, i, color, out);
            }
        }
    }
    append_facts(r, out);
    if (r->n_lost > 0) {
        buf_printf(out, "%" PRIu64 " more findings are not listed.\n", r->n_lost);
    }
    buf_append_c(out, color ? BOLD "verdict" PLAIN ": " : "verdict: ");
    append_verdict(r, out);
    buf_append_byte(out, '\n');
}

static void json_member(struct buf *out, const char *name, struct str value)
{
    if (value.len > 0) {
        buf_printf(out, ", \"%s\": ", name);
        json_write_string(out, value);
    }
}

static void json_related(const struct report *r, uint32_t finding_idx, struct buf *out)
{
    bool first = true;

    for (uint32_t i = 0; i < r->n_related; i++) {
        const struct related *a = &r->related[i];

        if (a->finding_idx != finding_idx) {
            continue;
        }
        buf_append_c(out, first ? ", \"related\": [{\"rule\": " : ", {\"rule\": ");
        json_write_string(out, a->id);
        buf_printf(out, ", \"line\": %" PRIu64 "}", a->line);
        first = false;
    }
    if (!first) {
        buf_append_byte(out, ']');
    }
}

static void json_finding(const struct report *r, uint32_t idx, struct buf *out)
{
    static const char *const states[] = {"ok", "problem", "unknown"};
    const struct finding *f = &r->findings[idx];

    buf_printf(out, "{\"state\": \"%s\"", states[f->state]);
    if (f->state == FINDING_PROBLEM) {
        buf_printf(out, ", \"grade\": \"%s\"", f->grade == FINDING_CERTAIN ? "certain" : "likely");
    }
    json_member(out, "id", f->id);
    json_member(out, "title", f->title);
    json_member(out, "cause", f->cause);
    json_member(out, "fix", f->fix);
    json_member(out, "confirm", f->confirm);
    json_member(out, "file", f->file);
    if (f->line > 0) {
        buf_printf(out, ", \"line\": %" PRIu64, f->line);
    }
    json_member(out, "evidence", f->evidence);
    if (f->times > 1) {
        buf_printf(out, ", \"times\": %" PRIu64, f->times);
    }
    json_related(r, idx, out);
    buf_append_byte(out, '}');
}

static void json_findings(const struct report *r, const char *name, enum finding_state state,
                          struct buf *out)
{
    bool first = true;

    buf_printf(out, ",\n \"%s\": [", name);
    for (uint32_t i = 0; i < r->n_findings; i++) {
        if (r->findings[i].state == state) {
            buf_append_c(out, first ? "\n  " : ",\n  ");
            json_finding(r, i, out);
            first = false;
        }
    }
    buf_append_byte(out, ']');
}

static void json_facts(const struct report *r, struct buf *out)
{
    buf_append_c(out, ",\n \"facts\": [");
    for (uint32_t i = 0; i < r->n_facts; i++) {
        buf_append_c(out, i == 0 ? "\n  {\"name\": " : ",\n  {\"name\": ");
        json_write_string(out, r->facts[i].name);
        json_member(out, "value", r->facts[i].value);
        if (r->facts[i].line > 0) {
            buf_printf(out, ", \"line\": %" PRIu64 ", \"seen\": \"line %" PRIu64 ".\"}",
                       r->facts[i].line, r->facts[i].line);
        } else {
            buf_append_c(out, ", \"seen\": \"given.\"}");
        }
    }
    buf_append_byte(out, ']');
}

void report_json(const struct report *r, struct buf *out)
{
    struct buf text;

    buf_init(&text, ARENA_BYTES_MAX);
    append_verdict(r, &text);
    buf_append_c(out, "{\"state\": ");
    buf_append_c(out, r->n_by_state[FINDING_PROBLEM] > 0   ? "\"problem\""
                      : r->n_by_state[FINDING_UNKNOWN] > 0 ? "\"unknown\""
                                                           : "\"ok\"");
    buf_append_c(out, ", \"verdict\": ");
    json_write_string(out, buf_str(&text));
    buf_done(&text);
    json_facts(r, out);
    json_findings(r, "findings", FINDING_PROBLEM, out);
    json_findings(r, "unknown", FINDING_UNKNOWN, out);
    json_findings(r, "ok", FINDING_OK, out);
    buf_append_c(out, "}\n");
}
