/* config_file.h - a configuration file becomes struct settings, or a report of all that is wrong.
 *
 * Reads the file, the secrets it names and the environment; blocks.  Any thread, one call at a
 * time per report.
 */
#ifndef APP_CONFIG_FILE_H
#define APP_CONFIG_FILE_H

#include "app/config_report.h"
#include "base/status.h"
#include "base/yaml.h"
#include "gateway/settings.h"

struct config_file_options {
    const char *path;
    bool without_secrets; // leave secret files and variables unread: for checks elsewhere
    /* Of the command line, instead of what the file says. */
    const char *host; // with has_port: one listener, the file's first with these changes
    bool has_port;
    uint16_t port;         // 0: any free one
    const char *state_dir; // relative to the working folder
};

struct config_file {
    struct settings *settings;    // owned: arena_destroy(settings->arena) frees it and the tree
    const struct yaml_node *root; // as the file says it; lives in the same arena
};

/**
 * Read, check, fill in defaults.
 *
 * report   initialised by the caller; gets errors and warnings, sorted
 * ret_file written on OK only
 *
 * Errors: INVALID (the report has at least one error; unreadable files included), NO_MEMORY.
 */
MUST_USE enum status config_file_load(const struct config_file_options *options,
                                      struct config_report *report, struct config_file *ret_file);
/** The same for text that is in memory already; `options->path` names it. */
MUST_USE enum status config_file_parse(const struct config_file_options *options, struct str text,
                                       struct config_report *report, struct config_file *ret_file);
/* The parts, for other files of the same kind (config_auth.c). */
#define CONFIG_FILE_BUFFER_BYTES (YAML_BYTES_MAX + 2 * 65536) // ceiling of the text's buffer
/** Whole file into `text`.  Errors: INVALID (reported), NO_MEMORY. */
MUST_USE enum status config_file_text(const char *path, struct config_report *report,
                                      struct buf *text);
/** Its tree, a mapping; NULL: reported. */
const struct yaml_node *config_file_tree(struct arena *arena, struct str text,
                                         struct config_report *report);
/** The folder part of a path: "conf" of "conf/kontor.yaml", empty without one. */
struct str config_file_folder(const char *path);
/** Free the settings of a file that was loaded; NULL accepted. */
void config_file_free(struct settings *settings);

#endif
