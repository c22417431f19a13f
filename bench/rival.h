/* rival.h - other libraries at the same task, each in a file of its own: their headers use our
 * names. */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include "base/str.h"

/** Milliseconds jansson takes to parse `text`. */
double rival_jansson_ms(struct str text);

#endif
