/* Tokens: which keys may verify one, and whom it stands for.
 *
 * A token under our own secret names a key of ours (claim api_key) and is that key, for a while.
 * A token under a public key set is a caller of its own: claims sub, kontor_team, kontor_label,
 * kontor_ceiling, kontor_models, kontor_pools; its api_key claim means nothing.
 */
#include "base/check.h"
#include "base/log.h"
#include "gateway/identity_internal.h"

#include <string.h>

#define SUBJECT_BYTES_MAX 128
#define SCOPE_MAX 64

/* Whoever sits between could put a key of his own into the set. */
static bool goes_in_the_clear(struct str url)
{
    static const char *const here[] = {"http://127.", "http://localhost", "http://[::1]"};
    bool is_here = false;

    for (size_t i = 0; i < ARRAY_COUNT(here); i++) {
        is_here = is_here || str_starts(url, str_from_c(here[i]));
    }
    return str_starts(url, STR("http://")) && !is_here;
}

enum status identity_token_init(struct identity *id, const struct settings *settings,
                                struct error *err)
{
    enum status rc = arena_dup(id->arena, settings->jwt_secret, &id->own.secret);

    rc = rc != OK ? rc : arena_dup(id->arena, settings->jwt_issuer, &id->rules.issuer);
    rc = rc != OK ? rc : arena_dup(id->arena, settings->jwt_audience, &id->rules.audience);
    if (rc != OK) {
        return error_set(err, rc, "no memory for the settings of tokens");
    }
    id->own.algorithm = JWT_HS256;
    id->has_secret = id->own.secret.len > 0;
    if (id->has_secret && id->own.secret.len < JWT_SECRET_BYTES_MIN) {
        return error_set(err, E_INVALID,
                         "the secret of tokens has %zu bytes; HS256 wants %d or more, for example "
                         "what `openssl rand -hex 32` prints",
                         id->own.secret.len, JWT_SECRET_BYTES_MIN);
    }
    if (settings->jwks_file.len + settings->jwks_url.len > 0 && id->rules.audience.len == 0) {
        log_event(LOG_LEVEL_WARN, "tokens_without_audience",
                  "advice=\"set an audience, or tokens made for other services open this one\"");
    }
    if (goes_in_the_clear(settings->jwks_url)) {
        log_event(LOG_LEVEL_WARN, "key_set_in_the_clear",
                  "advice=\"fetch the key set by https: whoever sits between could change it\"");
    }
    return OK;
}

bool identity_token_taken(const struct identity *id)
{
    return id->has_secret || id->feed->jwks_path.len > 0 || id->feed->jwks_url.len > 0;
}

static enum status deny(struct chat_failure *f, const char *why)
{
    identity_refuse_token(why, f);
    return E_DENIED;
}

/* --- a token of ours --- */

static enum status as_key(struct identity *id, const struct json_value *claims, struct arena *arena,
                          int64_t now_s, struct identity_caller *c, struct chat_failure *f)
{
    const struct str named = json_string_or(json_get(claims, STR("api_key")), STR(""));
    const struct keys_key *key = NULL;
    uint32_t literal;

    if (named.len == 0) {
        return deny(f, "it names no key (api_key)");
    }
    if (id->feed->keys != NULL) {
        key = keys_by_id(id->feed->keys, named);
        key = key == NULL ? keys_find(id->feed->keys, named) : key;
    }
    if (key != NULL) {
        return identity_of_key(id, key, named, arena, now_s, c, f);
    }
    literal = identity_literal(id, named);
    if (literal != 0) {
        return identity_of_literal(literal, arena, c);
    }
    return deny(f, "the key that it names (api_key) is not known here");
}

/* --- a token of a login service --- */

/* Harmless in logs and in the books: visible ASCII. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7F || s.ptr[i] == '"' || s.ptr[i] == '\\') {
            return false;
        }
    }
    return s.len > 0 && s.len <= SUBJECT_BYTES_MAX;
}

static bool read_label(const struct json_value *v, enum label *label)
{
    return v == NULL || (v->kind == JSON_STRING && label_parse(v->string, label) == OK);
}

/* An empty list would mean "all"; a token that grants nothing must not open everything. */
static bool read_scope(const struct json_value *v, struct arena *arena, const struct str **ret_list,
                       uint32_t *ret_n)
{
    struct str *list;

    if (v == NULL) {
        return true;
    }
    if (v->kind != JSON_ARRAY || v->n_items == 0 || v->n_items > SCOPE_MAX) {
        return false;
    }
    list = arena_zalloc(arena, v->n_items, sizeof(*list));
    for (uint32_t i = 0; list != NULL && i < v->n_items; i++) {
        if (v->items[i].kind != JSON_STRING || v->items[i].string.len == 0) {
            return false;
        }
        list[i] = v->items[i].string;
    }
    *ret_list = list;
    *ret_n = v->n_items;
    return list != NULL;
}

static enum status as_subject(const struct json_value *claims, struct arena *arena,
                              struct identity_caller *c, struct chat_failure *f)
{
    const struct str sub = json_string_or(json_get(claims, STR("sub")), STR(""));
    const struct json_value *team = json_get(claims, STR("kontor_team"));
    char *key_id;

    if (!is_plain(sub)) {
        return deny(f, "its subject (sub) is missing, too long or not plain text");
    }
    if (team != NULL && !(team->kind == JSON_STRING && is_plain(team->string))) {
        return deny(f, "its claim kontor_team is not plain text");
    }
    if (!read_label(json_get(claims, STR("kontor_label")), &c->label) ||
        !read_label(json_get(claims, STR("kontor_ceiling")), &c->ceiling)) {
        return deny(f, "its claim kontor_label or kontor_ceiling is no label");
    }
    if (!read_scope(json_get(claims, STR("kontor_models")), arena, &c->models, &c->n_models) ||
        !read_scope(json_get(claims, STR("kontor_pools")), arena, &c->pools, &c->n_pools)) {
        return deny(f, "its claim kontor_models or kontor_pools is no list of names");
    }
    key_id = arena_alloc(arena, 4 + sub.len);
    if (key_id == NULL) {
        return E_NO_MEMORY;
    }
    memcpy(key_id, "jwt:", 4);
    memcpy(key_id + 4, sub.ptr, sub.len);
    c->key_id = (struct str){key_id, 4 + sub.len};
    c->team = json_string_or(team, STR(""));
    return OK;
}

/* The set is not there yet, or does not have the key: the fetching thread shall look again. */
static enum status unknown_key(struct identity *id, const char *why, struct chat_failure *f)
{
    if (id->feed->jwks_url.len > 0) {
        atomic_store_explicit(&id->feed->wants_jwks, true, memory_order_relaxed);
    }
    if (id->feed->jwks == NULL && id->feed->jwks_url.len > 0) {
        chat_failure_set(f, 503, "server_error", "key_set_not_ready", NULL,
                         "The keys that tokens are verified with could not be fetched yet. Try "
                         "again in a few seconds.");
        return E_DENIED;
    }
    return deny(f, why);
}

enum status identity_token_check(struct identity *id, struct str token, struct arena *arena,
                                 int64_t now_s, struct identity_caller *ret_caller,
                                 struct chat_failure *ret_failure)
{
    struct jwt_rules rules = {.now_s = now_s}; // our own tokens name no issuer and no audience
    const struct jwt_key *keys = NULL;
    const char *why = "";
    struct jwt_claims claims;
    uint32_t n_keys = 0;
    struct jwt t;
    bool ours;
    enum status rc = jwt_parse(token, arena, &t, &why);

    if (rc != OK) {
        return rc == E_DENIED ? deny(ret_failure, why) : rc;
    }
    /* Which keys may verify it at all.  Public keys never meet HS256, the secret nothing else. */
    ours = t.algorithm == JWT_HS256;
    if (ours) {
        keys = &id->own;
        n_keys = id->has_secret;
    } else if (id->feed->jwks != NULL) {
        keys = jwks_keys(id->feed->jwks, &n_keys);
    }
    if (!ours) {
        rules.issuer = id->rules.issuer;
        rules.audience = id->rules.audience;
    }
    rc = jwt_accept(&t, keys, n_keys, &rules, arena, &claims, &why);
    if (rc == E_NOT_FOUND) {
        return ours ? deny(ret_failure, why) : unknown_key(id, why, ret_failure);
    }
    if (rc != OK) {
        return rc == E_DENIED ? deny(ret_failure, why) : rc;
    }
    return ours ? as_key(id, claims.root, arena, now_s, ret_caller, ret_failure)
                : as_subject(claims.root, arena, ret_caller, ret_failure);
}
