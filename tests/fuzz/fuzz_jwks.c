/* Key sets: every key that comes out is of an algorithm with its own kind of key. */
#include "base/check.h"
#include "gateway/jwks.h"
#include "support/guard.h"

#include <openssl/evp.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void look_at(const struct jwt_key *key)
{
    static const int kinds[] =
        {[JWT_RS256] = EVP_PKEY_RSA, [JWT_ES256] = EVP_PKEY_EC, [JWT_EDDSA] = EVP_PKEY_ED25519};

    CHECK(key->algorithm != JWT_HS256 && key->secret.len == 0);
    CHECK(key->pkey != NULL && EVP_PKEY_get_base_id(key->pkey) == kinds[key->algorithm]);
    CHECK(key->kid.len <= JWT_KID_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct guard g = guard_copy((struct str){(const char *)bytes, n_bytes});
    struct jwks *set = NULL;
    struct error err = {.status = OK};

    if (jwks_parse(g.text, &set, &err) == OK) {
        uint32_t n = 0;
        const struct jwt_key *keys = jwks_keys(set, &n);

        CHECK(n <= JWKS_KEYS_MAX);
        for (uint32_t i = 0; i < n; i++) {
            look_at(&keys[i]);
        }
        jwks_destroy(set);
    } else {
        CHECK(err.text[0] != '\0');
    }
    guard_done(&g);
    return 0;
}
