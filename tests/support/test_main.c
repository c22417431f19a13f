#include "support/test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h> // needs the headers above

#define TESTS_MAX 512
#define FILES_MAX 64

static struct CMUnitTest tests[TESTS_MAX];
static size_t n_tests;
static void *kept[FILES_MAX]; // freed at exit
static size_t n_kept;

static void run_one(void **state)
{
    test_fn fn;

    memcpy(&fn, state, sizeof(fn)); // initial_state holds the function
    fn();
}

void test_register(const char *name, test_fn fn)
{
    if (n_tests == TESTS_MAX) {
        fprintf(stderr, "more than %d tests in one file: split it\n", TESTS_MAX);
        abort();
    }
    tests[n_tests] = (struct CMUnitTest){.name = name, .test_func = run_one};
    memcpy(&tests[n_tests].initial_state, &fn, sizeof(fn));
    n_tests++;
}

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    printf("# %s:%d: %s\n", file, line, text);
    _fail(file, line);
    abort(); // not reached
}

_Noreturn void test_skip(const char *reason)
{
    printf("# skip reason: %s\n", reason);
    _skip(__FILE__, __LINE__);
    abort(); // not reached
}

static void keep(void *ptr)
{
    if (ptr == NULL || n_kept == FILES_MAX) {
        fprintf(stderr, "out of memory or too many files in one test\n");
        abort();
    }
    kept[n_kept++] = ptr;
}

const char *test_dir(void)
{
    const char *dir = getenv("KONTOR_TEST_DATA");

    return dir == NULL || dir[0] == '\0' ? KONTOR_TEST_DATA : dir;
}

const char *test_path(const char *relative)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", test_dir(), relative) < 0) {
        path = NULL;
    }
    keep(path);
    return path;
}

const char *test_material(void)
{
    const char *dir = getenv("KONTOR_MATERIAL");

    return dir == NULL || dir[0] == '\0' ? NULL : dir;
}

struct str test_read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text;
    long len;

    if (f == NULL) {
        test_fail(__FILE__, __LINE__, "cannot open %s", path);
    }
    if (fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) {
        test_fail(__FILE__, __LINE__, "cannot seek in %s", path);
    }
    text = malloc((size_t)len + 1);
    keep(text);
    if (fread(text, 1, (size_t)len, f) != (size_t)len) {
        test_fail(__FILE__, __LINE__, "cannot read %s", path);
    }
    fclose(f);
    text[len] = '\0';
    return (struct str){text, (size_t)len};
}

void test_expect_u64(const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
    if (got != want) {
        test_fail(file, line, "%s is %" PRIu64 ", not %" PRIu64, what, got, want);
    }
}

void test_expect_i64(const char *file, int line, const char *what, int64_t got, int64_t want)
{
    if (got != want) {
        test_fail(file, line, "%s is %" PRId64 ", not %" PRId64, what, got, want);
    }
}

void test_expect_str(const char *file, int line, const char *what, struct str got, struct str want)
{
    if (!str_eq(got, want)) {
        test_fail(file, line, "%s is \"%.*s\" (%zu bytes), not \"%.*s\" (%zu bytes)", what,
                  STR_ARG(got), got.len, STR_ARG(want), want.len);
    }
}

void test_expect_near(const char *file, int line, const char *what, double got, double want,
                      double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) { // also fails for NaN
        test_fail(file, line, "%s is %.9g, not %.9g within %.3g", what, got, want, tolerance);
    }
}

void test_expect_status(const char *file, int line, const char *what, enum status got,
                        enum status want)
{
    if (got != want) {
        test_fail(file, line, "%s gave %s, not %s", what, status_name(got), status_name(want));
    }
}

int main(int argc, char **argv)
{
    int n_failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    n_failed = _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL);
    for (size_t i = 0; i < n_kept; i++) {
        free(kept[i]);
    }
    return n_failed == 0 ? 0 : 1;
}
