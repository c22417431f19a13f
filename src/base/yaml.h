/* yaml.h - one YAML document as a small tree in an arena, every node with its place in the file.
 *
 * A strict part of YAML 1.1, by libyaml: mappings with scalar keys, sequences, scalars.  Refused,
 * with line and column: duplicate keys, anchors and aliases, tags, more than one document, bytes
 * that are not UTF-8, control characters, line ends other than LF and CRLF, and whatever is over a
 * limit below.  Scalars stay text: the reader of a key decides what type it wants, so `on` and
 * `1.10` mean what their key says.  Pure; any thread, one arena per thread.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define YAML_BYTES_MAX (1 << 20) // of a file
#define YAML_DEPTH_MAX 32        // mappings and sequences inside each other
#define YAML_NODES_MAX 65536
#define YAML_MEMBERS_MAX 4096       // keys of one mapping
#define YAML_SCALAR_BYTES_MAX 65536 // of one key or value

/* Both from 1, in characters, as editors count.  0:0 when there is no place in a file. */
struct yaml_mark {
    uint32_t line;
    uint32_t column;
};

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    struct yaml_mark mark;     // of the value's first character
    struct yaml_mark key_mark; // of the key, when the node is a value of a mapping
    struct str key;            // in the arena, a NUL behind it; empty in sequences
    struct str text;           // YAML_SCALAR: in the arena, a NUL behind it
    bool plain;                // YAML_SCALAR without quotes
    uint32_t n_items;          // YAML_LIST, YAML_MAP
    struct yaml_node *first;   // of the items, in the order of the file
    struct yaml_node *next;    // the next item of the same parent
};

/**
 * Read one document.
 *
 * ret_mark  set on failure: where, inside the text
 * Errors: INVALID, LIMIT (err: what and what to do, without the place), NO_MEMORY (arena ceiling).
 */
MUST_USE enum status yaml_parse(struct arena *arena, struct str text, struct yaml_node **ret_root,
                                struct yaml_mark *ret_mark, struct error *err);

/** Value of a key of a mapping, or NULL (also when `map` is NULL or no mapping). */
struct yaml_node *yaml_get(const struct yaml_node *map, struct str key);
/** A plain scalar that says "nothing": empty, ~ or null. */
bool yaml_is_null(const struct yaml_node *node);

#endif
