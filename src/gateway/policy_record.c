/* A decision as JSON, and back: what `kontor explain` replays. */
#include "base/check.h"
#include "base/json.h"
#include "gateway/policy.h"

#include <inttypes.h>

#define SCOPE_MAX 4096 // entries of a list in a record that is read

/* One record per request: appended piece by piece, which costs a third of printf. */
static void put_key(struct buf *out, const char *key)
{
    buf_append_c(out, ", \"");
    buf_append_c(out, key);
    buf_append_c(out, "\": ");
}

static void write_names(struct buf *out, const char *key, const struct str *list, uint32_t n)
{
    put_key(out, key);
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0) {
            buf_append_c(out, ", ");
        }
        json_write_string(out, list[i]);
    }
    buf_append_byte(out, ']');
}

static void write_text(struct buf *out, const char *key, struct str text)
{
    put_key(out, key);
    json_write_string(out, text);
}

static bool is_candidate(const struct policy_decision *d, uint32_t pool)
{
    for (uint32_t i = 0; i < d->n_pools; i++) {
        if (d->pools[i] == pool) {
            return true;
        }
    }
    return false;
}

void policy_write_record(struct buf *out, const struct policy_facts *facts,
                         const struct policy_decision *decision, const struct settings *settings)
{
    const struct policy_decision *d = decision;

    buf_printf(out, "{\"settings\": \"%016" PRIx64 "\"", settings->digest);
    write_text(out, "model", facts->model);
    write_text(out, "key", facts->key_id);
    write_text(out, "team", facts->team);
    write_text(out, "label", str_from_c(label_name(facts->label)));
    write_text(out, "ceiling", str_from_c(label_name(facts->ceiling)));
    put_key(out, "body_bytes");
    buf_append_number(out, facts->body_bytes, 10);
    write_names(out, "key_pools", facts->key_pools, facts->n_key_pools);
    write_names(out, "key_models", facts->key_models, facts->n_key_models);
    write_text(out, "verdict", str_from_c(policy_verdict_name(d->verdict)));
    write_text(out, "rule", d->rule);
    buf_append_c(out, ", \"pools\": [");
    for (uint32_t i = 0; d->model != NULL && i < d->model->n_pools; i++) {
        const struct settings_pool *p = &settings->pools[d->model->pools[i]];

        buf_append_c(out, i == 0 ? "{\"name\": " : ", {\"name\": ");
        json_write_string(out, p->name);
        buf_append_c(out, is_candidate(d, d->model->pools[i]) ? ", \"in\": true, \"why\": "
                                                              : ", \"in\": false, \"why\": ");
        json_write_string(out, str_from_c(d->why[i]));
        buf_append_byte(out, '}');
    }
    buf_append_c(out, "]}");
}

/* --- reading --- */

static enum status want(const struct json_value *record, const char *key, enum json_kind kind,
                        const struct json_value **ret_value, struct error *err)
{
    const struct json_value *v = json_get(record, str_from_c(key));

    if (v == NULL || v->kind != kind) {
        return error_set(err, E_INVALID, "the record's \"%s\" is missing or not %s %s", key,
                         kind == JSON_ARRAY || kind == JSON_INT ? "an" : "a", json_kind_name(kind));
    }
    *ret_value = v;
    return OK;
}

static enum status read_text(const struct json_value *record, const char *key, struct str *ret_text,
                             struct error *err)
{
    const struct json_value *v;
    enum status rc = want(record, key, JSON_STRING, &v, err);

    if (rc == OK) {
        *ret_text = v->string;
    }
    return rc;
}

static enum status read_label(const struct json_value *record, const char *key,
                              enum label *ret_label, struct error *err)
{
    struct str word;
    enum status rc = read_text(record, key, &word, err);

    if (rc != OK) {
        return rc;
    }
    if (label_parse(word, ret_label) != OK) {
        return error_set(err, E_INVALID, "the record's \"%s\" is no label", key);
    }
    return OK;
}

static enum status read_names(const struct json_value *record, const char *key, struct arena *arena,
                              const struct str **ret_list, uint32_t *ret_n, struct error *err)
{
    const struct json_value *v;
    struct str *list;
    enum status rc = want(record, key, JSON_ARRAY, &v, err);

    if (rc != OK) {
        return rc;
    }
    if (v->n_items > SCOPE_MAX) {
        return error_set(err, E_LIMIT, "the record's \"%s\" is too long", key);
    }
    list = arena_zalloc(arena, v->n_items, sizeof(*list));
    if (list == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the record");
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        if (v->items[i].kind != JSON_STRING) {
            return error_set(err, E_INVALID, "the record's \"%s\" holds more than strings", key);
        }
        list[i] = v->items[i].string;
    }
    *ret_list = list;
    *ret_n = v->n_items;
    return OK;
}

static enum status read_digest(const struct json_value *record, uint64_t *ret_digest,
                               struct error *err)
{
    struct str hex;
    uint64_t d = 0;
    enum status rc = read_text(record, "settings", &hex, err);

    if (rc != OK) {
        return rc;
    }
    for (size_t i = 0; i < hex.len; i++) {
        const char c = hex.ptr[i];
        const bool digit = c >= '0' && c <= '9';

        if (hex.len != 16 || (!digit && (c < 'a' || c > 'f'))) {
            return error_set(err, E_INVALID, "the record's \"settings\" is not 16 hex digits");
        }
        d = d << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *ret_digest = d;
    return OK;
}

static enum status read_verdict(const struct json_value *record, enum policy_verdict *ret_verdict,
                                struct error *err)
{
    struct str word;
    enum status rc = read_text(record, "verdict", &word, err);

    if (rc != OK) {
        return rc;
    }
    for (uint32_t i = 0; i < POLICY_VERDICT_COUNT; i++) {
        if (str_eq(word, str_from_c(policy_verdict_name((enum policy_verdict)i)))) {
            *ret_verdict = (enum policy_verdict)i;
            return OK;
        }
    }
    return error_set(err, E_INVALID, "the record's \"verdict\" is unknown");
}

static enum status read_pools(const struct json_value *record, struct arena *arena,
                              struct policy_record *r, struct error *err)
{
    const struct json_value *v;
    struct policy_record_pool *pools;
    enum status rc = want(record, "pools", JSON_ARRAY, &v, err);

    if (rc != OK) {
        return rc;
    }
    if (v->n_items > SETTINGS_POOLS_MAX) {
        return error_set(err, E_LIMIT, "the record names more than %d pools", SETTINGS_POOLS_MAX);
    }
    pools = arena_zalloc(arena, v->n_items, sizeof(*pools));
    if (pools == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the record");
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        const struct json_value *in;

        rc = want(&v->items[i], "in", JSON_BOOL, &in, err);
        if (rc == OK) {
            rc = read_text(&v->items[i], "name", &pools[i].name, err);
        }
        if (rc != OK) {
            return rc;
        }
        pools[i].in = in->boolean;
        pools[i].why = json_string_or(json_get(&v->items[i], STR("why")), STR(""));
    }
    r->pools = pools;
    r->n_pools = v->n_items;
    return OK;
}

static enum status read_facts(const struct json_value *record, struct arena *arena,
                              struct policy_facts *f, struct error *err)
{
    const struct json_value *v;
    enum status rc = read_text(record, "model", &f->model, err);

    rc = rc != OK ? rc : read_text(record, "key", &f->key_id, err);
    rc = rc != OK ? rc : read_text(record, "team", &f->team, err);
    rc = rc != OK ? rc : read_label(record, "label", &f->label, err);
    rc = rc != OK ? rc : read_label(record, "ceiling", &f->ceiling, err);
    rc = rc != OK ? rc : want(record, "body_bytes", JSON_INT, &v, err);
    if (rc != OK) {
        return rc;
    }
    if (v->integer < 0) {
        return error_set(err, E_INVALID, "the record's \"body_bytes\" is negative");
    }
    f->body_bytes = (uint64_t)v->integer;
    rc = read_names(record, "key_pools", arena, &f->key_pools, &f->n_key_pools, err);
    return rc != OK
               ? rc
               : read_names(record, "key_models", arena, &f->key_models, &f->n_key_models, err);
}

enum status policy_read_record(struct str text, struct arena *arena,
                               struct policy_record *ret_record, struct error *err)
{
    const struct json_value *root;
    struct policy_record r = {0};
    struct str copy;
    enum status rc;

    if (text.len > POLICY_RECORD_BYTES_MAX) {
        return error_set(err, E_LIMIT, "a record has at most %d bytes", POLICY_RECORD_BYTES_MAX);
    }
    rc = arena_dup(arena, text, &copy);
    if (rc != OK) {
        return error_set(err, rc, "no memory for the record");
    }
    rc = json_parse(arena, copy, NULL, &root, err);
    if (rc != OK) {
        return rc;
    }
    if (json_get(root, STR("policy")) != NULL) {
        root = json_get(root, STR("policy"));
    }
    rc = read_digest(root, &r.digest, err);
    rc = rc != OK ? rc : read_facts(root, arena, &r.facts, err);
    rc = rc != OK ? rc : read_verdict(root, &r.verdict, err);
    rc = rc != OK ? rc : read_text(root, "rule", &r.rule, err);
    rc = rc != OK ? rc : read_pools(root, arena, &r, err);
    if (rc == OK) {
        *ret_record = r;
    }
    return rc;
}
