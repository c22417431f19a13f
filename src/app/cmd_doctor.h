/* cmd_doctor.h - `kontor doctor`: what keeps an inference engine from starting, and what to do. */
#ifndef APP_CMD_DOCTOR_H
#define APP_CMD_DOCTOR_H

#include "options/option.h"

extern const struct option_set cmd_doctor_options;

/** Sub-command; see command.h.  Exit codes: 0 nothing found, 1 a problem, 2 could not check. */
int cmd_doctor_run(int argc, char **argv);

#endif
