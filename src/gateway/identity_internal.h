/* identity_internal.h - the checker's insides: what is presented, how a refusal is worded, and the
 * thread that watches files.
 */
#ifndef GATEWAY_IDENTITY_INTERNAL_H
#define GATEWAY_IDENTITY_INTERNAL_H

#include "base/arena.h"
#include "base/hash.h"
#include "gateway/identity.h"

#include <pthread.h>
#include <stdatomic.h>

#define IDENTITY_SHOWN_BYTES_MAX 128 // of a refused key, masked
#define IDENTITY_KEY_BYTES_MAX 16384 // of a presented key or token

struct identity {
    struct arena *arena; // owned: copies of the settings' strings
    struct str header;   // field that carries the key, beside x-api-key
    struct str prefix;   // word before it; empty: none
    enum label default_label;
    uint8_t *literals; // [n_literals][HASH_SHA256_BYTES]
    uint32_t n_literals;
    bool has_keys_file;
    struct keys *keys; // in force; NULL without a key file

    /* The watching thread writes `fresh` and nothing else; identity_check takes it out. */
    _Atomic(struct keys *) fresh;
    struct str keys_path;
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; // of `stop`
    pthread_cond_t wake;
    bool stop;
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

/* --- the thread --- */

/** Read the key file once and start the thread.  Errors: IO, INVALID, NO_MEMORY. */
MUST_USE enum status identity_watch_start(struct identity *id, struct error *err);
/** Stop and join it. */
void identity_watch_stop(struct identity *id);

#endif
