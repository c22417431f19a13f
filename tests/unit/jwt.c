#include "gateway/jwt.h"
#include "base/base64url.h"
#include "gateway/jwks.h"
#include "support/guard.h"
#include "support/test.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000
#define ARENA_BYTES (1u << 20)
#define RFC_NOW 1300819000 // the vectors' exp is 380 seconds later

static const struct str secret = {"0123456789abcdef0123456789abcdef", 32};

/* --- making tokens --- */

static void put(struct buf *out, const char *header, const char *payload)
{
    buf_init(out, 65536);
    base64url_encode(out, header, strlen(header));
    buf_append_byte(out, '.');
    base64url_encode(out, payload, strlen(payload));
}

static void end(struct buf *out, const uint8_t *signature, size_t n)
{
    buf_append_byte(out, '.');
    base64url_encode(out, signature, n);
    EXPECT_OK(buf_status(out));
}

static struct buf sign_hmac(const char *header, const char *payload, struct str key)
{
    struct buf b;
    uint8_t mac[32];
    unsigned n = 0;

    put(&b, header, payload);
    EXPECT_TRUE(HMAC(EVP_sha256(), key.ptr, (int)key.len, (const uint8_t *)b.ptr, b.len, mac, &n) !=
                NULL);
    end(&b, mac, n);
    return b;
}

static size_t sign_evp(EVP_PKEY *key, const EVP_MD *md, struct str text, uint8_t out[1024])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = 1024;

    EXPECT_TRUE(EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1);
    EXPECT_TRUE(EVP_DigestSign(ctx, out, &n, (const uint8_t *)text.ptr, text.len) == 1);
    EVP_MD_CTX_free(ctx);
    return n;
}

static size_t to_raw(const uint8_t *der, size_t n, size_t half, uint8_t *raw)
{
    const uint8_t *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);

    EXPECT_TRUE(sig != NULL);
    EXPECT_TRUE(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)half) == (int)half);
    EXPECT_TRUE(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, (int)half) == (int)half);
    ECDSA_SIG_free(sig);
    return 2 * half;
}

/* One of each kind, made once. */
struct pairs {
    EVP_PKEY *rsa;
    EVP_PKEY *ec;
    EVP_PKEY *ed;
    EVP_PKEY *p384;
    struct jwks *set; // public halves: kids "r", "e", "d"
};

static void member(struct buf *out, const char *name, const uint8_t *bytes, size_t n)
{
    buf_printf(out, ",\"%s\":\"", name);
    base64url_encode(out, bytes, n);
    buf_append_byte(out, '"');
}

static void member_bn(struct buf *out, const char *name, EVP_PKEY *key, const char *param,
                      size_t pad)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];
    int len;

    EXPECT_TRUE(EVP_PKEY_get_bn_param(key, param, &n) == 1);
    len = pad == 0 ? BN_bn2bin(n, bytes) : BN_bn2binpad(n, bytes, (int)pad);
    EXPECT_TRUE(len > 0);
    member(out, name, bytes, (size_t)len);
    BN_free(n);
}

static void put_rsa(struct buf *out, const char *rest, EVP_PKEY *key)
{
    buf_printf(out, "{\"kty\":\"RSA\"%s", rest);
    member_bn(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
    member_bn(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    buf_append_byte(out, '}');
}

static void put_ec(struct buf *out, const char *rest, EVP_PKEY *key, size_t pad)
{
    buf_printf(out, "{\"kty\":\"EC\"%s", rest);
    member_bn(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, pad);
    member_bn(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, pad);
    buf_append_byte(out, '}');
}

static struct jwks *parse_set(struct buf *text)
{
    struct jwks *set = NULL;
    struct error err = {0};

    if (jwks_parse(buf_str(text), &set, &err) != OK) {
        FAIL("%s", err.text);
    }
    buf_done(text);
    return set;
}

static const struct pairs *pairs(void)
{
    static struct pairs p;
    uint8_t raw[32];
    size_t n = sizeof(raw);
    struct buf b;

    if (p.set != NULL) {
        return &p;
    }
    p.rsa = EVP_RSA_gen(2048);
    p.ec = EVP_EC_gen("P-256");
    p.p384 = EVP_EC_gen("P-384");
    p.ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EXPECT_TRUE(p.rsa != NULL && p.ec != NULL && p.ed != NULL && p.p384 != NULL);
    EXPECT_TRUE(EVP_PKEY_get_raw_public_key(p.ed, raw, &n) == 1);
    buf_init(&b, 65536);
    buf_append_c(&b, "{\"keys\":[");
    put_rsa(&b, ",\"kid\":\"r\",\"use\":\"sig\",\"alg\":\"RS256\"", p.rsa);
    buf_append_byte(&b, ',');
    put_ec(&b, ",\"kid\":\"e\",\"crv\":\"P-256\"", p.ec, 32);
    buf_append_c(&b, ",{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d\"");
    member(&b, "x", raw, n);
    buf_append_c(&b, "}]}");
    p.set = parse_set(&b);
    return &p;
}

static struct buf sign_with(EVP_PKEY *key, const EVP_MD *md, size_t raw_half, const char *header,
                            const char *payload)
{
    uint8_t signature[1024];
    uint8_t raw[1024];
    struct buf b;
    size_t n;

    put(&b, header, payload);
    n = sign_evp(key, md, buf_str(&b), signature);
    if (raw_half > 0) {
        n = to_raw(signature, n, raw_half, raw);
    }
    end(&b, raw_half > 0 ? raw : signature, n);
    return b;
}

#define PAYLOAD "{\"sub\":\"u\",\"exp\":1800000600}"
#define RS(header, payload) sign_with(pairs()->rsa, EVP_sha256(), 0, header, payload)
#define ES(header, payload) sign_with(pairs()->ec, EVP_sha256(), 32, header, payload)
#define ED(header, payload) sign_with(pairs()->ed, NULL, 0, header, payload)
#define HS(header, payload) sign_hmac(header, payload, secret)
#define HS_HEADER "{\"alg\":\"HS256\"}"

/* --- judging them --- */

struct outcome {
    enum status rc;
    const char *why;
};

static struct outcome judge(struct str token, const struct jwt_key *keys, uint32_t n_keys,
                            const struct jwt_rules *rules, int64_t now_s)
{
    struct arena *arena = arena_create(ARENA_BYTES);
    struct guard g = guard_copy(token);
    struct outcome o = {.why = ""};
    struct jwt_rules dated = *rules;
    struct jwt_claims claims;
    struct jwt t;

    dated.now_s = now_s;
    o.rc = jwt_parse(g.text, arena, &t, &o.why);
    if (o.rc == OK) {
        o.rc = jwt_accept(&t, keys, n_keys, &dated, arena, &claims, &o.why);
    }
    guard_done(&g);
    arena_destroy(arena);
    return o;
}

static const struct jwt_rules no_rules;

static struct outcome judge_set(struct str token)
{
    uint32_t n = 0;
    const struct jwt_key *keys = jwks_keys(pairs()->set, &n);

    return judge(token, keys, n, &no_rules, NOW);
}

static struct outcome judge_secret(struct str token)
{
    const struct jwt_key key = {.algorithm = JWT_HS256, .secret = secret};

    return judge(token, &key, 1, &no_rules, NOW);
}

static void expect_ok(struct outcome o, struct buf *token)
{
    if (o.rc != OK) {
        FAIL("%s: %s", status_name(o.rc), o.why);
    }
    buf_done(token);
}

static void expect_not(struct outcome o, struct buf *token, const char *says)
{
    EXPECT_TRUE(o.rc == E_DENIED || o.rc == E_NOT_FOUND);
    EXPECT_CONTAINS(o.why, says);
    buf_done(token);
}

static void set_ok(struct buf token)
{
    expect_ok(judge_set(buf_str(&token)), &token);
}

static void set_not(struct buf token, const char *says)
{
    expect_not(judge_set(buf_str(&token)), &token, says);
}

static void secret_ok(struct buf token)
{
    expect_ok(judge_secret(buf_str(&token)), &token);
}

static void secret_not(struct buf token, const char *says)
{
    expect_not(judge_secret(buf_str(&token)), &token, says);
}

/* --- vectors of the standards --- */

#define RFC_PAYLOAD                                                                                \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static struct outcome judge_rfc(const char *jwk, const char *token)
{
    struct outcome o;
    struct buf text;
    struct jwks *set;
    const struct jwt_key *keys;
    uint32_t n = 0;

    buf_init(&text, 65536);
    buf_printf(&text, "{\"keys\":[%s]}", jwk);
    set = parse_set(&text);
    keys = jwks_keys(set, &n);
    o = judge(str_from_c(token), keys, n, &no_rules, RFC_NOW);
    jwks_destroy(set);
    return o;
}

TEST(rfc_7515_hs256)
{
    uint8_t bytes[64];
    struct jwt_key key = {.algorithm = JWT_HS256};
    size_t n = 0;

    EXPECT_OK(base64url_decode(STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
                                   "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
                               bytes, &n));
    key.secret = (struct str){(const char *)bytes, n};
    EXPECT_OK(judge(STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_PAYLOAD
                        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                    &key, 1, &no_rules, RFC_NOW)
                  .rc);
}

TEST(rfc_7515_rs256)
{
    static const char jwk[] =
        "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
        "wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
        "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
        "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"
        "DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}";

    EXPECT_OK(
        judge_rfc(jwk,
                  "eyJhbGciOiJSUzI1NiJ9." RFC_PAYLOAD
                  ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-"
                  "0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
                  "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO-"
                  "-xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9"
                  "Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw")
            .rc);
}

TEST(rfc_7515_es256)
{
    static const char jwk[] = "{\"kty\":\"EC\",\"crv\":\"P-256\","
                              "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                              "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";

    EXPECT_OK(judge_rfc(jwk, "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD
                             ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQ"
                             "xfKTUJqPP3-Kg6NU1Q")
                  .rc);
}

/* The text that is signed there is no JSON: the signature holds, the claims do not. */
TEST(rfc_8037_ed25519)
{
    static const char jwk[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                              "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    struct outcome o =
        judge_rfc(jwk,
                  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                  "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvp"
                  "Ar_MuM0KAg");

    EXPECT_STATUS(o.rc, E_DENIED);
    EXPECT_CONTAINS(o.why, "JSON object");
}

TEST(own_tokens_of_each_algorithm)
{
    set_ok(RS("{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"JWT\"}", PAYLOAD));
    set_ok(ES("{\"alg\":\"ES256\",\"kid\":\"e\",\"typ\":\"at+jwt\"}", PAYLOAD));
    set_ok(ED("{\"alg\":\"EdDSA\",\"kid\":\"d\",\"x5t\":\"abc\"}", PAYLOAD));
    set_ok(ED("{\"alg\":\"EdDSA\"}", PAYLOAD)); // one key of that kind only
    secret_ok(HS(HS_HEADER, PAYLOAD));
    secret_ok(HS("{\"alg\":\"HS256\",\"kid\":\"any\"}", PAYLOAD));
}

/* --- attacks --- */

TEST(no_algorithm_is_no_signature)
{
    static const char *const names[] = {"none",  "None",  "NONE",  "nOnE", "",      "hs256",
                                        "HS384", "PS256", "ES384", "RS1",  "HS256 "};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char header[64];
        struct buf b;

        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", names[i]);
        put(&b, header, PAYLOAD);
        end(&b, NULL, 0);
        secret_not(b, "algorithm");
        secret_not(HS(header, PAYLOAD), "algorithm");
        set_not(RS(header, PAYLOAD), "algorithm");
    }
    secret_not(HS("{}", PAYLOAD), "algorithm");
    secret_not(HS("{\"alg\":[\"HS256\"]}", PAYLOAD), "algorithm");
    secret_not(HS("{\"alg\":null}", PAYLOAD), "algorithm");
    secret_not(HS("{\"ALG\":\"HS256\"}", PAYLOAD), "algorithm");
}

TEST(an_empty_signature_is_wrong)
{
    struct buf b;

    put(&b, HS_HEADER, PAYLOAD);
    end(&b, NULL, 0);
    secret_not(b, "signature is wrong");
    put(&b, "{\"alg\":\"RS256\",\"kid\":\"r\"}", PAYLOAD);
    end(&b, NULL, 0);
    set_not(b, "signature is wrong");
    put(&b, "{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD);
    end(&b, NULL, 0);
    set_not(b, "signature is wrong");
}

/* The public key, which everybody has, taken for a secret. */
TEST(a_public_key_is_no_secret)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(pairs()->rsa, &der);
    uint32_t n_keys = 0;
    struct jwt_key key = jwks_keys(pairs()->set, &n_keys)[0];
    struct buf forged;
    struct outcome o;

    EXPECT_TRUE(n > 0 && key.algorithm == JWT_RS256);
    forged = sign_hmac("{\"alg\":\"HS256\",\"kid\":\"r\"}", PAYLOAD,
                       (struct str){(const char *)der, (size_t)n});
    expect_not(judge_set(buf_str(&forged)), &forged, "no single key");
    forged = sign_hmac("{\"alg\":\"RS256\",\"kid\":\"r\"}", PAYLOAD,
                       (struct str){(const char *)der, (size_t)n});
    expect_not(judge_set(buf_str(&forged)), &forged, "signature is wrong");
    forged = sign_hmac(HS_HEADER, PAYLOAD, STR(""));
    key.secret = STR(""); // even a key without a secret that were tried
    key.algorithm = JWT_HS256;
    o = judge(buf_str(&forged), &key, 1, &no_rules, NOW);
    expect_not(o, &forged, "signature is wrong");
    OPENSSL_free(der);
}

TEST(an_algorithm_does_not_change_its_key)
{
    set_not(ES("{\"alg\":\"RS256\",\"kid\":\"r\"}", PAYLOAD), "signature is wrong");
    set_not(RS("{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD), "signature is wrong");
    set_not(ED("{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD), "signature is wrong");
    set_not(ES("{\"alg\":\"EdDSA\",\"kid\":\"d\"}", PAYLOAD), "signature is wrong");
    set_not(RS("{\"alg\":\"RS256\",\"kid\":\"e\"}", PAYLOAD), "no single key"); // kid of another
    secret_not(RS("{\"alg\":\"RS256\"}", PAYLOAD), "no single key");
}

TEST(a_signature_of_another_curve)
{
    set_not(sign_with(pairs()->p384, EVP_sha256(), 48, "{\"alg\":\"ES256\",\"kid\":\"e\"}",
                      PAYLOAD),
            "signature is wrong");
    set_not(sign_with(pairs()->ec, EVP_sha256(), 0, "{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD),
            "signature is wrong"); // DER instead of r and s
}

TEST(zero_signatures_of_es256)
{
    uint8_t zeros[66] = {0};
    struct buf b;

    for (size_t n = 62; n <= 66; n++) {
        put(&b, "{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD);
        end(&b, zeros, n);
        set_not(b, "signature is wrong");
    }
    memset(zeros, 0xFF, sizeof(zeros)); // over the order of the group
    put(&b, "{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD);
    end(&b, zeros, 64);
    set_not(b, "signature is wrong");
}

/* Each character of a token matters, the last of each part too: no two texts are one token. */
TEST(every_changed_character_is_refused)
{
    struct buf tokens[] = {HS(HS_HEADER, PAYLOAD), ES("{\"alg\":\"ES256\",\"kid\":\"e\"}", PAYLOAD),
                           ED("{\"alg\":\"EdDSA\"}", PAYLOAD)};

    for (size_t i = 0; i < 3; i++) {
        struct buf *b = &tokens[i];

        for (size_t at = 0; at < b->len; at++) {
            const char was = b->ptr[at];

            for (uint32_t bit = 0; bit < 7; bit++) {
                b->ptr[at] = (char)(was ^ (1 << bit));
                EXPECT_TRUE((i == 0 ? judge_secret(buf_str(b)) : judge_set(buf_str(b))).rc != OK);
            }
            b->ptr[at] = was;
        }
        expect_ok(i == 0 ? judge_secret(buf_str(b)) : judge_set(buf_str(b)), b);
    }
}

TEST(base64_has_one_form)
{
    struct buf b = HS(HS_HEADER, "{\"exp\":1800000600,\"x\":\"?>?>\"}");
    const size_t n = b.len;

    EXPECT_STATUS(judge_secret((struct str){b.ptr, n}).rc, OK);
    buf_append_byte(&b, '=');
    EXPECT_STATUS(judge_secret(buf_str(&b)).rc, E_DENIED);
    b.ptr[n] = '\n';
    EXPECT_STATUS(judge_secret(buf_str(&b)).rc, E_DENIED);
    b.ptr[n] = 'A'; // one character more than whole bytes
    EXPECT_STATUS(judge_secret(buf_str(&b)).rc, E_DENIED);
    buf_done(&b);
    secret_not(HS("\"HS256\"", PAYLOAD), "JSON object");
    secret_not(HS("{\"alg\":\"HS256\"} ", PAYLOAD "{}"), "JSON object");
}

TEST(a_kid_is_compared_and_nothing_else)
{
    char header[512];

    set_not(ES("{\"alg\":\"ES256\",\"kid\":\"../../../dev/null\"}", PAYLOAD), "no single key");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":\"e' OR '1'='1\"}", PAYLOAD), "no single key");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":\"e\\u0000\"}", PAYLOAD), "no single key");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":\"E\"}", PAYLOAD), "no single key");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":\"\"}", PAYLOAD), "no single key");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":1}", PAYLOAD), "(kid) is no text");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":null}", PAYLOAD), "(kid) is no text");
    set_not(ES("{\"alg\":\"ES256\",\"kid\":[\"e\"]}", PAYLOAD), "(kid) is no text");
    snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%0300d\"}", 0);
    set_not(ES(header, PAYLOAD), "too long");
}

TEST(tokens_bring_no_keys_and_ask_for_nothing)
{
    secret_not(HS("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", PAYLOAD), "(crit)");
    secret_not(HS("{\"alg\":\"HS256\",\"crit\":[]}", PAYLOAD), "(crit)");
    secret_not(HS("{\"alg\":\"HS256\",\"b64\":false}", PAYLOAD), "(b64)");
    secret_not(HS("{\"alg\":\"HS256\",\"zip\":\"DEF\"}", PAYLOAD), "(zip)");
    secret_not(HS("{\"alg\":\"HS256\",\"enc\":\"A128GCM\"}", PAYLOAD), "(enc)");
    secret_not(HS("{\"alg\":\"HS256\",\"cty\":\"JWT\"}", PAYLOAD), "(cty)");
    secret_not(HS("{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"\"}}", PAYLOAD), "(jwk)");
    secret_not(HS("{\"alg\":\"HS256\",\"jku\":\"https://evil.example/\"}", PAYLOAD), "(jku)");
    secret_not(HS("{\"alg\":\"HS256\",\"x5u\":\"https://evil.example/\"}", PAYLOAD), "(x5u)");
    secret_not(HS("{\"alg\":\"HS256\",\"x5c\":[\"MII\"]}", PAYLOAD), "(x5c)");
    secret_not(HS("{\"alg\":\"HS256\",\"typ\":\"JWE\"}", PAYLOAD), "(typ)");
}

TEST(duplicates_are_refused)
{
    secret_not(HS("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", PAYLOAD), "JSON object");
    secret_not(HS("{\"alg\":\"HS256\",\"a\\u006cg\":\"none\"}", PAYLOAD), "JSON object");
    secret_not(HS(HS_HEADER, "{\"exp\":1,\"exp\":1800000600}"), "JSON object");
    secret_not(HS(HS_HEADER, "{\"exp\":1800000600,\"\\u0065xp\":1800000600}"), "JSON object");
}

TEST(forms_that_are_no_token)
{
    static const char *const texts[] = {"",        ".",        "..",    "...",      "a.b",
                                        "a.b.c.d", "e30.e30.", ".e30.", "e30..e30", "{}.{}.x"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        EXPECT_STATUS(judge_secret(str_from_c(texts[i])).rc, E_DENIED);
    }
    EXPECT_TRUE(jwt_looks_like(STR("ab.cd.")) && jwt_looks_like(STR("a.b.c==")));
    EXPECT_FALSE(jwt_looks_like(STR("ab.cd")) || jwt_looks_like(STR("a.b.c.d")));
    EXPECT_FALSE(jwt_looks_like(STR("sk-kontor-x")) || jwt_looks_like(STR("a. b.c")));
}

TEST(huge_tokens_are_refused_early)
{
    char *text = malloc(3 * JWT_BYTES_MAX);
    struct buf b;

    EXPECT_TRUE(text != NULL);
    memset(text, 'A', 3 * JWT_BYTES_MAX);
    text[10] = '.';
    text[20] = '.';
    EXPECT_CONTAINS(judge_secret((struct str){text, 3 * JWT_BYTES_MAX}).why, "too large");
    EXPECT_CONTAINS(judge_secret((struct str){text, 2000}).why, "signature is too long");
    free(text);
    buf_init(&b, 65536); // deep
    for (int i = 0; i < 100; i++) {
        buf_append_byte(&b, '[');
    }
    secret_not(HS(buf_c(&b), PAYLOAD), "JSON object");
    buf_done(&b);
}

/* --- claims --- */

TEST(times_are_judged_with_a_small_leeway)
{
    secret_ok(HS(HS_HEADER, "{\"exp\":1799999971}")); // 29 s ago
    secret_not(HS(HS_HEADER, "{\"exp\":1799999970}"), "expired");
    secret_not(HS(HS_HEADER, "{\"exp\":0}"), "expired");
    secret_not(HS(HS_HEADER, "{}"), "no end");
    secret_not(HS(HS_HEADER, "{\"exp\":\"1800000600\"}"), "no time");
    secret_not(HS(HS_HEADER, "{\"exp\":null}"), "no time");
    secret_not(HS(HS_HEADER, "{\"exp\":-1}"), "no time");
    secret_not(HS(HS_HEADER, "{\"exp\":1e300}"), "no time");
    secret_not(HS(HS_HEADER, "{\"exp\":99999999999999999999}"), "no time");
    secret_not(HS(HS_HEADER, "{\"exp\":1800000600000}"), "milliseconds");
    secret_ok(HS(HS_HEADER, "{\"exp\":1800000600.5}"));
    secret_ok(HS(HS_HEADER, "{\"exp\":1800000600,\"nbf\":1800000030,\"iat\":1800000030}"));
    secret_not(HS(HS_HEADER, "{\"exp\":1800000600,\"nbf\":1800000031}"), "not valid yet");
    secret_not(HS(HS_HEADER, "{\"exp\":1800000600,\"nbf\":\"now\"}"), "not valid yet");
    secret_not(HS(HS_HEADER, "{\"exp\":1800000600,\"iat\":1800000031}"), "in the future");
}

TEST(issuer_and_audience_when_asked_for)
{
    const struct jwt_rules rules = {.issuer = STR("i"), .audience = STR("a")};
    const struct jwt_key key = {.algorithm = JWT_HS256, .secret = secret};
    static const struct {
        const char *claims;
        enum status want;
    } cases[] = {
        {"\"iss\":\"i\",\"aud\":\"a\"", OK},
        {"\"iss\":\"i\",\"aud\":[\"x\",\"a\"]", OK},
        {"\"iss\":\"i\",\"aud\":[1,\"x\"]", E_DENIED},
        {"\"iss\":\"i\",\"aud\":[]", E_DENIED},
        {"\"iss\":\"i\"", E_DENIED},
        {"\"aud\":\"a\"", E_DENIED},
        {"\"iss\":\"I\",\"aud\":\"a\"", E_DENIED},
        {"\"iss\":[\"i\"],\"aud\":\"a\"", E_DENIED},
        {"\"iss\":\"i\",\"aud\":\"ab\"", E_DENIED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char payload[256];
        struct buf b;

        snprintf(payload, sizeof(payload), "{\"exp\":1800000600,%s}", cases[i].claims);
        b = HS(HS_HEADER, payload);
        EXPECT_STATUS(judge(buf_str(&b), &key, 1, &rules, NOW).rc, cases[i].want);
        buf_done(&b);
    }
}

TEST(a_short_secret_verifies_nothing)
{
    const struct str shorter = STR("0123456789abcdef0123456789abcde");
    const struct jwt_key key = {.algorithm = JWT_HS256, .secret = shorter};
    struct buf b = sign_hmac(HS_HEADER, PAYLOAD, shorter);

    expect_not(judge(buf_str(&b), &key, 1, &no_rules, NOW), &b, "signature is wrong");
}

TEST(a_minted_token_is_accepted)
{
    struct buf b;

    buf_init(&b, JWT_BYTES_MAX);
    jwt_mint(&b, secret, STR("k_\"1"), NOW, NOW + 10);
    secret_ok(b);
}

/* --- key sets --- */

static enum status parse_text(const char *text, uint32_t *ret_n, struct error *err)
{
    struct guard g = guard_copy(str_from_c(text));
    struct jwks *set = NULL;
    enum status rc = jwks_parse(g.text, &set, err);

    guard_done(&g);
    *ret_n = 0;
    if (rc == OK) {
        (void)jwks_keys(set, ret_n);
        jwks_destroy(set);
    }
    return rc;
}

TEST(keys_for_other_ends_are_passed_over)
{
    struct error err = {0};
    uint32_t n = 0;
    struct buf b;

    EXPECT_OK(parse_text("{\"keys\":[]}", &n, &err));
    EXPECT_OK(parse_text("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"alg\":\"HS256\"},"
                         "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"},"
                         "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"},7,{}]}",
                         &n, &err));
    EXPECT_EQ_U32(n, 0);
    buf_init(&b, 65536);
    buf_append_c(&b, "{\"keys\":[");
    put_rsa(&b, ",\"use\":\"enc\"", pairs()->rsa);
    buf_append_byte(&b, ',');
    put_rsa(&b, ",\"alg\":\"PS256\"", pairs()->rsa);
    buf_append_byte(&b, ',');
    put_rsa(&b, ",\"key_ops\":[\"encrypt\"]", pairs()->rsa);
    buf_append_byte(&b, ',');
    put_rsa(&b, ",\"key_ops\":[\"verify\"]", pairs()->rsa);
    buf_append_c(&b, "]}");
    EXPECT_OK(parse_text(buf_c(&b), &n, &err));
    EXPECT_EQ_U32(n, 1);
    buf_done(&b);
}

static void expect_bad_set(struct buf *b, const char *says)
{
    struct error err = {0};
    uint32_t n = 0;

    EXPECT_STATUS(parse_text(buf_c(b), &n, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, says);
    buf_reset(b);
}

TEST(damaged_sets_are_refused)
{
    EVP_PKEY *small = EVP_RSA_gen(1024);
    struct buf b;

    buf_init(&b, 65536);
    buf_append_c(&b, "[]");
    expect_bad_set(&b, "no key set");
    buf_append_c(&b, "{\"keys\":[],\"keys\":[]}");
    expect_bad_set(&b, "appears twice");
    buf_append_c(&b, "{\"keys\":[");
    put_rsa(&b, "", small);
    buf_append_c(&b, "]}");
    expect_bad_set(&b, "accepted size");
    buf_append_c(&b, "{\"keys\":[");
    put_ec(&b, ",\"crv\":\"P-256\"", pairs()->p384, 48); // of another curve
    buf_append_c(&b, "]}");
    expect_bad_set(&b, "damaged");
    buf_append_c(&b, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
    for (int i = 0; i < 43; i++) {
        buf_append_byte(&b, 'A');
    }
    buf_append_c(&b, "\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}");
    expect_bad_set(&b, "damaged"); // not on the curve
    buf_append_c(&b, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}");
    expect_bad_set(&b, "damaged");
    buf_append_c(&b, "{\"keys\":[");
    put_rsa(&b, ",\"kid\":\"k\"", pairs()->rsa);
    buf_append_byte(&b, ',');
    put_rsa(&b, ",\"kid\":\"k\"", pairs()->rsa);
    buf_append_c(&b, "]}");
    expect_bad_set(&b, "same \"kid\"");
    buf_append_c(&b, "{\"keys\":[");
    put_rsa(&b, ",\"kid\":7", pairs()->rsa);
    buf_append_c(&b, "]}");
    expect_bad_set(&b, "\"kid\"");
    buf_done(&b);
    EVP_PKEY_free(small);
}

TEST(two_keys_of_a_kind_want_a_kid)
{
    struct buf b;
    struct jwks *set;
    const struct jwt_key *keys;
    uint32_t n = 0;
    struct buf token = RS("{\"alg\":\"RS256\"}", PAYLOAD);
    struct buf named = RS("{\"alg\":\"RS256\",\"kid\":\"b\"}", PAYLOAD);

    buf_init(&b, 65536);
    buf_append_c(&b, "{\"keys\":[");
    put_rsa(&b, ",\"kid\":\"a\"", pairs()->rsa);
    buf_append_byte(&b, ',');
    put_rsa(&b, ",\"kid\":\"b\"", pairs()->rsa);
    buf_append_c(&b, "]}");
    set = parse_set(&b);
    keys = jwks_keys(set, &n);
    expect_not(judge(buf_str(&token), keys, n, &no_rules, NOW), &token, "no single key");
    expect_ok(judge(buf_str(&named), keys, n, &no_rules, NOW), &named);
    jwks_destroy(set);
}
