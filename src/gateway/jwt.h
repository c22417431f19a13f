/* jwt.h - signed tokens (RFC 7519) in the compact form: HS256, RS256, ES256 and EdDSA (Ed25519).
 *
 * The algorithm belongs to the key, never to the token: a token names one, and only keys of that
 * very algorithm are looked at.  Refused: `none` and every other algorithm, `crit`, keys that the
 * token brings along (jwk, jku, x5c, x5u), compressed and encrypted tokens, duplicate members,
 * base 64 in any but its one strict form, and what is larger than JWT_BYTES_MAX.
 * Untrusted input.  Pure; any thread.
 */
#ifndef GATEWAY_JWT_H
#define GATEWAY_JWT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define JWT_BYTES_MAX 8192
#define JWT_LEEWAY_S 30         // clocks differ
#define JWT_SECRET_BYTES_MIN 32 // of HS256 (RFC 7518, section 3.2)
#define JWT_KID_BYTES_MAX 256
#define JWT_SIGNATURE_BYTES_MAX 1024

struct evp_pkey_st; // OpenSSL's EVP_PKEY

enum jwt_algorithm { JWT_HS256, JWT_RS256, JWT_ES256, JWT_EDDSA };

struct jwt_key {
    enum jwt_algorithm algorithm;
    struct str kid;           // empty: none
    struct str secret;        // JWT_HS256
    struct evp_pkey_st *pkey; // the others
};

/* A token taken apart; nothing of it is believed yet. */
struct jwt {
    enum jwt_algorithm algorithm;
    bool has_kid;
    struct str kid;
    struct str signed_part; // header "." payload, as sent
    struct str payload;     // encoded
    const uint8_t *signature;
    size_t signature_bytes;
};

struct jwt_rules {
    struct str issuer;   // empty: not asked for
    struct str audience; // empty: not asked for
    int64_t now_s;       // unix time
};

struct jwt_claims {
    const struct json_value *root; // all of them
    int64_t expires_s;
};

/** True for two dots and three parts of the right alphabet: worth to be parsed. */
bool jwt_looks_like(struct str text);
/** Take the outer form and the header apart; `arena` holds the result, token stays borrowed.
 *  Errors: DENIED (*ret_why: a static sentence for the caller), NO_MEMORY. */
MUST_USE enum status jwt_parse(struct str token, struct arena *arena, struct jwt *ret_token,
                               const char **ret_why);
/**
 * Find the key, verify the signature, then read and judge the claims: exp (required), nbf, iat,
 * iss, aud.
 *
 * Errors: NOT_FOUND (no such key: a newer key set may have it), DENIED, NO_MEMORY; *ret_why as
 * above.
 */
MUST_USE enum status jwt_accept(const struct jwt *token, const struct jwt_key *keys,
                                uint32_t n_keys, const struct jwt_rules *rules, struct arena *arena,
                                struct jwt_claims *ret_claims, const char **ret_why);
/** Append a HS256 token {"api_key", "iat", "exp"}.  Ask buf_status afterwards. */
void jwt_mint(struct buf *out, struct str secret, struct str api_key, int64_t issued_s,
              int64_t expires_s);

#endif
