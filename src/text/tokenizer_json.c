/* tokenizer_json.c - tokenizer.json: check that it is the algorithm we have, then fill the tables.
 *
 * What differs from GLM's byte-level BPE is refused by name; nothing is approximated.  "truncation"
 * and "padding" are ignored: they are habits of a training script, and servers do neither.
 */
#include "base/check.h"
#include "base/utf8.h"
#include "text/pretokenize.h"
#include "text/tokenizer_internal.h"

#include <string.h>

#define JSON_ARENA_MAX ((size_t)1 << 30)
#define JSON_VALUES_MAX 2000000u // a file with 318,088 merges as pairs has 1.1 million

static const char file_name[] = TOKENIZER_JSON_NAME;

/* ---- Byte-level alphabet ---- */

/* Every byte is written as one visible character: printable Latin-1 as itself, the others counted
 * up from U+0100 in their order.  Returns 256 for a character outside the alphabet. */
static unsigned byte_of_character(uint32_t cp)
{
    if ((cp >= '!' && cp <= '~') || (cp >= 0xA1 && cp <= 0xAC) || (cp >= 0xAE && cp <= 0xFF)) {
        return cp;
    }
    if (cp >= 0x100 && cp <= 0x120) { // 0x00..0x20
        return cp - 0x100;
    }
    if (cp >= 0x121 && cp <= 0x142) { // 0x7F..0xA0
        return cp - 0x121 + 0x7F;
    }
    return cp == 0x143 ? 0xAD : 256;
}

/* Write the bytes that `text` stands for to out[text.len].  Returns their number, or SIZE_MAX. */
static size_t decode_alphabet(struct str text, char *out)
{
    size_t n = 0;
    size_t at = 0;

    while (at < text.len) {
        uint32_t cp = (unsigned char)text.ptr[at];
        unsigned len = cp < 0x80 ? 1 : utf8_decode(text, at, &cp);
        unsigned byte = len == 0 ? 256 : byte_of_character(cp);

        if (byte > 255) {
            return SIZE_MAX;
        }
        out[n++] = (char)byte;
        at += len;
    }
    return n;
}

/* ---- Is it our algorithm? ---- */

static bool is_null(const struct json_value *v)
{
    return v == NULL || v->kind == JSON_NULL;
}

static bool has_string(const struct json_value *object, const char *key, const char *want)
{
    return str_eq(json_string_or(json_get(object, str_from_c(key)), STR("")), str_from_c(want));
}

static bool is_bool(const struct json_value *object, const char *key, bool want, bool fallback)
{
    return json_bool_or(json_get(object, str_from_c(key)), fallback) == want;
}

static enum status refuse(struct error *err, const char *what, const struct json_value *found,
                          const char *supported)
{
    struct str source = found == NULL ? STR("missing") : str_slice(found->source, 0, 300);

    return error_set(err, E_UNSUPPORTED, "%s: %s is %.*s; supported is %s.", file_name, what,
                     STR_ARG(source), supported);
}

static bool is_glm_split(const struct json_value *v)
{
    const struct json_value *pattern = json_get(v, STR("pattern"));

    return has_string(v, "type", "Split") && has_string(v, "behavior", "Isolated") &&
           is_bool(v, "invert", false, false) && has_string(pattern, "Regex", PRETOKENIZE_REGEX);
}

static bool is_plain_byte_level(const struct json_value *v)
{
    return has_string(v, "type", "ByteLevel") && is_bool(v, "add_prefix_space", false, true) &&
           is_bool(v, "use_regex", false, true);
}

static enum status check_pre_tokenizer(const struct json_value *v, struct error *err)
{
    const struct json_value *list = json_get(v, STR("pretokenizers"));

    if (!has_string(v, "type", "Sequence") || list == NULL || list->kind != JSON_ARRAY ||
        list->n_items != 2 || !is_glm_split(&list->items[0]) ||
        !is_plain_byte_level(&list->items[1])) {
        return refuse(err, "pre_tokenizer", v,
                      "GLM's: a Sequence of Split (Isolated, GLM's regex) and ByteLevel "
                      "(add_prefix_space and use_regex false)");
    }
    return OK;
}

/* The options of model that must be absent, null or empty. */
static enum status check_model(const struct json_value *model, struct error *err)
{
    static const char *const absent[] = {"unk_token", "continuing_subword_prefix",
                                         "end_of_word_suffix"};
    const struct json_value *dropout = json_get(model, STR("dropout"));

    if (!has_string(model, "type", "BPE")) {
        return refuse(err, "model.type", json_get(model, STR("type")), "\"BPE\"");
    }
    for (size_t i = 0; i < ARRAY_COUNT(absent); i++) {
        const struct json_value *v = json_get(model, str_from_c(absent[i]));

        if (!is_null(v) && !(v->kind == JSON_STRING && v->string.len == 0)) {
            return refuse(err, absent[i], v, "null");
        }
    }
    if (!is_null(dropout) && json_double_or(dropout, 1) > 0) {
        return refuse(err, "dropout", dropout, "null");
    }
    if (!is_bool(model, "byte_fallback", false, false)) {
        return refuse(err, "byte_fallback", json_get(model, STR("byte_fallback")), "false");
    }
    return OK;
}

static enum status check_algorithm(const struct json_value *root, struct error *err)
{
    const struct json_value *normalizer = json_get(root, STR("normalizer"));
    const struct json_value *decoder = json_get(root, STR("decoder"));
    enum status rc;

    if (root->kind != JSON_OBJECT) {
        return error_set(err, E_INVALID, "%s: the file must hold a JSON object, not %s.", file_name,
                         json_kind_name(root->kind));
    }
    if (!has_string(root, "version", "1.0")) {
        return refuse(err, "version", json_get(root, STR("version")), "\"1.0\"");
    }
    if (!is_null(normalizer)) {
        return refuse(err, "normalizer", normalizer, "null");
    }
    rc = check_pre_tokenizer(json_get(root, STR("pre_tokenizer")), err);
    if (rc != OK) {
        return rc;
    }
    if (!has_string(decoder, "type", "ByteLevel")) {
        return refuse(err, "decoder", decoder, "ByteLevel");
    }
    return check_model(json_get(root, STR("model")), err);
}

/* ---- Tokens ---- */

static enum status read_vocab_token(struct tokenizer_draft *d, const struct json_member *m,
                                    struct error *err)
{
    int64_t id = json_int_or(&m->value, -1);
    struct tokenizer_entry *e;
    char *bytes;
    size_t n;

    if (id < 0 || id >= (int64_t)d->n_entries) {
        return error_set(
            err, E_INVALID,
            "%s: the token \"%.*s\" has id %.*s; with %u tokens in the file ids must be "
            "integers from 0 to %u.",
            file_name, STR_ARG(str_slice(m->key, 0, 80)),
            STR_ARG(str_slice(m->value.source, 0, 40)), d->n_entries, d->n_entries - 1);
    }
    e = &d->entries[id];
    if (e->in_vocab) {
        return error_set(err, E_INVALID, "%s: two tokens claim id %lld (\"%.*s\" is one of them).",
                         file_name, (long long)id, STR_ARG(str_slice(m->key, 0, 80)));
    }
    bytes = arena_alloc(d->arena, m->key.len);
    if (bytes == NULL) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory for the tokens.", file_name);
    }
    n = decode_alphabet(m->key, bytes);
    if (n == SIZE_MAX || n == 0 || n > TOKENIZER_TOKEN_BYTES_MAX) {
        return error_set(err, E_INVALID,
                         "%s: the token \"%.*s\" (id %lld) is not 1 to %u characters of the "
                         "byte-level alphabet.",
                         file_name, STR_ARG(str_slice(m->key, 0, 80)), (long long)id,
                         TOKENIZER_TOKEN_BYTES_MAX);
    }
    *e = (struct tokenizer_entry){.bytes = {bytes, n}, .in_vocab = true};
    return OK;
}

static enum status read_tokens(struct tokenizer_draft *d, const struct json_value *vocab,
                               const struct json_value *added, struct error *err)
{
    enum status rc = OK;

    if (vocab == NULL || vocab->kind != JSON_OBJECT || vocab->n_items == 0) {
        return error_set(err, E_INVALID, "%s: model.vocab must be an object with tokens in it.",
                         file_name);
    }
    if (!is_null(added) && added->kind != JSON_ARRAY) {
        return error_set(err, E_INVALID, "%s: added_tokens must be an array.", file_name);
    }
    d->n_entries = vocab->n_items + (is_null(added) ? 0 : added->n_items);
    if (d->n_entries > TOKENIZER_TOKENS_MAX) {
        return error_set(err, E_LIMIT, "%s: %u tokens are more than the limit of %u.", file_name,
                         d->n_entries, TOKENIZER_TOKENS_MAX);
    }
    d->entries = arena_zalloc(d->arena, d->n_entries, sizeof(*d->entries));
    if (d->entries == NULL) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory for the tokens.", file_name);
    }
    for (uint32_t i = 0; i < vocab->n_items && rc == OK; i++) {
        rc = read_vocab_token(d, &vocab->members[i], err);
    }
    for (uint32_t i = 0; !is_null(added) && i < added->n_items && rc == OK; i++) {
        const struct json_value *token = &added->items[i];

        rc = tokenizer_draft_added(d, json_int_or(json_get(token, STR("id")), -1), token, err);
    }
    return rc;
}

/* ---- Merges ---- */

/* A merge as ["a", "b"] or as "a b"; the alphabet has no blank, so one blank is unambiguous. */
static bool split_merge(const struct json_value *v, struct str *ret_left, struct str *ret_right)
{
    size_t blank;

    if (v->kind == JSON_ARRAY && v->n_items == 2 && v->items[0].kind == JSON_STRING &&
        v->items[1].kind == JSON_STRING) {
        *ret_left = v->items[0].string;
        *ret_right = v->items[1].string;
        return true;
    }
    if (v->kind != JSON_STRING) {
        return false;
    }
    blank = str_find_byte(v->string, ' ', 0);
    if (blank == SIZE_MAX) {
        return false;
    }
    *ret_left = str_slice(v->string, 0, blank);
    *ret_right = str_slice(v->string, blank + 1, v->string.len);
    return true;
}

static int32_t find_bytes(const struct bpe *b, const char *bytes, size_t n)
{
    struct str s = {bytes, n};

    return bpe_find(b, s, bpe_hash(b, s));
}

static enum status add_merge(struct tokenizer *t, const struct json_value *v, uint32_t rank,
                             struct error *err)
{
    char bytes[2 * TOKENIZER_TOKEN_BYTES_MAX];
    struct str left;
    struct str right;
    size_t n_left;
    size_t n_right;
    int32_t ids[3];
    struct str shown = str_slice(v->source, 0, 120);

    if (!split_merge(v, &left, &right) || left.len > sizeof(bytes) / 2 ||
        right.len > sizeof(bytes) / 2) {
        return error_set(err, E_INVALID,
                         "%s: merge %u is %.*s; a merge is \"a b\" or [\"a\", \"b\"].", file_name,
                         rank, STR_ARG(shown));
    }
    n_left = decode_alphabet(left, bytes);
    n_right = n_left == SIZE_MAX ? SIZE_MAX : decode_alphabet(right, bytes + n_left);
    if (n_right == SIZE_MAX) {
        return error_set(err, E_INVALID,
                         "%s: merge %u, %.*s, has a character outside the byte-level alphabet.",
                         file_name, rank, STR_ARG(shown));
    }
    ids[0] = find_bytes(&t->bpe, bytes, n_left);
    ids[1] = find_bytes(&t->bpe, bytes + n_left, n_right);
    ids[2] = find_bytes(&t->bpe, bytes, n_left + n_right);
    if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0) {
        return error_set(err, E_INVALID, "%s: merge %u, %.*s: %s is not in the vocabulary.",
                         file_name, rank, STR_ARG(shown),
                         ids[0] < 0   ? "its left part"
                         : ids[1] < 0 ? "its right part"
                                      : "its result");
    }
    if (bpe_add_merge(&t->bpe, ids[0], ids[1], rank, ids[2]) != OK) {
        return error_set(err, E_INVALID, "%s: merge %u, %.*s, is there twice.", file_name, rank,
                         STR_ARG(shown));
    }
    return OK;
}

static enum status check_merges(const struct json_value *merges, struct error *err)
{
    if (merges == NULL || merges->kind != JSON_ARRAY) {
        return error_set(err, E_INVALID, "%s: model.merges must be an array.", file_name);
    }
    if (merges->n_items > TOKENIZER_MERGES_MAX) {
        return error_set(err, E_LIMIT, "%s: %u merges are more than the limit of %u.", file_name,
                         merges->n_items, TOKENIZER_MERGES_MAX);
    }
    return OK;
}

/* ---- Post-processor ---- */

/* "single" of a TemplateProcessing: special tokens around exactly one {"Sequence": {"id": "A"}}. */
static enum status read_template(struct tokenizer *t, const struct json_value *template,
                                 struct error *err)
{
    const struct json_value *single = json_get(template, STR("single"));
    const struct json_value *specials = json_get(template, STR("special_tokens"));
    bool seen_text = false;
    enum status rc = OK;

    if (single == NULL || single->kind != JSON_ARRAY) {
        return refuse(err, "post_processor.single", single, "an array");
    }
    for (uint32_t i = 0; i < single->n_items && rc == OK; i++) {
        const struct json_value *token = json_get(&single->items[i], STR("SpecialToken"));
        const struct json_value *text = json_get(&single->items[i], STR("Sequence"));
        struct str name = json_string_or(json_get(token, STR("id")), STR(""));
        const struct json_value *ids = json_get(json_get(specials, name), STR("ids"));

        if (text != NULL && !seen_text && has_string(text, "id", "A")) {
            seen_text = true;
        } else if (ids != NULL && ids->kind == JSON_ARRAY && ids->n_items == 1 &&
                   json_int_or(&ids->items[0], -1) == tokenizer_id(t, name)) {
            rc = tokenizer_surround(t, name, seen_text, file_name, err);
        } else {
            rc = refuse(err, "an element of post_processor.single", &single->items[i],
                        "a SpecialToken that stands for itself, or Sequence A once");
        }
    }
    if (rc == OK && !seen_text) {
        rc = refuse(err, "post_processor.single", single, "a list with Sequence A in it");
    }
    return rc;
}

static enum status read_one_processor(struct tokenizer *t, const struct json_value *v,
                                      struct error *err)
{
    if (has_string(v, "type", "TemplateProcessing")) {
        return read_template(t, v, err);
    }
    if (has_string(v, "type", "ByteLevel")) {
        return OK; // moves offsets only, ids stay
    }
    return refuse(err, "post_processor", v, "null, ByteLevel or TemplateProcessing");
}

static enum status read_post_processor(struct tokenizer *t, const struct json_value *v,
                                       struct error *err)
{
    const struct json_value *list = json_get(v, STR("processors"));
    enum status rc = OK;

    if (is_null(v)) {
        return OK;
    }
    if (!has_string(v, "type", "Sequence") || list == NULL || list->kind != JSON_ARRAY) {
        return read_one_processor(t, v, err);
    }
    for (uint32_t i = 0; i < list->n_items && rc == OK; i++) {
        rc = read_one_processor(t, &list->items[i], err);
    }
    return rc;
}

/* ---- The whole file ---- */

static enum status build_from_tree(struct tokenizer_draft *d, const struct json_value *root,
                                   struct tokenizer **ret_tok, struct error *err)
{
    const struct json_value *model = json_get(root, STR("model"));
    const struct json_value *merges = json_get(model, STR("merges"));
    struct tokenizer *t = NULL;
    enum status rc;

    rc = check_algorithm(root, err);
    if (rc != OK) {
        return rc;
    }
    rc = check_merges(merges, err);
    if (rc != OK) {
        return rc;
    }
    rc = read_tokens(d, json_get(model, STR("vocab")), json_get(root, STR("added_tokens")), err);
    if (rc != OK) {
        return rc;
    }
    rc = tokenizer_build(d, &t, err);
    if (rc == OK && bpe_reserve_merges(&t->bpe, merges->n_items) != OK) {
        rc = error_set(err, E_NO_MEMORY, "%s: not enough memory for the merges.", file_name);
    }
    for (uint32_t i = 0; rc == OK && i < merges->n_items; i++) {
        rc = add_merge(t, &merges->items[i], i, err);
    }
    if (rc == OK) {
        t->ignore_merges = json_bool_or(json_get(model, STR("ignore_merges")), false);
        rc = read_post_processor(t, json_get(root, STR("post_processor")), err);
    }
    if (rc == OK) {
        *ret_tok = t;
        t = NULL;
    }
    tokenizer_destroy(t);
    return rc;
}

enum status tokenizer_parse(struct str json, struct tokenizer **ret_tok, struct error *err)
{
    struct json_limits limits = {.values_max = JSON_VALUES_MAX};
    struct tokenizer_draft d = {.file_name = file_name, .arena = arena_create(JSON_ARENA_MAX)};
    const struct json_value *root;
    enum status rc;

    if (d.arena == NULL) {
        return error_set(err, E_NO_MEMORY, "%s: not enough memory.", file_name);
    }
    rc = json_parse(d.arena, json, &limits, &root, err);
    if (rc != OK) {
        rc = error_prefix(err, rc, "%s", file_name);
        goto out;
    }
    rc = build_from_tree(&d, root, ret_tok, err);
out:
    arena_destroy(d.arena);
    return rc;
}
