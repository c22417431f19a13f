/* jwt_internal.h - the signatures of a token. */
#ifndef GATEWAY_JWT_INTERNAL_H
#define GATEWAY_JWT_INTERNAL_H

#include "gateway/jwt.h"

#define JWT_HMAC_BYTES 32

/** Does the signature belong to the signed part, under a key of the token's algorithm? */
bool jwt_signature_holds(const struct jwt *token, const struct jwt_key *key);
/** HMAC-SHA256. */
void jwt_hmac(struct str secret, struct str text, uint8_t ret_mac[JWT_HMAC_BYTES]);

#endif
