/* config_reader.h - typed, range-checked reading of JSON members, with faults that name key and
 * value.
 *
 * A key that is missing or null takes the default.  Pure; one thread per reader.
 */
#ifndef MODEL_CONFIG_READER_H
#define MODEL_CONFIG_READER_H

#include "base/json.h"
#include "model/faults.h"

#include <stdbool.h>
#include <stdint.h>

struct config_reader {
    const struct json_value *object; // borrowed; NULL: every key is missing
    const char *where;               // file name for messages
    const char *prefix;              // "rope_scaling." inside a nested object, else ""
    struct faults *faults;           // borrowed
};

/** The member, or NULL when it is missing or null. */
const struct json_value *config_reader_get(const struct config_reader *r, const char *key);
/** Report a value that is not what it must be: 'KEY is VALUE, but must be MUST'. */
void config_reader_refuse(const struct config_reader *r, const char *key,
                          const struct json_value *v, enum status s, const char *must);

/** A whole number in [min, max]; missing: a fault. */
uint32_t config_reader_need_u32(const struct config_reader *r, const char *key, uint32_t min,
                                uint32_t max);
/** A whole number in [min, max]; missing: `fallback`, and a note. */
uint32_t config_reader_u32_or(const struct config_reader *r, const char *key, uint32_t min,
                              uint32_t max, uint32_t fallback);
/** A finite number in [min, max]; missing: `fallback`.  `note`: say so. */
double config_reader_f64_or(const struct config_reader *r, const char *key, double min, double max,
                            double fallback, bool note);
bool config_reader_bool_or(const struct config_reader *r, const char *key, bool fallback,
                           bool note);

#endif
