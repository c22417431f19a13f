/* option_values.h - what the parser of option.h found, one slot per row of the table.  Own folder
 * and option tests only. */
#ifndef OPTIONS_OPTION_VALUES_H
#define OPTIONS_OPTION_VALUES_H

#include "options/option.h"

#define OPTION_WORDS_MAX 64 // words of one list option

struct option_slot {
    bool is_set;
    bool flag;
    uint64_t count;
    double fraction;
    const char *words[OPTION_WORDS_MAX]; // borrowed from argv
    uint32_t n_words;
};

struct option_values {
    const struct option_set *set; // borrowed: static tables
    struct option_slot *slots;    // [set->n_options]
    const char *positional;       // borrowed from argv, or NULL
};

#endif
