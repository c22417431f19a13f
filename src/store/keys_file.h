/* keys_file.h - the key file open for editing: create, rotate, revoke.
 *
 * One editor at a time: a lock on "FILE.lock", which stays.  A change is whole or not there: the
 * new text is written beside the file, synced and renamed over it.  Readers (keys.h) take no lock.
 * For command-line tools; blocks.  One thread.
 */
#ifndef STORE_KEYS_FILE_H
#define STORE_KEYS_FILE_H

#include "store/keys.h"

#define KEYS_FILE_LOCK_WAIT_MS 5000

struct keys_file;

/** Lock, and read what is there; a missing file is an empty one.  Errors: BUSY (another editor has
 *  the lock), DENIED (the file belongs to another user), IO, INVALID, LIMIT, NO_MEMORY. */
MUST_USE enum status keys_file_open(const char *path, struct keys_file **ret_file,
                                    struct error *err);
/** Unlock; changes that were not saved are forgotten. */
void keys_file_close(struct keys_file *f);
/**
 * Add a key with a new id and a new secret.
 *
 * wanted   name, team, scopes, labels, limits, expires_s; the rest is set here.  Copied
 * ret_key  the text to present; shown once, kept nowhere
 * ret_id   lives as long as the file is open
 *
 * Errors: LIMIT (KEYS_MAX, KEYS_SCOPE_MAX, KEYS_TEXT_BYTES_MAX), INVALID (text that is no UTF-8 or
 * has control characters), NO_MEMORY.
 */
MUST_USE enum status keys_file_create(struct keys_file *f, const struct keys_key *wanted,
                                      int64_t now_s, char ret_key[KEYS_KEY_CHARS + 1],
                                      struct str *ret_id, struct error *err);
/** Give a key a new secret; those before it end at `old_ends_s` (or sooner, where they did before).
 *  Errors: NOT_FOUND, INVALID (revoked), LIMIT (KEYS_SECRETS_MAX still run), NO_MEMORY. */
MUST_USE enum status keys_file_rotate(struct keys_file *f, struct str id, int64_t now_s,
                                      int64_t old_ends_s, char ret_key[KEYS_KEY_CHARS + 1],
                                      struct error *err);
/** Errors: NOT_FOUND.  Revoking twice is no error. */
MUST_USE enum status keys_file_revoke(struct keys_file *f, struct str id, struct error *err);
/** Replace the file, mode 0600.  OK means that it survives a power cut.  Errors: IO, LIMIT. */
MUST_USE enum status keys_file_save(struct keys_file *f, struct error *err);

#endif
