/* keys.h - API keys: made at random, shown once, stored as keyed hash, with scopes and expiry.
 *
 * The key file (JSON, 0600, replaced atomically; written by keys_file.h) is read again when it
 * changes, so that a revocation takes effect within a second.  A set of keys is immutable, its
 * functions may be called from any thread.  Of a presented key only HMAC-SHA256 under the file's
 * own secret is looked up, and digests are compared in constant time.
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
#define KEYS_FILE_BYTES_MAX (128u << 20)
#define KEYS_SECRETS_MAX 4      // of one key: the newest and those it replaces
#define KEYS_SCOPE_MAX 64       // models, or pools, of one key
#define KEYS_TEXT_BYTES_MAX 128 // id, name, team, a model's or pool's name

/* "sk-kontor-", 43 characters of 0-9A-Za-z (256 random bits), 6 of checksum. */
#define KEYS_PREFIX "sk-kontor-"
#define KEYS_BODY_CHARS 43
#define KEYS_CHECK_CHARS 6
#define KEYS_KEY_CHARS (10 + KEYS_BODY_CHARS + KEYS_CHECK_CHARS)

struct keys; // an immutable set, reference-counted

struct keys_key {
    struct str id; // "k_..." ; harmless, appears in logs and ledger
    struct str name;
    struct str team;
    const struct str *models; // [n_models] allowed; none: all
    uint32_t n_models;
    const struct str *pools; // [n_pools] allowed; none: all
    uint32_t n_pools;
    enum label ceiling;        // strictest label this key may send [private: any]
    bool has_label;            // else the settings' default_label
    enum label label;          // of its requests unless raised
    struct limits_rule limits; // subject filled in: "key:k_..."
    int64_t created_s;
    int64_t expires_s; // 0: never.  Of the presented secret: a rotated one ends with its overlap
    bool revoked;
    bool rotated; // the presented secret was replaced by a newer one (keys_find only)
};

/** Errors: IO, INVALID (with line; also for a file that others may write), LIMIT, NO_MEMORY.  A
 *  missing file is an empty set. */
MUST_USE enum status keys_load(const char *path, struct keys **ret_keys, struct error *err);
/** The same from the file's text. */
MUST_USE enum status keys_parse(struct str text, struct keys **ret_keys, struct error *err);
/** Atomic count; returns k. */
struct keys *keys_ref(struct keys *k);
void keys_unref(struct keys *k);
/**
 * The key that `presented` is, or NULL (unknown).  Expired and revoked ones are returned; look.
 * Cost: one HMAC and one look into a table, whatever the number of keys.
 */
const struct keys_key *keys_find(const struct keys *k, struct str presented);
/** By id (tokens name it), or NULL.  expires_s is the key's own here. */
const struct keys_key *keys_by_id(const struct keys *k, struct str id);
uint32_t keys_count(const struct keys *k);
/** Number of this set, never that of another in this process (an address may be used again); 0 for
 *  NULL. */
uint64_t keys_serial(const struct keys *k);
/** idx < keys_count; order of the file. */
const struct keys_key *keys_at(const struct keys *k, uint32_t idx);

enum keys_shape {
    KEYS_SHAPE_OTHER,  // not one of ours
    KEYS_SHAPE_BROKEN, // our prefix, but cut, lengthened or mistyped: the checksum says so
    KEYS_SHAPE_WHOLE,
};
/** What a presented text looks like, before any look-up; for error messages. */
enum keys_shape keys_shape(struct str presented);

#endif
