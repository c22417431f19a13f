/* cmd_explain.h - `kontor explain RECORD`: where a request could go and why, from its record. */
#ifndef APP_CMD_EXPLAIN_H
#define APP_CMD_EXPLAIN_H

#include "options/option.h"

extern const struct option_set cmd_explain_options;

/** Sub-command; see command.h. */
int cmd_explain_run(int argc, char **argv);

#endif
