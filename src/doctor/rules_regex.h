/* rules_regex.h - one compiled regular expression (PCRE2, bytes, JIT); the only user of the
 * library.  Built without it, everything answers UNSUPPORTED.  An object: one thread at a time. */
#ifndef DOCTOR_RULES_REGEX_H
#define DOCTOR_RULES_REGEX_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define RULES_REGEX_CAPTURES_MAX 7 // the whole and six groups

struct rules_regex;

/** Whether PCRE2 was there at build time. */
bool rules_regex_is_built(void);
/** Only see whether it compiles (always OK without PCRE2) and how many groups it has.
 *  Errors: INVALID. */
MUST_USE enum status rules_regex_check(struct str regex, uint32_t *ret_groups, struct error *err);
/** Errors: INVALID, UNSUPPORTED, NO_MEMORY. */
MUST_USE enum status rules_regex_create(struct str regex, struct rules_regex **ret_regex,
                                        struct error *err);
/** NULL accepted. */
void rules_regex_destroy(struct rules_regex *x);
/* What a search answers. */
enum rules_regex_answer {
    RULES_REGEX_ABSENT,
    RULES_REGEX_FOUND,
    RULES_REGEX_GAVE_UP, // a limit of steps or memory was reached: not known
};

/** Whether it occurs in `line`; when FOUND, ret_groups[0] is the whole, then the groups (empty: not
 *  set).  A pattern that would backtrack without end gives up. */
enum rules_regex_answer rules_regex_find(struct rules_regex *x, struct str line,
                                         struct str ret_groups[RULES_REGEX_CAPTURES_MAX]);

#endif
