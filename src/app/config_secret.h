/* config_secret.h - secrets of a configuration: from files, environment variables, or (warned
 * about) the file itself.
 *
 * Reports name files and variables, never what is in them.
 */
#ifndef APP_CONFIG_SECRET_H
#define APP_CONFIG_SECRET_H

#include "app/config_read.h"

#define CONFIG_SECRET_BYTES_MAX 65536 // of a file
#define CONFIG_SECRET_KEYS_MAX 1024   // of a list

/** One secret of a key of type SECRET, SECRET_FILE or SECRET_ENV; false: reported. */
bool config_secret_one(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *node, struct str *ret_secret);
/** Several, of a key of type SECRETS, SECRETS_FILE or SECRETS_ENV; false: reported. */
bool config_secret_several(struct config_reader *r, const struct config_key *key,
                           const struct yaml_node *node, const struct str **ret_secrets,
                           uint32_t *ret_n);

#endif
