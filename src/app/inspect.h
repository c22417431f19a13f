/* inspect.h - `kontor inspect`: what a checkpoint folder holds, what it needs, everything wrong
 * with it. */
#ifndef APP_INSPECT_H
#define APP_INSPECT_H

#include "options/option.h"

extern const struct option_set inspect_options;

/** Sub-command; see command.h. */
int inspect_run(int argc, char **argv);

#endif
