/* hash.h - non-cryptographic 64-bit hash (wyhash family construction, our own code) and SHA-256 by
 * OpenSSL for names that outside parties see.  Any thread.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

/** Hash of bytes under a seed.  Not stable across releases; never stored or sent. */
uint64_t hash_bytes(const void *bytes, size_t n_bytes, uint64_t seed);
uint64_t hash_u64(uint64_t value, uint64_t seed);
/** A seed drawn once per process, against chosen collisions. */
uint64_t hash_process_seed(void);

#define HASH_SHA256_BYTES 32
/** SHA-256 of the bytes of `s`. */
void hash_sha256(struct str s, uint8_t ret_digest[HASH_SHA256_BYTES]);
/** HMAC-SHA256 under a key of exactly 32 bytes. */
void hash_hmac_sha256(const uint8_t key[HASH_SHA256_BYTES], struct str message,
                      uint8_t ret_digest[HASH_SHA256_BYTES]);

#endif
