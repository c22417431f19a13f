#include "app/config_reference.h"
#include "app/config_scalar.h"
#include "base/check.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

#define PATH_BYTES_MAX 256

static const char intro[] =
    "# Configuration of the gateway\n"
    "\n"
    "Made by `kontor config reference` from the table that also reads the file "
    "(`src/app/config_schema.c`).\n"
    "A commented sample is `conf/kontor.yaml`.\n"
    "\n"
    "* `kontor config check FILE` reports everything that is wrong with a file, each with line and "
    "column;\n"
    "  certificates, keys and key sets are opened as at the start. `--print` shows the effective "
    "settings with defaults\n"
    "  filled in and secrets redacted.\n"
    "* The file is YAML: mappings, lists and words. Anchors, aliases, tags, duplicate keys and a "
    "second document are\n"
    "  refused. At most 1 MiB, 32 levels.\n"
    "* Durations need a unit (`500ms`, `2s`, `10m`, `1h`), sizes take one (`64KiB`, `8MiB`, "
    "`1GB`), shares a percent\n"
    "  sign (`20%`). Money is an exact decimal; put it in quotes.\n"
    "* Relative paths begin in the folder of the file.\n"
    "* Secrets come from a file (`key_file`) or an environment variable (`key_env`). A secret in "
    "the file itself works and\n"
    "  is warned about, and so is a secret file that every user of the machine can read.\n"
    "* SIGHUP reads the file again. When it has errors they are logged and the last good settings "
    "stay.\n";

static const char *const type_words[] = {
    [CONFIG_FLAG] = "true or false",
    [CONFIG_TEXT] = "text",
    [CONFIG_NAME] = "name",
    [CONFIG_HEADER] = "header name",
    [CONFIG_FILE] = "path",
    [CONFIG_MODEL] = "path, `preset:NAME` or `builtin`",
    [CONFIG_URL] = "URL",
    [CONFIG_URL_PATH] = "path of a URL, or `none`",
    [CONFIG_ADDRESS] = "HOST:PORT",
    [CONFIG_DAY] = "day",
    [CONFIG_CURRENCY] = "currency",
    [CONFIG_SUBJECT] = "subject",
    [CONFIG_WORD] = "",
    [CONFIG_COUNT] = "whole number",
    [CONFIG_PERCENT] = "share",
    [CONFIG_MS] = "duration",
    [CONFIG_BYTES] = "size",
    [CONFIG_MONEY] = "amount",
    [CONFIG_PRICE] = "price",
    [CONFIG_SECRET] = "secret",
    [CONFIG_SECRET_FILE] = "path",
    [CONFIG_SECRET_ENV] = "name of a variable",
    [CONFIG_TEXTS] = "list of texts",
    [CONFIG_SECRETS] = "list of secrets",
    [CONFIG_SECRETS_FILE] = "path",
    [CONFIG_SECRETS_ENV] = "name of a variable",
    [CONFIG_PAIRS] = "mapping of names to names",
    [CONFIG_REF] = "name out of ",
    [CONFIG_REFS] = "names out of ",
    [CONFIG_GROUP] = "section",
    [CONFIG_LIST] = "list",
};

static void page_words(struct buf *out, const char *words)
{
    for (uint32_t i = 0;; i++) { // ends: a literal of the table
        struct str word = config_schema_word(words, i);

        if (word.len == 0) {
            return;
        }
        buf_printf(out, "%s`%.*s`", i > 0 ? ", " : "", STR_ARG(word));
    }
}

static void page_type(struct buf *out, const struct config_key *key)
{
    buf_append_c(out, type_words[key->type]);
    if (key->type == CONFIG_WORD) {
        page_words(out, key->words);
    }
    if (key->refers != NULL) {
        buf_printf(out, "`%s`", key->refers);
    }
    if (key->max != 0 && config_scalar_is_amount(key->type)) {
        buf_append_c(out, ", ");
        config_scalar_write_amount(out, key->type, key->min);
        buf_append_c(out, " to ");
        config_scalar_write_amount(out, key->type, key->max);
    }
}

static void page_row(struct buf *out, const struct config_key *key)
{
    buf_printf(out, "| `%s` | ", key->name);
    page_type(out, key);
    if (key->required) {
        buf_append_c(out, " | required | ");
    } else if (key->fallback != NULL) {
        buf_printf(out, " | `%s` | ", key->fallback);
    } else if (key->type == CONFIG_FLAG) {
        buf_append_c(out, " | `false` | ");
    } else {
        buf_append_c(out, " | | ");
    }
    if (key->only != NULL) {
        buf_printf(out, "(kind: %s) ", key->only);
    }
    buf_append_c(out, key->help);
    if (key->unique) {
        buf_append_c(out, " Unique in the list.");
    }
    buf_append_c(out, " |\n");
}

/* Own rows first, then the sections below, depth first. */
static void page_group(struct buf *out, const struct config_group *group, const char *path)
{
    char below[PATH_BYTES_MAX];

    if (group->about != NULL) {
        buf_printf(out, "\n%s\n", group->about);
    }
    if (group->shorthand != NULL) {
        buf_printf(out, "A single word stands for `%s`.\n", group->shorthand);
    }
    buf_append_c(out, "\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < group->n_keys; i++) {
        page_row(out, &group->keys[i]);
    }
    for (uint32_t i = 0; i < group->n_keys; i++) {
        const struct config_key *key = &group->keys[i];

        if (key->group != NULL) {
            snprintf(below, sizeof(below), "%s%s%s%s", path, path[0] != '\0' ? "." : "", key->name,
                     key->type == CONFIG_LIST ? "[]" : "");
            buf_printf(out, "\n## %s\n", below);
            page_group(out, key->group, below);
        }
    }
}

void config_reference_page(struct buf *out)
{
    buf_append_c(out, intro);
    buf_append_c(out, "\n## The file\n");
    page_group(out, &config_schema, "");
    buf_append_c(out, "\n## The file of --auth-config\n");
    page_group(out, &config_schema_auth, "");
}

static void schema_string(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, ", \"%s\": ", name);
    json_write_string(out, value);
}

static void schema_words(struct buf *out, const char *words)
{
    buf_append_c(out, "\"enum\": [");
    for (uint32_t i = 0;; i++) {
        struct str word = config_schema_word(words, i);

        if (word.len == 0) {
            break;
        }
        buf_append_c(out, i > 0 ? ", " : "");
        json_write_string(out, word);
    }
    buf_append_byte(out, ']');
}

static void schema_group(struct buf *out, const struct config_group *group, unsigned indent);

static void schema_type(struct buf *out, const struct config_key *key, unsigned indent)
{
    static const char list_of_text[] = "\"type\": \"array\", \"items\": {\"type\": \"string\"}";

    if (key->type == CONFIG_GROUP) {
        schema_group(out, key->group, indent);
    } else if (key->type == CONFIG_LIST) {
        buf_printf(out, "\"type\": \"array\", \"maxItems\": %u, \"items\": {",
                   key->group->items_max);
        buf_append_c(out,
                     key->group->shorthand != NULL ? "\"anyOf\": [{\"type\": \"string\"}, {" : "");
        schema_group(out, key->group, indent);
        buf_append_c(out, key->group->shorthand != NULL ? "}]}" : "}");
    } else if (key->type == CONFIG_TEXTS || key->type == CONFIG_REFS ||
               key->type == CONFIG_SECRETS) {
        buf_append_c(out, list_of_text);
    } else if (key->type == CONFIG_PAIRS) {
        buf_append_c(out, "\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}");
    } else if (key->type == CONFIG_WORD) {
        schema_words(out, key->words);
    } else if (key->type == CONFIG_COUNT) {
        buf_printf(out, "\"type\": \"integer\", \"minimum\": %" PRIu64, key->min);
        if (key->max != 0) {
            buf_printf(out, ", \"maximum\": %" PRIu64, key->max);
        }
    } else if (key->type == CONFIG_FLAG) {
        buf_append_c(out, "\"type\": \"boolean\"");
    } else if (config_scalar_is_amount(key->type)) {
        buf_append_c(out, "\"type\": [\"string\", \"number\"]");
    } else {
        buf_append_c(out, "\"type\": \"string\"");
    }
}

static void schema_key(struct buf *out, const struct config_key *key, unsigned indent)
{
    buf_printf(out, "%*s\"%s\": {", (int)indent, "", key->name);
    schema_type(out, key, indent + 2);
    schema_string(out, "description", str_from_c(key->help));
    if (key->fallback != NULL && key->type == CONFIG_COUNT) {
        buf_printf(out, ", \"default\": %s", key->fallback);
    } else if (key->fallback != NULL) {
        schema_string(out, "default", str_from_c(key->fallback));
    }
    buf_append_byte(out, '}');
}

static void schema_group(struct buf *out, const struct config_group *group, unsigned indent)
{
    bool first = true;

    buf_append_c(out, "\"type\": \"object\", \"additionalProperties\": false, \"required\": [");
    for (uint32_t i = 0; i < group->n_keys; i++) {
        if (group->keys[i].required) {
            buf_printf(out, "%s\"%s\"", first ? "" : ", ", group->keys[i].name);
            first = false;
        }
    }
    buf_append_c(out, "], \"properties\": {\n");
    for (uint32_t i = 0; i < group->n_keys; i++) {
        schema_key(out, &group->keys[i], indent + 2);
        buf_append_c(out, i + 1 < group->n_keys ? ",\n" : "\n");
    }
    buf_printf(out, "%*s}", (int)indent, "");
}

void config_reference_schema(struct buf *out)
{
    buf_append_c(out, "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", "
                      "\"title\": \"Configuration of kontor gateway\", ");
    schema_group(out, &config_schema, 0);
    buf_append_c(out, "}\n");
}
