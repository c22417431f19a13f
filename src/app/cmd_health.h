/* cmd_health.h - `kontor health [URL]`: exit code 0 when the server says healthy, else 1. */
#ifndef APP_CMD_HEALTH_H
#define APP_CMD_HEALTH_H

#include "options/option.h"

extern const struct option_set cmd_health_options;

/** Sub-command; see command.h. */
int cmd_health_run(int argc, char **argv);

#endif
