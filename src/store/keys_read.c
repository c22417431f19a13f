/* The key file's text: strict, with the line of what is wrong. */
#include "base/check.h"
#include "base/json.h"
#include "store/keys_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_BYTES_MAX ((size_t)2 << 30) // the parsed tree, freed before keys_read returns
#define VALUES_MAX 8000000

/* What every step needs. */
struct reader {
    struct str text;
    struct arena *arena;
    struct error *err;
};

static uint32_t line_of(const struct reader *r, const struct json_value *v)
{
    const char *end = v == NULL ? r->text.ptr : v->source.ptr;
    uint32_t line = 1;

    for (const char *p = r->text.ptr; p < end; p++) {
        line += *p == '\n';
    }
    return line;
}

#define REFUSE(r, v, ...) refuse(r, v, error_set((r)->err, E_INVALID, __VA_ARGS__))

static enum status refuse(const struct reader *r, const struct json_value *v, enum status rc)
{
    return error_prefix(r->err, rc, "line %u", line_of(r, v));
}

static enum status read_text(struct reader *r, const struct json_value *v, const char *what,
                             bool may_be_missing, struct str *ret_text)
{
    if (v == NULL && may_be_missing) {
        return OK;
    }
    if (v == NULL || v->kind != JSON_STRING || v->string.len > KEYS_TEXT_BYTES_MAX ||
        (v->string.len == 0 && !may_be_missing)) {
        return REFUSE(r, v, "\"%s\" must be a text of 1 to %d bytes", what, KEYS_TEXT_BYTES_MAX);
    }
    return arena_dup(r->arena, v->string, ret_text);
}

static enum status read_time(struct reader *r, const struct json_value *v, const char *what,
                             int64_t *ret_time_s)
{
    if (v == NULL) {
        return OK;
    }
    if (v->kind != JSON_INT || v->integer < 0) {
        return REFUSE(r, v, "\"%s\" must be seconds since 1970", what);
    }
    *ret_time_s = v->integer;
    return OK;
}

static enum status read_amount(struct reader *r, const struct json_value *limits, const char *what,
                               int64_t max, int64_t *ret_amount)
{
    const struct json_value *v = json_get(limits, str_from_c(what));

    if (v == NULL) {
        return OK;
    }
    if (v->kind != JSON_INT || v->integer < 0 || v->integer > max) {
        return REFUSE(r, v, "the limit \"%s\" must be a whole number from 0 on", what);
    }
    *ret_amount = v->integer;
    return OK;
}

static enum status read_list(struct reader *r, const struct json_value *v, const char *what,
                             const struct str **ret_list, uint32_t *ret_n)
{
    struct str *list;

    if (v == NULL) {
        return OK;
    }
    if (v->kind != JSON_ARRAY || v->n_items > KEYS_SCOPE_MAX) {
        return REFUSE(r, v, "\"%s\" must be a list of at most %d names", what, KEYS_SCOPE_MAX);
    }
    list = arena_zalloc(r->arena, v->n_items, sizeof(*list));
    if (list == NULL) {
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        enum status rc = read_text(r, &v->items[i], what, false, &list[i]);

        if (rc != OK) {
            return rc;
        }
    }
    *ret_list = list;
    *ret_n = v->n_items;
    return OK;
}

static enum status read_label(struct reader *r, const struct json_value *v, const char *what,
                              enum label *ret_label)
{
    if (v->kind != JSON_STRING || label_parse(v->string, ret_label) != OK) {
        return REFUSE(r, v, "\"%s\" must be public, internal, confidential or private", what);
    }
    return OK;
}

static enum status read_flag(struct reader *r, const struct json_value *v, const char *what,
                             bool *ret_flag)
{
    if (v == NULL) {
        return OK;
    }
    if (v->kind != JSON_BOOL) {
        return REFUSE(r, v, "\"%s\" must be true or false", what);
    }
    *ret_flag = v->boolean;
    return OK;
}

static enum status read_digest(struct reader *r, const struct json_value *v, const char *what,
                               uint8_t ret_digest[HASH_SHA256_BYTES])
{
    if (v == NULL || v->kind != JSON_STRING || v->string.len != 2 * HASH_SHA256_BYTES) {
        return REFUSE(r, v, "\"%s\" must be 64 hex digits", what);
    }
    for (size_t i = 0; i < v->string.len; i++) {
        const char c = v->string.ptr[i];
        const bool digit = c >= '0' && c <= '9';
        const int nibble = digit ? c - '0' : c - 'a' + 10;

        if (!digit && (c < 'a' || c > 'f')) {
            return REFUSE(r, v, "\"%s\" must be 64 hex digits", what);
        }
        ret_digest[i / 2] = (uint8_t)(i % 2 == 0 ? nibble << 4 : ret_digest[i / 2] | nibble);
    }
    return OK;
}

/* A member that nobody knows may be a restriction of a later version: to pass over it would open
 * what it closes. */
static enum status known_members(struct reader *r, const struct json_value *v, const char *what,
                                 const char *const *names, size_t n_names)
{
    if (v->kind != JSON_OBJECT) {
        return REFUSE(r, v, "%s must be an object", what);
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        bool known = false;

        for (size_t k = 0; k < n_names; k++) {
            known = known || str_eq(v->members[i].key, str_from_c(names[k]));
        }
        if (!known) {
            return REFUSE(r, &v->members[i].value,
                          "%s has a member \"%.*s\" that this version does not know", what,
                          STR_ARG(str_slice(v->members[i].key, 0, 64)));
        }
    }
    return OK;
}

static enum status read_limits(struct reader *r, const struct json_value *v, struct keys_key *key)
{
    static const char *const names[] = {"requests_per_minute", "tokens_per_minute", "parallel",
                                        "money_nano", "period"};
    static const char *const periods[] = {"day", "month", "total"};
    int64_t requests = 0;
    int64_t tokens = 0;
    int64_t parallel = 0;
    const struct json_value *period = json_get(v, STR("period"));
    enum status rc;

    if (v == NULL) {
        return OK;
    }
    rc = known_members(r, v, "\"limits\"", names, ARRAY_COUNT(names));
    rc = rc != OK ? rc : read_amount(r, v, names[0], INT64_MAX, &requests);
    rc = rc != OK ? rc : read_amount(r, v, names[1], INT64_MAX, &tokens);
    rc = rc != OK ? rc : read_amount(r, v, names[2], UINT32_MAX, &parallel);
    rc = rc != OK ? rc : read_amount(r, v, names[3], INT64_MAX, &key->limits.money_nano);
    if (rc != OK) {
        return rc;
    }
    key->limits.requests_per_minute = (uint64_t)requests;
    key->limits.tokens_per_minute = (uint64_t)tokens;
    key->limits.parallel = (uint32_t)parallel;
    for (uint32_t i = 0; period != NULL && i < ARRAY_COUNT(periods); i++) {
        if (str_eq(json_string_or(period, STR("")), str_from_c(periods[i]))) {
            key->limits.period = (enum limits_period)i;
            return OK;
        }
    }
    return period == NULL ? OK : REFUSE(r, period, "\"period\" must be day, month or total");
}

static enum status read_secrets(struct reader *r, const struct json_value *owner,
                                struct keys_record *record)
{
    static const char *const names[] = {"hash", "created", "ends"};
    const struct json_value *v = json_get(owner, STR("secrets"));

    if (v == NULL || v->kind != JSON_ARRAY || v->n_items == 0 || v->n_items > KEYS_SECRETS_MAX) {
        return REFUSE(r, v == NULL ? owner : v, "\"secrets\" must be a list of 1 to %d objects",
                      KEYS_SECRETS_MAX);
    }
    record->secrets = arena_zalloc(r->arena, v->n_items, sizeof(*record->secrets));
    if (record->secrets == NULL) {
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        const struct json_value *item = &v->items[i];
        struct keys_secret *s = &record->secrets[i];
        enum status rc = known_members(r, item, "a secret", names, ARRAY_COUNT(names));

        rc = rc != OK ? rc : read_digest(r, json_get(item, STR("hash")), "hash", s->hash);
        rc = rc != OK ? rc : read_time(r, json_get(item, STR("created")), "created", &s->created_s);
        rc = rc != OK ? rc : read_time(r, json_get(item, STR("ends")), "ends", &s->ends_s);
        if (rc != OK) {
            return rc;
        }
    }
    record->n_secrets = v->n_items;
    return OK;
}

static enum status read_labels(struct reader *r, const struct json_value *v, struct keys_key *key)
{
    const struct json_value *ceiling = json_get(v, STR("ceiling"));
    const struct json_value *label = json_get(v, STR("label"));
    enum status rc = OK;

    key->ceiling = LABEL_PRIVATE;
    if (ceiling != NULL) {
        rc = read_label(r, ceiling, "ceiling", &key->ceiling);
    }
    if (rc == OK && label != NULL) {
        key->has_label = true;
        rc = read_label(r, label, "label", &key->label);
    }
    return rc;
}

/* "key:k_..." */
static enum status name_subject(struct reader *r, struct keys_key *key)
{
    char *subject = arena_alloc(r->arena, 4 + key->id.len);

    if (subject == NULL) {
        return E_NO_MEMORY;
    }
    memcpy(subject, "key:", 4);
    memcpy(subject + 4, key->id.ptr, key->id.len);
    key->limits.subject = (struct str){subject, 4 + key->id.len};
    return OK;
}

static enum status read_record(struct reader *r, const struct json_value *v,
                               struct keys_record *record)
{
    static const char *const names[] = {"id",      "name",    "team",    "models",
                                        "pools",   "ceiling", "label",   "limits",
                                        "created", "expires", "revoked", "secrets"};
    struct keys_key *key = &record->key;
    enum status rc = known_members(r, v, "a key", names, ARRAY_COUNT(names));

    if (rc != OK) {
        return rc;
    }
    if (json_get(v, STR("id")) == NULL) {
        return REFUSE(r, v, "a key without \"id\"");
    }
    rc = read_text(r, json_get(v, STR("id")), "id", false, &key->id);
    rc = rc != OK ? rc : read_text(r, json_get(v, STR("name")), "name", true, &key->name);
    rc = rc != OK ? rc : read_text(r, json_get(v, STR("team")), "team", true, &key->team);
    rc = rc != OK
             ? rc
             : read_list(r, json_get(v, STR("models")), "models", &key->models, &key->n_models);
    rc = rc != OK ? rc
                  : read_list(r, json_get(v, STR("pools")), "pools", &key->pools, &key->n_pools);
    rc = rc != OK ? rc : read_labels(r, v, key);
    rc = rc != OK ? rc : read_limits(r, json_get(v, STR("limits")), key);
    rc = rc != OK ? rc : read_time(r, json_get(v, STR("created")), "created", &key->created_s);
    rc = rc != OK ? rc : read_time(r, json_get(v, STR("expires")), "expires", &key->expires_s);
    rc = rc != OK ? rc : read_flag(r, json_get(v, STR("revoked")), "revoked", &key->revoked);
    rc = rc != OK ? rc : read_secrets(r, v, record);
    return rc != OK ? rc : name_subject(r, key);
}

static enum status read_table(struct reader *r, const struct json_value *root, struct keys_table *t)
{
    static const char *const names[] = {"format", "secret", "keys"};
    const struct json_value *keys = json_get(root, STR("keys"));
    enum status rc = known_members(r, root, "a key file", names, ARRAY_COUNT(names));

    if (rc != OK) {
        return rc;
    }
    if (!str_eq(json_string_or(json_get(root, STR("format")), STR("")), STR(KEYS_FORMAT))) {
        return REFUSE(r, root, "no key file: \"format\" must be \"" KEYS_FORMAT "\"");
    }
    if (keys == NULL || keys->kind != JSON_ARRAY) {
        return REFUSE(r, root, "\"keys\" must be a list");
    }
    if (keys->n_items > KEYS_MAX) {
        return error_set(r->err, E_LIMIT, "a key file holds at most %d keys", KEYS_MAX);
    }
    rc = read_digest(r, json_get(root, STR("secret")), "secret", t->hash_key);
    t->records = arena_zalloc(r->arena, keys->n_items, sizeof(*t->records));
    if (rc == OK && t->records == NULL) {
        rc = E_NO_MEMORY;
    }
    for (uint32_t i = 0; rc == OK && i < keys->n_items; i++) {
        rc = read_record(r, &keys->items[i], &t->records[i]);
    }
    t->n_records = keys->n_items;
    return rc;
}

enum status keys_read(struct str text, struct arena *arena, struct keys_table *ret_table,
                      struct error *err)
{
    static const struct json_limits limits = {.depth_max = 8, .values_max = VALUES_MAX};
    struct arena *tree = arena_create(TREE_BYTES_MAX);
    struct reader r = {.text = text, .arena = arena, .err = err};
    struct keys_table t = {0};
    const struct json_value *root;
    enum status rc;

    if (tree == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the key file");
    }
    rc = json_parse(tree, text, &limits, &root, err);
    rc = rc != OK ? rc : read_table(&r, root, &t);
    if (rc == E_NO_MEMORY) {
        rc = error_set(err, rc, "no memory for the key file");
    }
    arena_destroy(tree);
    if (rc == OK) {
        *ret_table = t;
    }
    return rc;
}

static enum status read_all(int fd, struct buf *buf, struct error *err)
{
    for (;;) {
        char *room = buf_reserve(buf, 65536);
        ssize_t n;

        if (room == NULL) {
            return error_set(err, buf_status(buf), "a key file has at most %u bytes",
                             KEYS_FILE_BYTES_MAX);
        }
        n = read(fd, room, 65536);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_set(err, E_IO, "cannot be read: %s", strerror(errno));
        }
        if (n == 0) {
            return OK;
        }
        buf_commit(buf, (size_t)n);
    }
}

enum status keys_read_file(const char *path, struct buf *buf, struct error *err)
{
    struct stat st;
    enum status rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return errno == ENOENT ? E_NOT_FOUND
                               : error_set(err, E_IO, "cannot be opened: %s", strerror(errno));
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = error_set(err, E_INVALID, "is not a file");
    } else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        rc = error_set(err, E_INVALID,
                       "others may write it, and so make keys; run chmod 0600 on it");
    } else {
        rc = read_all(fd, buf, err);
    }
    close(fd);
    return rc;
}
