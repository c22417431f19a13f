/* cmd_ledger.h - `kontor ledger`: what was spent, and whether the books hold together. */
#ifndef APP_CMD_LEDGER_H
#define APP_CMD_LEDGER_H

#include "options/option.h"

extern const struct option_set cmd_ledger_options;

/** Sub-command; see command.h. */
int cmd_ledger_run(int argc, char **argv);

#endif
