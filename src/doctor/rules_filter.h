/* rules_filter.h - find any of some thousand fixed texts in a block, fast.
 *
 * Every second position of the text is looked up in a bitmap of four-byte groups (each literal is
 * entered with two neighbouring groups out of its rarest five bytes, so one of the two falls on a
 * position that is looked at); only what passes is compared.  Independent look-ups, no automaton:
 * the cost does not grow with the number of literals as long as the bitmap stays sparse.  Immutable
 * after creation.
 */
#ifndef DOCTOR_RULES_FILTER_H
#define DOCTOR_RULES_FILTER_H

#include "base/status.h"
#include "base/str.h"
#include "doctor/rules.h"

struct rules_filter;

/** For all patterns of `r`, which must outlive it.  NULL without memory. */
struct rules_filter *rules_filter_create(const struct rules *r);
/** NULL accepted. */
void rules_filter_destroy(struct rules_filter *f);
/** Told of a place where a literal of a pattern stands; returns the byte from which on places
 *  are of interest again (0: all). */
typedef size_t rules_filter_seen(void *user, uint32_t pattern_idx, size_t at);
/** Call `on_literal` for every place of `text` where a literal of a pattern stands, in order of
 *  position up to the length of a literal.  Cost: about one load per two bytes. */
void rules_filter_scan(const struct rules_filter *f, struct str text, rules_filter_seen *on_literal,
                       void *user);

#endif
