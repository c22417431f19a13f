/* tokenizer_parse_ranks on arbitrary bytes: the rank file, a NUL, tokenizer_config.json. */
#include "base/check.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str input = {(const char *)bytes, n_bytes};
    size_t cut = str_find_byte(input, '\0', 0);
    struct str config = cut == SIZE_MAX ? STR("{\"added_tokens_decoder\": {}}")
                                        : str_slice(input, cut + 1, input.len);
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status rc = tokenizer_parse_ranks(str_slice(input, 0, cut), config, &t, &err);

    if (rc == OK) {
        struct tokenizer_encode_options o = {.add_special = true};
        struct buf ids;

        buf_init(&ids, (size_t)1 << 20);
        CHECK(tokenizer_encode(t, STR("aaaa b\xFF"), &o, &ids) == OK);
        buf_done(&ids);
    } else {
        CHECK(t == NULL && err.text[0] != '\0');
    }
    tokenizer_destroy(t);
    return 0;
}
