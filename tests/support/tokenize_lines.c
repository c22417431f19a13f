/* tokenize_lines - encode many texts from standard input, for comparison with other tokenizers.
 *
 *   tokenize_lines DIR [--special] [--repeat N]   texts -> ids
 *   tokenize_lines DIR --decode [--skip-special]  ids -> texts
 *   tokenize_lines --write-large DIR              write the large made-up tokenizer.json into DIR
 *   tokenize_lines --write-prose BYTES FILE       write made-up prose for timing
 *
 * Texts: each its length (uint32, little endian) and its bytes.  Ids: each time their number
 * (uint32) and the ids (int32).  Standard error gets "bytes=N seconds=S" (CPU time) for encoding
 * alone, without loading, reading and writing; with --repeat the best of N rounds.
 */
#include "base/check.h"
#include "support/large_vocab.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX ((size_t)1 << 30)
#define LARGE_MAX ((size_t)64 << 20)

static int fail(const char *what)
{
    fprintf(stderr, "tokenize_lines: %s\n", what);
    return 1;
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_input(struct buf *in)
{
    size_t got;

    do {
        char *to = buf_reserve(in, (size_t)1 << 20);

        CHECK(to != NULL);
        got = fread(to, 1, (size_t)1 << 20, stdin);
        buf_commit(in, got);
    } while (got > 0);
}

/* Encode every text of `in`; per text its number of ids and the ids go to `out`. */
static void encode_all(const struct tokenizer *t, struct str in, bool special, struct buf *out)
{
    struct tokenizer_encode_options o = {.parse_special = special};
    size_t at = 0;

    while (at + 4 <= in.len) {
        uint32_t len;
        uint32_t n_ids;
        size_t count_at = out->len;

        memcpy(&len, in.ptr + at, 4);
        CHECK(len <= in.len - at - 4);
        buf_append(out, &len, 4);
        CHECK(tokenizer_encode(t, str_slice(in, at + 4, at + 4 + len), &o, out) == OK);
        n_ids = u32_from_size((out->len - count_at - 4) / 4);
        memcpy(out->ptr + count_at, &n_ids, 4);
        at += 4 + (size_t)len;
    }
}

static void decode_all(const struct tokenizer *t, struct str in, bool skip_special, struct buf *out)
{
    size_t at = 0;

    while (at + 4 <= in.len) {
        uint32_t n_ids;
        uint32_t len;
        size_t len_at = out->len;
        int32_t *ids;

        memcpy(&n_ids, in.ptr + at, 4);
        CHECK(n_ids <= (in.len - at - 4) / 4);
        ids = malloc((size_t)n_ids * 4 + 1);
        CHECK(ids != NULL);
        memcpy(ids, in.ptr + at + 4, (size_t)n_ids * 4);
        buf_append(out, &n_ids, 4);
        CHECK(tokenizer_decode(t, ids, n_ids, skip_special, out) == OK);
        len = u32_from_size(out->len - len_at - 4);
        memcpy(out->ptr + len_at, &len, 4);
        free(ids);
        at += 4 + (size_t)n_ids * 4;
    }
}

struct options {
    const char *dir;
    bool special;
    bool decode;
    bool skip_special;
    uint64_t repeat;
};

static int convert_main(const struct options *o)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct buf in;
    struct buf out;
    double best = 0;

    buf_init(&in, INPUT_MAX);
    buf_init(&out, INPUT_MAX);
    if (tokenizer_load(o->dir, &t, &err) != OK) {
        return fail(err.text);
    }
    read_input(&in);
    for (uint64_t i = 0; i < o->repeat; i++) {
        double begin = cpu_seconds();
        double took;

        buf_reset(&out);
        if (o->decode) {
            decode_all(t, buf_str(&in), o->skip_special, &out);
        } else {
            encode_all(t, buf_str(&in), o->special, &out);
        }
        took = cpu_seconds() - begin;
        best = i == 0 || took < best ? took : best;
    }
    fprintf(stderr, "bytes=%zu seconds=%.6f\n", in.len, best);
    fwrite(out.ptr, 1, out.len, stdout);
    buf_done(&in);
    buf_done(&out);
    tokenizer_destroy(t);
    return 0;
}

static int write_file(const char *path, const struct buf *b)
{
    FILE *f = fopen(path, "wbe");

    if (f == NULL || buf_status(b) != OK || fwrite(b->ptr, 1, b->len, f) != b->len) {
        return fail("cannot write the file");
    }
    return fclose(f) == 0 ? 0 : fail("cannot write the file");
}

static int write_large_main(const char *dir)
{
    char path[4096];
    struct buf b;
    int rc;

    buf_init(&b, LARGE_MAX);
    large_vocab_json(LARGE_VOCAB_PAIRS, &b);
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    rc = write_file(path, &b);
    buf_done(&b);
    return rc;
}

static int write_prose_main(const char *bytes, const char *path)
{
    uint64_t n = 0;
    struct buf b;
    int rc;

    if (str_to_u64(str_from_c(bytes), &n) != OK || n > LARGE_MAX) {
        return fail("BYTES is not a number up to 64 Mi");
    }
    buf_init(&b, LARGE_MAX * 2);
    large_vocab_prose(1, (size_t)n, &b);
    rc = write_file(path, &b);
    buf_done(&b);
    return rc;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){.repeat = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--special") == 0) {
            o->special = true;
        } else if (strcmp(argv[i], "--decode") == 0) {
            o->decode = true;
        } else if (strcmp(argv[i], "--skip-special") == 0) {
            o->skip_special = true;
        } else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
            i++;
            if (str_to_u64(str_from_c(argv[i]), &o->repeat) != OK) {
                return false;
            }
        } else if (o->dir == NULL && argv[i][0] != '-') {
            o->dir = argv[i];
        } else {
            return false;
        }
    }
    return o->dir != NULL;
}

int main(int argc, char **argv)
{
    struct options o;

    if (argc == 3 && strcmp(argv[1], "--write-large") == 0) {
        return write_large_main(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "--write-prose") == 0) {
        return write_prose_main(argv[2], argv[3]);
    }
    if (!read_options(argc, argv, &o)) {
        return fail("see the comment at the top of tokenize_lines.c");
    }
    return convert_main(&o);
}
