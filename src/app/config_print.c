#include "app/config_print.h"
#include "app/config_read.h"
#include "app/config_scalar.h"
#include "app/config_schema.h"
#include "base/check.h"
#include "base/json.h"

#include <string.h>

#define REDACTED "\"<redacted>\""

struct printer {
    struct buf *out;
    const struct settings *settings;
    struct config_reader reader; // for paths
    unsigned indent;
    bool dash; // the next line begins an item of a list
};

static bool is_plain(struct str text)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-:";
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/";

    if (text.len == 0 || strchr(first, text.ptr[0]) == NULL || text.ptr[text.len - 1] == ':' ||
        str_eq(text, STR("null"))) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0' || strchr(safe, text.ptr[i]) == NULL) {
            return false;
        }
    }
    return true;
}

void config_print_text(struct buf *out, struct str text)
{
    if (is_plain(text)) {
        buf_append_str(out, text);
    } else {
        json_write_string(out, text);
    }
}

static void line(struct printer *p, struct str key)
{
    unsigned blanks = p->dash ? p->indent - 2 : p->indent;

    buf_printf(p->out, "%*s%s", (int)blanks, "", p->dash ? "- " : "");
    p->dash = false;
    config_print_text(p->out, key);
    buf_append_byte(p->out, ':');
}

static void value_line(struct printer *p, const struct config_key *key, struct str text)
{
    line(p, str_from_c(key->name));
    buf_append_byte(p->out, ' ');
    config_print_text(p->out, text);
    buf_append_byte(p->out, '\n');
}

static void raw_line(struct printer *p, const struct config_key *key, const char *text)
{
    line(p, str_from_c(key->name));
    buf_printf(p->out, "%s%s\n", text[0] != '\0' ? " " : "", text);
}

static void print_amount(struct printer *p, const struct config_key *key, const void *base)
{
    uint64_t value = config_scalar_number(&key->at, base);

    if ((value == 0 && key->fallback == NULL && !key->required) ||
        (key->type == CONFIG_PRICE && value == UINT64_MAX)) {
        return; // unset
    }
    line(p, str_from_c(key->name));
    buf_append_byte(p->out, ' ');
    config_scalar_write_amount(p->out, key->type, value);
    buf_append_byte(p->out, '\n');
}

static void print_word(struct printer *p, const struct config_key *key, const void *base)
{
    uint64_t value = config_scalar_number(&key->at, base);

    if (key->also.bytes > 0 && config_scalar_number(&key->also, base) == 0) {
        return; // not given
    }
    value_line(p, key, config_schema_word(key->words, (uint32_t)value));
}

static void print_address(struct printer *p, const struct config_key *key, const void *base)
{
    struct str host = config_scalar_text(&key->at, base);
    bool brackets = str_find_byte(host, ':', 0) != SIZE_MAX;
    struct buf text;

    buf_init(&text, 1024);
    buf_printf(&text, "%s%.*s%s:%u", brackets ? "[" : "", STR_ARG(host), brackets ? "]" : "",
               (unsigned)config_scalar_number(&key->also, base));
    value_line(p, key, buf_str(&text));
    buf_done(&text);
}

static void print_plain_text(struct printer *p, const struct config_key *key, const void *base)
{
    struct str text = config_scalar_text(&key->at, base);

    if (text.len == 0 && key->type == CONFIG_URL_PATH) {
        text = STR("none");
    }
    if (text.len > 0 || key->fallback != NULL) {
        value_line(p, key, text);
    }
}

/* Name of item `idx` of the list at the top that the key refers to. */
static struct str name_of(const struct printer *p, const struct config_key *key, uint32_t idx)
{
    const struct config_key *list = config_schema_find(&config_schema, str_from_c(key->refers));
    const char *items = config_scalar_pointer(&list->at, p->settings);
    const struct config_key *name = config_schema_find(list->group, STR("name"));

    CHECK(idx < config_scalar_number(&list->also, p->settings));
    return config_scalar_text(&name->at, items + (size_t)idx * list->group->item_bytes);
}

static void print_list_of_words(struct printer *p, const struct config_key *key, const void *base)
{
    const void *items = config_scalar_pointer(&key->at, base);
    uint32_t n = (uint32_t)config_scalar_number(&key->also, base);

    if (n == 0) {
        return;
    }
    line(p, str_from_c(key->name));
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(p->out, i == 0 ? " [" : ", ");
        config_print_text(p->out, key->type == CONFIG_REFS
                                      ? name_of(p, key, ((const uint32_t *)items)[i])
                                      : ((const struct str *)items)[i]);
    }
    buf_append_c(p->out, "]\n");
}

static void print_pairs(struct printer *p, const struct config_key *key, const void *base)
{
    const struct settings_pair *pairs = config_scalar_pointer(&key->at, base);
    uint32_t n = (uint32_t)config_scalar_number(&key->also, base);

    if (n == 0) {
        return;
    }
    raw_line(p, key, "");
    p->indent += 2;
    for (uint32_t i = 0; i < n; i++) {
        line(p, pairs[i].from);
        buf_append_byte(p->out, ' ');
        config_print_text(p->out, pairs[i].to);
        buf_append_byte(p->out, '\n');
    }
    p->indent -= 2;
}

/* Where a secret comes from stands in the file only, not in the settings. */
static void print_secret(struct printer *p, const struct config_key *key,
                         const struct yaml_node *node)
{
    if (node == NULL) {
        return;
    }
    if (key->type == CONFIG_SECRET_FILE || key->type == CONFIG_SECRETS_FILE) {
        value_line(p, key, config_scalar_path(&p->reader, node->text));
    } else if (key->type == CONFIG_SECRET_ENV || key->type == CONFIG_SECRETS_ENV) {
        value_line(p, key, node->text);
    } else if (key->type == CONFIG_SECRET) {
        raw_line(p, key, REDACTED);
    } else {
        line(p, str_from_c(key->name));
        buf_append_c(p->out, " [");
        for (uint32_t i = 0; i < node->n_items; i++) {
            buf_printf(p->out, "%s" REDACTED, i == 0 ? "" : ", ");
        }
        buf_append_c(p->out, "]\n");
    }
}

static void print_group(struct printer *p, const struct config_group *group,
                        const struct yaml_node *node, const void *base);

static void print_section(struct printer *p, const struct config_key *key,
                          const struct yaml_node *node, const void *base)
{
    size_t before = p->out->len;
    size_t begin;

    raw_line(p, key, "");
    begin = p->out->len;
    p->indent += 2;
    print_group(p, key->group, node, base);
    p->indent -= 2;
    if (p->out->len == begin) {
        p->out->len = before; // nothing in it
    }
}

static void print_list(struct printer *p, const struct config_key *key,
                       const struct yaml_node *node, const void *base)
{
    const struct config_group *group = key->group;
    const char *items = group->in_place ? (const char *)base + key->at.offset
                                        : config_scalar_pointer(&key->at, base);
    uint32_t n = (uint32_t)config_scalar_number(&key->also, base);
    const struct yaml_node *item = config_read_item(node, 0);

    if (n == 0) {
        return;
    }
    raw_line(p, key, "");
    p->indent += 4;
    for (uint32_t i = 0; i < n; i++) {
        p->dash = true;
        print_group(p, group, item, items + (size_t)i * group->item_bytes);
        item = item == NULL ? NULL : item->next;
    }
    p->indent -= 4;
}

static void print_key(struct printer *p, const struct config_key *key, const struct yaml_node *node,
                      const void *base)
{
    if (key->type == CONFIG_LIST) {
        print_list(p, key, node, base);
    } else if (key->type == CONFIG_GROUP) {
        print_section(p, key, node, base);
    } else if (config_schema_is_secret(key)) {
        print_secret(p, key, node);
    } else if (key->at.bytes == 0) {
        return; // shows up in another key
    } else if (key->type == CONFIG_FLAG) {
        if (config_scalar_number(&key->at, base) != 0) {
            raw_line(p, key, "true");
        }
    } else if (key->type == CONFIG_WORD) {
        print_word(p, key, base);
    } else if (config_scalar_is_amount(key->type)) {
        print_amount(p, key, base);
    } else if (key->type == CONFIG_ADDRESS) {
        print_address(p, key, base);
    } else if (key->type == CONFIG_REF) {
        value_line(p, key, name_of(p, key, (uint32_t)config_scalar_number(&key->at, base)));
    } else if (key->type == CONFIG_REFS || key->type == CONFIG_TEXTS) {
        print_list_of_words(p, key, base);
    } else if (key->type == CONFIG_PAIRS) {
        print_pairs(p, key, base);
    } else {
        print_plain_text(p, key, base);
    }
}

static bool has_meaning(const struct config_key *key, const void *base)
{
    const struct settings_upstream *u = base;

    return key->only == NULL || (strcmp(key->only, "local") == 0) == (u->kind == SETTINGS_LOCAL);
}

static void print_group(struct printer *p, const struct config_group *group,
                        const struct yaml_node *node, const void *base)
{
    for (uint32_t i = 0; i < group->n_keys; i++) {
        const struct config_key *key = &group->keys[i];

        if (has_meaning(key, base)) {
            print_key(p, key, config_read_value(group, node, key->name), base);
        }
    }
}

void config_print_settings(const struct config_file *file, const char *path, struct buf *out)
{
    struct printer p = {.out = out, .settings = file->settings};

    p.reader.arena = file->settings->arena;
    p.reader.folder = config_file_folder(path);
    print_group(&p, &config_schema, file->root, file->settings);
}
