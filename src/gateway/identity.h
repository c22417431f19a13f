/* identity.h - who is calling: an API key, or a token (JWT) that stands for one.
 *
 * Loop-owned; never blocks: a thread of its own looks at the key file four times a second and
 * fetches JWKS, one fetch at a time; identity_check takes over what it found.  A key file that
 * cannot be read leaves the last good set in force.
 */
#ifndef GATEWAY_IDENTITY_H
#define GATEWAY_IDENTITY_H

#include "chat/chat.h"
#include "gateway/settings.h"
#include "net/http_parse.h"
#include "store/keys.h"

struct identity; // the checker

struct identity_options {
    const struct settings *settings; // auth_*, jwt_*, jwks_*, keys_file; copied
    const struct str *literal_keys;  // [n_literal_keys] of --api-key, beside settings->auth_keys
    uint32_t n_literal_keys;
    /* The checker before a reload, or NULL: what is read from the same files and URL is shared with
     * it, so that a reload neither reads a large key file again nor loses a fetched key set. */
    struct identity *before;
};

/* Who it is.  Strings live as long as the call (copied into its arena). */
struct identity_caller {
    struct str key_id; // "" when no keys are asked for; "literal-1" for --api-key
    struct str team;
    enum label label; // the key's own, or the settings' default_label
    enum label ceiling;
    const struct str *models; // [n_models]; none: all
    uint32_t n_models;
    const struct str *pools; // [n_pools]
    uint32_t n_pools;
};

/** Errors: INVALID, IO, NO_MEMORY. */
MUST_USE enum status identity_create(const struct identity_options *options,
                                     struct identity **ret_identity, struct error *err);
void identity_destroy(struct identity *id);
/** The key set in force (borrowed until the next identity_check), or NULL without a key file: for
 *  the limits of keys.  keys_serial tells a new one. */
const struct keys *identity_keys(const struct identity *id);
/** True when callers must show a key or token. */
bool identity_asks(const struct identity *id);
/** Errors: DENIED (ret_failure: 401 or 403 as OpenAI words it, key masked), NO_MEMORY.
 *  now_s: unix time.  Nobody is asked for a key: OK with an empty key_id. */
MUST_USE enum status identity_check(struct identity *id, const struct http_head *head,
                                    struct arena *arena, int64_t now_s,
                                    struct identity_caller *ret_caller,
                                    struct chat_failure *ret_failure);

#endif
