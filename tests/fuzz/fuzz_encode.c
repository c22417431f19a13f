/* tokenizer_encode on arbitrary text.  First byte: bit 0 parses added tokens.  Pieces cover the
 * text and are encoded as the definition says (lowest rank first, leftmost first), so that the ids
 * of the whole are known. */
#include "base/check.h"
#include "small_tokenizer.h"
#include "text/pretokenize.h"

#include <string.h>

#define IDS_MAX ((size_t)1 << 24)
#define PIECE_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static int32_t id_of(const struct tokenizer *t, struct str bytes)
{
    int32_t id = tokenizer_id(t, bytes);

    return id >= 268 ? -1 : id; // added tokens are not in the vocabulary
}

static void encode_by_definition(const struct tokenizer *t, struct str piece, struct buf *ids)
{
    size_t ends[PIECE_MAX];
    size_t n = piece.len;

    for (size_t i = 0; i < n; i++) {
        ends[i] = i + 1;
    }
    for (;;) {
        int32_t best = INT32_MAX;
        size_t at = 0;

        for (size_t i = 0; i + 1 < n; i++) {
            int32_t id = id_of(t, str_slice(piece, i == 0 ? 0 : ends[i - 1], ends[i + 1]));

            if (id >= 0 && id < best) {
                best = id;
                at = i;
            }
        }
        if (best == INT32_MAX) {
            break;
        }
        memmove(ends + at, ends + at + 1, (n - at - 1) * sizeof(ends[0]));
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t id = id_of(t, str_slice(piece, i == 0 ? 0 : ends[i - 1], ends[i]));

        buf_append(ids, &id, sizeof(id));
    }
}

static void check_plain(const struct tokenizer *t, struct str text, const struct buf *ids)
{
    struct buf want;
    size_t at = 0;

    buf_init(&want, IDS_MAX);
    while (at < text.len) {
        size_t end = pretokenize_next(text, at);
        struct str piece = str_slice(text, at, end);

        CHECK(end > at && end <= text.len);
        if (piece.len > PIECE_MAX) {
            buf_done(&want);
            return; // the definition is quadratic
        }
        if (id_of(t, piece) >= 0) { // ignore_merges
            int32_t id = id_of(t, piece);

            buf_append(&want, &id, sizeof(id));
        } else {
            encode_by_definition(t, piece, &want);
        }
        at = end;
    }
    CHECK(str_eq(buf_str(&want), buf_str(ids)));
    buf_done(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const struct tokenizer *t = small_tokenizer();
    struct str input = {(const char *)bytes, n_bytes};
    struct str text = str_slice(input, 1, n_bytes);
    struct tokenizer_encode_options o = {.parse_special = n_bytes > 0 && (bytes[0] & 1) != 0};
    struct buf ids;
    size_t at = 0;

    buf_init(&ids, IDS_MAX);
    CHECK(tokenizer_encode(t, text, &o, &ids) == OK);
    for (size_t i = 0; i < ids.len; i += sizeof(int32_t)) {
        struct str token;
        int32_t id;

        memcpy(&id, ids.ptr + i, sizeof(id));
        CHECK(o.parse_special || id < 268);
        token = tokenizer_bytes(t, id);
        CHECK(token.len > 0 && str_eq(token, str_slice(text, at, at + token.len)));
        at += token.len;
    }
    CHECK(at == text.len);
    if (!o.parse_special) {
        check_plain(t, text, &ids);
    }
    buf_done(&ids);
    return 0;
}
