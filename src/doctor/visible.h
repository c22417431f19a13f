/* visible.h - text of files, names and rules as a terminal may get it.
 *
 * Control characters (C0, DEL, C1), line and paragraph separators and controls of writing direction
 * become a blank, bytes that are no UTF-8 a question mark: what a hostile log or file name holds
 * must neither steer the terminal nor show another text than is there.  Pure; any thread.
 */
#ifndef DOCTOR_VISIBLE_H
#define DOCTOR_VISIBLE_H

#include "base/buf.h"
#include "base/str.h"

/** Append `s` on one line. */
void visible_append(struct buf *out, struct str s);
/** Append `s`; its line ends stay. */
void visible_append_lines(struct buf *out, struct str s);

#endif
