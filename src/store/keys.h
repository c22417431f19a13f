/* keys.h - API keys: made at random, shown once, stored as keyed hash, with scopes and expiry.
 *
 * The key file (JSON, 0600, replaced atomically) is read again when it changes, so that a
 * revocation takes effect within a second.  A set of keys is immutable; keys_find compares in
 * constant time.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/label.h"
#include "base/status.h"
#include "base/str.h"
#include "store/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define KEYS_MAX 100000

struct keys; // an immutable set, reference-counted

struct keys_key {
    struct str id; // "k_..." ; harmless, appears in logs and ledger
    struct str name;
    struct str team;
    const struct str *models; // [n_models] allowed; none: all
    uint32_t n_models;
    const struct str *pools; // [n_pools] allowed; none: all
    uint32_t n_pools;
    enum label ceiling;        // strictest label this key may send
    enum label label;          // of its requests unless raised
    struct limits_rule limits; // subject filled in
    int64_t created_s;
    int64_t expires_s; // 0: never
    bool revoked;
};

/** Errors: IO, INVALID (with line).  A missing file is an empty set. */
MUST_USE enum status keys_load(const char *path, struct keys **ret_keys, struct error *err);
struct keys *keys_ref(struct keys *k);
void keys_unref(struct keys *k);
/** The key that `presented` is, or NULL (unknown).  Expired and revoked ones are returned; look. */
const struct keys_key *keys_find(const struct keys *k, struct str presented);
/** By id (tokens name it), or NULL. */
const struct keys_key *keys_by_id(const struct keys *k, struct str id);
uint32_t keys_count(const struct keys *k);

#endif
