/* tokenizer.c - text to ids and back. */
#include "text/tokenizer.h"
#include "base/check.h"
#include "text/detokenizer.h"
#include "text/pretokenize.h"
#include "text/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

void tokenizer_destroy(struct tokenizer *t)
{
    if (t == NULL) {
        return;
    }
    bpe_done(&t->bpe);
    free(t->added);
    free(t->special);
    free(t);
}

static bool is_id(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->bpe.n_tokens;
}

struct str tokenizer_bytes(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) ? bpe_token(&t->bpe, id) : (struct str){NULL, 0};
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) && t->special[id] != 0;
}

int32_t tokenizer_id(const struct tokenizer *t, struct str text)
{
    const struct tokenizer_added *added;

    if (text.len == 0) {
        return -1;
    }
    added = tokenizer_added_at(t, text, 0);
    if (added != NULL && added->content.len == text.len) {
        return added->id;
    }
    return bpe_find(&t->bpe, text, bpe_hash(&t->bpe, text));
}

uint32_t tokenizer_count(const struct tokenizer *t)
{
    return t->bpe.n_tokens;
}

uint32_t tokenizer_token_bytes_max(const struct tokenizer *t)
{
    return t->bpe.token_bytes_max;
}

/* ---- Encode ---- */

/* Words that are not tokens come again and again in a text.  A slot remembers where in this call's
 * text such a piece was and where in this call's ids its answer begins; nothing is copied. */
#define CACHE_SLOTS 1024u
#define CACHE_TEXT_MIN 1024u // shorter texts do not repay clearing the slots

struct cache_slot {
    uint64_t hash;
    struct str piece; // ptr NULL: empty
    size_t ids_at;    // bytes
    size_t ids_len;
};

struct encoding {
    const struct tokenizer *tok;
    struct buf *ids;
    struct bpe_scratch scratch;
    struct cache_slot *cache; // owned, [CACHE_SLOTS] or NULL
};

static void append_id(struct buf *ids, int32_t id)
{
    buf_append(ids, &id, sizeof(id));
}

static bool answer_from_cache(struct encoding *e, struct str piece, uint64_t hash)
{
    struct cache_slot *slot = &e->cache[hash % CACHE_SLOTS];
    char *to;

    if (slot->piece.ptr == NULL || slot->hash != hash || !str_eq(slot->piece, piece)) {
        return false;
    }
    to = buf_reserve(e->ids, slot->ids_len);
    if (to != NULL) {
        memcpy(to, e->ids->ptr + slot->ids_at, slot->ids_len);
        buf_commit(e->ids, slot->ids_len);
    }
    return true;
}

static enum status encode_piece(struct encoding *e, struct str piece)
{
    const struct bpe *bpe = &e->tok->bpe;
    uint64_t hash = bpe_hash(bpe, piece);
    size_t ids_at = e->ids->len;
    enum status rc;

    if (e->tok->ignore_merges) {
        int32_t id = bpe_find(bpe, piece, hash);

        if (id >= 0) {
            append_id(e->ids, id);
            return OK;
        }
    }
    if (e->cache != NULL && answer_from_cache(e, piece, hash)) {
        return OK;
    }
    rc = bpe_encode(bpe, piece, &e->scratch, e->ids);
    if (rc == OK && e->cache != NULL && buf_status(e->ids) == OK) {
        e->cache[hash % CACHE_SLOTS] = (struct cache_slot){.hash = hash,
                                                           .piece = piece,
                                                           .ids_at = ids_at,
                                                           .ids_len = e->ids->len - ids_at};
    }
    return rc;
}

static enum status encode_plain(struct encoding *e, struct str text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t end = pretokenize_next(text, at);
        enum status rc = encode_piece(e, str_slice(text, at, end));

        if (rc == OK) {
            rc = buf_status(e->ids);
        }
        if (rc != OK) {
            return rc;
        }
        at = end;
    }
    return OK;
}

static enum status encode_with_added(struct encoding *e, struct str text)
{
    const struct tokenizer *t = e->tok;
    size_t plain_from = 0;
    size_t at = 0;
    enum status rc;

    while (at < text.len) {
        unsigned byte = (unsigned char)text.ptr[at];
        const struct tokenizer_added *added = NULL;

        if (t->added_first[byte] < t->added_first[byte + 1]) {
            added = tokenizer_added_at(t, text, at);
        }
        if (added == NULL) {
            at++;
            continue;
        }
        rc = encode_plain(e, str_slice(text, plain_from, at));
        if (rc != OK) {
            return rc;
        }
        append_id(e->ids, added->id);
        at += added->content.len;
        plain_from = at;
    }
    return encode_plain(e, str_slice(text, plain_from, text.len));
}

enum status tokenizer_encode(const struct tokenizer *t, struct str text,
                             const struct tokenizer_encode_options *o, struct buf *ids)
{
    struct encoding e = {.tok = t, .ids = ids};
    enum status rc;

    bpe_scratch_init(&e.scratch);
    if (text.len >= CACHE_TEXT_MIN) {
        e.cache = calloc(CACHE_SLOTS, sizeof(*e.cache)); // without it the answer is the same
    }
    if (o->add_special) {
        buf_append(ids, t->before, t->n_before * sizeof(t->before[0]));
    }
    rc = o->parse_special ? encode_with_added(&e, text) : encode_plain(&e, text);
    if (rc == OK && o->add_special) {
        buf_append(ids, t->behind, t->n_behind * sizeof(t->behind[0]));
    }
    if (rc == OK) {
        rc = buf_status(ids);
    }
    free(e.cache);
    bpe_scratch_done(&e.scratch);
    return rc;
}

/* ---- Decode ---- */

enum status tokenizer_decode(const struct tokenizer *t, const int32_t *ids, uint32_t n_ids,
                             bool skip_special, struct buf *out)
{
    struct detokenizer d;

    for (uint32_t i = 0; i < n_ids; i++) {
        if (!is_id(t, ids[i])) {
            return E_INVALID;
        }
    }
    detokenizer_init(&d, t, skip_special);
    for (uint32_t i = 0; i < n_ids; i++) {
        detokenizer_push(&d, ids[i], out);
    }
    detokenizer_finish(&d, out);
    return buf_status(out);
}
