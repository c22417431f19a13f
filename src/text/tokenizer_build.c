/* tokenizer_build.c - from ids and bytes to tables; the added tokens and how they are found. */
#include "base/check.h"
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

static enum status no_memory(struct error *err)
{
    return error_set(err, E_NO_MEMORY, "Not enough memory for the tokenizer.");
}

struct str tokenizer_shown(struct str s, size_t n_max)
{
    struct str cut = str_slice(s, 0, n_max);

    return str_slice(cut, 0, utf8_valid_prefix(cut));
}

/* ---- Added tokens ---- */

static enum status check_plain_flags(struct tokenizer_draft *d, const struct json_value *token,
                                     struct str content, struct error *err)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};

    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (json_bool_or(json_get(token, str_from_c(flags[i])), false)) {
            return error_set(
                err, E_UNSUPPORTED,
                "%s: the added token \"%.*s\" has %s: true; only added tokens that are "
                "matched exactly as written are supported.",
                d->file_name, STR_ARG(tokenizer_shown(content, 80)), flags[i]);
        }
    }
    return OK;
}

enum status tokenizer_draft_added(struct tokenizer_draft *d, int64_t id,
                                  const struct json_value *token, struct error *err)
{
    struct str content = json_string_or(json_get(token, STR("content")), STR(""));
    struct tokenizer_entry *e;
    enum status rc;

    if (content.len == 0 || content.len > TOKENIZER_TOKEN_BYTES_MAX) {
        return error_set(err, E_INVALID,
                         "%s: the added token with id %lld needs a \"content\" of 1 to %u bytes.",
                         d->file_name, (long long)id, TOKENIZER_TOKEN_BYTES_MAX);
    }
    rc = check_plain_flags(d, token, content, err);
    if (rc != OK) {
        return rc;
    }
    if (id < 0 || id >= (int64_t)d->n_entries) {
        return error_set(
            err, E_INVALID,
            "%s: the added token \"%.*s\" has id %lld, but the file has only %u tokens; "
            "ids must run from 0 without gaps.",
            d->file_name, STR_ARG(tokenizer_shown(content, 80)), (long long)id, d->n_entries);
    }
    e = &d->entries[id];
    if (e->added || (e->in_vocab && !str_eq(e->bytes, content))) {
        return error_set(err, E_INVALID, "%s: two tokens claim id %lld (\"%.*s\" is one of them).",
                         d->file_name, (long long)id, STR_ARG(tokenizer_shown(content, 80)));
    }
    e->bytes = content;
    e->added = true;
    e->special = json_bool_or(json_get(token, STR("special")), false);
    return OK;
}

static int compare_added(const void *a, const void *b)
{
    const struct tokenizer_added *left = a;
    const struct tokenizer_added *right = b;

    return str_cmp(left->content, right->content);
}

static enum status index_added(struct tokenizer *t, const struct tokenizer_draft *d,
                               struct error *err)
{
    uint32_t n = 0;
    unsigned byte = 0;

    for (uint32_t i = 0; i < d->n_entries; i++) {
        if (d->entries[i].added) {
            int32_t id = i32_from_u32(i);

            t->added[n++] = (struct tokenizer_added){.content = bpe_token(&t->bpe, id),
                                                     .id = id,
                                                     .special = d->entries[i].special};
            t->special[i] = d->entries[i].special;
        }
    }
    t->n_added = n;
    if (n > 1) {
        qsort(t->added, n, sizeof(*t->added), compare_added);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct str content = t->added[i].content;
        int32_t twin = bpe_find(&t->bpe, content, bpe_hash(&t->bpe, content));

        if ((i > 0 && str_eq(content, t->added[i - 1].content)) ||
            (twin >= 0 && twin != t->added[i].id)) {
            return error_set(err, E_INVALID, "%s: the token \"%.*s\" has two ids.", d->file_name,
                             STR_ARG(tokenizer_shown(content, 80)));
        }
        for (; byte <= (unsigned char)content.ptr[0]; byte++) {
            t->added_first[byte] = i;
        }
    }
    for (; byte <= 256; byte++) {
        t->added_first[byte] = n;
    }
    return OK;
}

/* The first of added[lo..hi) whose byte at `depth` is at least `byte`.
 * All of them agree before `depth` and are longer than it. */
static uint32_t bound(const struct tokenizer_added *added, uint32_t lo, uint32_t hi, size_t depth,
                      unsigned byte)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if ((unsigned char)added[mid].content.ptr[depth] < byte) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

const struct tokenizer_added *tokenizer_added_at(const struct tokenizer *t, struct str text,
                                                 size_t at)
{
    const struct tokenizer_added *longest = NULL;
    unsigned byte = (unsigned char)text.ptr[at];
    uint32_t lo = t->added_first[byte];
    uint32_t hi = t->added_first[byte + 1];

    // Sorted, so the candidates that agree with the text are always one range; it narrows per byte.
    for (size_t depth = 1; lo < hi; depth++) {
        if (t->added[lo].content.len == depth) {
            longest = &t->added[lo];
            lo++;
        }
        if (at + depth >= text.len) {
            break;
        }
        byte = (unsigned char)text.ptr[at + depth];
        lo = bound(t->added, lo, hi, depth, byte);
        hi = bound(t->added, lo, hi, depth, byte + 1);
    }
    return longest;
}

enum status tokenizer_surround(struct tokenizer *t, struct str name, bool behind,
                               const char *file_name, struct error *err)
{
    int32_t id = tokenizer_id(t, name);
    uint32_t *n = behind ? &t->n_behind : &t->n_before;
    int32_t *ids = behind ? t->behind : t->before;

    if (id < 0) {
        return error_set(err, E_INVALID,
                         "%s: the post-processor names \"%.*s\", which is no token.", file_name,
                         STR_ARG(tokenizer_shown(name, 80)));
    }
    if (*n == TOKENIZER_AROUND_MAX) {
        return error_set(err, E_LIMIT,
                         "%s: the post-processor adds more than %u tokens on one side.", file_name,
                         TOKENIZER_AROUND_MAX);
    }
    ids[*n] = id;
    (*n)++;
    return OK;
}

/* ---- Tables ---- */

/* How many ids have a token: all of them must be below that number. */
static uint32_t count_tokens(const struct tokenizer_draft *d)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < d->n_entries; i++) {
        n += d->entries[i].in_vocab || d->entries[i].added;
    }
    return n;
}

static enum status check_gaps(const struct tokenizer_draft *d, uint32_t n_tokens, struct error *err)
{
    for (uint32_t i = 0; i < n_tokens; i++) {
        if (!d->entries[i].in_vocab && !d->entries[i].added) {
            return error_set(
                err, E_INVALID,
                "%s: no token has id %u, although there are %u tokens; ids must run from "
                "0 without gaps.",
                d->file_name, i, n_tokens);
        }
    }
    return OK;
}

static size_t count_bytes(const struct tokenizer_draft *d)
{
    size_t n_bytes = 0;

    for (uint32_t i = 0; i < d->n_entries; i++) {
        n_bytes += d->entries[i].bytes.len;
    }
    return n_bytes;
}

static enum status add_tokens(struct tokenizer *t, const struct tokenizer_draft *d,
                              struct error *err)
{
    unsigned byte = 0;

    for (uint32_t i = 0; i < d->n_entries; i++) {
        if (bpe_add_token(&t->bpe, d->entries[i].bytes, d->entries[i].in_vocab) != OK) {
            return error_set(err, E_INVALID, "%s: the token with id %u is empty or a repetition.",
                             d->file_name, i);
        }
    }
    if (bpe_seal(&t->bpe, &byte) != OK) {
        return error_set(err, E_INVALID,
                         "%s: the vocabulary has no token for the single byte 0x%02X; a byte-level "
                         "vocabulary has all 256.",
                         d->file_name, byte);
    }
    return OK;
}

enum status tokenizer_build(struct tokenizer_draft *d, struct tokenizer **ret_tok,
                            struct error *err)
{
    struct tokenizer *t = NULL;
    uint32_t n_tokens = count_tokens(d);
    enum status rc = check_gaps(d, n_tokens, err);

    if (rc != OK) {
        return rc;
    }
    d->n_entries = n_tokens;
    t = calloc(1, sizeof(*t));
    if (t == NULL || bpe_init(&t->bpe, n_tokens, count_bytes(d)) != OK) {
        rc = no_memory(err);
        goto out;
    }
    rc = add_tokens(t, d, err);
    if (rc != OK) {
        goto out;
    }
    t->added = calloc((size_t)n_tokens + 1, sizeof(*t->added));
    t->special = calloc((size_t)n_tokens + 1, sizeof(*t->special));
    if (t->added == NULL || t->special == NULL) {
        rc = no_memory(err);
        goto out;
    }
    rc = index_added(t, d, err);
    if (rc != OK) {
        goto out;
    }
    *ret_tok = t;
    t = NULL;
out:
    tokenizer_destroy(t);
    return rc;
}
