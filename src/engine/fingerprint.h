/* fingerprint.h - a short name for "the same numbers come out": binary, kernel level, dtype. */
#ifndef ENGINE_FINGERPRINT_H
#define ENGINE_FINGERPRINT_H

#include "base/buf.h"

/** Append "fp_kontor_BUILD_LEVEL_DTYPE"; BUILD is the start of the linker's build id, or the
 *  release when the program carries none.  Any thread. */
void fingerprint_write(struct buf *out, const char *level, const char *dtype);

#endif
