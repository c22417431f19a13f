/* What a caller presents, and how a refusal is worded: as OpenAI does, and with the reason where
 * the form of the key shows it. */
#include "base/check.h"
#include "gateway/identity_internal.h"

#include <time.h>

static const char type[] = "invalid_request_error";
static const char code[] = "invalid_api_key";

static const struct str *field_once(const struct http_head *head, struct str name, bool *ret_twice)
{
    const struct str *found = NULL;

    for (uint32_t i = 0; i < head->n_fields; i++) {
        if (str_eq_nocase(head->fields[i].name, name)) {
            *ret_twice = *ret_twice || found != NULL;
            found = &head->fields[i].value;
        }
    }
    return found;
}

enum identity_fault identity_find(const struct identity *id, const struct http_head *head,
                                  struct str *ret_key)
{
    bool twice = false;
    const struct str *value = field_once(head, id->header, &twice);
    const struct str *bare = field_once(head, STR("x-api-key"), &twice);
    size_t at = 0;

    *ret_key = (struct str){NULL, 0};
    if (twice) {
        return IDENTITY_FAULT_TWICE;
    }
    if (value == NULL || str_eq_nocase(id->header, STR("x-api-key"))) {
        *ret_key = bare == NULL ? (struct str){NULL, 0} : str_trim(*bare);
        return ret_key->len == 0 ? IDENTITY_FAULT_MISSING : IDENTITY_FAULT_NONE;
    }
    if (id->prefix.len > 0) {
        at = str_find_byte(*value, ' ', 0);
        if (str_eq_nocase(*value, id->prefix)) {
            return IDENTITY_FAULT_MISSING;
        }
        if (at == SIZE_MAX || !str_eq_nocase(str_slice(*value, 0, at), id->prefix)) {
            return IDENTITY_FAULT_NO_PREFIX;
        }
    }
    *ret_key = str_trim(str_slice(*value, at, value->len));
    return ret_key->len == 0 ? IDENTITY_FAULT_MISSING : IDENTITY_FAULT_NONE;
}

/* The first 8 and last 4 bytes of a long key, stars between; a short one is all stars.  Only
 * visible ASCII is shown. */
static void mask(struct str key, char ret_text[IDENTITY_SHOWN_BYTES_MAX + 1])
{
    const size_t len = key.len < IDENTITY_SHOWN_BYTES_MAX ? key.len : IDENTITY_SHOWN_BYTES_MAX;

    for (size_t i = 0; i < len; i++) {
        const bool shown = key.len > 12 && (i < 8 || i >= len - 4);
        const char c = i >= len - 4 ? key.ptr[key.len - (len - i)] : key.ptr[i];

        ret_text[i] = shown && c > ' ' && c < 0x7F ? c : '*';
    }
    ret_text[len] = '\0';
}

void identity_refuse_missing(const struct identity *id, enum identity_fault fault,
                             struct chat_failure *ret_failure)
{
    const struct str h = str_slice(id->header, 0, 64);
    const struct str p = str_slice(id->prefix, 0, 64);
    const bool usual = str_eq_nocase(h, STR("authorization")) && str_eq_nocase(p, STR("Bearer"));

    if (fault == IDENTITY_FAULT_TWICE) {
        chat_failure_set(ret_failure, 401, type, NULL, NULL,
                         "The request carries more than one API key field of the same name. Send "
                         "it once.");
    } else if (usual) {
        chat_failure_set(ret_failure, 401, type, NULL, NULL,
                         "You didn't provide an API key. You need to provide your API key in an "
                         "Authorization header using Bearer auth (i.e. Authorization: Bearer "
                         "YOUR_KEY).%s",
                         fault == IDENTITY_FAULT_NO_PREFIX
                             ? " The header was sent, but without the word Bearer before the key."
                             : "");
    } else {
        chat_failure_set(ret_failure, 401, type, NULL, NULL,
                         "You didn't provide an API key. You need to provide your API key in the "
                         "header %.*s (i.e. %.*s: %.*s%sYOUR_KEY).%s",
                         STR_ARG(h), STR_ARG(h), STR_ARG(p), p.len > 0 ? " " : "",
                         fault == IDENTITY_FAULT_NO_PREFIX
                             ? " The header was sent, but without the right word before the key."
                             : "");
    }
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'' || c == '`';
}

static bool has_blank(struct str key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] == ' ' || key.ptr[i] == '\t') {
            return true;
        }
    }
    return false;
}

/* Curly quotes and hard blanks come with keys that were copied from a page. */
static bool has_foreign(struct str key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] <= ' ' || key.ptr[i] >= 0x7F) {
            return true;
        }
    }
    return false;
}

/* What the form of a refused key shows; "" for nothing. */
static const char *hint(const struct identity *id, struct str key)
{
    if (is_quote(key.ptr[0]) || is_quote(key.ptr[key.len - 1])) {
        return " The key was sent with quotes around it; send it without them.";
    }
    if (id->prefix.len > 0 && key.len > id->prefix.len && key.ptr[id->prefix.len] == ' ' &&
        str_eq_nocase(str_slice(key, 0, id->prefix.len), id->prefix)) {
        return " The word before the key was sent twice.";
    }
    if (has_blank(key)) {
        return " There is a blank inside of the key; look for a line break or a second word where "
               "it was copied.";
    }
    if (has_foreign(key)) {
        return " There is a character in the key that is no plain letter, digit or sign, as curly "
               "quotes or a hard blank from a copied page are.";
    }
    if (key.ptr[0] == '$' || key.ptr[0] == '{' || key.ptr[0] == '<' || key.ptr[0] == '%') {
        return " It looks like a place-holder that nothing was put into.";
    }
    if (jwt_looks_like(key)) {
        return " It looks like a token (JWT); this server takes keys only.";
    }
    if (keys_shape(key) == KEYS_SHAPE_BROKEN) {
        return " It begins like a key of this server but is cut or mistyped: its checksum is "
               "wrong.";
    }
    return "";
}

void identity_refuse_unknown(const struct identity *id, struct str key,
                             struct chat_failure *ret_failure)
{
    char masked[IDENTITY_SHOWN_BYTES_MAX + 1];

    CHECK(key.len > 0);
    mask(key, masked);
    chat_failure_set(ret_failure, 401, type, code, NULL, "Incorrect API key provided: %s.%s",
                     masked, hint(id, key));
}

void identity_refuse_token(const char *why, struct chat_failure *ret_failure)
{
    chat_failure_set(ret_failure, 401, type, code, NULL, "The token is not accepted: %s.", why);
}

void identity_refuse_ended(const struct keys_key *key, struct str presented,
                           struct chat_failure *ret_failure)
{
    char masked[IDENTITY_SHOWN_BYTES_MAX + 1];
    char when[32] = "";
    struct tm tm;
    const time_t at = (time_t)key->expires_s;

    mask(presented, masked);
    if (key->revoked) {
        chat_failure_set(ret_failure, 401, type, code, NULL,
                         "The API key %s (id %.*s) was revoked. Ask for a new one.", masked,
                         STR_ARG(key->id));
        return;
    }
    if (gmtime_r(&at, &tm) == NULL || strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm) == 0) {
        when[0] = '\0';
    }
    chat_failure_set(ret_failure, 401, type, code, NULL,
                     key->rotated
                         ? "The API key %s (id %.*s) was replaced by a newer one, and its "
                           "time of grace ended on %s UTC. Use the new one."
                         : "The API key %s (id %.*s) expired on %s UTC. Ask for a new one.",
                     masked, STR_ARG(key->id), when);
}
