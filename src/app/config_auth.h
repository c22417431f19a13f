/* config_auth.h - the file of `--auth-config`: keys, and the header they come in.
 *
 * YAML or JSON with the keys type, api_keys, api_keys_file, api_keys_env, header_name and
 * header_prefix (config_schema_auth).
 */
#ifndef APP_CONFIG_AUTH_H
#define APP_CONFIG_AUTH_H

#include "app/config_file.h"

/**
 * Put what the file says into auth_keys (behind those that are there), auth_header and auth_prefix
 * of `settings`, in its arena.
 *
 * report  initialised by the caller for this file; gets errors and warnings, sorted
 *
 * Errors: INVALID (the report has an error; `settings` is as before), NO_MEMORY.
 */
MUST_USE enum status config_auth_load(const struct config_file_options *options,
                                      struct config_report *report, struct settings *settings);

#endif
