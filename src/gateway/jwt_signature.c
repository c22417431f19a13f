/* Signatures, by OpenSSL's EVP. */
#include "base/check.h"
#include "gateway/jwt_internal.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define ES256_HALF_BYTES 32
#define ED25519_BYTES 64

void jwt_hmac(struct str secret, struct str text, uint8_t ret_mac[JWT_HMAC_BYTES])
{
    unsigned n = 0;

    CHECK(secret.len <= INT32_MAX);
    CHECK(HMAC(EVP_sha256(), secret.len == 0 ? "" : secret.ptr, (int)secret.len,
               (const unsigned char *)(text.len == 0 ? "" : text.ptr), text.len, ret_mac,
               &n) != NULL);
    CHECK(n == JWT_HMAC_BYTES);
}

static bool hmac_holds(const struct jwt *t, struct str secret)
{
    uint8_t mac[JWT_HMAC_BYTES];

    if (secret.len < JWT_SECRET_BYTES_MIN || t->signature_bytes != sizeof(mac)) {
        return false;
    }
    jwt_hmac(secret, t->signed_part, mac);
    return CRYPTO_memcmp(mac, t->signature, sizeof(mac)) == 0;
}

/* digest NULL: the scheme has its own. */
static bool evp_holds(struct evp_pkey_st *pkey, const EVP_MD *digest, const uint8_t *signature,
                      size_t n_bytes, struct str text)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool holds = false;

    if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, digest, NULL, pkey) == 1) {
        holds = EVP_DigestVerify(ctx, signature, n_bytes, (const unsigned char *)text.ptr,
                                 text.len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    return holds;
}

/* The token holds r and s as plain numbers; OpenSSL wants them in DER. */
static bool es256_holds(const struct jwt *t, struct evp_pkey_st *pkey)
{
    unsigned char *der = NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r;
    BIGNUM *s;
    bool holds = false;
    int n;

    if (t->signature_bytes != 2 * ES256_HALF_BYTES || sig == NULL) {
        ECDSA_SIG_free(sig);
        return false;
    }
    r = BN_bin2bn(t->signature, ES256_HALF_BYTES, NULL);
    s = BN_bin2bn(t->signature + ES256_HALF_BYTES, ES256_HALF_BYTES, NULL);
    if (r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return false;
    }
    n = i2d_ECDSA_SIG(sig, &der); // sig owns r and s now
    if (n > 0) {
        holds = evp_holds(pkey, EVP_sha256(), der, (size_t)n, t->signed_part);
    }
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    return holds;
}

bool jwt_signature_holds(const struct jwt *token, const struct jwt_key *key)
{
    if (token->algorithm != key->algorithm) {
        return false;
    }
    switch (key->algorithm) {
    case JWT_HS256:
        return hmac_holds(token, key->secret);
    case JWT_RS256: // PKCS #1 v1.5 is what EVP takes when nothing else is asked for
        return token->signature_bytes == (size_t)EVP_PKEY_get_size(key->pkey) &&
               evp_holds(key->pkey, EVP_sha256(), token->signature, token->signature_bytes,
                         token->signed_part);
    case JWT_ES256:
        return es256_holds(token, key->pkey);
    case JWT_EDDSA:
        return token->signature_bytes == ED25519_BYTES &&
               evp_holds(key->pkey, NULL, token->signature, token->signature_bytes,
                         token->signed_part);
    }
    return false;
}
