/* config_scalar.h - one value of a configuration: its text, its type and range, its field.
 *
 * Own group of files only (config_*.c).
 */
#ifndef APP_CONFIG_SCALAR_H
#define APP_CONFIG_SCALAR_H

#include "app/config_read.h"

/** Read `text` as the key's type and store it in `base`; false: reported at `mark`. */
bool config_scalar_read(struct config_reader *r, const struct config_key *key, struct str text,
                        struct yaml_mark mark, void *base);
/** One line of text: not empty, at most 1024 bytes, no control characters; false: reported. */
bool config_scalar_is_line(struct config_reader *r, const struct config_key *key, struct str text,
                           struct yaml_mark mark);
/** Position of `name` in the list at the top of the file that the key refers to; false: reported,
 *  with the nearest name. */
bool config_scalar_find(struct config_reader *r, const struct config_key *key, struct str name,
                        struct yaml_mark mark, uint32_t *ret_idx);

/** `path` in the folder of the file, unless it is absolute; in the arena, a NUL behind it. */
struct str config_scalar_path(struct config_reader *r, struct str path);

/** Store into a field; 0 bytes: nowhere. */
void config_scalar_put_number(const struct config_field *f, void *base, uint64_t value);
void config_scalar_put_pointer(const struct config_field *f, void *base, const void *pointer);
/** As struct str, or as C string (NULL when empty; a NUL must stand behind it). */
void config_scalar_put_text(const struct config_field *f, void *base, struct str text);

/* The way back. */
/** COUNT, PERCENT, MS, BYTES, MONEY, PRICE. */
bool config_scalar_is_amount(enum config_type type);
void config_scalar_write_amount(struct buf *out, enum config_type type, uint64_t value);
uint64_t config_scalar_number(const struct config_field *f, const void *base);
const void *config_scalar_pointer(const struct config_field *f, const void *base);
struct str config_scalar_text(const struct config_field *f, const void *base);

#endif
