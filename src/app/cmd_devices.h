/* cmd_devices.h - `kontor devices`: the accelerator cards of this machine, or why there are
 * none. */
#ifndef APP_CMD_DEVICES_H
#define APP_CMD_DEVICES_H

#include "devices/devices.h"
#include "options/option.h"

extern const struct option_set cmd_devices_options;

/** Sub-command; see command.h. */
int cmd_devices_run(int argc, char **argv);

/** Name of the environment variable that names libraries, "VENDOR=FILE". */
#define CMD_DEVICES_LIBRARY_ENV "KONTOR_DEVICES_LIBRARY"

/** Take the library named by the environment, if any; its text is borrowed.
 *  Errors: INVALID, NOT_FOUND (no such vendor). */
MUST_USE enum status cmd_devices_environment(struct devices_options *o, struct error *err);

#endif
