/* chat_template.h - Jinja templates of checkpoints: compile once, render per request.
 *
 * The subset of facts sheet 9 with Python's semantics; trim_blocks and lstrip_blocks on.
 * A compiled template is immutable; render from any thread.  Hostile templates are expected:
 * turns of loops, output bytes, depth and time are limited.
 */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct chat_template;

/** Errors: INVALID, UNSUPPORTED (a construct outside the subset); err names "line L: ...". */
MUST_USE enum status chat_template_compile(struct str source, struct chat_template **ret_t,
                                           struct error *err);
/** The template of a checkpoint folder: chat_template.jinja, else chat_template in
 *  tokenizer_config.json (a string, or the entry named "default").
 *  Errors: NOT_FOUND (err names --chat-template). */
MUST_USE enum status chat_template_load(const char *dir, struct chat_template **ret_t,
                                        struct error *err);
void chat_template_destroy(struct chat_template *t);

struct chat_template_args {
    const struct json_value *messages; // array
    const struct json_value *tools;    // array or NULL (then undefined in the template)
    const struct json_value *kwargs;   // object or NULL: further variables (enable_thinking ...)
    bool add_generation_prompt;
    const struct kontor_clock *clock; // NULL: system clock
};

struct chat_template_limits {
    uint32_t loop_turns_max; // 0: 1,000,000
    uint64_t output_max;     // 0: 64 MiB
    uint32_t time_ms_max;    // 0: 200
    uint32_t depth_max;      // 0: 64 nested calls and expressions
};

/**
 * Append the rendered prompt to `out`.
 * Errors: INVALID (err: "template line L: ..."; raise_exception's text included), LIMIT (which
 * limit, at which line), NO_MEMORY.
 */
MUST_USE enum status chat_template_render(const struct chat_template *t,
                                          const struct chat_template_args *args,
                                          const struct chat_template_limits *limits,
                                          struct buf *out, struct error *err);

#endif
