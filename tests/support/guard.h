/* guard.h - a copy of bytes whose end touches an unreadable page: a parser that looks one byte too
 * far faults.  For guard-page and byte-at-a-time tests of everything that reads outside input. */
#ifndef TESTS_SUPPORT_GUARD_H
#define TESTS_SUPPORT_GUARD_H

#include "base/str.h"

struct guard {
    char *map;
    size_t map_bytes;
    struct str text; // the copy
};

/** Copy `bytes` in front of an unreadable page.  Ends the process without memory. */
struct guard guard_copy(struct str bytes);
void guard_done(struct guard *g);

#endif
