/* command.h - one table of sub-commands; help, man page and completion are made from it. */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include "base/buf.h"
#include "options/option.h"

#include <stdint.h>

#define EXIT_CODE_OK 0
#define EXIT_CODE_FAILED 1 // the work could not be done; the message says why
#define EXIT_CODE_USAGE 2  // the command line is wrong

struct command {
    const char *name;
    const char *summary; // one line for `kontor --help`
    /* argv[0] is the sub-command's name.  Returns the exit code.  Parses with `options` itself. */
    int (*run)(int argc, char **argv);
    const struct option_set *options;
};

/** Parse the command line and call `work` with its values.  Returns the exit code: of `work`, OK
 *  when only help was asked for, USAGE when the line is wrong (said already). */
int command_run(const struct option_set *set, int argc, char **argv, size_t arena_bytes_max,
                int (*work)(const struct option_values *v));
/** Print "kontor COMMAND: text" to stderr and return EXIT_CODE_FAILED. */
int command_failed(const char *command, const char *text);

#endif
