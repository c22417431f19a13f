/* identity.h - who is calling: an API key, or a token (JWT) that stands for one.
 *
 * Loop-owned; never blocks (JWKS are fetched by a worker, one fetch at a time).
 */
#ifndef GATEWAY_IDENTITY_H
#define GATEWAY_IDENTITY_H

#include "chat/chat.h"
#include "gateway/settings.h"
#include "net/http_parse.h"
#include "store/keys.h"

struct identity; // the checker

struct identity_options {
    const struct settings *settings; // auth_*, jwt_*, jwks_*, keys_file
    const struct str *literal_keys;  // [n_literal_keys] of --api-key and --auth-config
    uint32_t n_literal_keys;
};

/* Who it is.  Strings live as long as the call (copied into its arena). */
struct identity_caller {
    struct str key_id; // "" when no keys are asked for; "literal-1" for --api-key
    struct str team;
    enum label label;
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
/** Errors: DENIED (ret_failure: 401 or 403 as OpenAI words it, key masked), NO_MEMORY. */
MUST_USE enum status identity_check(struct identity *id, const struct http_head *head,
                                    struct arena *arena, int64_t now_s,
                                    struct identity_caller *ret_caller,
                                    struct chat_failure *ret_failure);

#endif
