/* Form and claims of a token; signatures are in jwt_signature.c. */
#include "gateway/jwt_internal.h"

#include "base/base64url.h"
#include "base/check.h"

#include <inttypes.h>
#include <math.h>

#define FAR_S (INT64_C(100) * 366 * 86400) // an exp later than that is not in seconds

static const struct json_limits json_limits = {.depth_max = 8, .values_max = 1024};

static enum status deny(const char **ret_why, const char *why)
{
    *ret_why = why;
    return E_DENIED;
}

bool jwt_looks_like(struct str text)
{
    uint32_t n_dots = 0;

    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];

        if (c == '.') {
            n_dots++;
        } else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '=' || c == '+' || c == '/')) {
            return false;
        }
    }
    return n_dots == 2;
}

/* A part decoded and parsed as an object. */
static enum status read_object(struct str encoded, struct arena *arena,
                               const struct json_value **ret_object, const char **ret_why)
{
    uint8_t *bytes = arena_alloc(arena, base64url_bytes(encoded.len) + 1);
    struct error err = {0};
    size_t n = 0;
    enum status rc;

    if (bytes == NULL) {
        return E_NO_MEMORY;
    }
    if (base64url_decode(encoded, bytes, &n) != OK) {
        return deny(ret_why, "it is not strict base64url");
    }
    rc = json_parse(arena, (struct str){(const char *)bytes, n}, &json_limits, ret_object, &err);
    if (rc == E_NO_MEMORY) {
        return rc;
    }
    if (rc != OK || (*ret_object)->kind != JSON_OBJECT) {
        return deny(ret_why, "a part of it is not one strict JSON object");
    }
    return OK;
}

static bool is_text(const struct json_value *v)
{
    return v != NULL && v->kind == JSON_STRING;
}

/* Members by which a token would choose how it is verified. */
static const char *forbidden_member(const struct json_value *header)
{
    static const struct {
        const char *name;
        const char *why;
    } forbidden[] = {
        {"crit", "its header asks for extensions (crit) that this server does not have"},
        {"b64", "its header asks for another encoding (b64)"},
        {"zip", "it is compressed (zip)"},
        {"enc", "it is encrypted (enc)"},
        {"cty", "it wraps another token (cty)"},
        {"jwk", "it brings its own key (jwk)"},
        {"jku", "it names where its key is (jku)"},
        {"x5u", "it names where its certificate is (x5u)"},
        {"x5c", "it brings its own certificate (x5c)"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(forbidden); i++) {
        if (json_get(header, str_from_c(forbidden[i].name)) != NULL) {
            return forbidden[i].why;
        }
    }
    return NULL;
}

static enum status read_header(const struct json_value *header, struct jwt *t, const char **ret_why)
{
    static const char *const algorithms[] = {"HS256", "RS256", "ES256", "EdDSA"};
    const struct json_value *alg = json_get(header, STR("alg"));
    const struct json_value *typ = json_get(header, STR("typ"));
    const struct json_value *kid = json_get(header, STR("kid"));
    const char *forbidden = forbidden_member(header);
    bool known = false;

    if (forbidden != NULL) {
        return deny(ret_why, forbidden);
    }
    for (size_t i = 0; is_text(alg) && i < ARRAY_COUNT(algorithms); i++) {
        if (str_eq(alg->string, str_from_c(algorithms[i]))) {
            t->algorithm = (enum jwt_algorithm)i;
            known = true;
        }
    }
    if (!known) {
        return deny(ret_why, "its algorithm is none of HS256, RS256, ES256 and EdDSA");
    }
    if (typ != NULL && !(is_text(typ) && (str_eq_nocase(typ->string, STR("JWT")) ||
                                          str_eq_nocase(typ->string, STR("at+jwt"))))) {
        return deny(ret_why, "its type (typ) is not JWT");
    }
    if (kid != NULL && !(is_text(kid) && kid->string.len <= JWT_KID_BYTES_MAX)) {
        return deny(ret_why, "its key id (kid) is no text, or too long");
    }
    t->has_kid = kid != NULL;
    t->kid = kid == NULL ? STR("") : kid->string;
    return OK;
}

enum status jwt_parse(struct str token, struct arena *arena, struct jwt *ret_token,
                      const char **ret_why)
{
    const size_t first = str_find_byte(token, '.', 0);
    const size_t second = first == SIZE_MAX ? SIZE_MAX : str_find_byte(token, '.', first + 1);
    const struct json_value *header;
    struct str encoded;
    struct jwt t = {0};
    uint8_t *signature;
    enum status rc;

    if (token.len > JWT_BYTES_MAX) {
        return deny(ret_why, "it is too large");
    }
    if (second == SIZE_MAX || str_find_byte(token, '.', second + 1) != SIZE_MAX) {
        return deny(ret_why, "it does not have three parts");
    }
    encoded = str_slice(token, second + 1, token.len);
    t.signed_part = str_slice(token, 0, second);
    t.payload = str_slice(token, first + 1, second);
    if (base64url_bytes(encoded.len) > JWT_SIGNATURE_BYTES_MAX) {
        return deny(ret_why, "its signature is too long");
    }
    signature = arena_alloc(arena, JWT_SIGNATURE_BYTES_MAX);
    if (signature == NULL) {
        return E_NO_MEMORY;
    }
    if (base64url_decode(encoded, signature, &t.signature_bytes) != OK) {
        return deny(ret_why, "it is not strict base64url");
    }
    t.signature = signature;
    rc = read_object(str_slice(token, 0, first), arena, &header, ret_why);
    rc = rc != OK ? rc : read_header(header, &t, ret_why);
    if (rc == OK) {
        *ret_token = t;
    }
    return rc;
}

/* --- claims --- */

/* NumericDate: whole or broken seconds. */
static bool read_time(const struct json_value *v, int64_t *ret_time_s)
{
    if (v->kind != JSON_INT && v->kind != JSON_DOUBLE) {
        return false;
    }
    if (!isfinite(v->number) || v->number < 0 || v->number > 9007199254740991.0) {
        return false;
    }
    *ret_time_s = (int64_t)v->number;
    return true;
}

static enum status judge_times(const struct json_value *claims, int64_t now_s,
                               int64_t *ret_expires_s, const char **ret_why)
{
    const struct json_value *exp = json_get(claims, STR("exp"));
    const struct json_value *nbf = json_get(claims, STR("nbf"));
    const struct json_value *iat = json_get(claims, STR("iat"));
    int64_t at = 0;

    if (exp == NULL) {
        return deny(ret_why, "it has no end (exp)");
    }
    if (!read_time(exp, &at)) {
        return deny(ret_why, "its end (exp) is no time in seconds since 1970");
    }
    if (at > now_s + FAR_S) {
        return deny(ret_why, "its end (exp) is more than a hundred years away; it counts seconds, "
                             "not milliseconds");
    }
    if (now_s >= at + JWT_LEEWAY_S) {
        return deny(ret_why, "it has expired (exp)");
    }
    *ret_expires_s = at;
    if (nbf != NULL && (!read_time(nbf, &at) || at > now_s + JWT_LEEWAY_S)) {
        return deny(ret_why, "it is not valid yet (nbf)");
    }
    if (iat != NULL && (!read_time(iat, &at) || at > now_s + JWT_LEEWAY_S)) {
        return deny(ret_why, "it was issued in the future (iat); compare the clocks");
    }
    return OK;
}

static bool is_for(const struct json_value *aud, struct str audience)
{
    if (is_text(aud)) {
        return str_eq(aud->string, audience);
    }
    for (uint32_t i = 0; aud != NULL && aud->kind == JSON_ARRAY && i < aud->n_items; i++) {
        if (is_text(&aud->items[i]) && str_eq(aud->items[i].string, audience)) {
            return true;
        }
    }
    return false;
}

static enum status judge_parties(const struct json_value *claims, const struct jwt_rules *rules,
                                 const char **ret_why)
{
    const struct json_value *iss = json_get(claims, STR("iss"));

    if (rules->issuer.len > 0 && !(is_text(iss) && str_eq(iss->string, rules->issuer))) {
        return deny(ret_why, "its issuer (iss) is not the one that is trusted here");
    }
    if (rules->audience.len > 0 && !is_for(json_get(claims, STR("aud")), rules->audience)) {
        return deny(ret_why, "it was made for another audience (aud)");
    }
    return OK;
}

/* --- the key --- */

/* A kid is compared, and nothing else is done with it.  Without one there must be one key only. */
static const struct jwt_key *choose(const struct jwt *t, const struct jwt_key *keys,
                                    uint32_t n_keys)
{
    const struct jwt_key *found = NULL;

    for (uint32_t i = 0; i < n_keys; i++) {
        if (keys[i].algorithm != t->algorithm) {
            continue;
        }
        /* A key without a name, as our own secret, answers to every kid. */
        if (t->has_kid && keys[i].kid.len > 0 && !str_eq(keys[i].kid, t->kid)) {
            continue;
        }
        if (found != NULL) {
            return NULL;
        }
        found = &keys[i];
    }
    return found;
}

enum status jwt_accept(const struct jwt *token, const struct jwt_key *keys, uint32_t n_keys,
                       const struct jwt_rules *rules, struct arena *arena,
                       struct jwt_claims *ret_claims, const char **ret_why)
{
    const struct jwt_key *key = choose(token, keys, n_keys);
    struct jwt_claims claims = {0};
    enum status rc;

    if (key == NULL) {
        *ret_why = "no single key of its algorithm and key id (kid) is known here";
        return E_NOT_FOUND;
    }
    if (!jwt_signature_holds(token, key)) {
        return deny(ret_why, "its signature is wrong");
    }
    rc = read_object(token->payload, arena, &claims.root, ret_why);
    rc = rc != OK ? rc : judge_times(claims.root, rules->now_s, &claims.expires_s, ret_why);
    rc = rc != OK ? rc : judge_parties(claims.root, rules, ret_why);
    if (rc == OK) {
        *ret_claims = claims;
    }
    return rc;
}

void jwt_mint(struct buf *out, struct str secret, struct str api_key, int64_t issued_s,
              int64_t expires_s)
{
    const struct str header = STR("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    const size_t begin = out->len;
    uint8_t mac[JWT_HMAC_BYTES];
    struct buf claims;

    buf_init(&claims, JWT_BYTES_MAX);
    buf_append_c(&claims, "{\"api_key\":");
    json_write_string(&claims, api_key);
    buf_printf(&claims, ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", issued_s, expires_s);
    base64url_encode(out, header.ptr, header.len);
    buf_append_byte(out, '.');
    base64url_encode(out, claims.ptr, claims.len);
    jwt_hmac(secret, str_slice(buf_str(out), begin, out->len), mac);
    buf_append_byte(out, '.');
    base64url_encode(out, mac, sizeof(mac));
    if (buf_status(&claims) != OK) {
        out->status = buf_status(&claims);
    }
    buf_done(&claims);
}
