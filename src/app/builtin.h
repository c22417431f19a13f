/* builtin.h - where the built-in demonstration model lies. */
#ifndef APP_BUILTIN_H
#define APP_BUILTIN_H

#include "base/buf.h"
#include "base/status.h"

/** Its folder, appended to `out`: $KONTOR_SHARE/builtin-model, beside the binary's prefix
 *  (../share/kontor/builtin-model), or the source tree's share/builtin-model.  Errors:
 *  NOT_FOUND. */
MUST_USE enum status builtin_dir(struct buf *out, struct error *err);

#endif
