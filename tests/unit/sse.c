#include "net/sse.h"
#include "support/test.h"

#include <string.h>

struct seen {
    struct buf text; // "name|data\n" for each event
    int n;
    int stop_at; // refuse the n-th event; 0: never
};

static bool on_event(void *user, const struct sse_event *e)
{
    struct seen *s = user;

    buf_append_str(&s->text, e->name);
    buf_append_byte(&s->text, '|');
    buf_append_str(&s->text, e->data);
    buf_append_byte(&s->text, ';');
    s->n++;
    return s->n != s->stop_at;
}

static void split(const char *wire, size_t step, struct seen *seen)
{
    struct sse s;
    const struct str all = str_from_c(wire);

    sse_init(&s, 0);
    buf_init(&seen->text, 1 << 20);
    for (size_t at = 0; at < all.len; at += step) {
        EXPECT_OK(sse_feed(&s, str_slice(all, at, at + step), on_event, seen));
    }
    sse_done(&s);
}

TEST(events_in_pieces_of_every_size)
{
    static const struct {
        const char *wire;
        const char *want;
    } list[] = {
        {"data: a\n\n", "|a;"},
        {"data:a\n\ndata: b\n\n", "|a;|b;"},
        {"data: a\r\n\r\n", "|a;"},
        {"data: a\r\r", "|a;"},
        {"data: a\r\n\rdata: b\n\n", "|a;|b;"},
        {"data: one\ndata: two\n\n", "|one\ntwo;"},
        {"data\n\n", "|;"},
        {": comment\n\ndata: a\n\n", "|a;"},
        {"event: x\ndata:  y\n\n", "x| y;"},
        {"event: x\n\ndata: z\n\n", "|z;"},
        {"id: 3\nretry: 10\ndata: a\n\n", "|a;"},
        {"data: a", ""},
        {"data: a\n", ""},
        {"\n\n\ndata: [DONE]\n\n", "|[DONE];"},
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        for (size_t step = 1; step <= strlen(list[i].wire); step++) {
            struct seen seen = {0};

            split(list[i].wire, step, &seen);
            EXPECT_EQ_STR(buf_str(&seen.text), str_from_c(list[i].want));
            buf_done(&seen.text);
        }
    }
}

TEST(long_events_are_refused_and_reading_can_stop)
{
    struct seen seen = {.stop_at = 1};
    struct sse s;

    buf_init(&seen.text, 1 << 20);
    sse_init(&s, 16);
    EXPECT_STATUS(sse_feed(&s, STR("data: 0123456789abcdef0123"), on_event, &seen), E_LIMIT);
    sse_done(&s);
    sse_init(&s, 16);
    EXPECT_OK(sse_feed(&s, STR("data: 01234567\n"), on_event, &seen));
    EXPECT_STATUS(sse_feed(&s, STR("data: 01234567\n\n"), on_event, &seen), E_LIMIT);
    sse_done(&s);
    sse_init(&s, 0);
    EXPECT_STATUS(sse_feed(&s, STR("data: a\n\ndata: b\n\n"), on_event, &seen), E_CANCELLED);
    EXPECT_EQ_INT(seen.n, 1);
    sse_done(&s);
    buf_done(&seen.text);
}
