/* log_scan.h - what the patterns of a rule set find in a log, block after block.
 *
 * Keeps per pattern a bounded record: how often, at which lines (first and last few), and the text
 * and captures of the first and the last place.  Facts keep their first few different values.
 * Memory depends on the rules only, not on the log.  One thread.
 */
#ifndef DOCTOR_LOG_SCAN_H
#define DOCTOR_LOG_SCAN_H

#include "base/status.h"
#include "base/str.h"
#include "doctor/rules.h"

#include <stdbool.h>
#include <stdint.h>

#define LOG_SCAN_LINES_KEPT 16    // of the first hits, and as many of the last
#define LOG_SCAN_TIMES_MAX 10000  // counting stops there
#define LOG_SCAN_EVIDENCE_MAX 400 // bytes
#define LOG_SCAN_CAPTURE_MAX 96   // bytes
#define LOG_SCAN_CAPTURES 6
#define LOG_SCAN_VALUES_MAX 8 // different values of one fact

/* One place where a pattern matched. */
struct log_scan_place {
    uint64_t line;
    bool is_warning; // by the level that its logger wrote
    uint32_t evidence_len;
    uint32_t capture_len[LOG_SCAN_CAPTURES];
    char evidence[LOG_SCAN_EVIDENCE_MAX];
    char captures[LOG_SCAN_CAPTURES][LOG_SCAN_CAPTURE_MAX];
};

struct log_scan_hits {
    uint64_t times;
    uint64_t first_lines[LOG_SCAN_LINES_KEPT];
    uint64_t last_lines[LOG_SCAN_LINES_KEPT]; // ring
    uint32_t n_first;
    uint32_t n_last; // ever entered
    struct log_scan_place first;
    struct log_scan_place last;
};

struct log_scan_value {
    uint64_t line; // 0: given by the caller
    uint64_t last_line;
    uint32_t len;
    char text[LOG_SCAN_CAPTURE_MAX];
};

/* All values of one fact name. */
struct log_scan_fact {
    struct str name; // borrowed from the rules or the caller
    struct log_scan_value values[LOG_SCAN_VALUES_MAX];
    uint32_t n_values;
};

struct log_scan;

/** `r` must outlive it.  Errors: UNSUPPORTED without PCRE2, INVALID, NO_MEMORY. */
MUST_USE enum status log_scan_create(const struct rules *r, struct log_scan **ret_scan,
                                     struct error *err);
/** NULL accepted. */
void log_scan_destroy(struct log_scan *s);
/** The next block of the log; whole lines except where a line is longer than a block. */
void log_scan_feed(struct log_scan *s, struct str block);
/** A fact the caller knows; comes before those of the log.  Texts are copied except `name`. */
void log_scan_tell(struct log_scan *s, struct str name, struct str value);

/** The record of a pattern. */
const struct log_scan_hits *log_scan_hits(const struct log_scan *s, uint32_t pattern_idx);
/** The first line on which a pattern gave up (RULES_REGEX_GAVE_UP); 0: on none. */
uint64_t log_scan_gave_up(const struct log_scan *s, uint32_t pattern_idx);
/** NULL when nothing is known under that name. */
const struct log_scan_fact *log_scan_fact(const struct log_scan *s, struct str name);
/** All facts, for listing. */
const struct log_scan_fact *log_scan_facts(const struct log_scan *s, uint32_t *ret_n);
/** The last line of a request answered with 200 after the server became ready; 0: none. */
uint64_t log_scan_served(const struct log_scan *s);
/** Lines seen so far. */
uint64_t log_scan_lines(const struct log_scan *s);

/** Whether two records have places at most `within` lines apart (0: both have any). */
bool log_scan_near(const struct log_scan_hits *a, const struct log_scan_hits *b, uint32_t within);

#endif
