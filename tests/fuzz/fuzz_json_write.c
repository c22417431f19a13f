/* A written string parses, and gives the same bytes when they were UTF-8. */
#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct str s = {(const char *)bytes, n_bytes};
    struct arena *arena = arena_create((size_t)1 << 26);
    const struct json_value *root = NULL;
    struct buf out;

    buf_init(&out, (size_t)1 << 26);
    json_write_string(&out, s);
    CHECK(json_parse(arena, buf_str(&out), NULL, &root, NULL) == OK);
    CHECK(root->kind == JSON_STRING && utf8_valid(root->string));
    CHECK(str_eq(root->string, s) == utf8_valid(s));
    buf_done(&out);
    arena_destroy(arena);
    return 0;
}
