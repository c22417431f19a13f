/* files_flags.h - command-line flags of the engines: what is true of each.  Immutable tables. */
#ifndef DOCTOR_FILES_FLAGS_H
#define DOCTOR_FILES_FLAGS_H

#include "doctor/files_internal.h"

enum files_flag_verdict {
    FLAG_OK,      // current
    FLAG_RENAMED, // same meaning under `instead`
    FLAG_DROPPED, // was real; remove
    FLAG_IDLE,    // was real; set or not, no release works otherwise: removed without asking
                  // for the version
    FLAG_NEVER,   // never existed
};

struct files_flag {
    enum files_engine engine;
    const char *name; // without dashes
    enum files_flag_verdict verdict;
    uint32_t n_values;      // words that follow
    const char *instead;    // flag with dashes that takes the same value; NULL: remove
    const char *truth;      // cause, one or two sentences
    uint32_t since_version; // wrong only from this engine version on; 0: always
};

/** The row of a flag that has one, or NULL.  Underscores count as dashes. */
const struct files_flag *files_flags_find(enum files_engine engine, struct str name);
/** A current flag, an abbreviation of one included. */
bool files_flags_known(enum files_engine engine, struct str name);
/** The nearest current flag within two edits, or NULL. */
const char *files_flags_nearest(enum files_engine engine, struct str name);

#endif
