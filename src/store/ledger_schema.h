/* ledger_schema.h - the tables of ledger.db, layout 1.
 *
 * `entries` has one row per request, in the order of the commits.  A request is known by its id and
 * the time of its reservation: ids alone may be random, and an index over random texts costs a page
 * for each row once the table is large.  `daily` has the sums of entries by day and everything a
 * report groups by; both change in one transaction, so that a report never reads the rows (`kontor
 * ledger verify` compares them).  Money is an integer count of nano-units of the currency,
 * saturating at 2^63 - 1; times are Unix milliseconds, days count from 1970-01-01 UTC.
 */
#ifndef STORE_LEDGER_SCHEMA_H
#define STORE_LEDGER_SCHEMA_H

#define LEDGER_SCHEMA_FILE "ledger.db"
#define LEDGER_SCHEMA_APPLICATION 1263488596 // "KONT"
#define LEDGER_SCHEMA_VERSION 1

#define LEDGER_SCHEMA_SQL                                                                          \
    "PRAGMA application_id=1263488596;"                                                            \
    "PRAGMA user_version=1;"                                                                       \
    "CREATE TABLE entries("                                                                        \
    " seq INTEGER PRIMARY KEY,"                                                                    \
    " request_id TEXT NOT NULL,"                                                                   \
    " currency TEXT NOT NULL, key_id TEXT NOT NULL, team TEXT NOT NULL,"                           \
    " route_model TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,"                     \
    " upstream TEXT NOT NULL, cause TEXT NOT NULL, label TEXT NOT NULL, rule TEXT NOT NULL,"       \
    " end_ms INTEGER NOT NULL, time_ms INTEGER NOT NULL,"                                          \
    " prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"                             \
    " completion_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,"                      \
    " cost_nano INTEGER NOT NULL, reserved_nano INTEGER NOT NULL,"                                 \
    " price_version INTEGER NOT NULL, estimated INTEGER NOT NULL, attempts INTEGER NOT NULL,"      \
    " http_status INTEGER NOT NULL, first_byte_us INTEGER NOT NULL, total_us INTEGER NOT NULL,"    \
    " UNIQUE(time_ms, request_id));"                                                               \
    "CREATE TABLE daily("                                                                          \
    " day INTEGER NOT NULL, currency TEXT NOT NULL, key_id TEXT NOT NULL, team TEXT NOT NULL,"     \
    " route_model TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,"                     \
    " upstream TEXT NOT NULL,"                                                                     \
    " n_requests INTEGER NOT NULL, n_estimated INTEGER NOT NULL,"                                  \
    " prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"                             \
    " completion_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,"                      \
    " cost_nano INTEGER NOT NULL,"                                                                 \
    " PRIMARY KEY(day, currency, key_id, team, route_model, provider, model, upstream)"            \
    ") WITHOUT ROWID;"

/* Columns in the order of the table, seq left to SQLite. */
#define LEDGER_SCHEMA_INSERT_SQL                                                                   \
    "INSERT INTO entries(request_id, currency, key_id, team, route_model, provider, model,"        \
    " upstream, cause, label, rule, end_ms, time_ms, prompt_tokens, cached_tokens,"                \
    " completion_tokens, reasoning_tokens, cost_nano, reserved_nano, price_version, estimated,"    \
    " attempts, http_status, first_byte_us, total_us)"                                             \
    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"                                   \
    " ON CONFLICT(time_ms, request_id) DO NOTHING"

#define LEDGER_SCHEMA_ADD_SQL                                                                      \
    "INSERT INTO daily VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"                                      \
    " ON CONFLICT DO UPDATE SET"                                                                   \
    " n_requests = n_requests + excluded.n_requests,"                                              \
    " n_estimated = n_estimated + excluded.n_estimated,"                                           \
    " prompt_tokens = prompt_tokens + excluded.prompt_tokens,"                                     \
    " cached_tokens = cached_tokens + excluded.cached_tokens,"                                     \
    " completion_tokens = completion_tokens + excluded.completion_tokens,"                         \
    " reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,"                            \
    " cost_nano = CASE WHEN cost_nano > 9223372036854775807 - excluded.cost_nano"                  \
    " THEN 9223372036854775807 ELSE cost_nano + excluded.cost_nano END"

#endif
