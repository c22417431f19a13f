#include "options/option.h"
#include "base/check.h"
#include "options/option_values.h"

#include <stdio.h>
#include <string.h>

#define PROBLEM_BYTES_MAX (64 * 1024)

/* The state of one pass over argv. */
struct parse {
    const struct option_set *set;
    struct option_values *values;
    int argc;
    char **argv;
    int at;               // next word
    struct buf *problems; // one line each
    struct buf *warnings;
    bool help;
};

static bool same_name(struct str typed, struct str name)
{
    if (typed.len != name.len) {
        return false;
    }
    for (size_t i = 0; i < typed.len; i++) {
        char c = typed.ptr[i] == '_' ? '-' : typed.ptr[i];

        if (c != name.ptr[i]) {
            return false;
        }
    }
    return true;
}

static int find_exact(const struct option_set *set, struct str typed)
{
    for (uint32_t i = 0; i < set->n_options; i++) {
        if (same_name(typed, str_from_c(set->options[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

/* Unique prefix, as argparse allows.  -1: none, -2: several. */
static int find_prefix(const struct option_set *set, struct str typed)
{
    int found = -1;

    for (uint32_t i = 0; i < set->n_options; i++) {
        struct str name = str_from_c(set->options[i].name);

        if (name.len > typed.len && same_name(typed, str_slice(name, 0, typed.len))) {
            if (found >= 0) {
                return -2;
            }
            found = (int)i;
        }
    }
    return found;
}

int option_nearest(const struct option_set *set, struct str word)
{
    size_t best = SIZE_MAX;
    int best_idx = -1;

    for (uint32_t i = 0; i < set->n_options; i++) {
        struct str name = str_from_c(set->options[i].name);
        size_t d = str_distance(word, name);

        if (word.len >= 4 && str_find(name, word, 0) != SIZE_MAX && d > 2) {
            d = 2;
        }
        if (d < best) {
            best = d;
            best_idx = (int)i;
        }
    }
    return best <= 2 + word.len / 4 ? best_idx : -1;
}

static void problem_unknown(struct parse *p, struct str typed)
{
    int near = option_nearest(p->set, typed);

    buf_printf(p->problems, "unrecognized option --%.*s", STR_ARG(typed));
    if (near >= 0) {
        buf_printf(p->problems, "; did you mean --%s?", p->set->options[near].name);
    }
    buf_append_byte(p->problems, '\n');
}

static bool is_flag_word(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9');
}

enum status option_read_count(struct str word, uint64_t *ret_value)
{
    static const struct {
        char letter;
        uint64_t factor;
    } suffixes[] = {
        {'k', 1000},       {'K', UINT64_C(1) << 10}, {'m', 1000000},       {'M', UINT64_C(1) << 20},
        {'g', 1000000000}, {'G', UINT64_C(1) << 30}, {'t', 1000000000000}, {'T', UINT64_C(1) << 40},
    };
    uint64_t factor = 1;
    uint64_t whole;
    double decimal;
    enum status rc;

    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        if (word.len > 1 && word.ptr[word.len - 1] == suffixes[i].letter) {
            factor = suffixes[i].factor;
            word.len--;
            break;
        }
    }
    rc = str_to_u64(word, &whole);
    if (rc == OK) {
        if (whole > UINT64_MAX / factor) {
            return E_LIMIT;
        }
        *ret_value = whole * factor;
        return OK;
    }
    if (rc == E_LIMIT || factor == 1 || (factor & (factor - 1)) == 0) {
        return rc; // decimals go with the decimal suffixes only
    }
    rc = str_to_f64(word, &decimal);
    if (rc != OK || decimal < 0 || decimal * (double)factor > 9e15) {
        return E_INVALID;
    }
    *ret_value = (uint64_t)(decimal * (double)factor + 0.5);
    return OK;
}

static bool in_bounds(const struct option *o, double v)
{
    return (o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max);
}

static bool is_choice(const char *choices, struct str word)
{
    struct str all = str_from_c(choices);
    size_t begin = 0;

    while (begin <= all.len) {
        size_t end = str_find_byte(all, '|', begin);

        end = end == SIZE_MAX ? all.len : end;
        if (str_eq(str_slice(all, begin, end), word)) {
            return true;
        }
        begin = end + 1;
    }
    return false;
}

/* Read `word` as the option's type into the slot.  Problems become lines. */
static void read_word(struct parse *p, const struct option *o, struct option_slot *slot,
                      const char *word)
{
    struct str s = str_from_c(word);
    enum status rc = OK;

    switch (o->type) {
    case OPTION_COUNT:
        rc = option_read_count(s, &slot->count);
        if (rc != OK) {
            buf_printf(p->problems,
                       "--%s takes a whole number (32k and 32K work too), not \"%s\"\n", o->name,
                       word);
        } else if (!in_bounds(o, (double)slot->count)) {
            buf_printf(p->problems, "--%s must be between %.0f and %.0f, not %s\n", o->name, o->min,
                       o->max, word);
        }
        break;
    case OPTION_FRACTION:
        rc = str_to_f64(s, &slot->fraction);
        if (rc != OK) {
            buf_printf(p->problems, "--%s takes a number, not \"%s\"\n", o->name, word);
        } else if (!in_bounds(o, slot->fraction)) {
            buf_printf(p->problems, "--%s must be between %g and %g, not %s\n", o->name, o->min,
                       o->max, word);
        }
        break;
    case OPTION_CHOICE:
        if (!is_choice(o->choices, s)) {
            buf_printf(p->problems, "--%s is one of %s, not \"%s\"\n", o->name, o->choices, word);
        }
        break;
    case OPTION_FLAG:
    case OPTION_STRING:
    case OPTION_STRINGS:
        break;
    }
    if (slot->n_words == OPTION_WORDS_MAX) {
        buf_printf(p->problems, "--%s takes at most %d words\n", o->name, OPTION_WORDS_MAX);
        return;
    }
    if (o->type != OPTION_STRINGS) {
        slot->n_words = 0; // the last one wins
    }
    slot->words[slot->n_words++] = word;
}

static void judge(struct parse *p, const struct option *o, const char *word)
{
    switch (o->verdict) {
    case OPTION_HONOUR:
    case OPTION_SILENT:
        break;
    case OPTION_WARN:
        buf_printf(p->warnings, "--%s has no effect here%s%s\n", o->name, o->instead ? ": " : "",
                   o->instead ? o->instead : "");
        break;
    case OPTION_NEUTRAL:
        if (o->fallback == NULL || word == NULL || strcmp(word, o->fallback) != 0) {
            buf_printf(p->problems, "--%s: only %s is supported%s%s\n", o->name,
                       o->fallback ? o->fallback : "leaving it out", o->instead ? "; " : "",
                       o->instead ? o->instead : "");
        }
        break;
    case OPTION_REFUSE:
        buf_printf(p->problems, "--%s is not supported; %s\n", o->name, o->instead);
        break;
    }
}

static void take_values(struct parse *p, const struct option *o, struct option_slot *slot,
                        const char *attached)
{
    const char *first = attached;

    slot->n_words = 0;
    if (attached != NULL) {
        read_word(p, o, slot, attached);
    } else if (p->at < p->argc && !is_flag_word(p->argv[p->at])) {
        first = p->argv[p->at++];
        read_word(p, o, slot, first);
    } else {
        buf_printf(p->problems, "--%s needs a value (%s)\n", o->name, o->metavar);
        return;
    }
    while (o->type == OPTION_STRINGS && p->at < p->argc && !is_flag_word(p->argv[p->at])) {
        read_word(p, o, slot, p->argv[p->at++]);
    }
    judge(p, o, first);
}

static void take_option(struct parse *p, int idx, const char *attached, bool value)
{
    const struct option *o = &p->set->options[idx];
    struct option_slot *slot = &p->values->slots[idx];

    slot->is_set = true;
    if (o->type != OPTION_FLAG) {
        take_values(p, o, slot, attached);
        return;
    }
    if (attached != NULL) {
        buf_printf(p->problems, "--%s takes no value; write --%s or --no-%s\n", o->name, o->name,
                   o->name);
        return;
    }
    slot->flag = value;
    judge(p, o, value ? "true" : "false");
}

static void long_option(struct parse *p, const char *word)
{
    struct str typed = str_from_c(word + 2);
    size_t eq = str_find_byte(typed, '=', 0);
    const char *attached = eq == SIZE_MAX ? NULL : typed.ptr + eq + 1;
    int idx;

    typed = str_slice(typed, 0, eq == SIZE_MAX ? typed.len : eq);
    if (str_eq(typed, STR("help"))) {
        p->help = true;
        return;
    }
    idx = find_exact(p->set, typed);
    if (idx < 0 && (str_starts(typed, STR("no-")) || str_starts(typed, STR("no_")))) {
        idx = find_exact(p->set, str_slice(typed, 3, typed.len));
        if (idx >= 0 && p->set->options[idx].type == OPTION_FLAG) {
            take_option(p, idx, attached, false);
            return;
        }
        idx = -1;
    }
    if (idx < 0) {
        idx = find_prefix(p->set, typed);
    }
    if (idx == -2) {
        buf_printf(p->problems, "--%.*s could mean several options; write the whole name\n",
                   STR_ARG(typed));
    } else if (idx < 0) {
        problem_unknown(p, typed);
        while (p->at < p->argc && !is_flag_word(p->argv[p->at])) {
            p->at++; // its values are not positional arguments
        }
    } else {
        take_option(p, idx, attached, true);
    }
}

static void short_option(struct parse *p, const char *word)
{
    if (strcmp(word, "-h") == 0) {
        p->help = true;
        return;
    }
    for (uint32_t i = 0; i < p->set->n_options; i++) {
        const char *alias = p->set->options[i].alias;

        if (alias != NULL && strcmp(word + 1, alias) == 0) {
            take_option(p, (int)i, NULL, true);
            return;
        }
    }
    buf_printf(p->problems, "unrecognized option %s\n", word);
}

static void positional(struct parse *p, const char *word)
{
    if (p->set->positional == NULL) {
        buf_printf(p->problems, "unexpected argument \"%s\"\n", word);
    } else if (p->values->positional != NULL) {
        buf_printf(p->problems, "unexpected second argument \"%s\" (%s is \"%s\")\n", word,
                   p->set->positional, p->values->positional);
    } else {
        p->values->positional = word;
    }
}

/* Every slot starts as the table's default. */
static void set_defaults(struct parse *p)
{
    for (uint32_t i = 0; i < p->set->n_options; i++) {
        const struct option *o = &p->set->options[i];
        struct option_slot *slot = &p->values->slots[i];

        if (o->fallback == NULL) {
            continue;
        }
        if (o->type == OPTION_FLAG) {
            slot->flag = strcmp(o->fallback, "true") == 0;
        } else {
            read_word(p, o, slot, o->fallback);
        }
    }
    CHECK(p->problems->len == 0); // a table whose own default is refused
}

enum status option_parse_quiet(const struct option_set *set, int argc, char **argv,
                               struct arena *arena, struct option_values **ret_values,
                               struct option_report *report)
{
    struct parse p = {set, NULL, argc, argv, 1, &report->problems, &report->warnings, false};
    bool only_positional = false;

    p.values = arena_zalloc(arena, 1, sizeof(*p.values));
    if (p.values == NULL) {
        return E_NO_MEMORY;
    }
    p.values->set = set;
    p.values->slots = arena_zalloc(arena, set->n_options, sizeof(*p.values->slots));
    if (p.values->slots == NULL) {
        return E_NO_MEMORY;
    }
    set_defaults(&p);
    while (p.at < argc) {
        const char *word = argv[p.at++];

        if (!only_positional && strcmp(word, "--") == 0) {
            only_positional = true;
        } else if (!only_positional && strncmp(word, "--", 2) == 0) {
            long_option(&p, word);
        } else if (!only_positional && is_flag_word(word)) {
            short_option(&p, word);
        } else {
            positional(&p, word);
        }
    }
    *ret_values = p.values;
    report->help = p.help;
    return report->problems.len == 0 ? OK : E_INVALID;
}

/* Print each line of `lines` with a prefix. */
static void print_lines(const char *prefix, const struct buf *lines)
{
    struct str all = buf_str(lines);
    size_t begin = 0;

    while (begin < all.len) {
        size_t end = str_find_byte(all, '\n', begin);

        end = end == SIZE_MAX ? all.len : end;
        fprintf(stderr, "%s%.*s\n", prefix, STR_ARG(str_slice(all, begin, end)));
        begin = end + 1;
    }
}

enum option_outcome option_parse(const struct option_set *set, int argc, char **argv,
                                 struct arena *arena, struct option_values **ret_values)
{
    struct option_report report = {0};
    struct buf help_text;
    enum option_outcome outcome = OPTION_RUN;
    enum status rc;

    buf_init(&report.problems, PROBLEM_BYTES_MAX);
    buf_init(&report.warnings, PROBLEM_BYTES_MAX);
    buf_init(&help_text, PROBLEM_BYTES_MAX);
    rc = option_parse_quiet(set, argc, argv, arena, ret_values, &report);
    if (report.help) {
        option_print_help(set, &help_text);
        fwrite(help_text.ptr, 1, help_text.len, stdout);
        outcome = OPTION_EXIT_0;
    } else if (rc != OK) {
        fprintf(stderr, "usage: %s\n", set->usage);
        print_lines("error: ", &report.problems);
        fprintf(stderr, "See --help for all options.\n");
        outcome = OPTION_EXIT_2;
    } else {
        print_lines("warning: ", &report.warnings);
    }
    buf_done(&report.problems);
    buf_done(&report.warnings);
    buf_done(&help_text);
    return outcome;
}
