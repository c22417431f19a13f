/* stub.h - what the stand-ins for vendor libraries share.
 *
 * One file per library, built in five variants (STUB_VARIANT).  They write by offset into the
 * caller's blocks, as the published layouts say, and share no declaration with src/devices.
 * STUB_INIT_RC makes the first call fail with that code, STUB_COUNT sets the number of devices,
 * STUB_HANG_MS how long the hanging call of the `hang` variant takes (default: for ever).
 */
#ifndef TESTS_SUPPORT_STUB_H
#define TESTS_SUPPORT_STUB_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STUB_NORMAL 1
#define STUB_OLD 2     // without the newer symbols, with the older layouts
#define STUB_MISSING 3 // without a symbol that nothing works without
#define STUB_HANG 4
#define STUB_GARBAGE 5

/* Declared and defined in one go. */
#define STUB(result, name, args)                                                                   \
    result name args;                                                                              \
    result name args

static inline int stub_number(const char *name, int fallback)
{
    const char *text = getenv(name);
    int v = 0;
    int sign = 1;

    if (text == NULL || text[0] == '\0') {
        return fallback;
    }
    if (*text == '-') {
        sign = -1;
        text++;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        v = v * 10 + (*text - '0');
    }
    return sign * v;
}

static inline int stub_init_rc(void)
{
    return stub_number("STUB_INIT_RC", 0);
}

static inline int stub_count(int fallback)
{
    return stub_number("STUB_COUNT", fallback);
}

static inline void stub_hang(void)
{
    if (STUB_VARIANT == STUB_HANG) {
        const int ms = stub_number("STUB_HANG_MS", -1);

        if (ms < 0) {
            for (;;) {
                pause();
            }
        }
        usleep(1000u * (unsigned)ms);
    }
}

static inline void stub_u16(void *block, size_t offset, uint16_t v)
{
    memcpy((char *)block + offset, &v, sizeof(v));
}

static inline void stub_u32(void *block, size_t offset, uint32_t v)
{
    memcpy((char *)block + offset, &v, sizeof(v));
}

static inline void stub_u64(void *block, size_t offset, uint64_t v)
{
    memcpy((char *)block + offset, &v, sizeof(v));
}

static inline uint32_t stub_read_u32(const void *block, size_t offset)
{
    uint32_t v;

    memcpy(&v, (const char *)block + offset, sizeof(v));
    return v;
}

/* Text into a field of `cap` bytes; the garbage variant fills it to the brim, without a NUL. */
static inline void stub_text(char *field, size_t cap, const char *text)
{
    size_t n = strlen(text);

    if (STUB_VARIANT == STUB_GARBAGE) {
        memset(field, 0xf1, cap);
        return;
    }
    memset(field, 0, cap);
    memcpy(field, text, n < cap ? n : cap - 1);
}

#endif
