#include "text/bpe.h"
#include "base/rng.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX ((size_t)64 << 20)

/* A vocabulary of all bytes and of random joins over a small alphabet, with every split of a token
 * as a merge whose rank is the token's id. */
static void make_bpe(struct bpe *b, uint64_t seed, uint32_t n_tokens, unsigned alphabet)
{
    unsigned missing;

    EXPECT_OK(bpe_init(b, n_tokens, (size_t)n_tokens * 64));
    for (unsigned i = 0; i < 256; i++) {
        char byte = (char)i;

        EXPECT_OK(bpe_add_token(b, (struct str){&byte, 1}, true));
    }
    for (unsigned i = 0; i < alphabet * alphabet; i++) {
        char pair[2] = {(char)('a' + i / alphabet), (char)('a' + i % alphabet)};

        EXPECT_OK(bpe_add_token(b, (struct str){pair, 2}, true));
    }
    for (uint64_t k = 0; b->n_tokens < n_tokens && k < 1000000; k++) {
        char joined[64];
        size_t n = 0;

        for (unsigned part = 0; part < 2; part++) {
            uint32_t pool = alphabet + b->n_tokens - 256;
            uint32_t pick = (uint32_t)(rng_uniform(seed, part, k) * pool);
            struct str s =
                bpe_token(b, (int32_t)(pick < alphabet ? 'a' + pick : 256 + pick - alphabet));

            memcpy(joined + n, s.ptr, s.len > 30 ? 30 : s.len);
            n += s.len > 30 ? 30 : s.len;
        }
        (void)!bpe_add_token(b, (struct str){joined, n},
                             true); // a repetition: the next k tries again
    }
    EXPECT_EQ_U32(b->n_tokens, n_tokens);
    EXPECT_OK(bpe_seal(b, &missing));
    EXPECT_OK(bpe_reserve_merges(b, n_tokens * 64));
    for (int32_t id = 256; id < (int32_t)n_tokens; id++) {
        struct str token = bpe_token(b, id);

        for (size_t cut = 1; cut < token.len; cut++) {
            struct str l = str_slice(token, 0, cut);
            struct str r = str_slice(token, cut, token.len);
            int32_t left = bpe_find(b, l, bpe_hash(b, l));
            int32_t right = bpe_find(b, r, bpe_hash(b, r));

            if (left >= 0 && right >= 0) {
                EXPECT_OK(bpe_add_merge(b, left, right, (uint32_t)id, id));
            }
        }
    }
}

/* The definition, by bytes: join the neighbours whose joined bytes have the lowest id, leftmost
 * first. */
static size_t encode_naively(const struct bpe *b, struct str piece, int32_t *ids)
{
    size_t ends[1024];
    size_t n = piece.len;

    for (size_t i = 0; i < n; i++) {
        ends[i] = i + 1;
    }
    for (;;) {
        int32_t best = INT32_MAX;
        size_t best_at = 0;

        for (size_t i = 0; i + 1 < n; i++) {
            struct str joined = str_slice(piece, i == 0 ? 0 : ends[i - 1], ends[i + 1]);
            int32_t id = bpe_find(b, joined, bpe_hash(b, joined));

            if (id >= 0 && id < best) {
                best = id;
                best_at = i;
            }
        }
        if (best == INT32_MAX) {
            break;
        }
        memmove(ends + best_at, ends + best_at + 1, (n - best_at - 1) * sizeof(ends[0]));
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        struct str s = str_slice(piece, i == 0 ? 0 : ends[i - 1], ends[i]);

        ids[i] = bpe_find(b, s, bpe_hash(b, s));
    }
    return n;
}

static void compare(const struct bpe *b, struct bpe_scratch *s, struct str piece)
{
    int32_t want[1024];
    size_t n = encode_naively(b, piece, want);
    struct buf ids;

    buf_init(&ids, IDS_MAX);
    EXPECT_OK(bpe_encode(b, piece, s, &ids));
    EXPECT_EQ_SIZE(ids.len, n * sizeof(int32_t));
    EXPECT_TRUE(memcmp(ids.ptr, want, ids.len) == 0);
    buf_done(&ids);
}

TEST(agrees_with_the_definition_at_every_length)
{
    struct bpe b;
    struct bpe_scratch s;
    char text[320];

    bpe_scratch_init(&s);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        make_bpe(&b, seed, 256 + 80 * (uint32_t)seed, 2 + (unsigned)seed % 3);
        for (size_t len = 1; len <= sizeof(text); len++) {
            for (size_t i = 0; i < len; i++) {
                text[i] =
                    (char)('a' + (int)(rng_uniform(seed, 100 + len, i) * (double)(2 + seed % 3)));
            }
            compare(&b, &s, (struct str){text, len});
        }
        bpe_done(&b);
    }
    bpe_scratch_done(&s);
}

static uint64_t steps_for(const struct bpe *b, char *text, size_t n, uint64_t seed)
{
    struct bpe_scratch s;
    struct buf ids;
    uint64_t n_steps;

    for (size_t i = 0; i < n; i++) {
        text[i] = (char)('a' + (seed == 0 ? 0 : (int)(rng_uniform(seed, 0, i) * 2)));
    }
    bpe_scratch_init(&s);
    buf_init(&ids, IDS_MAX);
    EXPECT_OK(bpe_encode(b, (struct str){text, n}, &s, &ids));
    n_steps = s.n_steps;
    bpe_scratch_done(&s);
    buf_done(&ids);
    return n_steps;
}

/* n log n: 2^20 bytes may take at most 2.2 times the steps of 2^19, and 25 steps a byte. */
TEST(a_million_letters_take_n_log_n_steps)
{
    size_t n = (size_t)1 << 20;
    char *text = malloc(n);
    struct bpe b;

    EXPECT_TRUE(text != NULL);
    make_bpe(&b, 3, 600, 2);
    for (uint64_t seed = 0; seed < 2; seed++) {
        uint64_t half = steps_for(&b, text, n / 2, seed);
        uint64_t whole = steps_for(&b, text, n, seed);

        printf("# %zu bytes: %" PRIu64 " steps, half of them: %" PRIu64 "\n", n, whole, half);
        EXPECT_TRUE(half > n / 8); // the text does merge
        EXPECT_TRUE(whole * 10 <= half * 22);
        EXPECT_TRUE(whole <= n * 25);
    }
    bpe_done(&b);
    free(text);
}

TEST(tables_refuse_repetitions_and_gaps)
{
    struct bpe b;
    unsigned byte = 0;

    EXPECT_OK(bpe_init(&b, 260, 1024));
    for (unsigned i = 0; i < 255; i++) {
        char c = (char)i;

        EXPECT_OK(bpe_add_token(&b, (struct str){&c, 1}, true));
    }
    EXPECT_STATUS(bpe_add_token(&b, STR("a"), true), E_INVALID);
    EXPECT_STATUS(bpe_add_token(&b, STR(""), true), E_INVALID);
    EXPECT_OK(
        bpe_add_token(&b, STR("a"), false)); // an added token: bytes, but not in the vocabulary
    EXPECT_EQ_INT(bpe_find(&b, STR("a"), bpe_hash(&b, STR("a"))), 'a');
    EXPECT_EQ_STR(bpe_token(&b, 255), STR("a"));
    EXPECT_STATUS(bpe_seal(&b, &byte), E_INVALID);
    EXPECT_EQ_U32(byte, 255);
    EXPECT_OK(bpe_add_token(&b, STR("ab"), true));
    EXPECT_OK(bpe_reserve_merges(&b, 4));
    EXPECT_OK(bpe_add_merge(&b, 'a', 'b', 0, 256));
    EXPECT_STATUS(bpe_add_merge(&b, 'a', 'b', 1, 256), E_INVALID);
    bpe_done(&b);
}
