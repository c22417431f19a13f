/* cmd_config.h - `kontor config`: check a configuration file, print the reference of its keys. */
#ifndef APP_CMD_CONFIG_H
#define APP_CMD_CONFIG_H

#include "options/option.h"

/** Sub-command; see command.h. */
int cmd_config_run(int argc, char **argv);
extern const struct option_set cmd_config_options;

#endif
