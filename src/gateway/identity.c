/* The checker: a key in the head, its digest in a table, a caller in the call's arena. */
#include "gateway/identity_internal.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES_MAX (16u << 20)

/* --- creation --- */

static enum status copy_text(struct identity *id, struct str text, struct str fallback,
                             struct str *ret_copy)
{
    return arena_dup(id->arena, text.len > 0 ? text : fallback, ret_copy);
}

static void add_literals(struct identity *id, const struct str *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        hash_sha256(keys[i], id->literals + (size_t)id->n_literals++ * HASH_SHA256_BYTES);
    }
}

static enum status refuse_empty(const struct str *keys, uint32_t n, struct error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (str_trim(keys[i]).len == 0) {
            return error_set(err, E_INVALID, "an API key is empty: everybody would know it");
        }
    }
    return OK;
}

static enum status take_literals(struct identity *id, const struct identity_options *o,
                                 struct error *err)
{
    const uint32_t n_settings = o->settings == NULL ? 0 : o->settings->n_auth_keys;
    const struct str *of_settings = o->settings == NULL ? NULL : o->settings->auth_keys;
    const uint32_t n = o->n_literal_keys + n_settings;
    enum status rc = refuse_empty(o->literal_keys, o->n_literal_keys, err);

    rc = rc != OK ? rc : refuse_empty(of_settings, n_settings, err);
    if (rc != OK) {
        return rc;
    }
    id->literals = arena_zalloc(id->arena, n, HASH_SHA256_BYTES);
    if (id->literals == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the API keys");
    }
    add_literals(id, o->literal_keys, o->n_literal_keys);
    add_literals(id, of_settings, n_settings);
    return OK;
}

/* Without settings (`kontor serve`): literal keys, the usual header, the strictest label. */
static enum status take_settings(struct identity *id, const struct settings *s, struct error *err)
{
    static const struct settings none = {.default_label = LABEL_PRIVATE};
    const struct settings *from = s == NULL ? &none : s;
    const bool own_header = from->auth_header.len > 0;
    enum status rc = copy_text(id, from->auth_header, STR("authorization"), &id->header);

    /* An empty prefix means none only where a header is named: zeroed settings are the defaults. */
    rc = rc != OK
             ? rc
             : copy_text(id, from->auth_prefix, own_header ? STR("") : STR("Bearer"), &id->prefix);
    if (rc != OK) {
        return error_set(err, rc, "no memory for the settings of identity");
    }
    id->default_label = from->default_label;
    return identity_token_init(id, from, err);
}

enum status identity_create(const struct identity_options *options, struct identity **ret_identity,
                            struct error *err)
{
    struct identity *id = calloc(1, sizeof(*id));
    enum status rc = OK;

    if (id == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the identity check");
    }
    id->arena = arena_create(ARENA_BYTES_MAX);
    if (id->arena == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory for the identity check");
    }
    rc = rc != OK ? rc : take_settings(id, options->settings, err);
    rc = rc != OK ? rc : take_literals(id, options, err);
    rc = rc != OK ? rc : identity_watch_open(options->settings, options->before, &id->feed, err);
    if (rc != OK) {
        identity_destroy(id);
        return rc;
    }
    *ret_identity = id;
    return OK;
}

void identity_destroy(struct identity *id)
{
    if (id == NULL) {
        return;
    }
    identity_watch_close(id->feed);
    arena_destroy(id->arena);
    free(id);
}

/* --- the check --- */

const struct keys *identity_keys(const struct identity *id)
{
    return id->feed->keys;
}

bool identity_asks(const struct identity *id)
{
    return id->n_literals > 0 || id->feed->keys_path.len > 0 || identity_token_taken(id);
}

uint32_t identity_literal(const struct identity *id, struct str key)
{
    uint8_t digest[HASH_SHA256_BYTES];
    uint32_t found = 0;

    if (id->n_literals == 0) {
        return 0;
    }
    hash_sha256(key, digest);
    for (uint32_t i = 0; i < id->n_literals; i++) {
        const uint8_t *ours = id->literals + (size_t)i * HASH_SHA256_BYTES;

        found = CRYPTO_memcmp(digest, ours, HASH_SHA256_BYTES) == 0 ? i + 1 : found;
    }
    return found;
}

static enum status copy_list(struct arena *arena, const struct str *list, uint32_t n,
                             const struct str **ret_list, uint32_t *ret_n)
{
    struct str *copy;

    if (n == 0) {
        return OK;
    }
    copy = arena_zalloc(arena, n, sizeof(*copy));
    if (copy == NULL) {
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        enum status rc = arena_dup(arena, list[i], &copy[i]);

        if (rc != OK) {
            return rc;
        }
    }
    *ret_list = copy;
    *ret_n = n;
    return OK;
}

static enum status caller_of_key(const struct identity *id, const struct keys_key *key,
                                 struct arena *arena, struct identity_caller *c)
{
    enum status rc = arena_dup(arena, key->id, &c->key_id);

    rc = rc != OK ? rc : arena_dup(arena, key->team, &c->team);
    rc = rc != OK ? rc : copy_list(arena, key->models, key->n_models, &c->models, &c->n_models);
    rc = rc != OK ? rc : copy_list(arena, key->pools, key->n_pools, &c->pools, &c->n_pools);
    c->label = key->has_label ? key->label : id->default_label;
    c->ceiling = key->ceiling;
    return rc;
}

enum status identity_of_literal(uint32_t idx, struct arena *arena,
                                struct identity_caller *ret_caller)
{
    char text[32];

    snprintf(text, sizeof(text), "literal-%u", idx);
    return arena_dup(arena, str_from_c(text), &ret_caller->key_id);
}

static bool has_ended(const struct keys_key *key, int64_t now_s)
{
    return key->revoked || (key->expires_s != 0 && now_s >= key->expires_s);
}

enum status identity_of_key(const struct identity *id, const struct keys_key *key,
                            struct str presented, struct arena *arena, int64_t now_s,
                            struct identity_caller *ret_caller, struct chat_failure *ret_failure)
{
    if (has_ended(key, now_s)) {
        identity_refuse_ended(key, presented, ret_failure);
        return E_DENIED;
    }
    return caller_of_key(id, key, arena, ret_caller);
}

static enum status check_key(struct identity *id, struct str key, struct arena *arena,
                             int64_t now_s, struct identity_caller *c, struct chat_failure *f)
{
    const struct keys_key *found;
    const uint32_t literal = identity_literal(id, key);

    if (literal != 0) {
        return identity_of_literal(literal, arena, c);
    }
    if (identity_token_taken(id) && jwt_looks_like(key)) {
        return identity_token_check(id, key, arena, now_s, c, f);
    }
    found = id->feed->keys == NULL ? NULL : keys_find(id->feed->keys, key);
    if (found == NULL) {
        identity_refuse_unknown(id, key, f);
        return E_DENIED;
    }
    return identity_of_key(id, found, key, arena, now_s, c, f);
}

enum status identity_check(struct identity *id, const struct http_head *head, struct arena *arena,
                           int64_t now_s, struct identity_caller *ret_caller,
                           struct chat_failure *ret_failure)
{
    struct identity_caller c = {.label = id->default_label, .ceiling = LABEL_PRIVATE};
    enum identity_fault fault;
    struct str key;
    enum status rc;

    identity_watch_take(id->feed);
    if (!identity_asks(id)) {
        *ret_caller = c;
        return OK;
    }
    fault = identity_find(id, head, &key);
    if (fault != IDENTITY_FAULT_NONE) {
        identity_refuse_missing(id, fault, ret_failure);
        return E_DENIED;
    }
    rc = check_key(id, key, arena, now_s, &c, ret_failure);
    if (rc == OK) {
        *ret_caller = c;
    }
    return rc;
}
