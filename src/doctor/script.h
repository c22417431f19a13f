/* script.h - the words of a POSIX shell text, enough to see commands and flags.
 *
 * No expansion: a word that holds $ or a backquote is marked.  Bodies of here-documents are
 * skipped.  Limits: FILES_WORDS_MAX words, nesting of $( ) and ${ } by counting.
 */
#ifndef DOCTOR_SCRIPT_H
#define DOCTOR_SCRIPT_H

#include "doctor/files_internal.h"

struct script_commands {
    struct files_command *items;
    uint32_t n;
    size_t open_quote; // where a quote began that never ends, or SIZE_MAX
};

/**
 * Commands of c->text[begin, end).
 *
 * docker  a Dockerfile instruction: whole comment lines inside continuations are dropped, blanks
 *         behind a backslash do not end it
 * Errors: LIMIT (too many words), NO_MEMORY.
 */
MUST_USE enum status script_split(struct files_ctx *c, size_t begin, size_t end, bool docker,
                                  struct script_commands *ret_commands, struct error *err);
/** Judge the commands: variables, engines, docker run, pip. `vendors` from elsewhere in the file.
 *  Used for scripts and for RUN, CMD in shell form, and `sh -c` words. */
void script_judge(struct files_ctx *c, const struct script_commands *cmds,
                  const struct files_container *k);
/** `docker run ...` as a container, then judged. */
void script_docker_run(struct files_ctx *c, const struct files_command *cmd, uint32_t first);

#endif
