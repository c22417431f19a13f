/* label.h - how secret a request is.  A request carries one label, a pool or sink a ceiling.
 *
 * Order matters: a higher value is stricter.  Missing means the strictest.  Pure.
 */
#ifndef BASE_LABEL_H
#define BASE_LABEL_H

#include "base/status.h"
#include "base/str.h"

enum label { LABEL_PUBLIC = 0, LABEL_INTERNAL = 1, LABEL_CONFIDENTIAL = 2, LABEL_PRIVATE = 3 };

/** "public", "internal", "confidential" or "private". */
const char *label_name(enum label l);
/** Errors: INVALID for an unknown word. */
MUST_USE enum status label_parse(struct str s, enum label *ret_label);

#endif
