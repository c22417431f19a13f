/* Tokens: only what is signed under the secret is accepted, and a changed signature never is;
 * the input is tried as a token, and as the claims of a well signed one. */
#include "base/base64url.h"
#include "base/check.h"
#include "gateway/jwt.h"
#include "support/guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static const struct jwt_key key = {.algorithm = JWT_HS256,
                                   .secret = {"0123456789abcdef0123456789abcdef", 32}};

static bool accepts(struct str token)
{
    static const struct jwt_rules rules = {.now_s = 1800000000};
    struct arena *arena = arena_create(1 << 20);
    struct guard g = guard_copy(token);
    struct jwt_claims claims;
    const char *why = NULL;
    struct jwt t;
    bool accepted;
    enum status rc;

    CHECK(arena != NULL);
    rc = jwt_parse(g.text, arena, &t, &why);
    if (rc == OK) {
        rc = jwt_accept(&t, &key, 1, &rules, arena, &claims, &why);
    }
    accepted = rc == OK;
    CHECK(rc == OK || rc == E_NO_MEMORY || why != NULL);
    guard_done(&g);
    arena_destroy(arena);
    return accepted;
}

/* The input as claims of a well signed token: reaches what stands behind the signature. */
static void try_claims(struct str claims)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    uint8_t mac[32];
    unsigned n = 0;
    struct buf b;

    buf_init(&b, 65536);
    base64url_encode(&b, header, sizeof(header) - 1);
    buf_append_byte(&b, '.');
    base64url_encode(&b, claims.ptr, claims.len);
    if (buf_status(&b) == OK) {
        CHECK(HMAC(EVP_sha256(), key.secret.ptr, 32, (const uint8_t *)b.ptr, b.len, mac, &n) !=
              NULL);
        buf_append_byte(&b, '.');
        base64url_encode(&b, mac, n);
        if (accepts(buf_str(&b))) {
            b.ptr[b.len - 2] = b.ptr[b.len - 2] == 'A' ? 'B' : 'A'; // another signature
            CHECK(!accepts(buf_str(&b)));
        }
    }
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const struct str text = {(const char *)bytes, n_bytes};

    (void)accepts(text);
    (void)jwt_looks_like(text);
    if (n_bytes < 4096) {
        try_claims(text);
    }
    return 0;
}
