/* engine_options.h - from the option table of `serve` (and `chat --model`) to struct
 * engine_config. */
#ifndef APP_ENGINE_OPTIONS_H
#define APP_ENGINE_OPTIONS_H

#include "base/buf.h"
#include "engine/engine.h"
#include "options/option.h"

#include <limits.h>

#define ENGINE_OPTIONS_NAME_MAX 256

/* What the engine and the gateway need to know about the model the user named. */
struct engine_options {
    struct engine_config config;        // model_dir or preset point into this struct or argv
    char dir[PATH_MAX + 64];            // checkpoint folder, when there is one
    char name[ENGINE_OPTIONS_NAME_MAX]; // served name when none was given: the folder's or preset's
    bool builtin;                       // the built-in demonstration model
};

/**
 * Which model `word` means: NULL the built-in one, "preset:NAME" a shape, else a folder.
 * Errors: NOT_FOUND no built-in model; LIMIT a path too long.
 */
MUST_USE enum status engine_options_model(struct engine_options *o, const char *word,
                                          struct error *err);

/**
 * Fill `o` from a parsed command line of serve_options.
 * Errors: those of engine_options_model; INVALID: --model beside the argument, preset without
 * dummy.
 */
MUST_USE enum status engine_options_read(const struct option_values *v, struct engine_options *o,
                                         struct error *err);

#endif
