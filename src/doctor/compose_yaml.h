/* compose_yaml.h - YAML documents as a tree whose nodes know their bytes in the text.
 *
 * libyaml does the reading.  Aliases share their node; merge keys (<<) are looked through; a
 * duplicate key keeps both members and is reported by compose_yaml_duplicate.  Limits: nesting,
 * nodes, documents.  Used for Compose files and Kubernetes manifests.
 */
#ifndef DOCTOR_COMPOSE_YAML_H
#define DOCTOR_COMPOSE_YAML_H

#include "doctor/files_internal.h"

#define COMPOSE_YAML_DEPTH_MAX 64
#define COMPOSE_YAML_NODES_MAX 100000
#define COMPOSE_YAML_DOCUMENTS_MAX 500

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    size_t begin; // bytes in the text
    size_t end;
    struct str text; // YAML_TEXT
    char style;      // YAML_TEXT: 'p'lain, '\'', '"', '|', '>'
    bool flow;       // list or map in brackets
    uint32_t n;
    struct yaml_node **items; // [n] values
    struct yaml_node **keys;  // [n] of a map
};

struct yaml_file {
    struct yaml_node **documents; // [n], NULL for an empty one
    uint32_t n;
};

/**
 * Read c->text.  A syntax error inside the text becomes a finding and *ret_file has no documents.
 * Errors: INVALID (the text ends too early, an alias holds itself), LIMIT, NO_MEMORY.
 */
MUST_USE enum status compose_yaml_read(struct files_ctx *c, struct yaml_file *ret_file,
                                       struct error *err);
/** Member of a map, merge keys followed; NULL for none. */
struct yaml_node *compose_yaml_get(const struct yaml_node *map, const char *key);
/** Its text, or "". */
struct str compose_yaml_text(const struct yaml_node *map, const char *key);
/** Words of a list of texts or of a string as Compose splits it. */
void compose_yaml_command(struct files_ctx *c, const struct yaml_node *n,
                          struct files_command *ret_command);
/** Report duplicate keys below `n`. */
void compose_yaml_duplicates(struct files_ctx *c, const struct yaml_node *n);
/** Plain true, false, yes, no, on, off. */
bool compose_yaml_is_bool(const struct yaml_node *n);
/** Plain number. */
bool compose_yaml_is_number(const struct yaml_node *n);

#endif
