/* The detokenizer on arbitrary ids (two bytes each, some of them without a token): after every id
 * the text is valid UTF-8, and the whole equals the joined bytes with broken parts replaced. */
#include "base/check.h"
#include "base/utf8.h"
#include "small_tokenizer.h"
#include "text/detokenizer.h"

#define OUT_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void replace(struct str bytes, struct buf *out)
{
    while (bytes.len > 0) {
        size_t valid = utf8_valid_prefix(bytes);
        size_t broken = 1;

        buf_append(out, bytes.ptr, valid);
        bytes = str_slice(bytes, valid, bytes.len);
        for (size_t n = 2; n <= 3 && n <= bytes.len; n++) {
            if (utf8_incomplete_tail(str_slice(bytes, 0, n)) == n) {
                broken = n;
            }
        }
        if (bytes.len > 0) {
            buf_append_c(out, "\xEF\xBF\xBD");
            bytes = str_slice(bytes, broken, bytes.len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const struct tokenizer *t = small_tokenizer();
    bool skip_special = n_bytes % 2 != 0;
    struct detokenizer d;
    struct buf joined;
    struct buf pushed;
    struct buf want;

    buf_init(&joined, OUT_MAX);
    buf_init(&pushed, OUT_MAX);
    buf_init(&want, OUT_MAX);
    detokenizer_init(&d, t, skip_special);
    for (size_t i = 0; i + 1 < n_bytes; i += 2) {
        int32_t id = (int32_t)(bytes[i] | (bytes[i + 1] & 1) << 8) - (bytes[i + 1] >> 7);

        if (!skip_special || !tokenizer_is_special(t, id)) {
            buf_append_str(&joined, tokenizer_bytes(t, id));
        }
        detokenizer_push(&d, id, &pushed);
        CHECK(d.n_held <= 3 && utf8_valid(buf_str(&pushed)));
    }
    detokenizer_finish(&d, &pushed);
    replace(buf_str(&joined), &want);
    CHECK(str_eq(buf_str(&want), buf_str(&pushed)));
    buf_done(&joined);
    buf_done(&pushed);
    buf_done(&want);
    return 0;
}
