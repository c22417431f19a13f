/* dockerfile.h - a Dockerfile as instructions with their bytes.  Own folder only. */
#ifndef DOCTOR_DOCKERFILE_H
#define DOCTOR_DOCKERFILE_H

#include "doctor/script.h"

#define DOCKERFILE_INSTRUCTIONS_MAX 2000

struct dockerfile_instruction {
    struct str name;  // as written
    size_t at;        // of the name
    size_t begin;     // of the arguments
    size_t end;       // of the last line, its line end excluded
    uint32_t stage;   // counts FROM
    bool json;        // arguments are a JSON list
    struct str plain; // arguments with continuations folded
};

struct dockerfile {
    struct dockerfile_instruction *items;
    uint32_t n;
};

/** Instructions of c->text.  Here-documents belong to their instruction.
 *  Errors: LIMIT, NO_MEMORY. */
MUST_USE enum status dockerfile_parse(struct files_ctx *c, struct dockerfile *ret_file,
                                      struct error *err);
/** Words of a JSON list; false when it is none that Docker would accept. */
bool dockerfile_json_words(struct files_ctx *c, size_t begin, size_t end,
                           struct files_command *ret_command);

#endif
