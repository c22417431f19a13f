/* tokenizer_ranks.c - tokenizer.model of the chatglm layout: lines "base64(bytes) rank".
 *
 * The rank is the id, and the priority of a merge is the rank of its result.  So the merges are all
 * the ways to write a token as two tokens; written out here, encoding is the same as for
 * tokenizer.json.
 */
#include "base/check.h"
#include "text/tokenizer_internal.h"

#include <string.h>

#define ARENA_MAX ((size_t)1 << 30)
#define DIGITS_MAX 8

static const char file_name[] = TOKENIZER_RANKS_NAME;

/* ---- Base64 ---- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: padded, no blanks, no spare bits.  out[text.len].  Returns the length or SIZE_MAX. */
static size_t base64_decode(struct str text, char *out)
{
    size_t n_pad = 0;
    size_t n = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    if (text.len % 4 != 0) {
        return SIZE_MAX;
    }
    while (n_pad < 2 && n_pad < text.len && text.ptr[text.len - 1 - n_pad] == '=') {
        n_pad++;
    }
    for (size_t i = 0; i < text.len - n_pad; i++) {
        int value = base64_value(text.ptr[i]);

        if (value < 0) {
            return SIZE_MAX;
        }
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (char)(bits >> n_bits & 0xFF);
        }
    }
    return (bits & ((1u << n_bits) - 1)) == 0 ? n : SIZE_MAX;
}

/* ---- Lines ---- */

static struct str take_line(struct str *rest)
{
    size_t end = str_find_byte(*rest, '\n', 0);
    struct str line = str_slice(*rest, 0, end);

    *rest = end == SIZE_MAX ? (struct str){NULL, 0} : str_slice(*rest, end + 1, rest->len);
    if (str_ends(line, STR("\r"))) {
        line.len--;
    }
    return line;
}

static uint32_t count_lines(struct str text)
{
    size_t n = 0;

    while (text.len > 0) {
        n += take_line(&text).len > 0;
    }
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static enum status read_line(struct tokenizer_draft *d, struct str line, uint32_t line_no,
                             struct error *err)
{
    size_t blank = str_find_byte(line, ' ', 0);
    struct str text = str_slice(line, 0, blank);
    uint64_t rank = UINT64_MAX;
    char *bytes = arena_alloc(d->arena, text.len);
    size_t n;

    if (bytes == NULL) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory for the tokens.", file_name);
    }
    n = base64_decode(text, bytes);
    if (blank == SIZE_MAX || n == SIZE_MAX || n == 0 || n > TOKENIZER_TOKEN_BYTES_MAX ||
        str_to_u64(str_slice(line, blank + 1, line.len), &rank) != OK) {
        return error_set(err, E_INVALID,
                         "%s: line %u is not \"base64 rank\" with 1 to %u bytes. A SentencePiece "
                         "model, for one, is another format and not supported.",
                         file_name, line_no, TOKENIZER_TOKEN_BYTES_MAX);
    }
    if (rank >= d->n_entries || d->entries[rank].in_vocab) {
        return error_set(err, E_INVALID, "%s: line %u: rank %llu is %s.", file_name, line_no,
                         (unsigned long long)rank,
                         rank < d->n_entries ? "there twice" : "more than there are tokens");
    }
    d->entries[rank] = (struct tokenizer_entry){.bytes = {bytes, n}, .in_vocab = true};
    return OK;
}

static enum status read_lines(struct tokenizer_draft *d, struct str ranks, struct error *err)
{
    uint32_t line_no = 0;
    enum status rc = OK;

    while (ranks.len > 0 && rc == OK) {
        struct str line = take_line(&ranks);

        line_no++;
        if (line.len > 0) {
            rc = read_line(d, line, line_no, err);
        }
    }
    return rc;
}

/* ---- Added tokens ---- */

static enum status read_added(struct tokenizer_draft *d, const struct json_value *decoder,
                              struct error *err)
{
    enum status rc = OK;

    for (uint32_t i = 0; i < decoder->n_items && rc == OK; i++) {
        uint64_t id = 0;

        if (str_to_u64(decoder->members[i].key, &id) != OK || id > INT32_MAX) {
            return error_set(err, E_INVALID,
                             "%s: added_tokens_decoder has the key \"%.*s\"; keys are ids.",
                             d->file_name, STR_ARG(tokenizer_shown(decoder->members[i].key, 40)));
        }
        rc = tokenizer_draft_added(d, (int64_t)id, &decoder->members[i].value, err);
    }
    return rc;
}

/* ---- Merges ---- */

static int32_t find_part(const struct bpe *b, struct str token, size_t begin, size_t end)
{
    struct str part = str_slice(token, begin, end);

    return bpe_find(b, part, bpe_hash(b, part));
}

/* Call bpe_add_merge for every way to split token `id`, or only count the ways. */
static uint32_t split_token(struct bpe *b, int32_t id, bool count_only)
{
    struct str token = bpe_token(b, id);
    uint32_t n = 0;

    if (find_part(b, token, 0, token.len) != id) {
        return 0; // an added token
    }
    for (size_t cut = 1; cut < token.len; cut++) {
        int32_t left = find_part(b, token, 0, cut);
        int32_t right = left < 0 ? -1 : find_part(b, token, cut, token.len);

        if (right >= 0) {
            n++;
            if (!count_only) {
                // Cannot fail: the pair's bytes are this token's, and tokens differ.
                CHECK(bpe_add_merge(b, left, right, (uint32_t)id, id) == OK);
            }
        }
    }
    return n;
}

static enum status add_merges(struct bpe *b, struct error *err)
{
    int32_t n_tokens = i32_from_u32(b->n_tokens);
    uint64_t n_merges = 0;

    for (int32_t id = 0; id < n_tokens; id++) {
        n_merges += split_token(b, id, true);
    }
    if (n_merges > TOKENIZER_MERGES_MAX) {
        return error_set(err, E_LIMIT, "%s: %llu merges are more than the limit of %u.", file_name,
                         (unsigned long long)n_merges, TOKENIZER_MERGES_MAX);
    }
    if (bpe_reserve_merges(b, (uint32_t)n_merges) != OK) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory for the merges.", file_name);
    }
    for (int32_t id = 0; id < n_tokens; id++) {
        split_token(b, id, false);
    }
    return OK;
}

/* ---- Both files ---- */

/* GLM-4-9B's own code puts [gMASK]<sop> in front of every text; its class is how one knows. */
static enum status add_prefix(struct tokenizer *t, const struct json_value *config,
                              struct error *err)
{
    struct str class = json_string_or(json_get(config, STR("tokenizer_class")), STR(""));
    enum status rc;

    if (!str_starts(class, STR("ChatGLM"))) {
        return OK;
    }
    rc = tokenizer_surround(t, STR("[gMASK]"), false, TOKENIZER_CONFIG_NAME, err);
    if (rc != OK) {
        return rc;
    }
    return tokenizer_surround(t, STR("<sop>"), false, TOKENIZER_CONFIG_NAME, err);
}

static enum status build_from_ranks(struct tokenizer_draft *d, struct str ranks,
                                    const struct json_value *config, struct tokenizer **ret_tok,
                                    struct error *err)
{
    const struct json_value *decoder = json_get(config, STR("added_tokens_decoder"));
    uint64_t n_entries = count_lines(ranks);
    struct tokenizer *t = NULL;
    enum status rc;

    if (decoder == NULL || decoder->kind != JSON_OBJECT) {
        return error_set(err, E_INVALID,
                         "%s: needs an object added_tokens_decoder; %s alone does not name the "
                         "special tokens.",
                         TOKENIZER_CONFIG_NAME, file_name);
    }
    n_entries += decoder->n_items;
    if (n_entries > TOKENIZER_TOKENS_MAX) {
        return error_set(err, E_LIMIT, "%s: %llu tokens are more than the limit of %u.", file_name,
                         (unsigned long long)n_entries, TOKENIZER_TOKENS_MAX);
    }
    d->n_entries = (uint32_t)n_entries;
    d->entries = arena_zalloc(d->arena, d->n_entries, sizeof(*d->entries));
    if (d->entries == NULL) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory for the tokens.", file_name);
    }
    rc = read_lines(d, ranks, err);
    if (rc == OK) {
        d->file_name = TOKENIZER_CONFIG_NAME; // for messages about added tokens
        rc = read_added(d, decoder, err);
        d->file_name = file_name;
    }
    if (rc == OK) {
        rc = tokenizer_build(d, &t, err);
    }
    if (rc == OK) {
        t->ignore_merges = true;
        rc = add_merges(&t->bpe, err);
    }
    if (rc == OK) {
        rc = add_prefix(t, config, err);
    }
    if (rc == OK) {
        *ret_tok = t;
        t = NULL;
    }
    tokenizer_destroy(t);
    return rc;
}

enum status tokenizer_parse_ranks(struct str ranks, struct str config, struct tokenizer **ret_tok,
                                  struct error *err)
{
    struct tokenizer_draft d = {.file_name = file_name, .arena = arena_create(ARENA_MAX)};
    const struct json_value *root;
    enum status rc;

    if (d.arena == NULL) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory.", file_name);
    }
    rc = json_parse(d.arena, config, NULL, &root, err);
    if (rc != OK) {
        rc = error_prefix(err, rc, "%s", TOKENIZER_CONFIG_NAME);
        goto out;
    }
    rc = build_from_ranks(&d, ranks, root, ret_tok, err);
out:
    arena_destroy(d.arena);
    return rc;
}
