#include "compute/memory.h"

#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_PAGE ((size_t)2 << 20)
#define SMALL_PAGE ((size_t)64 << 10) // the largest base page of the systems we run on

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static void *alloc_pages(size_t n_bytes)
{
    size_t wanted = round_up(n_bytes, SMALL_PAGE);
    size_t mapped = wanted + HUGE_PAGE;
    char *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;
    size_t behind;

    if (base == MAP_FAILED) {
        return NULL;
    }
    before = round_up((uintptr_t)base, HUGE_PAGE) - (uintptr_t)base;
    behind = mapped - before - wanted;
    if (before > 0) {
        munmap(base, before);
    }
    if (behind > 0) {
        munmap(base + before + wanted, behind);
    }
    // refused where the kernel has no huge pages: then these are ordinary ones
    (void)madvise(base + before, wanted, MADV_HUGEPAGE);
    return base + before;
}

void *memory_alloc(size_t n_bytes)
{
    void *ptr;

    if (n_bytes == 0 || n_bytes > SIZE_MAX - 2 * HUGE_PAGE) {
        return NULL;
    }
    if (n_bytes >= HUGE_PAGE) {
        return alloc_pages(n_bytes);
    }
    ptr = aligned_alloc(ALIGNMENT, round_up(n_bytes, ALIGNMENT));
    if (ptr != NULL) {
        memset(ptr, 0, n_bytes);
    }
    return ptr;
}

void memory_free(void *ptr, size_t n_bytes)
{
    if (ptr == NULL) {
        return;
    }
    if (n_bytes >= HUGE_PAGE) {
        CHECK(munmap(ptr, round_up(n_bytes, SMALL_PAGE)) == 0);
        return;
    }
    free(ptr);
}
