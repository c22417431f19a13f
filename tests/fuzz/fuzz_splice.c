/* splice_read on arbitrary bytes: what it takes a strict parser takes, the model agrees, and the
 * edited body is JSON again. */
#include "base/check.h"
#include "base/json.h"
#include "gateway/splice.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static struct str join(struct arena *arena, const struct splice *s)
{
    struct str pieces[SPLICE_PIECES_MAX];
    char *text = arena_alloc(arena, s->body.len + 256);
    size_t len = 0;
    uint32_t n;

    CHECK(text != NULL && splice_pieces(arena, s, STR("m2"), true, pieces, &n) == OK);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(text + len, pieces[i].ptr, pieces[i].len);
        len += pieces[i].len;
    }
    return (struct str){text, len};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const struct str body = {(const char *)bytes, n_bytes};
    struct arena *arena = arena_create((size_t)1 << 26);
    const struct json_value *root = NULL;
    struct chat_failure failure;
    struct splice s;

    if (splice_read(arena, body, &s, &failure) == OK) {
        CHECK(json_parse(arena, body, NULL, &root, NULL) == OK);
        CHECK(str_eq(s.model, json_string_or(json_get(root, STR("model")), (struct str){NULL, 0})));
        CHECK(s.stream == json_bool_or(json_get(root, STR("stream")), false));
        CHECK(json_parse(arena, join(arena, &s), NULL, &root, NULL) == OK);
        CHECK(!s.stream ||
              json_bool_or(json_get(json_get(root, STR("stream_options")), STR("include_usage")),
                           false));
    } else {
        CHECK(failure.http_status >= 400);
    }
    arena_destroy(arena);
    return 0;
}
