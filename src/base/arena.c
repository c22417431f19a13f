#include "base/arena.h"
#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Under ASan every allocation is followed by poisoned bytes, so that overruns inside a chunk are
 * found although malloc never sees them. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE_BYTES 16
#define POISON(ptr, n) ASAN_POISON_MEMORY_REGION(ptr, n)
#define UNPOISON(ptr, n) ASAN_UNPOISON_MEMORY_REGION(ptr, n)
#else
#define RED_ZONE_BYTES 0
#define POISON(ptr, n) ((void)(ptr), (void)(n))
#define UNPOISON(ptr, n) ((void)(ptr), (void)(n))
#endif

#define ALIGN_BYTES 16
#define CHUNK_FIRST_BYTES 4096
#define CHUNK_LARGEST_BYTES ((size_t)1 << 20) // growth stops doubling here

struct chunk {
    struct chunk *older; // owned
    size_t cap;          // bytes behind this header
    size_t used;
    size_t unused_pad; // keeps the bytes behind the header aligned to 16
};

_Static_assert(sizeof(struct chunk) % ALIGN_BYTES == 0, "chunk bytes must stay aligned");

struct arena {
    struct chunk *newest; // owned; the oldest is kept by arena_reset
    size_t used;
    size_t max;
};

static char *chunk_bytes(struct chunk *c)
{
    return (char *)(c + 1);
}

static struct chunk *chunk_create(size_t cap, struct chunk *older)
{
    struct chunk *c = malloc(sizeof(*c) + cap);

    if (c != NULL) {
        *c = (struct chunk){.older = older, .cap = cap};
        POISON(chunk_bytes(c), cap);
    }
    return c;
}

static void chunk_destroy(struct chunk *c)
{
    UNPOISON(chunk_bytes(c), c->cap);
    free(c);
}

struct arena *arena_create(size_t max_bytes)
{
    struct arena *a = malloc(sizeof(*a));

    if (a != NULL) {
        *a = (struct arena){.max = max_bytes};
    }
    return a;
}

void arena_destroy(struct arena *a)
{
    struct chunk *older;

    if (a == NULL) {
        return;
    }
    for (struct chunk *c = a->newest; c != NULL; c = older) {
        older = c->older;
        chunk_destroy(c);
    }
    free(a);
}

void arena_reset(struct arena *a)
{
    struct chunk *older;

    while (a->newest != NULL && a->newest->older != NULL) {
        older = a->newest->older;
        chunk_destroy(a->newest);
        a->newest = older;
    }
    if (a->newest != NULL) {
        a->newest->used = 0;
        POISON(chunk_bytes(a->newest), a->newest->cap);
    }
    a->used = 0;
}

/* A new chunk for an allocation of `need` bytes: as large as what was used so far, so that the
 * whole doubles, up to a megabyte; larger when asked. */
static bool grow(struct arena *a, size_t need)
{
    size_t cap = CHUNK_FIRST_BYTES;
    struct chunk *c;

    while (cap < a->used && cap < CHUNK_LARGEST_BYTES) {
        cap *= 2;
    }
    c = chunk_create(cap < need ? need : cap, a->newest);
    if (c == NULL) {
        return false;
    }
    a->newest = c;
    return true;
}

void *arena_alloc(struct arena *a, size_t n_bytes)
{
    size_t rounded = (n_bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    char *ptr;

    if (rounded < n_bytes || rounded > a->max - a->used) {
        return NULL;
    }
    if (a->newest == NULL || rounded + RED_ZONE_BYTES > a->newest->cap - a->newest->used) {
        if (rounded > SIZE_MAX / 2 || !grow(a, rounded + RED_ZONE_BYTES)) {
            return NULL;
        }
    }
    ptr = chunk_bytes(a->newest) + a->newest->used;
    a->newest->used += rounded + RED_ZONE_BYTES;
    a->used += rounded;
    UNPOISON(ptr, n_bytes);
    return ptr;
}

void *arena_zalloc(struct arena *a, size_t n_items, size_t item_bytes)
{
    size_t n_bytes;
    void *ptr;

    if (__builtin_mul_overflow(n_items, item_bytes, &n_bytes)) {
        return NULL;
    }
    ptr = arena_alloc(a, n_bytes);
    if (ptr != NULL) {
        memset(ptr, 0, n_bytes);
    }
    return ptr;
}

enum status arena_dup(struct arena *a, struct str s, struct str *ret_copy)
{
    char *copy;

    if (s.len == SIZE_MAX) {
        return E_NO_MEMORY;
    }
    copy = arena_alloc(a, s.len + 1);
    if (copy == NULL) {
        return E_NO_MEMORY;
    }
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    *ret_copy = (struct str){copy, s.len};
    return OK;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
