/* config_sources.h - what the settings of a running gateway are made from: the file, the file of
 * --auth-config, and what the command line says instead.
 */
#ifndef APP_CONFIG_SOURCES_H
#define APP_CONFIG_SOURCES_H

#include "app/config_file.h"

/* Borrowed strings. */
struct config_sources {
    struct config_file_options file;
    const char *auth_path; // of --auth-config; NULL: none
};

/**
 * Read everything.
 *
 * on_report  called once for each file, with its report, also when there is nothing in it
 *
 * Errors: INVALID (a report has an error), NO_MEMORY.  Blocks; not on a loop thread.
 */
MUST_USE enum status config_sources_load(const struct config_sources *sources,
                                         void (*on_report)(void *user,
                                                           const struct config_report *report),
                                         void *user, struct settings **ret_settings);

#endif
