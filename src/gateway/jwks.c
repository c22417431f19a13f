#include "gateway/jwks.h"
#include "base/base64url.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (8u << 20)
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define RSA_EXPONENT_BYTES_MAX 8
#define COORDINATE_BYTES 32 // of P-256 and Ed25519

/* Immutable. */
struct jwks {
    struct arena *arena; // owned
    struct jwt_key keys[JWKS_KEYS_MAX];
    uint32_t n_keys;
};

static bool text_is(const struct json_value *v, const char *word)
{
    return v != NULL && v->kind == JSON_STRING && str_eq(v->string, str_from_c(word));
}

/* A base64url member into `out`; 0 bytes when it is missing, damaged or longer than `cap`. */
static size_t read_bytes(const struct json_value *key, const char *name, uint8_t *out, size_t cap)
{
    const struct str text = json_string_or(json_get(key, str_from_c(name)), STR(""));
    size_t n = 0;

    if (base64url_bytes(text.len) > cap || base64url_decode(text, out, &n) != OK) {
        return 0;
    }
    return n;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *pkey = NULL;

    if (ctx != NULL && params != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *read_rsa(const struct json_value *key)
{
    uint8_t modulus[RSA_BITS_MAX / 8];
    uint8_t exponent[RSA_EXPONENT_BYTES_MAX];
    const size_t n_modulus = read_bytes(key, "n", modulus, sizeof(modulus));
    const size_t n_exponent = read_bytes(key, "e", exponent, sizeof(exponent));
    BIGNUM *n = BN_bin2bn(modulus, (int)n_modulus, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)n_exponent, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    if (n != NULL && e != NULL && build != NULL && BN_num_bits(n) >= RSA_BITS_MIN && BN_is_odd(n) &&
        BN_is_odd(e) && !BN_is_one(e) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        pkey = from_params("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static EVP_PKEY *read_ec(const struct json_value *key)
{
    static const char group[] = "prime256v1";
    uint8_t point[1 + 2 * COORDINATE_BYTES] = {4}; // uncompressed
    const size_t n_x = read_bytes(key, "x", point + 1, COORDINATE_BYTES);
    const size_t n_y = read_bytes(key, "y", point + 1 + COORDINATE_BYTES, COORDINATE_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *check = NULL;
    EVP_PKEY *pkey = NULL;

    if (n_x == COORDINATE_BYTES && n_y == COORDINATE_BYTES && build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) ==
            1) {
        pkey = from_params("EC", build);
    }
    check = pkey == NULL ? NULL : EVP_PKEY_CTX_new(pkey, NULL);
    if (pkey != NULL && (check == NULL || EVP_PKEY_public_check(check) != 1)) {
        EVP_PKEY_free(pkey); // not on the curve
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(check);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static EVP_PKEY *read_ed25519(const struct json_value *key)
{
    uint8_t x[COORDINATE_BYTES];

    if (read_bytes(key, "x", x, sizeof(x)) != sizeof(x)) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof(x));
}

/* What a key of that kind verifies. */
struct kind {
    const char *kty;
    const char *crv; // NULL: none
    const char *alg;
    enum jwt_algorithm algorithm;
    EVP_PKEY *(*read)(const struct json_value *key);
};

static const struct kind kinds[] = {
    {"RSA", NULL, "RS256", JWT_RS256, read_rsa},
    {"EC", "P-256", "ES256", JWT_ES256, read_ec},
    {"OKP", "Ed25519", "EdDSA", JWT_EDDSA, read_ed25519},
};

/* NULL: not for signatures, or of a kind or algorithm that is not taken here. */
static const struct kind *kind_of(const struct json_value *key)
{
    const struct json_value *use = json_get(key, STR("use"));
    const struct json_value *ops = json_get(key, STR("key_ops"));
    const struct json_value *alg = json_get(key, STR("alg"));
    bool verifies = ops == NULL;

    for (uint32_t i = 0; ops != NULL && ops->kind == JSON_ARRAY && i < ops->n_items; i++) {
        verifies = verifies || text_is(&ops->items[i], "verify");
    }
    if (!verifies || (use != NULL && !text_is(use, "sig"))) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        const struct kind *k = &kinds[i];

        if (text_is(json_get(key, STR("kty")), k->kty) && (alg == NULL || text_is(alg, k->alg)) &&
            (k->crv == NULL || text_is(json_get(key, STR("crv")), k->crv))) {
            return k;
        }
    }
    return NULL;
}

static bool is_there(const struct jwks *set, enum jwt_algorithm algorithm, struct str kid)
{
    for (uint32_t i = 0; i < set->n_keys; i++) {
        if (set->keys[i].algorithm == algorithm && str_eq(set->keys[i].kid, kid)) {
            return true;
        }
    }
    return false;
}

static enum status add_key(struct jwks *set, const struct json_value *v, uint32_t idx,
                           struct error *err)
{
    const struct kind *kind = kind_of(v);
    const struct json_value *kid = json_get(v, STR("kid"));
    struct jwt_key key = {0};
    enum status rc;

    if (kind == NULL) {
        return OK;
    }
    if (set->n_keys == JWKS_KEYS_MAX) {
        return error_set(err, E_LIMIT, "the key set has more than %d usable keys", JWKS_KEYS_MAX);
    }
    if (kid != NULL && (kid->kind != JSON_STRING || kid->string.len > JWT_KID_BYTES_MAX)) {
        return error_set(err, E_INVALID, "key %u of the set: \"kid\" is no text, or too long", idx);
    }
    key.algorithm = kind->algorithm;
    rc = arena_dup(set->arena, json_string_or(kid, STR("")), &key.kid);
    if (rc != OK) {
        return error_set(err, rc, "no memory for the key set");
    }
    if (is_there(set, key.algorithm, key.kid)) {
        return error_set(err, E_INVALID, "key %u of the set: another %s key has the same \"kid\"",
                         idx, kind->alg);
    }
    key.pkey = kind->read(v);
    if (key.pkey == NULL) {
        return error_set(err, E_INVALID,
                         "key %u of the set is damaged: no %s key of an accepted size", idx,
                         kind->kty);
    }
    set->keys[set->n_keys++] = key;
    return OK;
}

static enum status fill(struct jwks *set, struct str text, struct error *err)
{
    static const struct json_limits limits = {.depth_max = 8, .values_max = 65536};
    const struct json_value *root;
    const struct json_value *keys;
    struct arena *tree = arena_create(ARENA_BYTES_MAX);
    enum status rc = OK;

    if (tree == NULL || set->arena == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory for the key set");
        goto out;
    }
    if (text.len > JWKS_BYTES_MAX) {
        rc = error_set(err, E_LIMIT, "a key set has at most %u bytes", JWKS_BYTES_MAX);
        goto out;
    }
    rc = json_parse(tree, text, &limits, &root, err);
    if (rc != OK) {
        goto out;
    }
    keys = json_get(root, STR("keys"));
    if (keys == NULL || keys->kind != JSON_ARRAY) {
        rc = error_set(err, E_INVALID, "no key set: an object with a list \"keys\" is expected");
        goto out;
    }
    for (uint32_t i = 0; rc == OK && i < keys->n_items; i++) {
        rc = add_key(set, &keys->items[i], i, err);
    }
out:
    arena_destroy(tree);
    return rc;
}

enum status jwks_parse(struct str text, struct jwks **ret_set, struct error *err)
{
    struct jwks *set = calloc(1, sizeof(*set));
    enum status rc;

    if (set == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory for the key set");
    }
    set->arena = arena_create(ARENA_BYTES_MAX);
    rc = fill(set, text, err);
    if (rc != OK) {
        jwks_destroy(set);
        return rc;
    }
    *ret_set = set;
    return OK;
}

enum status jwks_load(const char *path, struct jwks **ret_set, struct error *err)
{
    char *text = malloc(JWKS_BYTES_MAX + 1);
    size_t len = 0;
    ssize_t n = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum status rc;

    if (text == NULL) {
        rc = error_set(err, E_NO_MEMORY, "no memory for the key set");
    } else if (fd < 0) {
        rc = error_set(err, E_IO, "cannot be opened: %s", strerror(errno));
    } else {
        while (n > 0 && len <= JWKS_BYTES_MAX) {
            n = read(fd, text + len, JWKS_BYTES_MAX + 1 - len);
            len += n > 0 ? (size_t)n : 0;
        }
        rc = n < 0 ? error_set(err, E_IO, "cannot be read: %s", strerror(errno))
                   : jwks_parse((struct str){text, len}, ret_set, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(text);
    return rc == OK ? OK : error_prefix(err, rc, "%s", path);
}

void jwks_destroy(struct jwks *set)
{
    if (set == NULL) {
        return;
    }
    for (uint32_t i = 0; i < set->n_keys; i++) {
        EVP_PKEY_free(set->keys[i].pkey);
    }
    arena_destroy(set->arena);
    free(set);
}

const struct jwt_key *jwks_keys(const struct jwks *set, uint32_t *ret_n)
{
    *ret_n = set->n_keys;
    return set->keys;
}
