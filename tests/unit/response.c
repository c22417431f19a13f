#include "gateway/response.h"
#include "support/guard.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

/* What a reader pushed, written down: kind, tokens and bytes of each event. */
struct seen {
    struct arena *arena;
    struct buf text;
    uint32_t n_events;
    uint32_t n_tokens;
    bool done;
    bool error;
    char message[64];
};

static void push(void *user, const struct chat_event *e)
{
    struct seen *s = user;

    EXPECT_FALSE(s->done || s->error); // nothing behind the last
    s->n_events++;
    s->n_tokens += e->n_tokens;
    buf_append_str(&s->text, e->wire);
    s->done |= e->kind == CHAT_EVENT_DONE;
    if (e->kind == CHAT_EVENT_ERROR) {
        s->error = true;
        memcpy(s->message, e->failure->message, sizeof(s->message) - 1);
    }
}

struct run {
    struct seen seen;
    struct response reader;
    enum status rc;
};

static void begin(struct run *r, bool sse, bool strip)
{
    *r = (struct run){.rc = OK};
    r->seen.arena = arena_create(1 << 20);
    buf_init(&r->seen.text, 1 << 24);
    response_init(&r->reader, r->seen.arena, sse, push, &r->seen);
    r->reader.done_marks = true;
    r->reader.strip_usage = strip;
}

static void feed(struct run *r, struct str piece)
{
    if (r->rc == OK) {
        struct guard copy = guard_copy(piece);

        r->rc = response_feed(&r->reader, copy.text);
        guard_done(&copy);
    }
}

/* The body whole, or in two pieces, or byte by byte (split SIZE_MAX). */
static void run_split(struct run *r, struct str body, bool sse, bool strip, size_t split)
{
    begin(r, sse, strip);
    if (split == SIZE_MAX) {
        for (size_t i = 0; i < body.len; i++) {
            feed(r, str_slice(body, i, i + 1));
        }
    } else {
        feed(r, str_slice(body, 0, split));
        feed(r, str_slice(body, split, body.len));
    }
    if (r->rc == OK) {
        r->rc = response_end(&r->reader);
    }
}

static void end(struct run *r)
{
    response_done(&r->reader);
    buf_done(&r->seen.text);
    arena_destroy(r->seen.arena);
}

#define CHUNK(delta, finish)                                                                       \
    "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}"
#define DATA(json) "data: " json "\n\n"
#define STREAM                                                                                     \
    DATA(CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null"))                               \
    ": a comment\n\n" DATA(                                                                        \
        CHUNK("{\"content\":\"Gr\xC3\xBC\xC3\x9F"                                                  \
              "e\"}",                                                                              \
              "null")) "event: message\r\ndata: " CHUNK("{\"content\":\"b\"}",                     \
                                                        "null") "\r\n\r\n" DATA(CHUNK("{}",        \
                                                                                      "\"stop\"")) \
        DATA("{\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3,"            \
             "\"prompt_tokens_details\":{\"cached_tokens\":4}}}") "data: [DONE]\n\n"

TEST(bytes_pass_unchanged_at_every_split)
{
    const struct str body = STR(STREAM);

    for (size_t split = 0; split <= body.len + 1; split++) {
        struct run r;

        run_split(&r, body, true, false, split > body.len ? SIZE_MAX : split);
        EXPECT_TRUE(r.rc == OK || r.rc == E_CLOSED);
        EXPECT_TRUE(r.seen.done);
        EXPECT_EQ_STR(buf_str(&r.seen.text), body);
        EXPECT_EQ_U32(r.reader.usage.prompt_tokens, 11);
        EXPECT_EQ_U32(r.reader.usage.completion_tokens, 3);
        EXPECT_EQ_U32(r.reader.usage.cached_tokens, 4);
        EXPECT_EQ_U32(r.seen.n_tokens, 2);
        EXPECT_EQ_U32(r.seen.n_events, 7);
        end(&r);
    }
}

TEST(the_usage_event_can_be_taken_out)
{
    struct run r;

    run_split(&r, STR(STREAM), true, true, 0);
    EXPECT_TRUE(r.seen.done && response_has_usage(&r.reader));
    EXPECT_TRUE(str_find(buf_str(&r.seen.text), STR("usage"), 0) == SIZE_MAX);
    EXPECT_EQ_U32(r.seen.n_events, 6);
    end(&r);
}

TEST(line_ends_of_all_kinds)
{
    const struct str streams[] = {
        STR("data: {\"a\":1}\n\ndata: [DONE]\n\n"),
        STR("data: {\"a\":1}\r\n\r\ndata: [DONE]\r\n\r\n"),
        STR("data: {\"a\":1}\r\rdata: [DONE]\r\r"),
        STR("data:{\"a\":\ndata: 1}\n\ndata: [DONE]\n\n"), // two data lines
        STR("id: 7\ndata: {\"a\":1}\nretry: 5\n\ndata:[DONE]\n\n"),
    };

    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        for (size_t split = 0; split <= streams[i].len + 1; split++) {
            struct run r;

            run_split(&r, streams[i], true, false, split > streams[i].len ? SIZE_MAX : split);
            EXPECT_TRUE(r.seen.done);
            EXPECT_EQ_U32(r.seen.n_events, 2);
            end(&r);
        }
    }
}

TEST(a_stream_without_mark_is_complete_when_it_said_why)
{
    struct run r;

    run_split(&r, STR(DATA(CHUNK("{}", "\"length\""))), true, false, 0);
    EXPECT_OK(r.rc);
    EXPECT_TRUE(r.seen.done);
    EXPECT_TRUE(str_ends(buf_str(&r.seen.text), STR("data: [DONE]\n\n")));
    end(&r);
    run_split(&r, STR(DATA(CHUNK("{\"content\":\"x\"}", "null"))), true, false, 0);
    EXPECT_STATUS(r.rc, E_CLOSED);
    EXPECT_FALSE(r.seen.done);
    end(&r);
}

TEST(cut_anywhere_is_never_taken_for_complete)
{
    const struct str body =
        STR(DATA(CHUNK("{\"content\":\"x\"}", "null")) DATA(CHUNK("{}", "null")));

    for (size_t len = 0; len <= body.len; len++) {
        struct run r;

        run_split(&r, str_slice(body, 0, len), true, false, 0);
        EXPECT_STATUS(r.rc, E_CLOSED);
        EXPECT_FALSE(r.seen.done);
        end(&r);
    }
}

TEST(errors_inside_a_stream_are_errors)
{
    const struct str events[] = {
        STR("data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n"),
        STR("data: {\"error\":\"boom\"}\n\n"),
        STR("event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"boom\"}}\n\n"),
    };

    for (size_t i = 0; i < 3; i++) {
        struct run r;

        run_split(&r, events[i], true, false, SIZE_MAX);
        EXPECT_TRUE(r.seen.error);
        EXPECT_EQ_C_STR(r.seen.message, "boom");
        EXPECT_EQ_STR(buf_str(&r.seen.text), events[i]);
        end(&r);
    }
}

TEST(rubbish_is_refused)
{
    const struct str streams[] = {
        STR("data: {\n\n"),     STR("data: \"\xff\"\n\n"),
        STR("data: []\n\n"),    STR("data: {\"a\":\"\xE4\xBD\"}\n\n"),
        STR("data: {} {}\n\n"),
    };

    for (size_t i = 0; i < 5; i++) {
        struct run r;

        run_split(&r, streams[i], true, false, 0);
        EXPECT_STATUS(r.rc, E_INVALID);
        EXPECT_EQ_U32(r.seen.n_events, 0);
        end(&r);
    }
}

TEST(an_event_has_a_limit)
{
    struct run r;
    char piece[4096];

    memset(piece, 'x', sizeof(piece));
    begin(&r, true, false);
    feed(&r, STR("data: "));
    for (uint32_t i = 0; i < RESPONSE_EVENT_BYTES_MAX / sizeof(piece) + 2; i++) {
        feed(&r, (struct str){piece, sizeof(piece)});
    }
    EXPECT_STATUS(r.rc, E_LIMIT);
    end(&r);
}

TEST(whole_bodies)
{
    struct run r;
    const struct str body =
        STR(" {\"choices\":[{\"message\":{\"content\":\"Hello there\",\"tool_calls\":null},"
            "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,"
            "\"completion_tokens_details\":{\"reasoning_tokens\":1}}} ");

    run_split(&r, body, false, false, SIZE_MAX);
    EXPECT_OK(r.rc);
    EXPECT_TRUE(r.seen.done);
    EXPECT_EQ_STR(buf_str(&r.seen.text), body);
    EXPECT_EQ_U32(r.reader.usage.reasoning_tokens, 1);
    end(&r);
    run_split(&r, STR("{\"error\":{\"message\":\"no\"}}"), false, false, 3);
    EXPECT_TRUE(r.seen.error);
    end(&r);
    for (size_t len = 0; len < body.len - 1; len++) {
        run_split(&r, str_slice(body, 0, len), false, false, 0);
        EXPECT_TRUE(r.rc != OK && r.seen.n_events == 0);
        end(&r);
    }
}

TEST(usage_of_the_other_dialects)
{
    struct run r;

    run_split(
        &r,
        STR("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
            "\"delta\":\"Hello\"}\n\nevent: response.completed\ndata: {\"type\":"
            "\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":8,\"output_tokens\":"
            "5,\"input_tokens_details\":{\"cached_tokens\":3}}}}\n\n"),
        true, false, SIZE_MAX);
    EXPECT_TRUE(r.seen.done);
    EXPECT_EQ_U32(r.reader.usage.prompt_tokens, 8);
    EXPECT_EQ_U32(r.reader.usage.cached_tokens, 3);
    EXPECT_EQ_U32(r.seen.n_tokens, 1);
    end(&r);
}

/* What is billed for a usage object behind some text; prompt 0: it counts as not reported. */
static void expect_usage(const char *usage, uint32_t prompt, uint32_t completion)
{
    char body[512];
    struct run r;

    snprintf(body, sizeof(body),
             "{\"choices\":[{\"message\":{\"content\":\"Hello\"}}],\"usage\":%s} ", usage);
    run_split(&r, str_from_c(body), false, false, SIZE_MAX);
    EXPECT_TRUE(r.seen.done);
    EXPECT_EQ_INT(response_has_usage(&r.reader), prompt > 0);
    if (prompt > 0) {
        EXPECT_EQ_U32(r.reader.usage.prompt_tokens, prompt);
        EXPECT_EQ_U32(r.reader.usage.completion_tokens, completion);
    }
    end(&r);
}

TEST(usage_in_two_spellings_or_in_pieces)
{
    expect_usage("{\"prompt_tokens\":1000,\"completion_tokens\":500,\"input_tokens\":0,"
                 "\"output_tokens\":0}",
                 1000, 500);
    expect_usage("{\"input_tokens\":1000,\"output_tokens\":500,\"prompt_tokens\":1000,"
                 "\"completion_tokens\":500}",
                 1000, 500);
    expect_usage("{\"input_tokens\":10,\"cache_read_input_tokens\":90,\"output_tokens\":5}", 100,
                 5);
    expect_usage("{\"prompt_tokens\":12.0,\"completion_tokens\":1e1}", 12, 10);
    expect_usage("{}", 0, 0);
    expect_usage("null", 0, 0);
    expect_usage("{\"prompt_tokens\":12}", 0, 0);
    expect_usage("{\"prompt_tokens\":-1,\"completion_tokens\":2.5}", 0, 0);
    expect_usage("{\"total_tokens\":12}", 0, 0);
}

TEST(both_names_of_reasoning_count_once)
{
    struct response_facts f;

    EXPECT_OK(response_scan(STR(CHUNK("{\"reasoning\":\"0123456789012345678901234\","
                                      "\"reasoning_content\":\"0123456789012345678901234\"}",
                                      "null")),
                            &f));
    EXPECT_EQ_U64(f.text_bytes, 25);
    EXPECT_EQ_U32(response_guess_tokens(f.text_bytes), 7);
    EXPECT_EQ_U32(response_guess_tokens(0), 0);
}

TEST(what_a_continuation_needs_is_found)
{
    struct response_facts f;

    EXPECT_OK(response_scan(
        STR("{\"id\":\"a\\u0062\",\"created\":17,\"model\":\"m\",\"choices\":[{\"index\":0,"
            "\"delta\":{\"role\":\"assistant\",\"content\":\"x\\ny\"}}],\"z\":[]}"),
        &f));
    EXPECT_EQ_STR(f.id, STR("\"a\\u0062\""));
    EXPECT_EQ_STR(f.created, STR("17"));
    EXPECT_EQ_STR(f.model, STR("\"m\""));
    EXPECT_EQ_STR(f.content, STR("x\\ny"));
    EXPECT_EQ_U64(f.text_bytes, 4);
    EXPECT_TRUE(str_starts(f.choices, STR("[{\"index\":0")) && str_ends(f.choices, STR("}}]")));
}
