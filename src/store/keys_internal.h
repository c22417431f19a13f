/* keys_internal.h - the key file taken apart, for those who look keys up and those who edit. */
#ifndef STORE_KEYS_INTERNAL_H
#define STORE_KEYS_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "store/keys.h"

#define KEYS_FORMAT "kontor-keys-1"

/* One text that opens a key; a rotated key has several for a while. */
struct keys_secret {
    uint8_t hash[HASH_SHA256_BYTES]; // HMAC-SHA256 of the text under the table's hash_key
    int64_t created_s;
    int64_t ends_s; // 0: with the key
};

struct keys_record {
    struct keys_key key;
    struct keys_secret *secrets; // [n_secrets] the newest first; at least one
    uint32_t n_secrets;
};

/* Immutable after keys_read but for keys_file.c, which owns its own. */
struct keys_table {
    uint8_t hash_key[HASH_SHA256_BYTES];
    struct keys_record *records; // [n_records]
    uint32_t n_records;
};

/** Take the file apart; everything ends up in `arena`, nothing points into `text`.  Ids and hashes
 *  may still occur twice.  Errors: INVALID (with line), LIMIT, NO_MEMORY. */
MUST_USE enum status keys_read(struct str text, struct arena *arena, struct keys_table *ret_table,
                               struct error *err);
/** The text that keys_read reads back. */
void keys_write(const struct keys_table *table, struct buf *out);
/** The whole file into `buf`.  E_NOT_FOUND without an error text when there is none.
 *  Errors: IO, INVALID (others may write it), LIMIT. */
MUST_USE enum status keys_read_file(const char *path, struct buf *buf, struct error *err);
/** HMAC-SHA256 of a presented text. */
void keys_hash(const uint8_t hash_key[HASH_SHA256_BYTES], struct str presented,
               uint8_t ret_hash[HASH_SHA256_BYTES]);
/** The checksum characters of prefix and body. */
void keys_checksum(struct str prefix_and_body, char ret_check[KEYS_CHECK_CHARS]);

#endif
