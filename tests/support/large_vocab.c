/* large_vocab.c - see the header.  Uses the tables of text/bpe.h to keep tokens distinct. */
#include "support/large_vocab.h"
#include "base/check.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#define N_ADDED 223u
#define N_BASE (LARGE_VOCAB_TOKENS - N_ADDED)
#define N_HAN 9000u // single Chinese characters
#define HAN_FIRST 0x4E00u
#define TOKEN_MAX 12u
#define OVERLAPS_MAX 10u // tokens made from one token by overlapping

struct numbers {
    uint64_t state;
};

/* A multiplicative congruential step with a folded high half: enough for making words up. */
static uint32_t next_number(struct numbers *r, uint32_t below)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((r->state >> 33) % below);
}

/* Small indices much more often than large ones. */
static uint32_t next_skewed(struct numbers *r, uint32_t below)
{
    uint64_t a = next_number(r, below);

    a = a * next_number(r, below) / below;
    return (uint32_t)(a * next_number(r, below) / below);
}

/* ---- The byte-level alphabet ---- */

static bool is_visible(unsigned byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
}

/* Byte of the i-th token: visible ones first, as in published vocabularies. */
static unsigned byte_in_order(unsigned i)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            if (is_visible(byte) == (pass == 0) && i-- == 0) {
                return byte;
            }
        }
    }
    CHECK(false);
}

static uint32_t alphabet_of(unsigned byte)
{
    uint32_t hidden = 0;

    for (unsigned b = 0; b < byte; b++) {
        hidden += !is_visible(b);
    }
    return is_visible(byte) ? byte : 0x100 + hidden;
}

static void write_letters(struct buf *out, struct str token)
{
    for (size_t i = 0; i < token.len; i++) {
        unsigned char byte = (unsigned char)token.ptr[i];
        char letter[4];

        if (byte == '"' || byte == '\\') {
            buf_append_byte(out, '\\');
        }
        buf_append(out, letter, utf8_encode(alphabet_of(byte), letter));
    }
}

/* ---- The vocabulary ---- */

/* How a token was put together.  Chaining the tokens that begin with the same part lets the maker
 * find p+q and q+r, whose overlap p+q+r can be split in two ways, as most published tokens can. */
struct recipe {
    int32_t left; // -1: not put together
    int32_t right;
    int32_t next_same_left; // -1: end
    int32_t first_with_me;  // the latest token whose left part this is; -1: none
};

struct maker {
    struct bpe *bpe;
    struct recipe *recipes; // owned, [N_BASE]
    struct numbers random;
};

static void add(struct maker *m, struct str token, int32_t left, int32_t right)
{
    struct bpe *b = m->bpe;
    int32_t id = (int32_t)b->n_tokens;

    if (b->n_tokens == N_BASE || token.len > TOKEN_MAX ||
        bpe_find(b, token, bpe_hash(b, token)) >= 0) {
        return;
    }
    CHECK(bpe_add_token(b, token, true) == OK);
    m->recipes[id] = (struct recipe){left, right, -1, -1};
    if (left >= 0) {
        m->recipes[id].next_same_left = m->recipes[left].first_with_me;
        m->recipes[left].first_with_me = id;
    }
}

static void add_joined(struct maker *m, int32_t left, int32_t right)
{
    struct str a = bpe_token(m->bpe, left);
    struct str b = bpe_token(m->bpe, right);
    char joined[2 * TOKEN_MAX];

    memcpy(joined, a.ptr, a.len);
    memcpy(joined + a.len, b.ptr, b.len);
    add(m, (struct str){joined, a.len + b.len}, left, right);
}

/* p+q at `id`: join it with the r of every q+r. */
static void add_overlaps(struct maker *m, int32_t id)
{
    int32_t middle = m->recipes[id].right;
    int32_t other = middle < 0 ? -1 : m->recipes[middle].first_with_me;

    for (unsigned n = 0; n < OVERLAPS_MAX && other >= 0; n++) {
        add_joined(m, id, m->recipes[other].right);
        other = m->recipes[other].next_same_left;
    }
}

static bool is_word(struct str token)
{
    for (size_t i = token.ptr[0] == ' '; i < token.len; i++) {
        if (token.ptr[i] < 'a' || token.ptr[i] > 'z') {
            return false;
        }
    }
    return token.len > 0;
}

static bool is_han(struct str token)
{
    return token.len % 3 == 0 && utf8_valid(token) && (unsigned char)token.ptr[0] >= 0xE4;
}

static void add_characters(struct maker *m)
{
    char text[4];

    for (unsigned i = 0; i < 256; i++) {
        text[0] = (char)byte_in_order(i);
        add(m, (struct str){text, 1}, -1, -1);
    }
    for (int c = 'a'; c <= 'z'; c++) {
        text[0] = ' ';
        text[1] = (char)c;
        add(m, (struct str){text, 2}, -1, -1);
    }
    for (uint32_t i = 0; i < N_HAN; i++) {
        size_t len = utf8_encode(HAN_FIRST + i, text);

        add(m, (struct str){text, 2}, -1, -1);
        add(m, (struct str){text, len}, -1, -1);
    }
}

static void make_vocab(struct bpe *b)
{
    struct maker m = {.bpe = b, .random = {7}};
    int32_t seen = 0;

    CHECK(bpe_init(b, N_BASE, (size_t)N_BASE * TOKEN_MAX) == OK);
    m.recipes = calloc(N_BASE, sizeof(*m.recipes));
    CHECK(m.recipes != NULL);
    add_characters(&m);
    while (b->n_tokens < N_BASE) {
        int32_t left = (int32_t)next_skewed(&m.random, b->n_tokens);
        int32_t right = (int32_t)next_skewed(&m.random, b->n_tokens);
        struct str a = bpe_token(b, left);
        struct str z = bpe_token(b, right);

        if ((is_word(a) && is_word(z) && z.ptr[0] != ' ') || (is_han(a) && is_han(z))) {
            add_joined(&m, left, right);
        }
        for (; seen < (int32_t)b->n_tokens; seen++) {
            add_overlaps(&m, seen);
        }
    }
    free(m.recipes);
}

/* ---- Files ---- */

static void write_merge(struct str left, struct str right, enum large_vocab_merges form,
                        struct buf *out)
{
    bool pairs = form == LARGE_VOCAB_PAIRS;

    buf_append_c(out, pairs ? "[\n        \"" : "\"");
    write_letters(out, left);
    buf_append_c(out, pairs ? "\",\n        \"" : " ");
    write_letters(out, right);
    buf_append_c(out, pairs ? "\"\n      ]" : "\"");
}

static void write_merges(const struct bpe *b, enum large_vocab_merges form, struct buf *out)
{
    const char *between = "\n      ";

    for (int32_t id = 0; id < (int32_t)N_BASE; id++) {
        struct str token = bpe_token(b, id);

        for (size_t cut = 1; cut < token.len; cut++) {
            struct str left = str_slice(token, 0, cut);
            struct str right = str_slice(token, cut, token.len);

            if (bpe_find(b, left, bpe_hash(b, left)) >= 0 &&
                bpe_find(b, right, bpe_hash(b, right)) >= 0) {
                buf_append_c(out, between);
                between = ",\n      ";
                write_merge(left, right, form, out);
            }
        }
    }
}

static void write_added_names(struct buf *out, const char *before, const char *after_id)
{
    for (uint32_t i = 0; i < N_ADDED; i++) {
        buf_printf(out, "%s%s%u%s\"content\": \"<|extra_%u|>\", \"single_word\": false, ",
                   i == 0 ? "" : ",\n    ", before, N_BASE + i, after_id, i);
        buf_printf(out,
                   "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                   "\"special\": %s}",
                   i % 2 == 0 ? "true" : "false");
    }
}

static void write_regex(struct buf *out)
{
    for (const char *c = PRETOKENIZE_REGEX; *c != '\0'; c++) {
        if (*c == '\\') {
            buf_append_byte(out, '\\');
        }
        buf_append_byte(out, *c);
    }
}

void large_vocab_json(enum large_vocab_merges form, struct buf *out)
{
    struct bpe b;

    make_vocab(&b);
    buf_append_c(out, "{\n  \"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n"
                      "  \"added_tokens\": [\n    ");
    write_added_names(out, "{\"id\": ", ", ");
    buf_append_c(out, "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": "
                      "\"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
                      "{\"Regex\": \"");
    write_regex(out);
    buf_append_c(out,
                 "\"}, \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": "
                 "\"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
                 "\"use_regex\": false}]},\n  \"post_processor\": null,\n  \"decoder\": "
                 "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": "
                 "true, \"use_regex\": true},\n  \"model\": {\"type\": \"BPE\", "
                 "\"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "
                 "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
                 "\"ignore_merges\": true,\n    \"vocab\": {");
    for (int32_t id = 0; id < (int32_t)N_BASE; id++) {
        buf_append_c(out, id == 0 ? "\n      \"" : ",\n      \"");
        write_letters(out, bpe_token(&b, id));
        buf_printf(out, "\": %d", id);
    }
    buf_append_c(out, "\n    },\n    \"merges\": [");
    write_merges(&b, form, out);
    buf_append_c(out, "\n    ]\n  }\n}\n");
    bpe_done(&b);
}

static void write_base64(struct buf *out, struct str s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.len; i += 3) {
        uint32_t bits = 0;

        for (size_t k = 0; k < 3; k++) {
            bits = bits << 8 | (i + k < s.len ? (unsigned char)s.ptr[i + k] : 0u);
        }
        for (size_t k = 0; k < 4; k++) {
            buf_append_byte(out, i + k > s.len ? '=' : digits[bits >> (18 - 6 * k) & 63]);
        }
    }
}

void large_vocab_ranks(struct buf *ranks, struct buf *config)
{
    struct bpe b;

    make_vocab(&b);
    for (int32_t id = 0; id < (int32_t)N_BASE; id++) {
        write_base64(ranks, bpe_token(&b, id));
        buf_printf(ranks, " %d\n", id);
    }
    buf_append_c(config, "{\"added_tokens_decoder\": {\n    ");
    write_added_names(config, "\"", "\": {");
    buf_append_c(config, "}, \"tokenizer_class\": \"PreTrainedTokenizer\"}\n");
    bpe_done(&b);
}

void large_vocab_prose(uint64_t seed, size_t n_bytes, struct buf *out)
{
    static const char *const between[] = {"", "", "", ", ", ".\n", " 2024", "-", "\n\n", "?"};
    struct numbers r = {seed};
    size_t end = out->len + n_bytes;
    struct bpe b;

    make_vocab(&b);
    while (out->len < end && buf_status(out) == OK) {
        struct str word = bpe_token(&b, (int32_t)next_skewed(&r, N_BASE));

        if (utf8_valid(word) && (is_word(word) || is_han(word))) {
            buf_append_str(out, word);
            buf_append_c(out, between[next_number(&r, 9)]);
        }
    }
    bpe_done(&b);
}
