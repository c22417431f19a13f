#include "support/guard.h"
#include "base/check.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard guard_copy(struct str bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t span = (bytes.len + page - 1) / page * page;
    struct guard g = {.map_bytes = span + page};

    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g.map != MAP_FAILED);
    CHECK(mprotect(g.map + span, page, PROT_NONE) == 0);
    g.text = (struct str){g.map + span - bytes.len, bytes.len};
    if (bytes.len > 0) {
        memcpy(g.map + span - bytes.len, bytes.ptr, bytes.len);
    }
    return g;
}

void guard_done(struct guard *g)
{
    munmap(g->map, g->map_bytes);
}
