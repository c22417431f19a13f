/* test.h - how a test file looks: TEST(name) { ... }, nothing else to register.
 *
 * Each file in tests/{unit,kernel,golden,model,sim} becomes one program that prints TAP.  An EXPECT
 * that fails prints both values and ends its test; use them on the test's own thread only.
 * `./build/tests/unit_str PATTERN` runs the tests whose name matches (* and ?).
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include "base/status.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*test_fn)(void);

void test_register(const char *name, test_fn fn);

#define TEST(test_name)                                                                            \
    static void test_##test_name(void);                                                            \
    __attribute__((constructor)) static void register_##test_name(void)                            \
    {                                                                                              \
        test_register(#test_name, test_##test_name);                                               \
    }                                                                                              \
    static void test_##test_name(void)

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
_Noreturn void test_skip(const char *reason);

/** Folder tests/ of the source tree (env KONTOR_TEST_DATA, else as built). */
const char *test_dir(void);
/** "<tests folder>/<relative>", valid until the program ends. */
const char *test_path(const char *relative);
/** The folder KONTOR_MATERIAL names, or NULL: then SKIP("no material"). */
const char *test_material(void);
/** The whole file as text; fails the test when it cannot be read.  Freed at exit of the program. */
struct str test_read_file(const char *path);

/* "no material" and "no hardware: ..." are accepted in CI, other reasons fail there. */
#define SKIP(reason) test_skip(reason)
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

void test_expect_u64(const char *file, int line, const char *what, uint64_t got, uint64_t want);
void test_expect_i64(const char *file, int line, const char *what, int64_t got, int64_t want);
void test_expect_str(const char *file, int line, const char *what, struct str got, struct str want);
void test_expect_near(const char *file, int line, const char *what, double got, double want,
                      double tolerance);
void test_expect_status(const char *file, int line, const char *what, enum status got,
                        enum status want);

#define EXPECT_TRUE(cond)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_fail(__FILE__, __LINE__, "%s is false", #cond);                                   \
        }                                                                                          \
    } while (0)
#define EXPECT_FALSE(cond) EXPECT_TRUE(!(cond))
#define EXPECT_STATUS(expr, want) test_expect_status(__FILE__, __LINE__, #expr, (expr), (want))
#define EXPECT_OK(expr) EXPECT_STATUS(expr, OK)
#define EXPECT_EQ_U32(got, want) test_expect_u64(__FILE__, __LINE__, #got, (got), (want))
#define EXPECT_EQ_U64(got, want) test_expect_u64(__FILE__, __LINE__, #got, (got), (want))
#define EXPECT_EQ_SIZE(got, want) test_expect_u64(__FILE__, __LINE__, #got, (got), (want))
#define EXPECT_EQ_I64(got, want) test_expect_i64(__FILE__, __LINE__, #got, (got), (want))
#define EXPECT_EQ_INT(got, want) test_expect_i64(__FILE__, __LINE__, #got, (got), (want))
#define EXPECT_EQ_STR(got, want) test_expect_str(__FILE__, __LINE__, #got, (got), (want))
#define EXPECT_EQ_C_STR(got, want)                                                                 \
    test_expect_str(__FILE__, __LINE__, #got, str_from_c(got), str_from_c(want))
#define EXPECT_NEAR(got, want, tolerance)                                                          \
    test_expect_near(__FILE__, __LINE__, #got, (got), (want), (tolerance))
/* For x_check() functions: NULL, or the text of the violated invariant, which is printed. */
#define EXPECT_STR_NULL(expr)                                                                      \
    do {                                                                                           \
        const char *violated_ = (expr);                                                            \
        if (violated_ != NULL) {                                                                   \
            test_fail(__FILE__, __LINE__, "%s says: %s", #expr, violated_);                        \
        }                                                                                          \
    } while (0)
/* The text of a struct error contains `needle`. */
#define EXPECT_CONTAINS(text, needle)                                                              \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (str_find(str_from_c(text_), str_from_c(needle), 0) == SIZE_MAX) {                      \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", without \"%s\"", #text, text_, needle);   \
        }                                                                                          \
    } while (0)

#endif
