/* explain_record.h - find the record that `kontor explain` is asked about. */
#ifndef APP_EXPLAIN_RECORD_H
#define APP_EXPLAIN_RECORD_H

#include "base/arena.h"
#include "gateway/policy.h"

#include <stdint.h>

#define EXPLAIN_RECORD_FILE_BYTES_MAX ((size_t)1 << 30)

struct explain_record_where {
    const char *record;     // JSON, or a file: a record, or an access log
    uint64_t line;          // of the file, from 1; 0: not said
    const char *request_id; // NULL: not said
};

/** Read it; everything lives in `arena`.  Errors: INVALID, IO, LIMIT, NOT_FOUND, NO_MEMORY. */
MUST_USE enum status explain_record_find(const struct explain_record_where *where,
                                         struct arena *arena, struct policy_record *ret_record,
                                         struct error *err);

#endif
