/* cmd_serve.h - `kontor serve`: load a checkpoint and answer the OpenAI API until a signal. */
#ifndef APP_CMD_SERVE_H
#define APP_CMD_SERVE_H

/** Sub-command; see command.h. */
int cmd_serve_run(int argc, char **argv);

#endif
