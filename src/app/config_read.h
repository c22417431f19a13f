/* config_read.h - fill a struct from a YAML tree as a schema table says.
 *
 * Every fault is reported, nothing stops at the first: what cannot be read keeps its default, so
 * that the rest can still be checked.  One thread; may read secret files and the environment.
 */
#ifndef APP_CONFIG_READ_H
#define APP_CONFIG_READ_H

#include "app/config_report.h"
#include "app/config_schema.h"
#include "base/arena.h"
#include "base/yaml.h"

struct config_reader {
    struct arena *arena; // of the settings; the tree lives there too, values point into it
    struct config_report *report;
    const struct yaml_node *root; // for references; NULL: the group has none
    struct str folder;            // of the file; relative paths begin there
    bool without_secrets;         // leave files and variables with secrets unread
};

/**
 * Fill `base` with defaults and what `node` says.
 *
 * node  a mapping, or a word where the group has a shorthand, or NULL: defaults only
 * base  zeroed struct of the group
 */
void config_read_group(struct config_reader *r, const struct config_group *group,
                       const struct yaml_node *node, void *base);

/** Node of item `i` of a list, or NULL. */
const struct yaml_node *config_read_item(const struct yaml_node *list, uint32_t i);
/** Node of a key of an item, which may be the item itself where it is a shorthand; or NULL. */
const struct yaml_node *config_read_value(const struct config_group *group,
                                          const struct yaml_node *item, const char *key);

/* Text of the file in messages: its first 80 bytes. */
#define CONFIG_READ_SHOW(s) ((int)((s).len < 80 ? (s).len : 80)), ((s).ptr ? (s).ptr : "")

#endif
