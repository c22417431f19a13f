/* cmd_chat.h - `kontor chat`: a conversation in the terminal, with a server or with a
 * checkpoint. */
#ifndef APP_CMD_CHAT_H
#define APP_CMD_CHAT_H

#include "options/option.h"

extern const struct option_set cmd_chat_options;

/** Sub-command; see command.h. */
int cmd_chat_run(int argc, char **argv);

#endif
