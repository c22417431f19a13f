/* rules.h - the doctor's knowledge of logs as data: patterns, conditions, cause, fix.
 *
 * Rules are text files of our own form (docs/doctor.md), built in from share/doctor and extended
 * with --rules FILE.  Loading checks every line and gathers all faults, each with file and line.
 * Immutable after rules_load; any thread may read.
 */
#ifndef DOCTOR_RULES_H
#define DOCTOR_RULES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"
#include "doctor/report.h"

#include <stdbool.h>
#include <stdint.h>

#define RULES_MAX 1024          // rules and facts of all files together
#define RULES_PATTERNS_MAX 4096 // patterns of all files together
#define RULES_LITERALS_MAX 24   // alternatives of one pattern
#define RULES_LITERAL_BYTES_MIN 5
#define RULES_LITERAL_BYTES_MAX 40
#define RULES_PATTERNS_PER_RULE_MAX 24
#define RULES_TESTS_PER_RULE_MAX 8
#define RULES_FILE_BYTES_MAX (4u << 20)

/* One regular expression (PCRE2, bytes) and fixed texts of which one must be in the line. */
struct rules_pattern {
    struct str regex;
    struct str literals[RULES_LITERALS_MAX];
    uint32_t n_literals;
    uint32_t n_groups; // of the expression
    bool nocase;       // begins with (?i)
    bool skips_debug;  // lines of level DEBUG do not count
};

enum rules_test_op {
    RULES_IS,  // equal, without case
    RULES_HAS, // contains, without case
    RULES_LT,  // versions
    RULES_LE,
    RULES_GT,
    RULES_GE,
    RULES_KNOWN, // any value
};

/* "when vllm < 0.10.1", "unless vendor is ascend" */
struct rules_test {
    struct str name;
    struct str value;
    enum rules_test_op op;
    bool negated;
};

enum rules_role { RULES_MATCH, RULES_ALL, RULES_ANY, RULES_NONE, RULES_ROLE_COUNT };

struct rules_rule {
    struct str id;
    struct str title;
    struct str cause; // may hold {1}..{6}, {1|2|else} and {fact:NAME|else}
    struct str fix;
    struct str confirm;
    struct str example; // lines
    struct str vendor;  // empty: any
    struct str file;
    uint32_t line;
    enum finding_grade grade;
    int32_t rank;    // higher is nearer to the root; 50 by default
    bool runs;       // also counts before a line that says the server is ready
    uint32_t within; // lines between `match` and the other conditions; 0: anywhere
    uint32_t patterns[RULES_PATTERNS_PER_RULE_MAX]; // indexes, grouped by role
    uint32_t n_by_role[RULES_ROLE_COUNT];
    struct rules_test tests[RULES_TESTS_PER_RULE_MAX];
    uint32_t n_tests;
};

/* Something to learn from the log; a name may stand on several of them. */
struct rules_fact {
    struct str name;  // with a leading '_': not reported
    struct str value; // empty: first capture of the pattern
    uint32_t patterns[RULES_PATTERNS_PER_RULE_MAX];
    uint32_t n_patterns;
    struct str file;
    uint32_t line;
};

struct rules {
    struct arena *arena; // owned; all texts
    struct rules_pattern *patterns;
    struct rules_rule *rules;
    struct rules_fact *facts;
    uint32_t n_patterns;
    uint32_t n_rules;
    uint32_t n_facts;
};

/** An empty set, or NULL without memory. */
struct rules *rules_create(void);
/** NULL accepted. */
void rules_destroy(struct rules *r);

/**
 * Add the rules of one text.
 *
 * name      of the file, for messages
 * faults    every fault as a line "name:LINE: text"
 * Errors: INVALID when there was a fault (the set must not be used then), LIMIT, NO_MEMORY.
 */
MUST_USE enum status rules_add(struct rules *r, struct str name, struct str text,
                               struct buf *faults);
/** Read a file and add it.  Errors: as rules_add, NOT_FOUND, IO. */
MUST_USE enum status rules_add_file(struct rules *r, const char *path, struct buf *faults);
/** Add all built-in files.  They are checked by a test; a fault here is our bug. */
MUST_USE enum status rules_add_builtin(struct rules *r, struct buf *faults);

/** Indexes of the patterns of one role: pointer into the rule and how many. */
const uint32_t *rules_role(const struct rules_rule *rule, enum rules_role role, uint32_t *ret_n);

/** Fixed texts for the prefilter, one per alternative of `regex`.  False when an alternative has
 *  none of RULES_LITERAL_BYTES_MIN bytes. */
bool rules_literals(struct arena *arena, struct str regex, struct rules_pattern *ret_pattern);

/** "0.10.1rc1" against "0.10.1": <0, 0, >0; numbers by value, a release after its rc. */
int rules_compare_versions(struct str a, struct str b);

/** All rules as a Markdown page. */
void rules_write_page(const struct rules *r, struct buf *out);

#endif
