/* serve_options.h - the option table of `kontor serve`: vLLM's names with vLLM's meaning. */
#ifndef OPTIONS_SERVE_OPTIONS_H
#define OPTIONS_SERVE_OPTIONS_H

#include "options/option.h"

extern const struct option_set serve_options;

#endif
