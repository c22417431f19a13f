/* Stage "auth": is a key asked for on this route, and is it one of ours? */
#include "gateway/gateway_internal.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_KEY_BYTES_MAX 128 // of a refused key, masked

/* Every stored key is compared, and in constant time, so that timing tells nothing. */
static bool known(const struct gateway *gw, struct str key)
{
    uint8_t digest[HASH_SHA256_BYTES];
    unsigned found = 0;

    hash_sha256(key, digest);
    for (uint32_t i = 0; i < gw->options.n_api_keys; i++) {
        const uint8_t *ours = gw->key_digests + (size_t)i * HASH_SHA256_BYTES;
        unsigned differ = 0;

        for (size_t k = 0; k < HASH_SHA256_BYTES; k++) {
            differ |= (unsigned)(digest[k] ^ ours[k]);
        }
        found |= differ == 0;
    }
    return found != 0;
}

/* "Bearer KEY" in Authorization, or the bare key in x-api-key.  Empty when none was sent. */
static struct str presented(const struct http_head *head)
{
    const struct str *value = http_parse_field(head, STR("authorization"));

    if (value != NULL) {
        const size_t blank = str_find_byte(*value, ' ', 0);

        if (blank != SIZE_MAX && str_eq_nocase(str_slice(*value, 0, blank), STR("bearer"))) {
            return str_trim(str_slice(*value, blank, value->len));
        }
        return (struct str){NULL, 0};
    }
    value = http_parse_field(head, STR("x-api-key"));
    return value == NULL ? (struct str){NULL, 0} : *value;
}

/* The first 8 and last 4 bytes of a long key, stars between; a short one is all stars.  Only
 * visible ASCII is shown. */
static void mask(struct str key, char ret_text[SHOWN_KEY_BYTES_MAX + 1])
{
    const size_t len = key.len < SHOWN_KEY_BYTES_MAX ? key.len : SHOWN_KEY_BYTES_MAX;

    for (size_t i = 0; i < len; i++) {
        const bool shown = key.len > 12 && (i < 8 || i >= len - 4);
        const char c = i >= len - 4 ? key.ptr[key.len - (len - i)] : key.ptr[i];

        ret_text[i] = shown && c > ' ' && c < 0x7F ? c : '*';
    }
    ret_text[len] = '\0';
}

enum stage_verdict stage_auth(struct call *call)
{
    const struct http_head *head = http_exchange_head(call->x);
    char masked[SHOWN_KEY_BYTES_MAX + 1];
    struct str key;

    if (call->gw->options.n_api_keys == 0 || !call->route->guarded) {
        return STAGE_NEXT;
    }
    key = presented(head);
    if (key.len == 0) {
        return call_refuse(call, 401, NULL, NULL,
                           "You didn't provide an API key. You need to provide your API key in an "
                           "Authorization header using Bearer auth (i.e. Authorization: Bearer "
                           "YOUR_KEY).");
    }
    if (known(call->gw, key)) {
        return STAGE_NEXT;
    }
    mask(key, masked);
    return call_refuse(call, 401, "invalid_api_key", NULL, "Incorrect API key provided: %s.",
                       masked);
}
