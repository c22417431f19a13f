/* tool_run.h - run a vendor's command-line tool: with a deadline, bounded output, no shell. */
#ifndef DEVICES_TOOL_RUN_H
#define DEVICES_TOOL_RUN_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

/**
 * Run argv[0] (a path) with the C locale, stdin empty, stdout and stderr appended to `out`; what
 * does not fit its ceiling is read and dropped.
 *
 * Returns OK whatever the exit code, which goes to *ret_exit (128 + signal when killed).
 * Errors: NOT_FOUND (cannot be started), IO, TIMEOUT: its process group was killed after
 * timeout_ms; a tool that is stuck in the kernel is left to init.  `out` keeps what came until
 * then.
 */
MUST_USE enum status tool_run(const char *const *argv, uint32_t timeout_ms, struct buf *out,
                              int *ret_exit, struct error *err);

/** First existing executable of `names` under root + its usual folders (and PATH when root is "").
 *  Writes its path; false when there is none. */
MUST_USE bool tool_run_find(const char *root, const char *name, char ret_path[256]);

#endif
