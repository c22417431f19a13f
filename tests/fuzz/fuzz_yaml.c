/* Any bytes: a tree within the limits, or a refusal whose place is inside the text. */
#include "base/check.h"
#include "base/yaml.h"

#define ARENA_BYTES (32 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static uint32_t count(const struct yaml_node *node, uint32_t depth)
{
    uint32_t n_items = 0;
    uint32_t n = 1;

    CHECK(depth <= YAML_DEPTH_MAX && node->mark.line >= 1 && node->mark.column >= 1);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        CHECK(node->kind != YAML_MAP || yaml_get(node, item->key) == item);
        n += count(item, depth + 1);
        n_items++;
    }
    CHECK(n_items == node->n_items);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str text = {(const char *)bytes, n_bytes};
    struct arena *arena = arena_create(ARENA_BYTES);
    struct yaml_node *root = NULL;
    struct yaml_mark mark = {0, 0};
    struct error err;

    CHECK(arena != NULL);
    if (yaml_parse(arena, text, &root, &mark, &err) == OK) {
        CHECK(count(root, 0) <= YAML_NODES_MAX);
    } else {
        CHECK(mark.line >= 1 && mark.column >= 1 && mark.line <= n_bytes + 1);
    }
    arena_destroy(arena);
    return 0;
}
