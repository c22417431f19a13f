/* report.h - what the doctor found: findings, facts, one verdict; printed for people or as JSON.
 *
 * Every check (host, files, logs) adds findings here and never prints.  All text is copied into the
 * report's arena.  Order of adding is the order of printing.  One thread.
 */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define REPORT_FINDINGS_MAX 512 // more are counted, not kept
#define REPORT_FACTS_MAX 256

/* What a check answers. */
enum finding_state {
    FINDING_OK,      // looked, fine
    FINDING_PROBLEM, // cause, evidence, fix
    FINDING_UNKNOWN, // could not look, or sees an error that it cannot explain; `cause` says why
};

/* How sure a problem is. */
enum finding_grade {
    FINDING_CERTAIN,
    FINDING_LIKELY,  // `confirm` says what would settle it
    FINDING_UNGRADED // state is not PROBLEM
};

/* One answer.  Unused texts are empty; all are borrowed for the call of report_add only. */
struct finding {
    enum finding_state state;
    enum finding_grade grade;
    struct str id;       // rule or check, "ascend-oom", "host-shm"
    struct str title;    // one line: what it is about
    struct str cause;    // why, one to three sentences
    struct str fix;      // what to do, naming the flag, variable, package, version
    struct str confirm;  // LIKELY: what would confirm it
    struct str file;     // where the evidence stands; empty: not from a file
    uint64_t line;       // 1-based; 0: no line
    struct str evidence; // the line itself, or the value seen
    uint64_t times;      // how often the evidence was seen; 0 and 1 print nothing
};

struct report;

/** An empty report, or NULL without memory. */
struct report *report_create(void);
/** NULL accepted. */
void report_destroy(struct report *r);
/** Copy one finding in.  Above REPORT_FINDINGS_MAX (or without memory) it only counts. */
void report_add(struct report *r, const struct finding *f);
/** A short extra line under the last added finding: a consequence, a further place.  `line` 0:
 *  none. */
void report_add_related(struct report *r, struct str id, struct str title, uint64_t line);
/** Something learnt, for example "torch", "2.5.1".  `line` 0: not from a line. */
void report_add_fact(struct report *r, struct str name, struct str value, uint64_t line);
/** One sentence that closes the report; without it one is made from the findings. */
void report_set_verdict(struct report *r, struct str text);

/** How many findings have this state. */
uint32_t report_count(const struct report *r, enum finding_state state);
/** Exit code of the doctor: 0 no problem, 1 at least one PROBLEM.  (2 is the caller's: could not
 *  check.) */
int report_exit_code(const struct report *r);

/**
 * For people: width 80, problems first.
 *
 * color   ANSI colours
 * all     print OK answers too
 */
void report_print(const struct report *r, bool color, bool all, struct buf *out);
/** One JSON object: {"state", "verdict", "facts": [..], "findings": [problems], "unknown": [..],
 *  "ok": [..]}.  "findings" holds problems only. */
void report_json(const struct report *r, struct buf *out);

#endif
