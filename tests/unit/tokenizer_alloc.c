/* Memory runs out at the first allocation, at the second, and so on until the work is done: each
 * time NO_MEMORY, nothing leaked (the sanitizer build looks), and never a wrong answer.  Linked
 * with --wrap. */
#include "base/buf.h"
#include "support/test.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATIONS_MAX 5000

static volatile uint64_t left = UINT64_MAX; // allocations that still succeed

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *ptr, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *ptr, size_t n);

static bool may_allocate(void)
{
    if (left == 0) {
        return false;
    }
    left = left - (left != UINT64_MAX);
    return true;
}

void *__wrap_malloc(size_t n)
{
    return may_allocate() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *ptr, size_t n)
{
    return may_allocate() ? __real_realloc(ptr, n) : NULL;
}

static struct str input(const char *name)
{
    return test_read_file(test_path(name));
}

/* Returns the number of the first attempt that went through. */
static uint64_t load_under_pressure(bool as_ranks, struct str a, struct str b,
                                    struct tokenizer **ret_tok)
{
    for (uint64_t n = 0; n < ALLOCATIONS_MAX; n++) {
        struct error err = {0};
        enum status rc;

        *ret_tok = NULL;
        left = n;
        rc = as_ranks ? tokenizer_parse_ranks(a, b, ret_tok, &err)
                      : tokenizer_parse(a, ret_tok, &err);
        left = UINT64_MAX;
        if (rc == OK) {
            return n;
        }
        EXPECT_STATUS(rc, E_NO_MEMORY);
        EXPECT_TRUE(err.text[0] != '\0');
        EXPECT_TRUE(*ret_tok == NULL);
    }
    FAIL("still no memory after %d allocations", ALLOCATIONS_MAX);
}

TEST(loading)
{
    struct str json = input("data/tokenizer/tokenizer.json");
    struct str ranks = input("data/tokenizer/tokenizer.model");
    struct str config = input("data/tokenizer/tokenizer_config.json");
    struct tokenizer *t;

    printf("# tokenizer.json: %" PRIu64 " allocations\n",
           load_under_pressure(false, json, config, &t));
    EXPECT_EQ_U32(tokenizer_count(t), 868);
    tokenizer_destroy(t);
    printf("# rank file: %" PRIu64 " allocations\n", load_under_pressure(true, ranks, config, &t));
    EXPECT_EQ_U32(tokenizer_count(t), 868);
    tokenizer_destroy(t);
}

TEST(encoding)
{
    static char text[4000]; // long enough for the cache and for a piece that needs the heap
    struct str json = input("data/tokenizer/tokenizer.json");
    struct tokenizer_encode_options o = {.parse_special = true};
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct buf want;
    bool done = false;

    memset(text, 'a', sizeof(text));
    memcpy(text + 2000, " and more <|user|>", 18);
    EXPECT_OK(tokenizer_parse(json, &t, &err));
    buf_init(&want, (size_t)1 << 20);
    EXPECT_OK(tokenizer_encode(t, (struct str){text, sizeof(text)}, &o, &want));
    for (uint64_t n = 0; !done; n++) {
        struct buf ids;
        enum status rc;

        EXPECT_TRUE(n < ALLOCATIONS_MAX);
        buf_init(&ids, (size_t)1 << 20);
        left = n;
        rc = tokenizer_encode(t, (struct str){text, sizeof(text)}, &o, &ids);
        left = UINT64_MAX;
        if (rc == OK) {
            EXPECT_EQ_SIZE(ids.len, want.len);
            EXPECT_TRUE(memcmp(ids.ptr, want.ptr, want.len) == 0);
        } else {
            EXPECT_STATUS(rc, E_NO_MEMORY);
        }
        done = rc == OK;
        buf_done(&ids);
    }
    buf_done(&want);
    tokenizer_destroy(t);
}
