/* eval.h - `kontor eval`: logits of a token sequence, greedy continuation.  For parity checks. */
#ifndef APP_EVAL_H
#define APP_EVAL_H

#include "options/option.h"

extern const struct option_set eval_options;

/** Sub-command; see command.h. */
int eval_run(int argc, char **argv);

#endif
