/* cmd_plan.h - `kontor plan`: what a model needs on given cards, before anything is bought or
 * started. */
#ifndef APP_CMD_PLAN_H
#define APP_CMD_PLAN_H

#include "options/option.h"

extern const struct option_set cmd_plan_options;

/** Sub-command; see command.h. */
int cmd_plan_run(int argc, char **argv);

#endif
