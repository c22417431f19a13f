/* buf and arena under random operations, compared with a plain array.  Each input byte pair is one
 * operation and its size; ASan sees overlaps and overruns. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"

#include <string.h>

#define CEILING 5000
#define BLOCKS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

struct model {
    unsigned char bytes[CEILING];
    size_t len;
};

static void buf_step(struct buf *b, struct model *m, uint8_t op, uint8_t size)
{
    char filler[256];
    size_t n = size;

    memset(filler, size, sizeof(filler));
    if (op % 4 == 0) {
        n = n < m->len ? n : m->len;
        buf_consume(b, n);
        memmove(m->bytes, m->bytes + n, m->len - n);
        m->len -= n;
        return;
    }
    if (m->len + n > CEILING) { // must fail and keep what it has
        buf_append(b, filler, n);
        CHECK(buf_status(b) == E_LIMIT && b->len == m->len);
        buf_reset(b);
        m->len = 0;
        return;
    }
    if (op % 4 == 1) {
        buf_append(b, filler, n);
    } else if (op % 4 == 2) {
        char *room = buf_reserve(b, n);

        CHECK(room != NULL);
        memset(room, size, n);
        buf_commit(b, n);
    } else {
        buf_printf(b, "%.*s", (int)n, filler);
        n = size == 0 ? 0 : n;
    }
    memset(m->bytes + m->len, size, n);
    m->len += n;
}

static void check_buf(const uint8_t *bytes, size_t n_bytes)
{
    static struct model m;
    struct buf b;

    m.len = 0;
    buf_init(&b, CEILING);
    for (size_t i = 0; i + 1 < n_bytes; i += 2) {
        buf_step(&b, &m, bytes[i], bytes[i + 1]);
        CHECK(b.len == m.len && b.len <= b.cap && b.cap <= b.max && buf_status(&b) == OK);
        CHECK(m.len == 0 || memcmp(b.ptr, m.bytes, m.len) == 0);
    }
    buf_done(&b);
}

static void check_arena(const uint8_t *bytes, size_t n_bytes)
{
    struct arena *a = arena_create(100000);
    unsigned char *blocks[BLOCKS_MAX];
    size_t sizes[BLOCKS_MAX];
    size_t n = 0;

    CHECK(a != NULL);
    for (size_t i = 0; i + 1 < n_bytes && n < BLOCKS_MAX; i += 2) {
        sizes[n] = (size_t)bytes[i] * bytes[i + 1];
        blocks[n] = arena_alloc(a, sizes[n]);
        if (blocks[n] == NULL) {
            break;
        }
        memset(blocks[n], (int)n, sizes[n]);
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            CHECK(blocks[i][k] == (unsigned char)i);
        }
    }
    arena_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    check_buf(bytes, n_bytes);
    check_arena(bytes, n_bytes);
    return 0;
}
