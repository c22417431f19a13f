/* config_report.h - everything that is wrong with a configuration file, each with its place.
 *
 * Filled while a file is read; nothing stops at the first fault.  One thread.
 */
#ifndef APP_CONFIG_REPORT_H
#define APP_CONFIG_REPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/yaml.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_REPORT_ISSUES_MAX 200

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_issue {
    enum config_severity severity;
    struct yaml_mark mark; // 0:0: of the whole file
    uint32_t order;        // of being found; ties of the mark
    struct str text;       // one or more sentences, no line break
};

struct config_report {
    struct arena *arena; // owned
    struct str file;     // as the user named it
    struct config_issue issues[CONFIG_REPORT_ISSUES_MAX];
    uint32_t n_issues;
    uint32_t n_errors; // all of them, also those beyond the limit
    uint32_t n_warnings;
};

/** Empty, for the file `path`.  CHECKs that there is memory: at start, or on a reload's thread. */
void config_report_init(struct config_report *r, const char *path);
void config_report_done(struct config_report *r);
/** Add an issue; texts are cut at 1000 bytes, control characters in them become '?'. */
void config_report_error(struct config_report *r, struct yaml_mark mark, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void config_report_warn(struct config_report *r, struct yaml_mark mark, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/** Bring the issues into the order of the file. */
void config_report_sort(struct config_report *r);
/** "FILE:LINE:COLUMN: error: text", one a line, and a line when some were left out. */
void config_report_print(const struct config_report *r, struct buf *out);
/** The same on stderr, for a command that goes on or gives up. */
void config_report_print_stderr(void *user, const struct config_report *r);
/** One JSON object: file, errors, warnings, issues[{severity, line, column, message}]. */
void config_report_print_json(const struct config_report *r, struct buf *out);

/* "did you mean": the nearest of the candidates that were offered. */
struct config_near {
    struct str word; // as typed
    struct str best;
    size_t distance;
};

/** Look for words like `word`. */
struct config_near config_report_near(struct str word);
void config_report_offer(struct config_near *near, struct str candidate);
/** Something near enough was offered. */
bool config_report_found(const struct config_near *near);

#endif
