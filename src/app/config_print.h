/* config_print.h - settings as a configuration file again, defaults filled in, secrets redacted. */
#ifndef APP_CONFIG_PRINT_H
#define APP_CONFIG_PRINT_H

#include "app/config_file.h"
#include "base/buf.h"

/**
 * Append the effective settings as YAML that reads as the same settings.  Secrets appear as the
 * file or variable that they come from; literal ones as "<redacted>".
 *
 * path  of the file, to which relative paths belong
 */
void config_print_settings(const struct config_file *file, const char *path, struct buf *out);

/** Append `text` as one YAML value: plain where that is safe, else in double quotes. */
void config_print_text(struct buf *out, struct str text);

#endif
