/* A vocabulary of GLM's size: loading, both spellings of merges, and the rank file. */
#include "base/buf.h"
#include "support/large_vocab.h"
#include "support/test.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX ((size_t)64 << 20)
#define PROSE_BYTES ((size_t)300000)
#define LOAD_CPU_SECONDS_MAX 10.0 // against a quadratic accident; the figure itself is printed

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(const char *what, size_t n_bytes, double seconds)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf("# %s: %.1f MB in %.3f s of CPU time, peak memory %ld MiB\n", what,
           (double)n_bytes * 1e-6, seconds, usage.ru_maxrss >> 10);
    EXPECT_TRUE(seconds <= LOAD_CPU_SECONDS_MAX);
}

/* Through a file, as at start. */
static struct tokenizer *load_from_file(const struct buf *json, const char *what)
{
    char dir[] = "/tmp/kontor-large-XXXXXX";
    char path[64];
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status rc;
    double begin;
    FILE *f;

    EXPECT_TRUE(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    f = fopen(path, "wbe");
    EXPECT_TRUE(f != NULL);
    EXPECT_EQ_SIZE(fwrite(json->ptr, 1, json->len, f), json->len);
    EXPECT_EQ_INT(fclose(f), 0);
    begin = cpu_seconds();
    rc = tokenizer_load(dir, &t, &err);
    begin = cpu_seconds() - begin;
    unlink(path);
    rmdir(dir);
    if (rc != OK) {
        FAIL("%s", err.text);
    }
    report(what, json->len, begin);
    return t;
}

static struct tokenizer *load_json(enum large_vocab_merges form, const char *what)
{
    struct tokenizer *t;
    struct buf json;

    buf_init(&json, FILE_MAX);
    large_vocab_json(form, &json);
    EXPECT_OK(buf_status(&json));
    t = load_from_file(&json, what);
    buf_done(&json);
    return t;
}

static struct tokenizer *load_ranks(void)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct buf ranks;
    struct buf config;
    double begin;

    buf_init(&ranks, FILE_MAX);
    buf_init(&config, FILE_MAX);
    large_vocab_ranks(&ranks, &config);
    begin = cpu_seconds();
    if (tokenizer_parse_ranks(buf_str(&ranks), buf_str(&config), &t, &err) != OK) {
        FAIL("%s", err.text);
    }
    report("rank file", ranks.len, cpu_seconds() - begin);
    buf_done(&ranks);
    buf_done(&config);
    return t;
}

static void encode(const struct tokenizer *t, struct str text, struct buf *ids)
{
    struct tokenizer_encode_options o = {.parse_special = true};

    buf_init(ids, FILE_MAX);
    EXPECT_OK(tokenizer_encode(t, text, &o, ids));
}

static void expect_same_ids(const struct tokenizer *a, const struct tokenizer *b, struct str text)
{
    struct buf left;
    struct buf right;

    encode(a, text, &left);
    encode(b, text, &right);
    EXPECT_EQ_SIZE(left.len, right.len);
    EXPECT_TRUE(memcmp(left.ptr, right.ptr, left.len) == 0);
    buf_done(&left);
    buf_done(&right);
}

TEST(three_files_one_tokenizer)
{
    struct tokenizer *pairs = load_json(LARGE_VOCAB_PAIRS, "merges as pairs");
    struct tokenizer *strings = load_json(LARGE_VOCAB_STRINGS, "merges as strings");
    struct tokenizer *ranks = load_ranks();
    struct buf prose;

    EXPECT_EQ_U32(tokenizer_count(pairs), LARGE_VOCAB_TOKENS);
    EXPECT_EQ_U32(tokenizer_count(ranks), LARGE_VOCAB_TOKENS);
    buf_init(&prose, FILE_MAX);
    large_vocab_prose(11, PROSE_BYTES, &prose);
    buf_append_c(&prose, "<|extra_0|><|extra_1|> and <|extra_222|>");
    expect_same_ids(pairs, strings, buf_str(&prose));
    expect_same_ids(pairs, ranks, buf_str(&prose));
    buf_done(&prose);
    tokenizer_destroy(pairs);
    tokenizer_destroy(strings);
    tokenizer_destroy(ranks);
}
