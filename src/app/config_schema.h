/* config_schema.h - the configuration file as data: every key with type, unit, range, default and
 * a sentence.
 *
 * One table drives reading (config_read.c), printing (config_print.c), the reference page and the
 * JSON Schema (config_reference.c).  A row names the field of struct settings (or of an item in one
 * of its lists) that it fills.  Static data.
 */
#ifndef APP_CONFIG_SCHEMA_H
#define APP_CONFIG_SCHEMA_H

#include "gateway/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_FLAG,         // true, false
    CONFIG_TEXT,         // one line of text
    CONFIG_NAME,         // letters, digits, . _ -
    CONFIG_HEADER,       // name of an HTTP header
    CONFIG_FILE,         // path, relative to the file's folder
    CONFIG_MODEL,        // folder, preset:NAME, builtin
    CONFIG_URL,          // http:// or https://, without query
    CONFIG_URL_PATH,     // "/health", or "none"
    CONFIG_ADDRESS,      // HOST:PORT; `also` is the port
    CONFIG_DAY,          // 2026-08-01
    CONFIG_CURRENCY,     // USD
    CONFIG_SUBJECT,      // key:ID, team:NAME, model:NAME, provider:NAME
    CONFIG_WORD,         // one of `words`; the field is an enum or a flag; `also` says "was given"
    CONFIG_COUNT,        // whole number
    CONFIG_PERCENT,      // 20%
    CONFIG_MS,           // 500ms, 2s
    CONFIG_BYTES,        // 8MiB
    CONFIG_MONEY,        // "500.00" -> nano-units
    CONFIG_PRICE,        // of a million tokens -> nano-units per token; absent: -1
    CONFIG_SECRET,       // the secret itself
    CONFIG_SECRET_FILE,  // a file that holds it; same field
    CONFIG_SECRET_ENV,   // an environment variable that holds it; same field
    CONFIG_TEXTS,        // list; `also` is its length
    CONFIG_SECRETS,      // list of literal secrets
    CONFIG_SECRETS_FILE, // a file with one a line; same fields
    CONFIG_SECRETS_ENV,  // a variable with several, separated by commas or blanks; same fields
    CONFIG_PAIRS,        // mapping of names
    CONFIG_REF,          // name of an item of list `refers` -> its index
    CONFIG_REFS,         // list of them
    CONFIG_GROUP,        // mapping with keys of its own
    CONFIG_LIST,         // list of such mappings
};

/* Where a value goes: an offset in the struct of the group, and the bytes there; 0 bytes: nowhere,
 * config_checks.c looks at the tree. */
struct config_field {
    uint32_t offset;
    uint32_t bytes;
};

#define CONFIG_AT(type, member)                                                                    \
    {                                                                                              \
        (uint32_t) offsetof(type, member), (uint32_t)sizeof(__typeof__(((type *)NULL)->member))    \
    }

struct config_group;

struct config_key {
    const char *name;
    enum config_type type;
    struct config_field at;
    struct config_field also;
    bool required;
    bool unique;          // no two items of the list have the same
    const char *fallback; // as it would be written; NULL: unset
    const char *words;    // CONFIG_WORD: separated by '|', in the order of the enum
    uint64_t min, max;    // of what is stored, inclusive; both 0: any
    const char *only;     // an upstream's key: has a meaning with this `kind` only; NULL: any
    const char *refers;   // CONFIG_REF, CONFIG_REFS: list at the top of the file
    const struct config_group *group;
    const char *help; // sentences
};

struct config_group {
    const char *title; // "an upstream"
    const struct config_key *keys;
    uint32_t n_keys;
    const char *about;     // for the reference page; may be NULL
    const char *shorthand; // key that an item without keys stands for, or NULL
    uint32_t item_bytes;   // in a list: size of its struct
    uint32_t items_max;
    bool in_place; // the list's field is an array of items_max items, not a pointer
};

/* The whole file. */
extern const struct config_group config_schema;
/* The file of --auth-config, on the same struct settings. */
extern const struct config_group config_schema_auth;

/** Row of that name, or NULL. */
const struct config_key *config_schema_find(const struct config_group *group, struct str name);
/** The i-th of words separated by '|'; empty behind the last. */
struct str config_schema_word(const char *words, uint32_t i);
/** The value is a secret, or the file or variable it comes from. */
bool config_schema_is_secret(const struct config_key *key);

#endif
