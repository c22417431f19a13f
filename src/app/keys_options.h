/* keys_options.h - the words of `kontor keys`: durations, labels, money, scopes. */
#ifndef APP_KEYS_OPTIONS_H
#define APP_KEYS_OPTIONS_H

#include "options/option.h"
#include "store/keys.h"

#define KEYS_OPTIONS_SECONDS_MAX (INT64_C(100) * 366 * 86400)

/** "90d", "24h", "30m", "45s", "2w" -> seconds.  Errors: INVALID (names `flag`). */
MUST_USE enum status keys_options_duration(const char *flag, const char *word, int64_t *ret_s,
                                           struct error *err);
/** "12.50" -> nano-units.  Errors: INVALID. */
MUST_USE enum status keys_options_money(const char *word, int64_t *ret_nano, struct error *err);
/** What `create` was told.  `arena` holds the lists.  Errors: INVALID, NO_MEMORY. */
MUST_USE enum status keys_options_key(const struct option_values *v, int64_t now_s,
                                      struct arena *arena, struct keys_key *ret_key,
                                      struct error *err);

#endif
