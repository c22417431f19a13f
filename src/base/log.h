/* log.h - one line per event on stderr: time, level, event name, then key=value pairs.
 *
 * Libraries return a status; only gateway/, engine's thread and app/ log.  Event names are fixed
 * words.  Never prompts, completions or keys.  Lines are written whole (one write); any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/** Lines under `level` are dropped.  Default INFO.  Call before threads start. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/** log_event(LOG_LEVEL_INFO, "listening", "host=%s port=%u", host, port); fmt may be "". */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
