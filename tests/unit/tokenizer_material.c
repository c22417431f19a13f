/* Published ids (KONTOR_MATERIAL/glm/tokenizer-vectors.json) of vocabularies that are not in the
 * repository.
 *
 * With a GLM tokenizer.json in one of the material's folders the ids must be equal.  Without one
 * they still bind the scanner: there must be a way to hand the ids out to our pieces such that
 * single bytes (ids 0..255, the same in every GLM vocabulary) are where the text has them, equal
 * pieces get equal ids, and an id that is a whole piece stands for that piece alone.
 */
#include "base/arena.h"
#include "base/json.h"
#include "support/test.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define PIECES_MAX 512
#define SPECIAL_FIRST_OURS                                                                         \
    832 // of the reference tokenizer, which has GLM's specials in GLM's order
#define N_SPECIALS 36
#define IDS_MAX ((size_t)1 << 20)

struct piece {
    struct str bytes;
    uint32_t ids_at;
    uint32_t n_ids;
};

struct puzzle {
    const struct tokenizer *reference; // for the bytes of ids 0..255
    const int64_t *ids;
    uint32_t n_ids;
    struct piece pieces[PIECES_MAX];
    uint32_t n_pieces;
    uint64_t tries;
};

/* Can ids[0..n) spell `bytes`?  An id above 255 stands for two bytes or more. */
static bool can_spell(const struct puzzle *p, const int64_t *ids, uint32_t n, struct str bytes)
{
    if (n == 0 || bytes.len < n) {
        return n == 0 && bytes.len == 0;
    }
    if (ids[0] < 256) {
        return tokenizer_bytes(p->reference, (int32_t)ids[0]).ptr[0] == bytes.ptr[0] &&
               can_spell(p, ids + 1, n - 1, str_slice(bytes, 1, bytes.len));
    }
    for (size_t len = 2; len <= bytes.len; len++) {
        if (can_spell(p, ids + 1, n - 1, str_slice(bytes, len, bytes.len))) {
            return true;
        }
    }
    return false;
}

/* Piece i got its ids: does that agree with the pieces before it? */
static bool agrees(const struct puzzle *p, uint32_t i)
{
    const struct piece *new = &p->pieces[i];

    for (uint32_t k = 0; k < i; k++) {
        const struct piece *old = &p->pieces[k];
        bool same_ids = old->n_ids ==
                        new->n_ids &&memcmp(p->ids + old->ids_at, p->ids + new->ids_at,
                                            new->n_ids * sizeof(*p->ids)) == 0;

        if (str_eq(old->bytes, new->bytes) != same_ids) {
            return false;
        }
    }
    return true;
}

static bool hand_out(struct puzzle *p, uint32_t i, uint32_t at)
{
    struct piece *piece = &p->pieces[i];

    p->tries++;
    if (i == p->n_pieces) {
        return at == p->n_ids;
    }
    for (uint32_t n = 1; n <= p->n_ids - at && n <= piece->bytes.len && p->tries < 10000000; n++) {
        piece->ids_at = at;
        piece->n_ids = n;
        if (can_spell(p, p->ids + at, n, piece->bytes) && agrees(p, i) &&
            hand_out(p, i + 1, at + n)) {
            return true;
        }
    }
    return false;
}

/* One text between special tokens. */
static void expect_possible(const struct tokenizer *reference, struct str text, const int64_t *ids,
                            uint32_t n_ids)
{
    static struct puzzle p; // too large for the stack

    p = (struct puzzle){.reference = reference, .ids = ids, .n_ids = n_ids};
    for (size_t at = 0; at < text.len;) {
        size_t end = pretokenize_next(text, at);

        EXPECT_TRUE(p.n_pieces < PIECES_MAX);
        p.pieces[p.n_pieces++].bytes = str_slice(text, at, end);
        at = end;
    }
    if (!hand_out(&p, 0, 0)) {
        FAIL("%u ids cannot be handed out to the %u pieces of \"%.*s\"", n_ids, p.n_pieces,
             STR_ARG(str_slice(text, 0, 60)));
    }
    printf("# %u pieces, %u ids\n", p.n_pieces, n_ids);
}

/* Cut at the special tokens, which both sides must have in the same order. */
static void check_vector(const struct tokenizer *reference, struct str text, const int64_t *ids,
                         uint32_t n_ids, int64_t special_first)
{
    struct tokenizer_encode_options o = {.parse_special = true};
    struct buf ours;
    size_t text_at = 0;
    uint32_t ids_at = 0;

    buf_init(&ours, IDS_MAX);
    EXPECT_OK(tokenizer_encode(reference, text, &o, &ours));
    for (size_t i = 0; i < ours.len; i += sizeof(int32_t)) {
        int32_t id;
        struct str content;
        size_t found;
        uint32_t end = ids_at;

        memcpy(&id, ours.ptr + i, sizeof(id));
        if (id < SPECIAL_FIRST_OURS) {
            continue;
        }
        content = tokenizer_bytes(reference, id);
        found = str_find(text, content, text_at);
        while (end < n_ids && ids[end] < special_first) {
            end++;
        }
        EXPECT_TRUE(end < n_ids && found != SIZE_MAX);
        EXPECT_EQ_I64(ids[end] - special_first, id - SPECIAL_FIRST_OURS);
        expect_possible(reference, str_slice(text, text_at, found), ids + ids_at, end - ids_at);
        text_at = found + content.len;
        ids_at = end + 1;
    }
    expect_possible(reference, str_slice(text, text_at, text.len), ids + ids_at, n_ids - ids_at);
    buf_done(&ours);
}

static void expect_equal(const struct tokenizer *t, struct str text, const int64_t *ids,
                         uint32_t n_ids)
{
    struct tokenizer_encode_options o = {.parse_special = true};
    struct buf ours;

    buf_init(&ours, IDS_MAX);
    EXPECT_OK(tokenizer_encode(t, text, &o, &ours));
    EXPECT_EQ_SIZE(ours.len / sizeof(int32_t), n_ids);
    for (uint32_t i = 0; i < n_ids; i++) {
        int32_t id;

        memcpy(&id, ours.ptr + i * sizeof(id), sizeof(id));
        EXPECT_EQ_I64(id, ids[i]);
    }
    buf_done(&ours);
}

/* A tokenizer of the material whose <|endoftext|> is `special_first`, or NULL. */
static struct tokenizer *find_published(const char *material, int64_t special_first)
{
    char path[4096];
    struct dirent *entry;
    struct tokenizer *found = NULL;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/glm", material);
    dir = opendir(path);
    while (dir != NULL && found == NULL && (entry = readdir(dir)) != NULL) {
        struct tokenizer *t = NULL;
        struct error err = {0};

        snprintf(path, sizeof(path), "%s/glm/%s", material, entry->d_name);
        if (entry->d_name[0] != '.' && tokenizer_load(path, &t, &err) == OK &&
            tokenizer_id(t, STR("<|endoftext|>")) == special_first) {
            found = t;
        } else {
            tokenizer_destroy(t);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found;
}

static void check_vocabulary(const struct tokenizer *reference, const struct json_value *vectors,
                             int64_t special_first)
{
    struct tokenizer *published = find_published(test_material(), special_first);

    printf("# %s\n", published != NULL ? "with the published file" : "without a published file");
    EXPECT_TRUE(vectors != NULL && vectors->n_items > 0);
    for (uint32_t i = 0; i < vectors->n_items; i++) {
        struct str text = json_string_or(json_get(&vectors->items[i], STR("text")), STR(""));
        const struct json_value *list = json_get(&vectors->items[i], STR("ids"));
        int64_t ids[PIECES_MAX];

        EXPECT_TRUE(list != NULL && list->n_items <= PIECES_MAX);
        for (uint32_t k = 0; k < list->n_items; k++) {
            ids[k] = list->items[k].integer;
        }
        check_vector(reference, text, ids, list->n_items, special_first);
        if (published != NULL) {
            expect_equal(published, text, ids, list->n_items);
        }
    }
    tokenizer_destroy(published);
}

TEST(published_ids)
{
    const char *material = test_material();
    struct arena *arena;
    struct tokenizer *reference = NULL;
    const struct json_value *root;
    struct error err = {0};
    char path[4096];

    if (material == NULL) {
        SKIP("no material");
    }
    snprintf(path, sizeof(path), "%s/glm/tokenizer-vectors.json", material);
    arena = arena_create((size_t)1 << 24);
    EXPECT_OK(json_parse(arena, test_read_file(path), NULL, &root, &err));
    EXPECT_OK(tokenizer_load(test_path("data/tokenizer"), &reference, &err));
    for (uint32_t i = 0; i < root->n_items; i++) {
        struct str name = root->members[i].key;

        if (str_starts(name, STR("vocabulary_A"))) {
            check_vocabulary(reference, &root->members[i].value, 151329);
        } else if (str_starts(name, STR("vocabulary_B"))) {
            check_vocabulary(reference, &root->members[i].value, 154820);
        }
    }
    tokenizer_destroy(reference);
    arena_destroy(arena);
}
