#include "doctor/rules.h"
#include "doctor/rules_regex.h"

#include "base/check.h"

#include <inttypes.h>
#include <string.h>

#define LINE_BYTES_MAX 8192
#define TEXT_BYTES_MAX 4096
#define RANK_MAX 99
#define GROUPS_MAX (RULES_REGEX_CAPTURES_MAX - 1) // that texts may name

/* One file while it is read. */
struct parse {
    struct rules *r;
    struct str name;
    struct buf *faults;
    uint32_t line_number;
    uint32_t n_faults;
    struct rules_rule *rule; // being filled, or NULL
    struct rules_fact *fact; // being filled, or NULL
    enum rules_role role;    // of the pattern before, to keep them grouped
};

static void fault(struct parse *p, uint32_t line, const char *fmt, struct str what)
{
    buf_printf(p->faults, "%.*s:%u: ", STR_ARG(p->name), line);
    buf_printf(p->faults, "%s", fmt);
    if (what.len > 0) {
        buf_printf(p->faults, ": %.*s", STR_ARG(what));
    }
    buf_append_byte(p->faults, '\n');
    p->n_faults++;
}

static void fault_here(struct parse *p, const char *text, struct str what)
{
    fault(p, p->line_number, text, what);
}

static struct str copy(struct parse *p, struct str s)
{
    struct str copied = STR("");

    if (arena_dup(p->r->arena, s, &copied) != OK) {
        fault_here(p, "the rules need more memory than allowed", STR(""));
    }
    return copied;
}

/* "{2}", "{1|2|words}": each number must be a group of some match, or nothing would ever stand
 * there. */
static void check_braces(struct parse *p, const struct rules_rule *rule, struct str text)
{
    uint32_t n_groups = 0;
    size_t at = 0;

    for (uint32_t i = 0; i < rule->n_by_role[RULES_MATCH]; i++) {
        uint32_t n = p->r->patterns[rule->patterns[i]].n_groups;

        n_groups = n > n_groups ? n : n_groups;
    }
    n_groups = n_groups < GROUPS_MAX ? n_groups : GROUPS_MAX;
    while ((at = str_find_byte(text, '{', at)) != SIZE_MAX) {
        size_t close = str_find_byte(text, '}', at);
        struct str inside = str_slice(text, at + 1, close == SIZE_MAX ? at + 1 : close);
        bool goes_on = true;

        while (goes_on && inside.len > 0) {
            struct str piece = str_slice(inside, 0, str_find_byte(inside, '|', 0));
            uint64_t n = 0;

            goes_on = str_to_u64(piece, &n) == OK;
            if (goes_on && (n == 0 || n > n_groups)) {
                fault(p, rule->line, "no match of this rule has a group of this number", piece);
            }
            inside = str_slice(inside, piece.len + 1, inside.len);
        }
        at++;
    }
}

/* What a whole rule must have; called when the next begins and at the end. */
static void finish_rule(struct parse *p)
{
    const struct rules_rule *rule = p->rule;
    static const char *const missing[] = {"this rule has no title", "this rule has no cause",
                                          "this rule has no fix", "this rule has no example"};
    struct str texts[4];

    p->rule = NULL;
    if (rule == NULL) {
        return;
    }
    texts[0] = rule->title;
    texts[1] = rule->cause;
    texts[2] = rule->fix;
    texts[3] = rule->example;
    for (size_t i = 0; i < ARRAY_COUNT(missing); i++) {
        if (texts[i].len == 0) {
            fault(p, rule->line, missing[i], rule->id);
        }
    }
    if (rule->n_by_role[RULES_MATCH] == 0) {
        fault(p, rule->line, "this rule has no match", rule->id);
    }
    texts[3] = rule->confirm;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        check_braces(p, rule, texts[i]);
    }
    if (rule->grade == FINDING_LIKELY && rule->confirm.len == 0) {
        fault(p, rule->line, "a likely rule says what would confirm it (confirm)", rule->id);
    }
    if (rule->grade == FINDING_CERTAIN && rule->confirm.len > 0) {
        fault(p, rule->line, "a certain rule needs no confirm", rule->id);
    }
}

static void finish_fact(struct parse *p)
{
    if (p->fact != NULL && p->fact->n_patterns == 0) {
        fault(p, p->fact->line, "this fact has no match", p->fact->name);
    }
    p->fact = NULL;
}

static void begin_rule(struct parse *p, struct str id)
{
    finish_rule(p);
    finish_fact(p);
    if (id.len == 0 || str_find_byte(id, ' ', 0) != SIZE_MAX) {
        fault_here(p, "a rule needs one word as its name", id);
    }
    for (uint32_t i = 0; i < p->r->n_rules; i++) {
        if (str_eq(p->r->rules[i].id, id)) {
            fault_here(p, "there is a rule of this name already", id);
        }
    }
    if (p->r->n_rules == RULES_MAX) {
        fault_here(p, "too many rules", id);
        return;
    }
    p->rule = &p->r->rules[p->r->n_rules++];
    *p->rule = (struct rules_rule){.id = copy(p, id),
                                   .file = copy(p, p->name),
                                   .line = p->line_number,
                                   .grade = FINDING_CERTAIN,
                                   .rank = 50};
    p->role = RULES_MATCH;
}

/* "fact NAME" takes the first capture, "fact NAME = VALUE" the value. */
static void begin_fact(struct parse *p, struct str rest)
{
    size_t equals = str_find_byte(rest, '=', 0);

    finish_rule(p);
    finish_fact(p);
    if (p->r->n_facts == RULES_MAX) {
        fault_here(p, "too many facts", rest);
        return;
    }
    p->fact = &p->r->facts[p->r->n_facts++];
    *p->fact =
        (struct rules_fact){.name = copy(p, str_trim(str_slice(rest, 0, equals))),
                            .value = equals == SIZE_MAX
                                         ? STR("")
                                         : copy(p, str_trim(str_slice(rest, equals + 1, rest.len))),
                            .file = copy(p, p->name),
                            .line = p->line_number};
    if (p->fact->name.len == 0) {
        fault_here(p, "a fact needs a name", rest);
    }
}

/* "/regex/" to a new pattern; UINT32_MAX after a fault. */
static uint32_t add_pattern(struct parse *p, struct str rest, bool skips_debug)
{
    struct rules *r = p->r;
    struct rules_pattern *slot = &r->patterns[r->n_patterns];
    struct error err = {0};

    if (rest.len < 3 || rest.ptr[0] != '/' || rest.ptr[rest.len - 1] != '/') {
        fault_here(p, "a pattern stands between two slashes", rest);
        return UINT32_MAX;
    }
    if (r->n_patterns == RULES_PATTERNS_MAX) {
        fault_here(p, "too many patterns", STR(""));
        return UINT32_MAX;
    }
    *slot = (struct rules_pattern){.regex = copy(p, str_slice(rest, 1, rest.len - 1)),
                                   .skips_debug = skips_debug};
    if (rules_regex_check(slot->regex, &slot->n_groups, &err) != OK) {
        fault_here(p, err.text, rest);
        return UINT32_MAX;
    }
    if (!rules_literals(r->arena, slot->regex, slot)) {
        fault_here(
            p,
            "each alternative of a pattern needs 5 bytes of fixed text in a row, and there may "
            "be 24 alternatives",
            rest);
        return UINT32_MAX;
    }
    return r->n_patterns++;
}

static void add_to_rule(struct parse *p, enum rules_role role, struct str rest)
{
    uint32_t n = 0;
    uint32_t idx;

    for (int k = 0; k < RULES_ROLE_COUNT; k++) {
        n += p->rule->n_by_role[k];
    }
    if (role < p->role) {
        fault_here(p, "order of patterns: match, all, any, none", rest);
        return;
    }
    if (n == RULES_PATTERNS_PER_RULE_MAX) {
        fault_here(p, "too many patterns in this rule", rest);
        return;
    }
    idx = add_pattern(p, rest, role == RULES_MATCH);
    if (idx != UINT32_MAX) {
        p->role = role;
        p->rule->patterns[n] = idx;
        p->rule->n_by_role[role]++;
    }
}

/* The next word of *rest. */
static struct str take_word(struct str *rest)
{
    size_t end = str_find_byte(*rest, ' ', 0);
    struct str word = str_slice(*rest, 0, end);

    *rest = str_trim(str_slice(*rest, word.len, rest->len));
    return word;
}

static void add_test(struct parse *p, struct str rest, bool negated)
{
    static const struct {
        const char *word;
        enum rules_test_op op;
    } ops[] = {{"is", RULES_IS}, {"has", RULES_HAS}, {"<", RULES_LT},       {"<=", RULES_LE},
               {">", RULES_GT},  {">=", RULES_GE},   {"known", RULES_KNOWN}};
    struct str all = rest;
    struct str name = take_word(&rest);
    struct str op = take_word(&rest);

    if (p->rule->n_tests == RULES_TESTS_PER_RULE_MAX) {
        fault_here(p, "too many conditions in this rule", all);
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        if (str_eq(op, str_from_c(ops[i].word)) && (rest.len > 0) == (ops[i].op != RULES_KNOWN)) {
            p->rule->tests[p->rule->n_tests++] = (struct rules_test){.name = copy(p, name),
                                                                     .value = copy(p, rest),
                                                                     .op = ops[i].op,
                                                                     .negated = negated};
            return;
        }
    }
    fault_here(p, "a condition is FACT is|has|<|<=|>|>= VALUE, or FACT known", all);
}

static void set_grade(struct parse *p, struct str rest)
{
    if (str_eq(rest, STR("certain"))) {
        p->rule->grade = FINDING_CERTAIN;
    } else if (str_eq(rest, STR("likely"))) {
        p->rule->grade = FINDING_LIKELY;
    } else {
        fault_here(p, "a grade is certain or likely", rest);
    }
}

static void set_number(struct parse *p, struct str key, struct str rest)
{
    uint64_t n = 0;

    if (str_to_u64(rest, &n) != OK || n > 1000000 || (str_eq(key, STR("rank")) && n > RANK_MAX)) {
        fault_here(p, "not a number in range (rank 0 to 99)", rest);
    } else if (str_eq(key, STR("rank"))) {
        p->rule->rank = (int32_t)n;
    } else {
        p->rule->within = (uint32_t)n;
    }
}

/* Longer texts go on: a second `cause` line is appended to the first. */
static void append_text(struct parse *p, struct str *text, struct str rest, const char *between)
{
    struct buf joined;

    buf_init(&joined, TEXT_BYTES_MAX);
    if (text->len > 0) {
        buf_append_str(&joined, *text);
        buf_append_c(&joined, between);
    }
    buf_append_str(&joined, rest);
    if (buf_status(&joined) != OK) {
        fault_here(p, "this text is longer than 4096 bytes", STR(""));
    } else {
        *text = copy(p, buf_str(&joined));
    }
    buf_done(&joined);
}

static struct str *text_slot(struct rules_rule *rule, struct str key)
{
    if (str_eq(key, STR("title"))) {
        return &rule->title;
    }
    if (str_eq(key, STR("cause"))) {
        return &rule->cause;
    }
    if (str_eq(key, STR("fix"))) {
        return &rule->fix;
    }
    if (str_eq(key, STR("confirm"))) {
        return &rule->confirm;
    }
    return str_eq(key, STR("vendor")) ? &rule->vendor : NULL;
}

static void set_phase(struct parse *p, struct str rest)
{
    if (!str_eq(rest, STR("run")) && !str_eq(rest, STR("start"))) {
        fault_here(p, "a phase is start or run", rest);
    }
    p->rule->runs = str_eq(rest, STR("run"));
}

static void rule_line(struct parse *p, struct str key, struct str rest)
{
    static const char *const roles[] = {"match", "all", "any", "none"};
    struct str *text = text_slot(p->rule, key);

    for (int k = 0; k < RULES_ROLE_COUNT; k++) {
        if (str_eq(key, str_from_c(roles[k]))) {
            add_to_rule(p, (enum rules_role)k, rest);
            return;
        }
    }
    if (text != NULL) {
        append_text(p, text, rest, " ");
    } else if (str_eq(key, STR("example"))) {
        append_text(p, &p->rule->example, rest, "\n");
    } else if (str_eq(key, STR("when")) || str_eq(key, STR("unless"))) {
        add_test(p, rest, str_eq(key, STR("unless")));
    } else if (str_eq(key, STR("grade"))) {
        set_grade(p, rest);
    } else if (str_eq(key, STR("phase"))) {
        set_phase(p, rest);
    } else if (str_eq(key, STR("rank")) || str_eq(key, STR("within"))) {
        set_number(p, key, rest);
    } else {
        fault_here(p, "no such word in a rule", key);
    }
}

static void fact_line(struct parse *p, struct str key, struct str rest)
{
    uint32_t idx;

    if (!str_eq(key, STR("match"))) {
        fault_here(p, "a fact has match lines only", key);
        return;
    }
    if (p->fact->n_patterns == RULES_PATTERNS_PER_RULE_MAX) {
        fault_here(p, "too many patterns in this fact", rest);
        return;
    }
    idx = add_pattern(p, rest, false);
    if (idx != UINT32_MAX) {
        p->fact->patterns[p->fact->n_patterns++] = idx;
    }
}

static void read_line(struct parse *p, struct str line)
{
    struct str rest = str_trim(line);
    struct str key;

    if (rest.len == 0 || rest.ptr[0] == '#') {
        return;
    }
    if (line.len > LINE_BYTES_MAX) {
        fault_here(p, "this line is longer than 8192 bytes", STR(""));
        return;
    }
    key = take_word(&rest);
    if (str_eq(key, STR("rule"))) {
        begin_rule(p, rest);
    } else if (str_eq(key, STR("fact"))) {
        begin_fact(p, rest);
    } else if (rest.len == 0 && !str_eq(key, STR("example"))) {
        fault_here(p, "nothing stands behind this word", key);
    } else if (p->rule != NULL) {
        rule_line(p, key, rest);
    } else if (p->fact != NULL) {
        fact_line(p, key, rest);
    } else {
        fault_here(p, "a file begins with a rule or a fact, not with", key);
    }
}

enum status rules_add(struct rules *r, struct str name, struct str text, struct buf *faults)
{
    struct parse p = {.r = r, .name = name, .faults = faults};
    size_t at = 0;

    if (text.len > RULES_FILE_BYTES_MAX) {
        fault_here(&p, "this file is too long", STR(""));
        return E_LIMIT;
    }
    while (at < text.len) {
        size_t end = str_find_byte(text, '\n', at);

        end = end == SIZE_MAX ? text.len : end;
        p.line_number++;
        read_line(&p, str_slice(text, at, end));
        at = end + 1;
    }
    finish_rule(&p);
    finish_fact(&p);
    return p.n_faults == 0 ? OK : E_INVALID;
}
