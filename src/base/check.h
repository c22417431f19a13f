/* check.h - assertions about our own code, and checked narrowing.
 *
 * CHECK stays on in release builds and ends the process with file, line and condition.  It is for
 * bugs, never for input.  DCHECK is compiled in only with -Ddchecks=true (on in sanitizer builds).
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>
#include <stdint.h>

/** Print the condition and end the process; what CHECK calls. */
_Noreturn void check_failed(const char *file, int line, const char *cond);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            check_failed(__FILE__, __LINE__, #cond);                                               \
        }                                                                                          \
    } while (0)

#ifdef KONTOR_DCHECKS
#define DCHECK(cond) CHECK(cond)
#else
#define DCHECK(cond) ((void)sizeof(cond))
#endif

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Narrowing that must not lose bits: a value out of range is our bug. */
static inline uint32_t u32_from_size(size_t v)
{
    CHECK(v <= UINT32_MAX);
    return (uint32_t)v;
}

static inline int int_from_size(size_t v)
{
    CHECK(v <= INT32_MAX);
    return (int)v;
}

static inline int32_t i32_from_u32(uint32_t v)
{
    CHECK(v <= INT32_MAX);
    return (int32_t)v;
}

static inline size_t size_from_i64(int64_t v)
{
    CHECK(v >= 0);
    return (size_t)v;
}

#endif
