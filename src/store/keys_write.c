/* The key file's text: one key a line, what is not set left out. */
#include "base/check.h"
#include "base/json.h"
#include "store/keys_internal.h"

#include <inttypes.h>

static void write_hex(struct buf *out, const uint8_t bytes[HASH_SHA256_BYTES])
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < HASH_SHA256_BYTES; i++) {
        buf_printf(out, "%02x", bytes[i]);
    }
    buf_append_byte(out, '"');
}

static void write_text(struct buf *out, const char *key, struct str text)
{
    if (text.len > 0) {
        buf_printf(out, ", \"%s\": ", key);
        json_write_string(out, text);
    }
}

static void write_list(struct buf *out, const char *key, const struct str *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0) {
            buf_printf(out, ", \"%s\": [", key);
        } else {
            buf_append_c(out, ", ");
        }
        json_write_string(out, list[i]);
    }
    buf_append_c(out, n > 0 ? "]" : "");
}

static void write_number(struct buf *out, const char *key, uint64_t v)
{
    if (v != 0) {
        buf_printf(out, ", \"%s\": %" PRIu64, key, v);
    }
}

static const char *period_name(enum limits_period p)
{
    static const char *const names[] = {"day", "month", "total"};

    CHECK((size_t)p < ARRAY_COUNT(names));
    return names[p];
}

static void write_limits(struct buf *out, const struct limits_rule *l)
{
    if (l->requests_per_minute == 0 && l->tokens_per_minute == 0 && l->parallel == 0 &&
        l->money_nano == 0) {
        return;
    }
    buf_printf(out, ", \"limits\": {\"period\": \"%s\"", period_name(l->period));
    write_number(out, "requests_per_minute", l->requests_per_minute);
    write_number(out, "tokens_per_minute", l->tokens_per_minute);
    write_number(out, "parallel", l->parallel);
    write_number(out, "money_nano", (uint64_t)l->money_nano);
    buf_append_byte(out, '}');
}

static void write_secret(struct buf *out, const struct keys_secret *s)
{
    buf_append_c(out, "{\"hash\": ");
    write_hex(out, s->hash);
    write_number(out, "created", (uint64_t)s->created_s);
    write_number(out, "ends", (uint64_t)s->ends_s);
    buf_append_byte(out, '}');
}

static void write_record(struct buf *out, const struct keys_record *r)
{
    const struct keys_key *key = &r->key;

    buf_append_c(out, "{\"id\": ");
    json_write_string(out, key->id);
    write_text(out, "name", key->name);
    write_text(out, "team", key->team);
    write_list(out, "models", key->models, key->n_models);
    write_list(out, "pools", key->pools, key->n_pools);
    if (key->ceiling != LABEL_PRIVATE) {
        write_text(out, "ceiling", str_from_c(label_name(key->ceiling)));
    }
    if (key->has_label) {
        write_text(out, "label", str_from_c(label_name(key->label)));
    }
    write_limits(out, &key->limits);
    write_number(out, "created", (uint64_t)key->created_s);
    write_number(out, "expires", (uint64_t)key->expires_s);
    if (key->revoked) {
        buf_append_c(out, ", \"revoked\": true");
    }
    buf_append_c(out, ", \"secrets\": [");
    for (uint32_t i = 0; i < r->n_secrets; i++) {
        buf_append_c(out, i > 0 ? ", " : "");
        write_secret(out, &r->secrets[i]);
    }
    buf_append_c(out, "]}");
}

void keys_write(const struct keys_table *table, struct buf *out)
{
    buf_append_c(out, "{\"format\": \"" KEYS_FORMAT "\", \"secret\": ");
    write_hex(out, table->hash_key);
    buf_append_c(out, ", \"keys\": [");
    for (uint32_t i = 0; i < table->n_records; i++) {
        buf_append_c(out, i > 0 ? ",\n" : "\n");
        write_record(out, &table->records[i]);
    }
    buf_append_c(out, "\n]}\n");
}
