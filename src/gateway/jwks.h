/* jwks.h - a set of public keys (RFC 7517) that tokens are verified with.
 *
 * Of each key only what it is for counts: RSA of 2048 to 8192 bits verifies RS256, P-256 ES256,
 * Ed25519 EdDSA, and nothing else.  Keys of other kinds, for encryption or for other algorithms are
 * passed over; symmetric ones too, since a published secret is none.
 * Immutable; any thread.  Untrusted input.
 */
#ifndef GATEWAY_JWKS_H
#define GATEWAY_JWKS_H

#include "gateway/jwt.h"

#define JWKS_BYTES_MAX (1u << 20)
#define JWKS_KEYS_MAX 64 // usable ones

struct jwks;

/** Errors: INVALID (no set, a key that is damaged or off its curve, two of one algorithm and kid),
 *  LIMIT, NO_MEMORY.  A set without a usable key is no error: nothing is accepted. */
MUST_USE enum status jwks_parse(struct str text, struct jwks **ret_set, struct error *err);
/** Errors: IO and as above. */
MUST_USE enum status jwks_load(const char *path, struct jwks **ret_set, struct error *err);
void jwks_destroy(struct jwks *set);
/** [*ret_n] keys; live as long as the set. */
const struct jwt_key *jwks_keys(const struct jwks *set, uint32_t *ret_n);

#endif
