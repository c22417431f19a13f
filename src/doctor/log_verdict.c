#include "doctor/log_verdict.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX 8192
#define RELATED_MAX 12

/* A rule whose conditions hold. */
struct candidate {
    const struct rules_rule *rule;
    const struct log_scan_place *place;
    uint64_t times;
    uint32_t n_conditions;
    bool foreign; // speaks of another vendor than the log does
};

static uint64_t ready_line(const struct log_scan *s)
{
    const struct log_scan_fact *f = log_scan_fact(s, STR("_ready"));
    uint64_t last = 0;

    for (uint32_t i = 0; f != NULL && i < f->n_values; i++) {
        last = f->values[i].last_line > last ? f->values[i].last_line : last;
    }
    return last;
}

static struct str value_text(const struct log_scan_value *v)
{
    return (struct str){v->text, v->len};
}

static bool has_nocase(struct str s, struct str needle)
{
    for (size_t i = 0; i + needle.len <= s.len; i++) {
        if (str_eq_nocase(str_slice(s, i, i + needle.len), needle)) {
            return true;
        }
    }
    return false;
}

static bool value_passes(const struct rules_test *t, struct str value)
{
    int order = 0;

    if (t->op == RULES_LT || t->op == RULES_LE || t->op == RULES_GT || t->op == RULES_GE) {
        order = rules_compare_versions(value, t->value);
    }
    switch (t->op) {
    case RULES_IS:
        return str_eq_nocase(value, t->value);
    case RULES_HAS:
        return has_nocase(value, t->value);
    case RULES_LT:
        return order < 0;
    case RULES_LE:
        return order <= 0;
    case RULES_GT:
        return order > 0;
    case RULES_GE:
        return order >= 0;
    case RULES_KNOWN:
        return true;
    }
    return false;
}

/* Any value of the fact may pass. */
static bool test_passes(const struct log_scan *s, const struct rules_test *t)
{
    const struct log_scan_fact *f = log_scan_fact(s, t->name);

    for (uint32_t i = 0; f != NULL && i < f->n_values; i++) {
        if (value_passes(t, value_text(&f->values[i]))) {
            return !t->negated;
        }
    }
    return t->negated;
}

/* A rule of the start does not count in front of a line that says the server is ready, nor behind
 * it when requests were served later, nor by a warning where the server did start. */
static bool counts(const struct log_scan_place *p, const struct log_scan *s, bool runs,
                   uint64_t ready)
{
    if (runs) {
        return true;
    }
    return p->line > ready && (ready == 0 || (p->line > log_scan_served(s) && !p->is_warning));
}

/* The earliest place that counts, one that is no warning before others. */
static const struct log_scan_place *counting_place(const struct log_scan *s,
                                                   const struct log_scan_hits *h, bool runs,
                                                   uint64_t ready)
{
    const struct log_scan_place *places[] = {&h->first, &h->last};
    const struct log_scan_place *best = NULL;

    for (size_t i = 0; h->times > 0 && i < ARRAY_COUNT(places); i++) {
        if (counts(places[i], s, runs, ready) &&
            (best == NULL || (best->is_warning && !places[i]->is_warning))) {
            best = places[i];
        }
    }
    return best;
}

static bool find_match(const struct log_scan *s, uint64_t ready, struct candidate *c,
                       const struct log_scan_hits **ret_hits)
{
    uint32_t n;
    const uint32_t *idx = rules_role(c->rule, RULES_MATCH, &n);

    for (uint32_t i = 0; i < n; i++) {
        const struct log_scan_hits *h = log_scan_hits(s, idx[i]);
        const struct log_scan_place *p = counting_place(s, h, c->rule->runs, ready);

        if (p != NULL && (c->place == NULL || p->line < c->place->line)) {
            c->place = p;
            c->times = h->times;
            *ret_hits = h;
        }
    }
    return c->place != NULL;
}

/* The number of patterns of a role that are near a match. */
static uint32_t count_near(const struct log_scan *s, const struct rules_rule *rule,
                           enum rules_role role, const struct log_scan_hits *match)
{
    uint32_t n;
    uint32_t n_near = 0;
    const uint32_t *idx = rules_role(rule, role, &n);

    for (uint32_t i = 0; i < n; i++) {
        n_near += log_scan_near(match, log_scan_hits(s, idx[i]), rule->within);
    }
    return n_near;
}

static bool conditions_hold(const struct log_scan *s, struct candidate *c,
                            const struct log_scan_hits *match)
{
    const struct rules_rule *rule = c->rule;
    uint32_t n_any = count_near(s, rule, RULES_ANY, match);

    if (count_near(s, rule, RULES_ALL, match) != rule->n_by_role[RULES_ALL] ||
        (rule->n_by_role[RULES_ANY] > 0 && n_any == 0) ||
        count_near(s, rule, RULES_NONE, match) > 0) {
        return false;
    }
    for (uint32_t i = 0; i < rule->n_tests; i++) {
        if (!test_passes(s, &rule->tests[i])) {
            return false;
        }
    }
    c->n_conditions = rule->n_by_role[RULES_ALL] + (rule->n_by_role[RULES_ANY] > 0) +
                      rule->n_by_role[RULES_NONE] + rule->n_tests;
    return true;
}

static bool is_foreign(const struct log_scan *s, const struct rules_rule *rule)
{
    const struct log_scan_fact *f = log_scan_fact(s, STR("vendor"));

    if (f == NULL || f->n_values == 0 || rule->vendor.len == 0) {
        return false;
    }
    for (uint32_t i = 0; i < f->n_values; i++) {
        if (str_eq(value_text(&f->values[i]), rule->vendor)) {
            return false;
        }
    }
    return true;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;

    if (x->foreign != y->foreign) {
        return x->foreign ? 1 : -1;
    }
    if (x->rule->rank != y->rule->rank) {
        return x->rule->rank > y->rule->rank ? -1 : 1;
    }
    if (x->place->line != y->place->line) {
        return x->place->line < y->place->line ? -1 : 1;
    }
    if (x->n_conditions != y->n_conditions) {
        return x->n_conditions > y->n_conditions ? -1 : 1;
    }
    return x->rule->line < y->rule->line ? -1 : 1;
}

static void append_fact(struct buf *out, const struct log_scan *s, struct str inside)
{
    size_t bar = str_find_byte(inside, '|', 0);
    const struct log_scan_fact *f = log_scan_fact(s, str_slice(inside, 0, bar));

    if (f != NULL && f->n_values > 0) {
        buf_append_str(out, value_text(&f->values[0]));
    } else if (bar != SIZE_MAX) {
        buf_append_str(out, str_slice(inside, bar + 1, inside.len));
    }
}

/* "1", "1|2|words": the first capture that is not empty, else the words.  False: no such form. */
static bool append_capture(struct buf *out, const struct log_scan_place *p, struct str inside)
{
    bool any = false;

    while (inside.len > 0) {
        struct str piece = str_slice(inside, 0, str_find_byte(inside, '|', 0));
        int k = piece.len == 1 ? piece.ptr[0] - '1' : -1;

        if (k < 0 || k >= LOG_SCAN_CAPTURES) {
            if (any) {
                buf_append_str(out, inside);
            }
            return any;
        }
        any = true;
        if (p->capture_len[k] > 0) {
            buf_append(out, p->captures[k], p->capture_len[k]);
            return true;
        }
        inside = str_slice(inside, piece.len + 1, inside.len);
    }
    return any;
}

/* "{1}" and "{1|2|words}" are captures of the match, "{fact:vllm|this version}" a fact or the
 * words behind the bar. */
static void expand(struct buf *out, const struct log_scan *s, const struct log_scan_place *p,
                   struct str text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t open = str_find_byte(text, '{', at);
        size_t close = open == SIZE_MAX ? SIZE_MAX : str_find_byte(text, '}', open);
        struct str inside;

        buf_append_str(out, str_slice(text, at, open));
        if (close == SIZE_MAX) {
            if (open != SIZE_MAX) {
                buf_append_str(out, str_slice(text, open, text.len));
            }
            return;
        }
        inside = str_slice(text, open + 1, close);
        if (str_starts(inside, STR("fact:"))) {
            append_fact(out, s, str_slice(inside, 5, inside.len));
        } else if (!append_capture(out, p, inside)) {
            buf_append_str(out, str_slice(text, open, close + 1)); // braces of its own
        }
        at = close + 1;
    }
}

static void add_finding(const struct log_scan *s, const struct candidate *c, struct str file,
                        struct report *report)
{
    bool doubted = c->rule->grade == FINDING_CERTAIN && c->place->is_warning;
    struct buf texts[4];
    struct str sources[4];

    sources[0] = c->rule->title;
    sources[1] = c->rule->cause;
    sources[2] = c->rule->fix;
    sources[3] = doubted ? STR("The line is a warning: it is the cause if the start ends behind it "
                               "or an error follows that it explains.")
                         : c->rule->confirm;
    for (int k = 0; k < 4; k++) {
        buf_init(&texts[k], TEXT_BYTES_MAX);
        expand(&texts[k], s, c->place, sources[k]);
    }
    report_add(report, &(struct finding){.state = FINDING_PROBLEM,
                                         .grade = doubted ? FINDING_LIKELY : c->rule->grade,
                                         .id = c->rule->id,
                                         .title = buf_str(&texts[0]),
                                         .cause = buf_str(&texts[1]),
                                         .fix = buf_str(&texts[2]),
                                         .confirm = buf_str(&texts[3]),
                                         .file = file,
                                         .line = c->place->line,
                                         .evidence = {c->place->evidence, c->place->evidence_len},
                                         .times = c->times});
    for (int k = 0; k < 4; k++) {
        buf_done(&texts[k]);
    }
}

/* The package whose code stood last in front of the error. */
static struct str component_before(const struct log_scan *s, uint64_t line)
{
    const struct log_scan_fact *f = log_scan_fact(s, STR("_frame"));
    struct str name = STR("");

    for (uint32_t i = 0; f != NULL && i < f->n_values; i++) {
        if (f->values[i].line <= line) {
            name = value_text(&f->values[i]);
        }
    }
    return name;
}

static void add_unknown(const struct log_scan *s, struct str file, uint64_t ready,
                        struct report *report)
{
    const struct log_scan_fact *f = log_scan_fact(s, STR("_error"));
    const struct log_scan_value *first = NULL;
    struct str component;
    struct buf cause;

    for (uint32_t i = 0; f != NULL && i < f->n_values && first == NULL; i++) {
        first = f->values[i].line > ready ? &f->values[i] : NULL;
    }
    if (first == NULL) {
        return;
    }
    component = component_before(s, first->line);
    buf_init(&cause, TEXT_BYTES_MAX);
    buf_append_c(&cause, "No rule explains this error, the first of the log");
    if (component.len > 0) {
        buf_printf(&cause, "; it comes from %.*s", STR_ARG(component));
    }
    buf_append_byte(&cause, '.');
    report_add(report,
               &(struct finding){
                   .state = FINDING_UNKNOWN,
                   .grade = FINDING_UNGRADED,
                   .id = STR("not-known"),
                   .title = STR("not known: an error that no rule explains"),
                   .cause = buf_str(&cause),
                   .fix = STR("Read the lines before this one, of the rank that fails first; run "
                              "again with the component's debug log, and add what you learn as a "
                              "rule (--rules FILE)."),
                   .file = file,
                   .line = first->line,
                   .evidence = value_text(first)});
    buf_done(&cause);
}

/* The line on which it became unknown whether a rule holds; 0: it is known. */
static uint64_t undecided_line(const struct log_scan *s, const struct rules_rule *rule, bool holds)
{
    uint64_t line = 0;

    for (int role = RULES_MATCH; role < RULES_ROLE_COUNT; role++) {
        uint32_t n;
        const uint32_t *idx = rules_role(rule, (enum rules_role)role, &n);
        bool any_hit = false;

        for (uint32_t i = 0; i < n; i++) {
            uint64_t gave_up = log_scan_gave_up(s, idx[i]);
            bool hit = log_scan_hits(s, idx[i])->times > 0;

            any_hit = any_hit || hit;
            if (gave_up > 0 && !hit && (!holds || role == RULES_NONE)) {
                line = line == 0 ? gave_up : line;
            }
        }
        if (role == RULES_MATCH && !any_hit && line == 0) {
            return 0; // nothing of it is in the log
        }
    }
    return line;
}

static void add_undecided(struct str file, const char *what, struct str name, struct str rules_file,
                          uint64_t rules_line, uint64_t line, struct report *report)
{
    struct buf texts[2];

    for (int k = 0; k < 2; k++) {
        buf_init(&texts[k], TEXT_BYTES_MAX);
    }
    buf_printf(&texts[0], "%s %.*s could not be tried on line %" PRIu64, what, STR_ARG(name), line);
    buf_printf(&texts[1],
               "An expression of it (%.*s:%" PRIu64 ") needs more steps than are allowed, so "
               "whether it holds is not known.",
               STR_ARG(rules_file), rules_line);
    report_add(report, &(struct finding){.state = FINDING_UNKNOWN,
                                         .grade = FINDING_UNGRADED,
                                         .id = name,
                                         .title = buf_str(&texts[0]),
                                         .cause = buf_str(&texts[1]),
                                         .fix = STR("Write the expression without a repetition "
                                                    "inside a repetition."),
                                         .file = file,
                                         .line = line});
    for (int k = 0; k < 2; k++) {
        buf_done(&texts[k]);
    }
}

/* Expressions that gave up are no "no". */
static void add_all_undecided(const struct rules *r, const struct log_scan *s,
                              const struct candidate *found, uint32_t n, struct str file,
                              struct report *report)
{
    for (uint32_t i = 0; i < r->n_rules; i++) {
        const struct rules_rule *rule = &r->rules[i];
        bool holds = false;
        uint64_t line;

        for (uint32_t k = 0; k < n; k++) {
            holds = holds || found[k].rule == rule;
        }
        line = undecided_line(s, rule, holds);
        if (line > 0) {
            add_undecided(file, "rule", rule->id, rule->file, rule->line, line, report);
        }
    }
    for (uint32_t i = 0; i < r->n_facts; i++) {
        const struct rules_fact *f = &r->facts[i];
        uint64_t line = 0;

        for (uint32_t k = 0; k < f->n_patterns; k++) {
            uint64_t gave_up = log_scan_gave_up(s, f->patterns[k]);

            line = line == 0 ? gave_up : line;
        }
        if (line > 0 && log_scan_fact(s, f->name) == NULL) {
            add_undecided(file, "fact", f->name, f->file, f->line, line, report);
        }
    }
}

static void add_facts(const struct log_scan *s, struct report *report)
{
    uint32_t n;
    const struct log_scan_fact *facts = log_scan_facts(s, &n);

    for (uint32_t i = 0; i < n; i++) {
        if (facts[i].name.ptr[0] == '_') {
            continue;
        }
        for (uint32_t k = 0; k < facts[i].n_values; k++) {
            report_add_fact(report, facts[i].name, value_text(&facts[i].values[k]),
                            facts[i].values[k].line);
        }
    }
}

void log_verdict(const struct rules *r, const struct log_scan *s, struct str file,
                 struct report *report)
{
    struct candidate *found = calloc((size_t)r->n_rules + 1, sizeof(*found));
    uint64_t ready = ready_line(s);
    uint32_t n = 0;

    for (uint32_t i = 0; found != NULL && i < r->n_rules; i++) {
        struct candidate c = {.rule = &r->rules[i], .foreign = is_foreign(s, &r->rules[i])};
        const struct log_scan_hits *match = NULL;

        if (find_match(s, ready, &c, &match) && conditions_hold(s, &c, match)) {
            found[n++] = c;
        }
    }
    if (n > 0) {
        qsort(found, n, sizeof(*found), compare_candidates);
        add_finding(s, &found[0], file, report);
    } else {
        add_unknown(s, file, ready, report);
    }
    for (uint32_t i = 1; i < n && i <= RELATED_MAX; i++) {
        report_add_related(report, found[i].rule->id, found[i].rule->title, found[i].place->line);
    }
    add_all_undecided(r, s, found, n, file, report);
    add_facts(s, report);
    free(found);
}
