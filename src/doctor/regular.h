/* regular.h - open what must be a regular file: a FIFO or a device in its place would keep the
 * reader waiting.  Any thread.
 */
#ifndef DOCTOR_REGULAR_H
#define DOCTOR_REGULAR_H

#include <stdio.h>

/** For reading; the caller closes it.  NULL with errno set; EINVAL when it is no regular file. */
FILE *regular_open(const char *path);

#endif
