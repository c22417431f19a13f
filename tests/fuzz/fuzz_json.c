/* json_parse on arbitrary bytes; what parses must print and parse again to the same print. */
#include "base/check.h"
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void print_twice(struct arena *arena, const struct json_value *root)
{
    struct buf first;
    struct buf second;
    const struct json_value *again = NULL;
    struct error err;

    buf_init(&first, (size_t)1 << 24);
    buf_init(&second, (size_t)1 << 24);
    json_write_value(&first, root, 0);
    CHECK(buf_status(&first) == OK);
    if (json_parse(arena, buf_str(&first), NULL, &again, &err) == OK) {
        json_write_value(&second, again, 0);
        CHECK(str_eq(buf_str(&first), buf_str(&second)));
    } else {
        CHECK(err.status == E_NO_MEMORY); // only the arena may refuse our own print
    }
    buf_done(&first);
    buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct arena *arena = arena_create((size_t)1 << 24);
    const struct json_value *root = NULL;
    struct error err;

    if (json_parse(arena, (struct str){(const char *)bytes, n_bytes}, NULL, &root, &err) == OK) {
        print_twice(arena, root);
    }
    arena_destroy(arena);
    return 0;
}
