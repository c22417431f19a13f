#include "model/slab.h"
#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64
#define HUGE_FROM_BYTES ((uint64_t)4 << 20)

uint64_t slab_rounded(uint64_t bytes)
{
    CHECK(bytes <= UINT64_MAX - (ALIGNMENT - 1));
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

enum status slab_open(struct slab *s, uint64_t bytes, const char *what, struct error *err)
{
    void *base;

    *s = (struct slab){.base = NULL};
    if (bytes == 0) {
        return OK;
    }
    if (bytes > SIZE_MAX / 2) {
        return error_set(err, E_NO_MEMORY, "%" PRIu64 " bytes for %s cannot be addressed", bytes,
                         what);
    }
    base = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return error_set(err, E_NO_MEMORY, "no memory: %" PRIu64 " bytes for %s: %s", bytes, what,
                         strerror(errno));
    }
    if (bytes >= HUGE_FROM_BYTES) {
        (void)madvise(base, (size_t)bytes, MADV_HUGEPAGE); // a wish
    }
    *s = (struct slab){.base = base, .bytes = bytes};
    return OK;
}

enum status slab_populate(struct slab *s, const char *what, struct error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (s->bytes == 0) {
        return OK;
    }
#ifdef MADV_POPULATE_WRITE
    if (madvise(s->base, (size_t)s->bytes, MADV_POPULATE_WRITE) == 0) {
        return OK;
    }
    if (errno == ENOMEM) {
        return error_set(err, E_NO_MEMORY, "no memory: %" PRIu64 " bytes for %s", s->bytes, what);
    }
#else
    (void)what;
    (void)err;
#endif
    for (uint64_t at = 0; at < s->bytes; at += page) { // before Linux 5.14
        ((volatile char *)s->base)[at] = 0;
    }
    return OK;
}

void *slab_take(struct slab *s, uint64_t bytes)
{
    uint64_t rounded = slab_rounded(bytes);
    char *at = s->base + s->used;

    CHECK(rounded <= s->bytes - s->used);
    s->used += rounded;
    return at;
}

void slab_close(struct slab *s)
{
    if (s->base != NULL) {
        (void)munmap(s->base, (size_t)s->bytes);
    }
    *s = (struct slab){.base = NULL};
}
