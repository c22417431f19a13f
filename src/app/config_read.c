#include "app/config_read.h"
#include "app/config_scalar.h"
#include "app/config_secret.h"
#include "base/check.h"

#include <string.h>

const struct yaml_node *config_read_item(const struct yaml_node *list, uint32_t i)
{
    const struct yaml_node *item = list == NULL ? NULL : list->first;

    while (item != NULL && i > 0) {
        item = item->next;
        i--;
    }
    return item;
}

const struct yaml_node *config_read_value(const struct config_group *group,
                                          const struct yaml_node *item, const char *key)
{
    if (item == NULL) {
        return NULL;
    }
    if (item->kind == YAML_SCALAR) {
        return group->shorthand != NULL && strcmp(group->shorthand, key) == 0 ? item : NULL;
    }
    return yaml_get(item, str_from_c(key));
}

/* The value stands where something of another shape belongs. */
static bool refuse_kind(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *node, enum yaml_kind want)
{
    static const char *const wanted[] = {
        [YAML_SCALAR] = "one value",
        [YAML_LIST] = "a list: [a, b], or lines that begin with \"- \"",
        [YAML_MAP] = "a mapping: lines of the form \"key: value\"",
    };
    static const char *const found[] = {
        [YAML_SCALAR] = "a single value",
        [YAML_LIST] = "a list",
        [YAML_MAP] = "a mapping",
    };

    if (node->kind == want) {
        return false;
    }
    config_report_error(r->report, node->mark, "%s must be %s; this is %s", key->name, wanted[want],
                        found[node->kind]);
    return true;
}

static void *new_items(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *node, size_t item_bytes)
{
    void *items = arena_zalloc(r->arena, node->n_items, item_bytes);

    if (items == NULL) {
        config_report_error(r->report, node->mark, "%s: no memory", key->name);
    }
    return items;
}

static bool too_many(struct config_reader *r, const struct config_key *key,
                     const struct yaml_node *node, uint64_t max)
{
    if (node->n_items <= max) {
        return false;
    }
    config_report_error(r->report, config_read_item(node, (uint32_t)max)->mark,
                        "%s: more than %u entries", key->name, (unsigned)max);
    return true;
}

static void read_texts(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *node, void *base)
{
    struct str *texts;
    uint32_t n = 0;

    if (refuse_kind(r, key, node, YAML_LIST) || too_many(r, key, node, key->max)) {
        return;
    }
    texts = new_items(r, key, node, sizeof(*texts));
    if (texts == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        if (!refuse_kind(r, key, item, YAML_SCALAR) &&
            config_scalar_is_line(r, key, item->text, item->mark)) {
            if (item->text.len == 0) {
                config_report_error(r->report, item->mark, "%s: an entry is empty", key->name);
            }
            texts[n++] = item->text;
        }
    }
    config_scalar_put_pointer(&key->at, base, texts);
    config_scalar_put_number(&key->also, base, n);
}

static void read_refs(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *node, void *base)
{
    uint32_t *refs;
    uint32_t n = 0;

    if (refuse_kind(r, key, node, YAML_LIST) || too_many(r, key, node, key->max)) {
        return;
    }
    refs = new_items(r, key, node, sizeof(*refs));
    if (refs == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        uint32_t idx = 0;

        if (refuse_kind(r, key, item, YAML_SCALAR) ||
            !config_scalar_find(r, key, item->text, item->mark, &idx)) {
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            if (refs[i] == idx) {
                config_report_error(r->report, item->mark, "%s: \"%.*s\" stands here twice",
                                    key->name, CONFIG_READ_SHOW(item->text));
            }
        }
        refs[n++] = idx;
    }
    config_scalar_put_pointer(&key->at, base, refs);
    config_scalar_put_number(&key->also, base, n);
}

static void read_pairs(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *node, void *base)
{
    struct settings_pair *pairs;
    uint32_t n = 0;

    if (refuse_kind(r, key, node, YAML_MAP)) {
        return;
    }
    pairs = new_items(r, key, node, sizeof(*pairs));
    if (pairs == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        if (refuse_kind(r, key, item, YAML_SCALAR) ||
            !config_scalar_is_line(r, key, item->key, item->key_mark) ||
            !config_scalar_is_line(r, key, item->text, item->mark)) {
            continue;
        }
        if (item->key.len == 0 || item->text.len == 0) {
            config_report_error(r->report, item->mark, "%s: a name is empty", key->name);
        }
        pairs[n++] = (struct settings_pair){item->key, item->text};
    }
    config_scalar_put_pointer(&key->at, base, pairs);
    config_scalar_put_number(&key->also, base, n);
}

/* Names that must differ, over all items of a list. */
static void check_unique(struct config_reader *r, const struct config_group *group,
                         const struct config_key *key, const struct yaml_node *list)
{
    for (const struct yaml_node *b = list->first; b != NULL; b = b->next) {
        const struct yaml_node *own = config_read_value(group, b, key->name);

        for (const struct yaml_node *a = list->first; own != NULL && a != b; a = a->next) {
            const struct yaml_node *other = config_read_value(group, a, key->name);

            if (other != NULL && own->kind == YAML_SCALAR && other->kind == YAML_SCALAR &&
                str_eq(own->text, other->text)) {
                config_report_error(r->report, own->mark,
                                    "duplicate %s \"%.*s\"; the first one is on line %u", key->name,
                                    CONFIG_READ_SHOW(own->text), other->mark.line);
                break;
            }
        }
    }
}

static void read_list(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *node, void *base)
{
    const struct config_group *group = key->group;
    char *items = NULL;
    uint32_t n = 0;

    if (refuse_kind(r, key, node, YAML_LIST) || too_many(r, key, node, group->items_max)) {
        return;
    }
    items = group->in_place ? (char *)base + key->at.offset
                            : new_items(r, key, node, group->item_bytes);
    if (items == NULL) {
        return;
    }
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        config_read_group(r, group, item, items + (size_t)n * group->item_bytes);
        n++;
    }
    if (!group->in_place) {
        config_scalar_put_pointer(&key->at, base, items);
    }
    config_scalar_put_number(&key->also, base, n);
    for (uint32_t i = 0; i < group->n_keys; i++) {
        if (group->keys[i].unique) {
            check_unique(r, group, &group->keys[i], node);
        }
    }
}

static void read_secret(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *node, void *base)
{
    struct str secret;

    if (!refuse_kind(r, key, node, YAML_SCALAR) && config_secret_one(r, key, node, &secret)) {
        config_scalar_put_text(&key->at, base, secret);
    }
}

/* Lists of keys add up: file, variable and literal ones. */
static void read_secrets(struct config_reader *r, const struct config_key *key,
                         const struct yaml_node *node, void *base)
{
    const struct str *before = config_scalar_pointer(&key->at, base);
    uint32_t n_before = (uint32_t)config_scalar_number(&key->also, base);
    const struct str *more = NULL;
    struct str *all;
    uint32_t n_more = 0;

    if (refuse_kind(r, key, node, key->type == CONFIG_SECRETS ? YAML_LIST : YAML_SCALAR) ||
        !config_secret_several(r, key, node, &more, &n_more)) {
        return;
    }
    all = arena_zalloc(r->arena, (size_t)n_before + n_more, sizeof(*all));
    if (all == NULL) {
        config_report_error(r->report, node->mark, "%s: no memory", key->name);
        return;
    }
    for (uint32_t i = 0; i < n_before; i++) {
        all[i] = before[i];
    }
    for (uint32_t i = 0; i < n_more; i++) {
        all[n_before + i] = more[i];
    }
    config_scalar_put_pointer(&key->at, base, all);
    config_scalar_put_number(&key->also, base, n_before + n_more);
}

static bool is_section(const struct config_key *key)
{
    return key->type == CONFIG_GROUP || key->type == CONFIG_LIST || key->type == CONFIG_TEXTS ||
           key->type == CONFIG_REFS || key->type == CONFIG_PAIRS;
}

static void read_section(struct config_reader *r, const struct config_key *key,
                         const struct yaml_node *node, void *base)
{
    if (!refuse_kind(r, key, node, YAML_MAP)) {
        config_read_group(r, key->group, node, base);
    }
}

static void read_scalar(struct config_reader *r, const struct config_key *key,
                        const struct yaml_node *node, void *base)
{
    if (!refuse_kind(r, key, node, YAML_SCALAR)) {
        config_scalar_read(r, key, node->text, node->mark, base);
    }
}

typedef void (*value_reader)(struct config_reader *r, const struct config_key *key,
                             const struct yaml_node *node, void *base);

/* All others are read_scalar. */
static const value_reader readers[] = {
    [CONFIG_SECRET] = read_secret,       [CONFIG_SECRET_FILE] = read_secret,
    [CONFIG_SECRET_ENV] = read_secret,   [CONFIG_TEXTS] = read_texts,
    [CONFIG_SECRETS] = read_secrets,     [CONFIG_SECRETS_FILE] = read_secrets,
    [CONFIG_SECRETS_ENV] = read_secrets, [CONFIG_PAIRS] = read_pairs,
    [CONFIG_REFS] = read_refs,           [CONFIG_GROUP] = read_section,
    [CONFIG_LIST] = read_list,
};

static void read_value(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *node, void *base)
{
    bool special = key->type < ARRAY_COUNT(readers) && readers[key->type] != NULL;

    (special ? readers[key->type] : read_scalar)(r, key, node, base);
}

static void put_default(struct config_reader *r, const struct config_key *key, void *base)
{
    struct yaml_mark nowhere = {0, 0};

    if (key->type == CONFIG_GROUP) {
        config_read_group(r, key->group, NULL, base);
    } else if (key->type == CONFIG_PRICE) {
        config_scalar_put_number(&key->at, base, UINT64_MAX); // -1: as another price
    } else if (key->fallback != NULL && key->at.bytes > 0) {
        CHECK(config_scalar_read(r, key, str_from_c(key->fallback), nowhere, base));
    }
}

static void read_key(struct config_reader *r, const struct config_group *group,
                     const struct config_key *key, const struct yaml_node *node, void *base)
{
    const struct yaml_node *value = config_read_value(group, node, key->name);
    bool given =
        value != NULL && !(is_section(key) && yaml_is_null(value)) &&
        !(is_section(key) && key->required && value->kind != YAML_SCALAR && value->n_items == 0);

    put_default(r, key, base);
    if (given && value->kind == YAML_SCALAR && yaml_is_null(value)) {
        config_report_error(r->report, value->key_mark.line > 0 ? value->key_mark : value->mark,
                            "%s has no value; write one, or leave the line out", key->name);
    } else if (given) {
        read_value(r, key, value, base);
    } else if (key->required && value != NULL) {
        config_report_error(r->report, value->key_mark, "%s is empty; name at least one",
                            key->name);
    } else if (key->required && node != NULL) {
        config_report_error(r->report, node->mark, "%s needs \"%s\"", group->title, key->name);
    }
}

static void check_unknown(struct config_reader *r, const struct config_group *group,
                          const struct yaml_node *item)
{
    struct config_near near = config_report_near(item->key);

    if (config_schema_find(group, item->key) != NULL) {
        return;
    }
    for (uint32_t i = 0; i < group->n_keys; i++) {
        config_report_offer(&near, str_from_c(group->keys[i].name));
    }
    if (config_report_found(&near)) {
        config_report_error(r->report, item->key_mark,
                            "unknown key \"%.*s\"; did you mean \"%.*s\"?",
                            CONFIG_READ_SHOW(item->key), STR_ARG(near.best));
    } else {
        config_report_error(r->report, item->key_mark, "unknown key \"%.*s\" in %s",
                            CONFIG_READ_SHOW(item->key), group->title);
    }
}

/* key, key_file and key_env fill the same field: only one of them. */
static void check_one_secret(struct config_reader *r, const struct config_group *group,
                             const struct yaml_node *node)
{
    const struct yaml_node *first = NULL;

    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        const struct config_key *key = config_schema_find(group, item->key);

        if (key == NULL || (key->type != CONFIG_SECRET && key->type != CONFIG_SECRET_FILE &&
                            key->type != CONFIG_SECRET_ENV)) {
            continue;
        }
        if (first != NULL) {
            config_report_error(r->report, item->key_mark,
                                "%s beside %.*s: both name the same secret; leave one out",
                                key->name, STR_ARG(first->key));
        }
        first = item;
    }
}

void config_read_group(struct config_reader *r, const struct config_group *group,
                       const struct yaml_node *node, void *base)
{
    bool shorthand = node != NULL && node->kind == YAML_SCALAR && group->shorthand != NULL;

    if (node != NULL && node->kind != YAML_MAP && !shorthand) {
        config_report_error(r->report, node->mark,
                            "%s must be a mapping: lines of the form \"key: value\"", group->title);
        node = NULL;
    }
    for (uint32_t i = 0; i < group->n_keys; i++) {
        read_key(r, group, &group->keys[i], node, base);
    }
    if (node == NULL || shorthand) {
        return;
    }
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        check_unknown(r, group, item);
    }
    check_one_secret(r, group, node);
}
