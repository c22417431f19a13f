/* option.h - command lines as data: a table of options, one parser, one help printer.
 *
 * A table row says name, type, default, verdict and help; the parser follows vLLM's habits:
 * `--max-model-len 32k`, `--max_model_len=32k`, unique prefixes, `--no-flag`, lists that run to the
 * next flag.  All problems of a command line are gathered and reported together.  Values are read
 * by name with the type the table gives (another name or type is our bug: CHECK).
 * Start-up only, one thread.
 */
#ifndef OPTIONS_OPTION_H
#define OPTIONS_OPTION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum option_type {
    OPTION_FLAG,     // --x, --no-x
    OPTION_STRING,   // one word
    OPTION_STRINGS,  // one or more words, up to the next flag
    OPTION_COUNT,    // whole number; 32k = 32000, 32K = 32768, m M g G t T alike
    OPTION_FRACTION, // decimal number
    OPTION_CHOICE,   // one of `choices`
};

enum option_verdict {
    OPTION_HONOUR,  // does what it says
    OPTION_SILENT,  // accepted: its meaning is already satisfied
    OPTION_WARN,    // accepted, one warning line: no effect here
    OPTION_NEUTRAL, // only the default is accepted; `instead` explains
    OPTION_REFUSE,  // refused; `instead` names the right way
};

struct option {
    const char *name;  // without dashes, words separated by '-'
    const char *alias; // short form with one dash ("tp"), or NULL
    enum option_type type;
    enum option_verdict verdict;
    const char *fallback; // default as it would be typed, or NULL: unset.  Flags: "true" or NULL
    const char *metavar;  // "DIR"; NULL for flags
    const char *help;     // one or two sentences
    const char *choices;  // OPTION_CHOICE: words separated by '|'
    const char *instead;  // REFUSE, NEUTRAL, WARN: what to do or why
    double min, max;      // COUNT and FRACTION: inclusive bounds; both 0: none
};

struct option_set {
    const char *usage;      // "kontor serve [MODEL] [options]"
    const char *about;      // a paragraph for --help
    const char *positional; // metavar of the one positional argument, or NULL
    const struct option *options;
    uint32_t n_options;
    const char *epilog; // examples and exit codes; may be NULL
};

struct option_values; // one parsed command line

enum option_outcome {
    OPTION_RUN,    // go on
    OPTION_EXIT_0, // --help was printed
    OPTION_EXIT_2, // problems were printed
};

/**
 * Parse argv[1..argc) (argv[0] is the sub-command).  --help prints to stdout; problems and warnings
 * go to stderr.  The values live in `arena`; argv must stay valid.
 */
enum option_outcome option_parse(const struct option_set *set, int argc, char **argv,
                                 struct arena *arena, struct option_values **ret_values);

/* What a command line gave besides values. */
struct option_report {
    bool help;           // --help was asked for
    struct buf problems; // one line each
    struct buf warnings;
};

/** Same without printing: problems and warnings are appended to `report`.  For tests and other
 *  front ends. */
MUST_USE enum status option_parse_quiet(const struct option_set *set, int argc, char **argv,
                                        struct arena *arena, struct option_values **ret_values,
                                        struct option_report *report);

/** The user named it on the command line. */
bool option_is_set(const struct option_values *v, const char *name);
bool option_flag(const struct option_values *v, const char *name);
/** NULL when unset and without default. */
const char *option_string(const struct option_values *v, const char *name);
/** All words of an OPTION_STRINGS; the array lives with the values. */
const char *const *option_strings(const struct option_values *v, const char *name, uint32_t *ret_n);
/** 0 when unset and without default. */
uint64_t option_count(const struct option_values *v, const char *name);
double option_fraction(const struct option_values *v, const char *name);
/** The positional argument, or NULL. */
const char *option_positional(const struct option_values *v);

/** The --help text of a set. */
void option_print_help(const struct option_set *set, struct buf *out);
/** Index of the option nearest to `word` (without dashes), or -1 when none is near. */
int option_nearest(const struct option_set *set, struct str word);
/** "32k" -> 32000.  Errors: INVALID, LIMIT. */
MUST_USE enum status option_read_count(struct str word, uint64_t *ret_value);

#endif
