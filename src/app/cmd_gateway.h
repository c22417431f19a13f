/* cmd_gateway.h - `kontor gateway`: many engines and providers behind one door. */
#ifndef APP_CMD_GATEWAY_H
#define APP_CMD_GATEWAY_H

#include "options/option.h"

/** Sub-command; see command.h. */
int cmd_gateway_run(int argc, char **argv);
extern const struct option_set cmd_gateway_options;

#endif
