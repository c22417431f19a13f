/* Request bodies of chat and completions: a verdict without a crash; refusals are complete; what is
 * accepted keeps the promises of chat.h.  The same document is also read as a chunk and as an
 * error. */
#include "base/check.h"
#include "chat/chat_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void check_messages(const struct json_value *messages)
{
    CHECK(messages->kind == JSON_ARRAY && messages->n_items > 0);
    for (uint32_t i = 0; i < messages->n_items; i++) {
        const struct json_value *content = json_get(&messages->items[i], STR("content"));

        CHECK(content != NULL && content->kind == JSON_STRING);
        CHECK(json_get(&messages->items[i], STR("role"))->kind == JSON_STRING);
    }
}

static void check_accepted(const struct chat_json_request *q)
{
    const struct chat_sampling *s = &q->chat.sampling;

    CHECK(s->temperature >= 0 && s->temperature <= 2);
    CHECK(s->top_p > 0 && s->top_p <= 1);
    CHECK(s->min_p >= 0 && s->min_p <= 1);
    CHECK(s->n_stop <= CHAT_STOP_MAX && s->n_stop_ids <= CHAT_STOP_IDS_MAX);
    for (uint32_t i = 0; i < s->n_stop; i++) {
        CHECK(s->stop[i].len > 0 && s->stop[i].len <= CHAT_STOP_BYTES_MAX);
    }
    if (!q->completion) {
        check_messages(q->chat.messages);
    }
}

static void write_failure(const struct chat_failure *f)
{
    struct buf out;

    CHECK(f->http_status == 400 || f->http_status == 413);
    CHECK(f->message[0] != '\0' && f->type != NULL);
    buf_init(&out, 1 << 20);
    chat_json_write_failure(&out, f, CHAT_JSON_STYLE_OPENAI);
    CHECK(buf_status(&out) == OK);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct arena *arena = arena_create((size_t)1 << 22);
    const struct json_value *root = NULL;
    struct chat_json_request q;
    struct chat_json_delta delta;
    struct chat_failure f;

    CHECK(arena != NULL);
    if (json_parse(arena, (struct str){(const char *)bytes, n_bytes}, NULL, &root, NULL) == OK) {
        if (chat_json_read_chat(arena, root, &q, &f) == OK) {
            check_accepted(&q);
        } else {
            write_failure(&f);
        }
        if (chat_json_read_completion(arena, root, &q, &f) == OK) {
            check_accepted(&q);
        } else {
            write_failure(&f);
        }
        (void)!chat_json_read_chunk(root, &delta, &f);
        chat_json_read_failure(root, 500, &f);
    }
    arena_destroy(arena);
    return 0;
}
