#include "doctor/rules.h"

static void write_pattern(const struct rules *r, const char *word, uint32_t idx, struct buf *out)
{
    buf_printf(out, "    %-6s /%.*s/\n", word, STR_ARG(r->patterns[idx].regex));
}

static void write_conditions(const struct rules *r, const struct rules_rule *rule, struct buf *out)
{
    static const char *const words[] = {"match", "all", "any", "none"};
    static const char *const ops[] = {"is", "has", "<", "<=", ">", ">=", "known"};

    buf_append_byte(out, '\n');
    for (int role = 0; role < RULES_ROLE_COUNT; role++) {
        uint32_t n;
        const uint32_t *idx = rules_role(rule, (enum rules_role)role, &n);

        for (uint32_t i = 0; i < n; i++) {
            write_pattern(r, words[role], idx[i], out);
        }
    }
    for (uint32_t i = 0; i < rule->n_tests; i++) {
        const struct rules_test *t = &rule->tests[i];

        buf_printf(out, "    %s %.*s %s", t->negated ? "unless" : "when", STR_ARG(t->name),
                   ops[t->op]);
        if (t->value.len > 0) {
            buf_printf(out, " %.*s", STR_ARG(t->value));
        }
        buf_append_byte(out, '\n');
    }
}

static void write_rule(const struct rules *r, const struct rules_rule *rule, struct buf *out)
{
    buf_printf(out, "\n### %.*s\n\n%.*s (%s", STR_ARG(rule->id), STR_ARG(rule->title),
               rule->grade == FINDING_CERTAIN ? "certain" : "likely");
    if (rule->vendor.len > 0) {
        buf_printf(out, "; %.*s", STR_ARG(rule->vendor));
    }
    buf_append_c(out, rule->runs ? "; also while running)\n" : ")\n");
    write_conditions(r, rule, out);
    buf_printf(out, "\n* Cause: %.*s\n* Fix: %.*s\n", STR_ARG(rule->cause), STR_ARG(rule->fix));
    if (rule->confirm.len > 0) {
        buf_printf(out, "* To confirm: %.*s\n", STR_ARG(rule->confirm));
    }
}

static void write_facts(const struct rules *r, struct buf *out)
{
    struct str before = STR("");

    buf_append_c(out, "\n## Facts\n\nNames with a leading underscore are not reported.\n");
    for (uint32_t i = 0; i < r->n_facts; i++) {
        const struct rules_fact *f = &r->facts[i];

        if (!str_eq(before, f->name)) {
            buf_printf(out, "\n### %.*s\n\n", STR_ARG(f->name));
        }
        before = f->name;
        for (uint32_t k = 0; k < f->n_patterns; k++) {
            buf_printf(out, "    /%.*s/", STR_ARG(r->patterns[f->patterns[k]].regex));
            if (f->value.len > 0) {
                buf_printf(out, " = %.*s", STR_ARG(f->value));
            }
            buf_append_byte(out, '\n');
        }
    }
}

void rules_write_page(const struct rules *r, struct buf *out)
{
    struct str file = STR("");

    buf_printf(out,
               "# Rules of the doctor\n\nMade by `kontor doctor --list-rules` from share/doctor; "
               "change those files, not this page.\nThe form is described in doctor.md. %u rules, "
               "%u patterns.\n",
               r->n_rules, r->n_patterns);
    for (uint32_t i = 0; i < r->n_rules; i++) {
        if (!str_eq(file, r->rules[i].file)) {
            file = r->rules[i].file;
            buf_printf(out, "\n## %.*s\n", STR_ARG(file));
        }
        write_rule(r, &r->rules[i], out);
    }
    write_facts(r, out);
}
