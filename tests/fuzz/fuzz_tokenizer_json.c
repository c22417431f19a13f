/* tokenizer_parse on arbitrary bytes; what loads must encode and give the bytes back. */
#include "base/check.h"
#include "text/tokenizer.h"

#define OUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void use(const struct tokenizer *t)
{
    static const char text[] = "It's 12345 \xE4\xBD\xA0\xE5\xA5\xBD  aaaa<a>\xFF\n\n[gMASK]";
    struct tokenizer_encode_options o = {.parse_special = true};
    struct buf ids;
    size_t at = 0;
    int32_t id;

    buf_init(&ids, OUT_MAX);
    CHECK(tokenizer_encode(t, STR(text), &o, &ids) == OK);
    for (size_t i = 0; i < ids.len; i += sizeof(id)) {
        struct str token;

        __builtin_memcpy(&id, ids.ptr + i, sizeof(id));
        token = tokenizer_bytes(t, id);
        CHECK(token.len > 0 && str_eq(token, str_slice(STR(text), at, at + token.len)));
        at += token.len;
    }
    CHECK(at == sizeof(text) - 1);
    buf_done(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status rc = tokenizer_parse((struct str){(const char *)bytes, n_bytes}, &t, &err);

    if (rc == OK) {
        use(t);
    } else {
        CHECK(t == NULL && err.text[0] != '\0');
    }
    tokenizer_destroy(t);
    return 0;
}
