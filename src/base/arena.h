/* arena.h - memory that dies together, with a ceiling.
 *
 * One arena per request or per loaded file.  Allocation is a pointer bump; nothing is freed singly.
 * Owned by one thread at a time.  Everything is aligned to 16 bytes.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/status.h"
#include "base/str.h"

#include <stddef.h>

struct arena;

/** A new arena that hands out at most `max_bytes`.  NULL when memory is short. */
struct arena *arena_create(size_t max_bytes);
void arena_destroy(struct arena *a);
/** Forget all allocations, keep the first chunk. */
void arena_reset(struct arena *a);
/** `n_bytes` uninitialised bytes, or NULL at the ceiling or without memory.  0 gives a valid
 * pointer. */
void *arena_alloc(struct arena *a, size_t n_bytes);
/** As arena_alloc, zeroed; n_items * item_bytes is checked for overflow (NULL). */
void *arena_zalloc(struct arena *a, size_t n_items, size_t item_bytes);
/** Copy of `s`, with a NUL behind it that does not count. */
MUST_USE enum status arena_dup(struct arena *a, struct str s, struct str *ret_copy);
/** Bytes handed out so far. */
size_t arena_used(const struct arena *a);

#endif
