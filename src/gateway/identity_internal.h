/* identity_internal.h - the checker's insides: what is presented, tokens, how a refusal is worded,
 * and the threads that watch files and fetch key sets.
 */
#ifndef GATEWAY_IDENTITY_INTERNAL_H
#define GATEWAY_IDENTITY_INTERNAL_H

#include "base/arena.h"
#include "base/hash.h"
#include "gateway/identity.h"
#include "gateway/jwks.h"

#include <pthread.h>
#include <stdatomic.h>

#define IDENTITY_SHOWN_BYTES_MAX 128 // of a refused key, masked

/* What comes from files and by URL, and the threads that bring it.  Loop-owned but for what says
 * otherwise; shared by the checkers of a configuration and its reloads. */
struct identity_feed {
    uint32_t n_refs;
    struct arena *arena; // owned: the paths
    struct str keys_path;
    struct str jwks_path;
    struct str jwks_url;
    struct keys *keys; // in force; NULL without a key file
    struct jwks *jwks; // in force; NULL: none yet

    /* The threads write the fresh ones and nothing else; identity_check takes them out. */
    _Atomic(struct keys *) fresh_keys;
    _Atomic(struct jwks *) fresh_jwks;
    atomic_bool wants_jwks; // a token named a key that is not in the set
    pthread_t watcher;      // key file, key set file
    pthread_t fetcher; // key set by URL: apart, since a slow server must not delay a revocation
    bool watcher_runs;
    bool fetcher_runs;
    pthread_mutex_t lock;
    pthread_cond_t wake; // on `lock`
    atomic_bool stop;    // written under `lock`
};

struct identity {
    struct arena *arena; // owned: copies of the settings' strings
    struct str header;   // field that carries the key, beside x-api-key
    struct str prefix;   // word before it; empty: none
    enum label default_label;
    uint8_t *literals; // [n_literals][HASH_SHA256_BYTES]
    uint32_t n_literals;
    bool has_secret;
    struct jwt_key own; // HS256, of `kontor keys token`
    struct jwt_rules rules;
    struct identity_feed *feed; // counted
};

/* --- what is presented --- */

enum identity_fault {
    IDENTITY_FAULT_NONE,
    IDENTITY_FAULT_MISSING,
    IDENTITY_FAULT_TWICE,     // the field is there twice
    IDENTITY_FAULT_NO_PREFIX, // a value without the word before it
};

/** Find the key in a request's head; *ret_key is empty with a fault. */
enum identity_fault identity_find(const struct identity *id, const struct http_head *head,
                                  struct str *ret_key);

/* --- refusals --- */

/** 401 for a key that could not be found in the head. */
void identity_refuse_missing(const struct identity *id, enum identity_fault fault,
                             struct chat_failure *ret_failure);
/** 401 for a key that is not ours: masked, and with a hint when its form shows what went wrong. */
void identity_refuse_unknown(const struct identity *id, struct str key,
                             struct chat_failure *ret_failure);
/** 401 for a key that was revoked or has expired. */
void identity_refuse_ended(const struct keys_key *key, struct str presented,
                           struct chat_failure *ret_failure);

/** 401 for a token, with a static sentence that says why. */
void identity_refuse_token(const char *why, struct chat_failure *ret_failure);

/* --- tokens --- */

/** Copy secret, issuer, audience.  Errors: INVALID (secret too short), NO_MEMORY. */
MUST_USE enum status identity_token_init(struct identity *id, const struct settings *settings,
                                         struct error *err);
/** True when tokens are taken at all. */
bool identity_token_taken(const struct identity *id);
/** As identity_check, for a text that jwt_looks_like. */
MUST_USE enum status identity_token_check(struct identity *id, struct str token,
                                          struct arena *arena, int64_t now_s,
                                          struct identity_caller *ret_caller,
                                          struct chat_failure *ret_failure);

/* --- keys --- */

/** 1-based index of the literal key, or 0.  All are compared, so that timing tells nothing. */
uint32_t identity_literal(const struct identity *id, struct str key);
/** Caller of literal key `idx`.  Errors: NO_MEMORY. */
MUST_USE enum status identity_of_literal(uint32_t idx, struct arena *arena,
                                         struct identity_caller *ret_caller);
/** Caller of a stored key, or the refusal of one that has ended (`presented` is masked in it).
 *  Errors: DENIED, NO_MEMORY. */
MUST_USE enum status identity_of_key(const struct identity *id, const struct keys_key *key,
                                     struct str presented, struct arena *arena, int64_t now_s,
                                     struct identity_caller *ret_caller,
                                     struct chat_failure *ret_failure);

/* --- feed and threads --- */

/** That of `before` when it reads the same files and URL, else a new one: reads the files once and
 *  starts what is needed.  Errors: IO, INVALID, LIMIT, NO_MEMORY. */
MUST_USE enum status identity_watch_open(const struct settings *settings,
                                         const struct identity *before,
                                         struct identity_feed **ret_feed, struct error *err);
/** The last one stops and joins the threads.  NULL accepted. */
void identity_watch_close(struct identity_feed *feed);
/** Put in force what the threads brought. */
void identity_watch_take(struct identity_feed *feed);
/** Wait up to `ms`; false when it is time to stop. */
bool identity_watch_wait(struct identity_feed *feed, uint32_t ms);
/** Hand a key set over; takes it. */
void identity_watch_publish(struct identity_feed *feed, struct jwks *fresh);
/** The fetching thread: cache, one fetch at a time, back-off. */
void *identity_fetch_run(void *user);

#endif
