/* line_input.h - lines from the person at the terminal, with editing and history when libedit is
 * built in; plain lines otherwise and when stdin is no terminal.  History stays in memory: prompts
 * are nobody else's business.  Main thread only.
 */
#ifndef APP_LINE_INPUT_H
#define APP_LINE_INPUT_H

#include "base/buf.h"

#include <stdbool.h>

struct line_input;

/** Never fails (CHECKs on no memory). */
struct line_input *line_input_create(void);
void line_input_destroy(struct line_input *in);
/** Read one line without its newline into `line` (reset first).  False at the end of input. */
bool line_input_read(struct line_input *in, struct buf *line);
/** stdin is a terminal: a prompt is shown. */
bool line_input_is_terminal(const struct line_input *in);

#endif
