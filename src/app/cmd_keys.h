/* cmd_keys.h - `kontor keys create|list|rotate|revoke|token`: the key file, and tokens. */
#ifndef APP_CMD_KEYS_H
#define APP_CMD_KEYS_H

#include "options/option.h"

extern const struct option_set cmd_keys_options;

/** Sub-command; see command.h. */
int cmd_keys_run(int argc, char **argv);

#endif
