/* A set of keys: two hash tables over the records of a file. */
#include "base/buf.h"
#include "base/check.h"
#include "store/keys_internal.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SET_BYTES_MAX ((size_t)1 << 30)
#define PRESENTED_BYTES_MAX 512

/* One secret, and the key as it is seen through it. */
struct entry {
    const uint8_t *hash;
    const struct keys_key *key;
};

/* Immutable but for the count. */
struct keys {
    atomic_uint n_refs;
    uint64_t serial;
    struct arena *arena; // owned; everything below lives in it
    struct keys_table table;
    struct entry *entries; // [n_entries]
    uint32_t n_entries;
    uint32_t mask;     // slots of both tables less one
    uint32_t *by_hash; // [mask + 1] entry + 1, or 0
    uint32_t *by_id;   // [mask + 1] record + 1, or 0
    uint64_t seed;
};

void keys_hash(const uint8_t hash_key[HASH_SHA256_BYTES], struct str presented,
               uint8_t ret_hash[HASH_SHA256_BYTES])
{
    hash_hmac_sha256(hash_key, presented, ret_hash);
}

/* The digest is random to everybody who does not know hash_key: its own bytes spread well. */
static uint32_t slot_of_hash(const uint8_t *hash)
{
    uint32_t v;

    memcpy(&v, hash, sizeof(v));
    return v;
}

static bool same_hash(const uint8_t *a, const uint8_t *b)
{
    return CRYPTO_memcmp(a, b, HASH_SHA256_BYTES) == 0;
}

static const struct entry *entry_of(const struct keys *k, const uint8_t *hash, uint32_t *ret_slot)
{
    uint32_t slot = slot_of_hash(hash) & k->mask;

    while (k->by_hash[slot] != 0) {
        const struct entry *e = &k->entries[k->by_hash[slot] - 1];

        if (same_hash(e->hash, hash)) {
            return e;
        }
        slot = (slot + 1) & k->mask;
    }
    *ret_slot = slot;
    return NULL;
}

static const struct keys_record *record_of(const struct keys *k, struct str id, uint32_t *ret_slot)
{
    uint32_t slot = (uint32_t)hash_bytes(id.ptr, id.len, k->seed) & k->mask;

    while (k->by_id[slot] != 0) {
        const struct keys_record *r = &k->table.records[k->by_id[slot] - 1];

        if (str_eq(r->key.id, id)) {
            return r;
        }
        slot = (slot + 1) & k->mask;
    }
    *ret_slot = slot;
    return NULL;
}

/* The key as an older secret shows it: it ends with the overlap. */
static const struct keys_key *older_view(struct keys *k, const struct keys_record *r,
                                         const struct keys_secret *s, bool newest)
{
    struct keys_key *view;

    if (newest && s->ends_s == 0) {
        return &r->key;
    }
    view = arena_alloc(k->arena, sizeof(*view));
    if (view == NULL) {
        return NULL;
    }
    *view = r->key;
    view->rotated = !newest;
    if (s->ends_s != 0 && (view->expires_s == 0 || s->ends_s < view->expires_s)) {
        view->expires_s = s->ends_s;
    }
    return view;
}

static enum status index_record(struct keys *k, uint32_t idx, struct error *err)
{
    const struct keys_record *r = &k->table.records[idx];
    uint32_t slot;

    if (record_of(k, r->key.id, &slot) != NULL) {
        return error_set(err, E_INVALID, "the id \"%.*s\" is there twice", STR_ARG(r->key.id));
    }
    k->by_id[slot] = idx + 1;
    for (uint32_t i = 0; i < r->n_secrets; i++) {
        struct entry *e = &k->entries[k->n_entries];

        if (entry_of(k, r->secrets[i].hash, &slot) != NULL) {
            return error_set(err, E_INVALID, "a secret of \"%.*s\" is there twice",
                             STR_ARG(r->key.id));
        }
        e->hash = r->secrets[i].hash;
        e->key = older_view(k, r, &r->secrets[i], i == 0);
        if (e->key == NULL) {
            return error_set(err, E_NO_MEMORY, "no memory for the keys");
        }
        k->by_hash[slot] = ++k->n_entries;
    }
    return OK;
}

static enum status build(struct keys *k, struct error *err)
{
    uint32_t n_secrets = 0;
    uint32_t n_slots = 16;
    enum status rc = OK;

    for (uint32_t i = 0; i < k->table.n_records; i++) {
        n_secrets += k->table.records[i].n_secrets;
    }
    while (n_slots < 2 * n_secrets) {
        n_slots *= 2;
    }
    k->mask = n_slots - 1;
    k->seed = hash_process_seed();
    k->entries = arena_zalloc(k->arena, n_secrets, sizeof(*k->entries));
    k->by_hash = arena_zalloc(k->arena, n_slots, sizeof(*k->by_hash));
    k->by_id = arena_zalloc(k->arena, n_slots, sizeof(*k->by_id));
    if (k->entries == NULL || k->by_hash == NULL || k->by_id == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the keys");
    }
    for (uint32_t i = 0; rc == OK && i < k->table.n_records; i++) {
        rc = index_record(k, i, err);
    }
    return rc;
}

static atomic_ullong serials; // given out so far

/* An empty text is an empty set. */
static enum status create(struct str text, struct keys **ret_keys, struct error *err)
{
    struct keys *k = calloc(1, sizeof(*k));
    enum status rc = OK;

    if (k == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the keys");
    }
    atomic_init(&k->n_refs, 1);
    k->serial = atomic_fetch_add(&serials, 1) + 1;
    k->arena = arena_create(SET_BYTES_MAX);
    if (k->arena == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory for the keys");
    }
    if (rc == OK && text.len > 0) {
        rc = keys_read(text, k->arena, &k->table, err);
    }
    rc = rc != OK ? rc : build(k, err);
    if (rc != OK) {
        keys_unref(k);
        return rc;
    }
    *ret_keys = k;
    return OK;
}

enum status keys_parse(struct str text, struct keys **ret_keys, struct error *err)
{
    if (text.len == 0) {
        return error_set(err, E_INVALID, "a key file is not empty");
    }
    return create(text, ret_keys, err);
}

enum status keys_load(const char *path, struct keys **ret_keys, struct error *err)
{
    struct buf text;
    enum status rc;

    buf_init(&text, KEYS_FILE_BYTES_MAX);
    rc = keys_read_file(path, &text, err);
    if (rc == E_NOT_FOUND) {
        rc = create((struct str){NULL, 0}, ret_keys, err);
    } else if (rc == OK) {
        rc = keys_parse(buf_str(&text), ret_keys, err);
    }
    if (rc != OK) {
        rc = error_prefix(err, rc, "%s", path);
    }
    buf_done(&text);
    return rc;
}

struct keys *keys_ref(struct keys *k)
{
    atomic_fetch_add_explicit(&k->n_refs, 1, memory_order_relaxed);
    return k;
}

void keys_unref(struct keys *k)
{
    if (k != NULL && atomic_fetch_sub_explicit(&k->n_refs, 1, memory_order_acq_rel) == 1) {
        arena_destroy(k->arena);
        free(k);
    }
}

const struct keys_key *keys_find(const struct keys *k, struct str presented)
{
    uint8_t hash[HASH_SHA256_BYTES];
    const struct entry *e;
    uint32_t slot;

    if (presented.len == 0 || presented.len > PRESENTED_BYTES_MAX || k->n_entries == 0) {
        return NULL;
    }
    keys_hash(k->table.hash_key, presented, hash);
    e = entry_of(k, hash, &slot);
    return e == NULL ? NULL : e->key;
}

const struct keys_key *keys_by_id(const struct keys *k, struct str id)
{
    uint32_t slot;
    const struct keys_record *r = record_of(k, id, &slot);

    return r == NULL ? NULL : &r->key;
}

uint32_t keys_count(const struct keys *k)
{
    return k->table.n_records;
}

uint64_t keys_serial(const struct keys *k)
{
    return k == NULL ? 0 : k->serial;
}

const struct keys_key *keys_at(const struct keys *k, uint32_t idx)
{
    CHECK(idx < k->table.n_records);
    return &k->table.records[idx].key;
}

void keys_checksum(struct str prefix_and_body, char ret_check[KEYS_CHECK_CHARS])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t digest[HASH_SHA256_BYTES];
    uint32_t v;

    hash_sha256(prefix_and_body, digest);
    v = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
        (uint32_t)digest[3];
    for (uint32_t i = KEYS_CHECK_CHARS; i-- > 0; v /= 62) {
        ret_check[i] = digits[v % 62];
    }
}

enum keys_shape keys_shape(struct str presented)
{
    const size_t n_checked = KEYS_KEY_CHARS - KEYS_CHECK_CHARS;
    char check[KEYS_CHECK_CHARS];

    if (!str_starts(presented, STR(KEYS_PREFIX))) {
        return KEYS_SHAPE_OTHER;
    }
    if (presented.len != KEYS_KEY_CHARS) {
        return KEYS_SHAPE_BROKEN;
    }
    keys_checksum(str_slice(presented, 0, n_checked), check);
    return memcmp(check, presented.ptr + n_checked, KEYS_CHECK_CHARS) == 0 ? KEYS_SHAPE_WHOLE
                                                                           : KEYS_SHAPE_BROKEN;
}
