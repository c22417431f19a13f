#include "app/config_scalar.h"
#include "app/config_value.h"
#include "base/check.h"
#include "net/egress.h"

#include <inttypes.h>
#include <string.h>

#define LINE_BYTES_MAX 1024

void config_scalar_put_number(const struct config_field *f, void *base, uint64_t value)
{
    char *at = (char *)base + f->offset;
    uint8_t v8 = (uint8_t)value;
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;

    switch (f->bytes) {
    case 0:
        break;
    case 1:
        memcpy(at, &v8, 1);
        break;
    case 2:
        memcpy(at, &v16, 2);
        break;
    case 4:
        memcpy(at, &v32, 4);
        break;
    default:
        CHECK(f->bytes == 8);
        memcpy(at, &value, 8);
        break;
    }
}

uint64_t config_scalar_number(const struct config_field *f, const void *base)
{
    const char *at = (const char *)base + f->offset;
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    switch (f->bytes) {
    case 0:
        return 0;
    case 1:
        memcpy(&v8, at, 1);
        return v8;
    case 2:
        memcpy(&v16, at, 2);
        return v16;
    case 4:
        memcpy(&v32, at, 4);
        return v32;
    default:
        CHECK(f->bytes == 8);
        memcpy(&v64, at, 8);
        return v64;
    }
}

void config_scalar_put_pointer(const struct config_field *f, void *base, const void *pointer)
{
    CHECK(f->bytes == sizeof(pointer));
    memcpy((char *)base + f->offset, &pointer, sizeof(pointer));
}

const void *config_scalar_pointer(const struct config_field *f, const void *base)
{
    const void *pointer;

    CHECK(f->bytes == sizeof(pointer));
    memcpy(&pointer, (const char *)base + f->offset, sizeof(pointer));
    return pointer;
}

void config_scalar_put_text(const struct config_field *f, void *base, struct str text)
{
    if (f->bytes == sizeof(const char *)) {
        config_scalar_put_pointer(f, base, text.len > 0 ? text.ptr : NULL);
        return;
    }
    CHECK(f->bytes == sizeof(text));
    memcpy((char *)base + f->offset, &text, sizeof(text));
}

struct str config_scalar_text(const struct config_field *f, const void *base)
{
    struct str text;

    if (f->bytes == sizeof(const char *)) {
        return str_from_c(config_scalar_pointer(f, base));
    }
    CHECK(f->bytes == sizeof(text));
    memcpy(&text, (const char *)base + f->offset, sizeof(text));
    return text;
}

static enum status read_money(struct str text, uint64_t *ret_value)
{
    int64_t nano = 0;
    enum status rc = config_value_money(text, &nano);

    *ret_value = (uint64_t)nano;
    return rc;
}

static enum status read_price(struct str text, uint64_t *ret_value)
{
    int64_t nano = 0;
    enum status rc = config_value_price(text, &nano);

    *ret_value = (uint64_t)nano;
    return rc;
}

static void write_count(struct buf *out, uint64_t value)
{
    buf_printf(out, "%" PRIu64, value);
}

static void write_percent(struct buf *out, uint64_t value)
{
    buf_printf(out, "%" PRIu64 "%%", value);
}

static void write_money(struct buf *out, uint64_t value)
{
    config_value_write_money(out, (int64_t)value);
}

static void write_price(struct buf *out, uint64_t value)
{
    config_value_write_price(out, (int64_t)value);
}

/* Types that are stored as a number: what they look like, and both ways. */
static const struct amount {
    const char *form;
    enum status (*read)(struct str text, uint64_t *ret_value);
    void (*write)(struct buf *out, uint64_t value);
} amounts[] = {
    [CONFIG_COUNT] = {"a whole number", str_to_u64, write_count},
    [CONFIG_PERCENT] = {"a share: a whole number with %, for example 20%", config_value_percent,
                        write_percent},
    [CONFIG_MS] = {"a duration: a whole number with ms, s, m or h, for example 500ms or 2s",
                   config_value_ms, config_value_write_ms},
    [CONFIG_BYTES] = {"a size: a whole number with KiB, MiB, GiB, kB, MB or GB, for example 8MiB",
                      config_value_bytes, config_value_write_bytes},
    [CONFIG_MONEY] = {"an amount: a decimal with at most 9 places, for example \"500.00\"",
                      read_money, write_money},
    [CONFIG_PRICE] = {"a price of a million tokens: a decimal with at most 3 places, for example "
                      "\"0.42\"",
                      read_price, write_price},
};

bool config_scalar_is_amount(enum config_type type)
{
    return type < ARRAY_COUNT(amounts) && amounts[type].read != NULL;
}

void config_scalar_write_amount(struct buf *out, enum config_type type, uint64_t value)
{
    CHECK(config_scalar_is_amount(type));
    amounts[type].write(out, value);
}

static bool read_number(struct config_reader *r, const struct config_key *key, struct str text,
                        struct yaml_mark mark, void *base)
{
    uint64_t value = 0;
    struct buf range;
    enum status rc = amounts[key->type].read(text, &value);

    if (rc != OK) {
        config_report_error(r->report, mark, "%s: \"%.*s\" is not %s%s", key->name,
                            CONFIG_READ_SHOW(text), amounts[key->type].form,
                            rc == E_LIMIT ? "; this one is too large or too fine" : "");
        return false;
    }
    if (key->max != 0 && (value < key->min || value > key->max)) {
        buf_init(&range, 256);
        config_scalar_write_amount(&range, key->type, key->min);
        buf_append_c(&range, " to ");
        config_scalar_write_amount(&range, key->type, key->max);
        config_report_error(r->report, mark, "%s: %.*s is outside of %s", key->name,
                            CONFIG_READ_SHOW(text), buf_c(&range));
        buf_done(&range);
        return false;
    }
    config_scalar_put_number(&key->at, base, value);
    return true;
}

static bool read_flag(struct config_reader *r, const struct config_key *key, struct str text,
                      struct yaml_mark mark, void *base)
{
    bool on = str_eq(text, STR("true"));

    if (!on && !str_eq(text, STR("false"))) {
        config_report_error(r->report, mark, "%s: write true or false, not \"%.*s\"", key->name,
                            CONFIG_READ_SHOW(text));
        return false;
    }
    config_scalar_put_number(&key->at, base, on);
    return true;
}

static bool read_word(struct config_reader *r, const struct config_key *key, struct str text,
                      struct yaml_mark mark, void *base)
{
    struct config_near near = config_report_near(text);
    struct buf all;

    buf_init(&all, 512);
    for (uint32_t i = 0;; i++) { // ends: words are a literal of the table
        struct str word = config_schema_word(key->words, i);

        if (word.len == 0) {
            break;
        }
        if (str_eq(word, text)) {
            config_scalar_put_number(&key->at, base, i);
            config_scalar_put_number(&key->also, base, 1);
            buf_done(&all);
            return true;
        }
        config_report_offer(&near, word);
        buf_printf(&all, "%s%.*s", i > 0 ? ", " : "", STR_ARG(word));
    }
    if (config_report_found(&near)) {
        config_report_error(r->report, mark,
                            "%s: unknown word \"%.*s\"; did you mean \"%.*s\"? Known are %s",
                            key->name, CONFIG_READ_SHOW(text), STR_ARG(near.best), buf_c(&all));
    } else {
        config_report_error(r->report, mark, "%s: unknown word \"%.*s\"; known are %s", key->name,
                            CONFIG_READ_SHOW(text), buf_c(&all));
    }
    buf_done(&all);
    return false;
}

static bool read_address(struct config_reader *r, const struct config_key *key, struct str text,
                         struct yaml_mark mark, void *base)
{
    struct str host;
    uint16_t port;
    enum status rc = config_value_address(text, &host, &port);

    if (rc == E_LIMIT) {
        config_report_error(r->report, mark, "%s: the port of \"%.*s\" is not between 1 and 65535",
                            key->name, CONFIG_READ_SHOW(text));
        return false;
    }
    if (rc != OK || arena_dup(r->arena, host, &host) != OK) {
        config_report_error(r->report, mark,
                            "%s: \"%.*s\" is not HOST:PORT, for example 127.0.0.1:8080 or "
                            "[::1]:8080",
                            key->name, CONFIG_READ_SHOW(text));
        return false;
    }
    config_scalar_put_text(&key->at, base, host);
    config_scalar_put_number(&key->also, base, port);
    return true;
}

static bool read_url(struct config_reader *r, const struct config_key *key, struct str text,
                     struct yaml_mark mark, void *base)
{
    struct egress_url url;
    const char *why = NULL;
    struct error err;

    while (str_ends(text, STR("/"))) {
        text.len--;
    }
    if (str_find_byte(text, '@', 0) != SIZE_MAX) {
        why = "has a user or password in it; use key_file or key_env";
    } else if (egress_parse_url(text, &url, &err) != OK) {
        why = "is no URL; write one like http://10.0.0.11:8000/v1";
    } else if (str_find_byte(text, '?', 0) != SIZE_MAX || str_find_byte(text, '#', 0) != SIZE_MAX) {
        why = "has a query or fragment; leave it out";
    } else if (str_ends(text, STR("/chat/completions"))) {
        why = "ends in /chat/completions; write only what stands before it";
    }
    if (why != NULL) {
        config_report_error(r->report, mark, "%s: \"%.*s\" %s", key->name, CONFIG_READ_SHOW(text),
                            why);
        return false;
    }
    config_scalar_put_text(&key->at, base, text);
    return true;
}

static bool read_url_path(struct config_reader *r, const struct config_key *key, struct str text,
                          struct yaml_mark mark, void *base)
{
    if (str_eq(text, STR("none"))) {
        config_scalar_put_text(&key->at, base, (struct str){NULL, 0});
        return true;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            text.len = 0;
        }
    }
    if (!str_starts(text, STR("/")) || text.len > LINE_BYTES_MAX) {
        config_report_error(r->report, mark, "%s: write a path that begins with /, or none",
                            key->name);
        return false;
    }
    config_scalar_put_text(&key->at, base, text);
    return true;
}

bool config_scalar_is_line(struct config_reader *r, const struct config_key *key, struct str text,
                           struct yaml_mark mark)
{
    if (text.len > LINE_BYTES_MAX) {
        config_report_error(r->report, mark, "%s: longer than %d bytes", key->name, LINE_BYTES_MAX);
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            config_report_error(r->report, mark,
                                "%s: a line break or control character in the text", key->name);
            return false;
        }
    }
    return true;
}

struct str config_scalar_path(struct config_reader *r, struct str path)
{
    struct buf whole;
    struct str copy = path;

    if (path.len == 0 || path.ptr[0] == '/' || r->folder.len == 0) {
        return path;
    }
    buf_init(&whole, 2 * YAML_SCALAR_BYTES_MAX);
    buf_append_str(&whole, r->folder);
    buf_append_byte(&whole, '/');
    buf_append_str(&whole, path);
    CHECK(buf_status(&whole) == OK);
    if (arena_dup(r->arena, buf_str(&whole), &copy) != OK) {
        copy = path; // the settings are refused for want of memory anyway
    }
    buf_done(&whole);
    return copy;
}

static bool is_currency(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 'A' || text.ptr[i] > 'Z') {
            return false;
        }
    }
    return text.len == 3;
}

static bool is_subject(struct str text)
{
    size_t colon = str_find_byte(text, ':', 0);
    struct str kind = str_slice(text, 0, colon);

    return colon != SIZE_MAX && colon + 1 < text.len &&
           (str_eq(kind, STR("key")) || str_eq(kind, STR("team")) || str_eq(kind, STR("model")) ||
            str_eq(kind, STR("provider")));
}

static const struct text_rule {
    bool (*fits)(struct str text);
    const char *otherwise;
} text_rules[] = {
    [CONFIG_NAME] = {config_value_is_name, "is no name: 1 to 64 letters, digits, '.', '_' or '-'"},
    [CONFIG_HEADER] = {config_value_is_header, "is no name of an HTTP header"},
    [CONFIG_DAY] = {config_value_is_day, "is no day; write it like 2026-08-01"},
    [CONFIG_CURRENCY] = {is_currency, "is no currency; write three capital letters like USD"},
    [CONFIG_SUBJECT] = {is_subject,
                        "is no subject; write key:ID, team:NAME, model:NAME or provider:NAME"},
};

/* Why the text does not fit its type, or NULL. */
static const char *refuse_text(enum config_type type, struct str text)
{
    if (type >= ARRAY_COUNT(text_rules) || text_rules[type].fits == NULL) {
        return NULL;
    }
    return text_rules[type].fits(text) ? NULL : text_rules[type].otherwise;
}

static bool read_text(struct config_reader *r, const struct config_key *key, struct str text,
                      struct yaml_mark mark, void *base)
{
    const char *why = refuse_text(key->type, text);

    if (!config_scalar_is_line(r, key, text, mark)) {
        return false;
    }
    if (why == NULL && key->required && text.len == 0) {
        why = "is empty";
    }
    if (why != NULL) {
        config_report_error(r->report, mark, "%s: \"%.*s\" %s", key->name, CONFIG_READ_SHOW(text),
                            why);
        return false;
    }
    if (key->type == CONFIG_FILE || (key->type == CONFIG_MODEL && !str_eq(text, STR("builtin")) &&
                                     !str_starts(text, STR("preset:")))) {
        text = config_scalar_path(r, text);
    }
    config_scalar_put_text(&key->at, base, text);
    return true;
}

bool config_scalar_find(struct config_reader *r, const struct config_key *key, struct str name,
                        struct yaml_mark mark, uint32_t *ret_idx)
{
    const struct yaml_node *list = yaml_get(r->root, str_from_c(key->refers));
    struct config_near near = config_report_near(name);
    struct str singular = str_slice(str_from_c(key->refers), 0, strlen(key->refers) - 1);
    uint32_t i = 0;

    if (list != NULL && list->kind != YAML_LIST) {
        list = NULL; // reported
    }
    for (const struct yaml_node *item = list == NULL ? NULL : list->first; item != NULL;
         item = item->next, i++) {
        const struct yaml_node *its = yaml_get(item, STR("name"));

        if (its == NULL || its->kind != YAML_SCALAR) {
            continue;
        }
        if (str_eq(its->text, name)) {
            *ret_idx = i;
            return true;
        }
        config_report_offer(&near, its->text);
    }
    if (config_report_found(&near)) {
        config_report_error(r->report, mark,
                            "%s: there is no %.*s \"%.*s\"; did you mean \"%.*s\"?", key->name,
                            STR_ARG(singular), CONFIG_READ_SHOW(name), CONFIG_READ_SHOW(near.best));
    } else {
        config_report_error(r->report, mark, "%s: there is no %.*s \"%.*s\" under %s", key->name,
                            STR_ARG(singular), CONFIG_READ_SHOW(name), key->refers);
    }
    return false;
}

static bool read_ref(struct config_reader *r, const struct config_key *key, struct str text,
                     struct yaml_mark mark, void *base)
{
    uint32_t idx = 0;

    if (!config_scalar_find(r, key, text, mark, &idx)) {
        return false;
    }
    config_scalar_put_number(&key->at, base, idx);
    return true;
}

typedef bool (*scalar_reader)(struct config_reader *r, const struct config_key *key,
                              struct str text, struct yaml_mark mark, void *base);

static const scalar_reader readers[] = {
    [CONFIG_FLAG] = read_flag,         [CONFIG_TEXT] = read_text,
    [CONFIG_NAME] = read_text,         [CONFIG_HEADER] = read_text,
    [CONFIG_FILE] = read_text,         [CONFIG_MODEL] = read_text,
    [CONFIG_DAY] = read_text,          [CONFIG_CURRENCY] = read_text,
    [CONFIG_SUBJECT] = read_text,      [CONFIG_URL] = read_url,
    [CONFIG_URL_PATH] = read_url_path, [CONFIG_ADDRESS] = read_address,
    [CONFIG_WORD] = read_word,         [CONFIG_COUNT] = read_number,
    [CONFIG_PERCENT] = read_number,    [CONFIG_MS] = read_number,
    [CONFIG_BYTES] = read_number,      [CONFIG_MONEY] = read_number,
    [CONFIG_PRICE] = read_number,      [CONFIG_REF] = read_ref,
};

bool config_scalar_read(struct config_reader *r, const struct config_key *key, struct str text,
                        struct yaml_mark mark, void *base)
{
    CHECK(key->type < ARRAY_COUNT(readers) && readers[key->type] != NULL);
    return readers[key->type](r, key, text, mark, base);
}
