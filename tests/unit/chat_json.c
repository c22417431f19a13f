#include "chat/chat_json.h"
#include "chat/chat_json_internal.h"
#include "support/test.h"

#include <string.h>

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct arena *arena;

static const struct json_value *parse(const char *text)
{
    const struct json_value *root = NULL;
    struct error err = {0};

    if (arena == NULL) {
        arena = arena_create((size_t)1 << 24);
    }
    arena_reset(arena);
    EXPECT_OK(json_parse(arena, str_from_c(text), NULL, &root, &err));
    return root;
}

static enum status read(const char *text, bool completion, struct chat_json_request *q,
                        struct chat_failure *f)
{
    const struct json_value *root = parse(text);

    memset(f, 0, sizeof(*f));
    return completion ? chat_json_read_completion(arena, root, q, f)
                      : chat_json_read_chat(arena, root, q, f);
}

TEST(the_field_table_is_in_order)
{
    EXPECT_STR_NULL(chat_json_fields_disorder());
}

TEST(values_arrive)
{
    struct chat_json_request q;
    struct chat_failure f;
    const struct chat_sampling *s = &q.chat.sampling;

    EXPECT_OK(read("{\"model\":\"m\"," USER ",\"temperature\":0,\"top_p\":0.5,\"top_k\":40,"
                   "\"min_p\":0.1,\"seed\":-7,\"max_tokens\":5.0,\"min_tokens\":2,"
                   "\"stop\":[\"a\",\"bc\"],\"stop_token_ids\":[3],\"ignore_eos\":true,"
                   "\"logprobs\":true,\"top_logprobs\":0,\"stream\":true,"
                   "\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false},"
                   "\"include_stop_str_in_output\":true,\"skip_special_tokens\":false}",
                   false, &q, &f));
    EXPECT_EQ_STR(q.chat.model, STR("m"));
    EXPECT_TRUE(s->has_temperature && s->has_top_p && s->has_top_k && s->has_seed);
    EXPECT_NEAR(s->temperature, 0.0, 0.0);
    EXPECT_NEAR(s->top_p, 0.5, 0.0);
    EXPECT_EQ_INT(s->top_k, 40);
    EXPECT_NEAR(s->min_p, 0.1, 0.0);
    EXPECT_EQ_U64(s->seed, (uint64_t)-7);
    EXPECT_EQ_U32(s->max_tokens, 5);
    EXPECT_EQ_U32(s->min_tokens, 2);
    EXPECT_EQ_U32(s->n_stop, 2);
    EXPECT_EQ_STR(s->stop[1], STR("bc"));
    EXPECT_EQ_U32(s->n_stop_ids, 1);
    EXPECT_EQ_INT(s->stop_ids[0], 3);
    EXPECT_TRUE(s->ignore_eos && s->logprobs && s->include_stop && !s->skip_special_tokens);
    EXPECT_TRUE(q.stream && q.include_usage && !q.continuous_usage);
    EXPECT_TRUE(q.chat.add_generation_prompt);
}

TEST(the_newer_name_of_the_token_limit_wins)
{
    struct chat_json_request q;
    struct chat_failure f;

    EXPECT_OK(read("{" USER ",\"max_completion_tokens\":3,\"max_tokens\":9}", false, &q, &f));
    EXPECT_EQ_U32(q.chat.sampling.max_tokens, 3);
    EXPECT_OK(read("{" USER ",\"max_tokens\":9,\"max_completion_tokens\":3}", false, &q, &f));
    EXPECT_EQ_U32(q.chat.sampling.max_tokens, 3);
    EXPECT_OK(read("{" USER ",\"seed\":-1,\"continue_final_message\":true}", false, &q, &f));
    EXPECT_TRUE(q.chat.continue_final_message);
    EXPECT_FALSE(q.chat.sampling.has_seed);
}

TEST(neutral_and_unknown_fields_are_accepted)
{
    struct chat_json_request q;
    struct chat_failure f;

    EXPECT_OK(read("{" USER ",\"n\":1,\"presence_penalty\":0,\"frequency_penalty\":0.0,"
                   "\"logit_bias\":{},\"tools\":[],\"tool_choice\":\"auto\","
                   "\"response_format\":{\"type\":\"text\"},\"repetition_penalty\":1.0,"
                   "\"best_of\":1,\"functions\":[],\"user\":\"u\",\"metadata\":{\"a\":1},"
                   "\"no_such_field\":[1,2],\"temperature\":null,\"max_tokens\":null,"
                   "\"stop\":null,\"n\\u0061me\":3,\"use_beam_search\":false,"
                   "\"include_reasoning\":true,\"guided_json\":null}",
                   false, &q, &f));
    EXPECT_FALSE(q.chat.sampling.has_temperature);
}

static const struct {
    const char *body;
    bool completion;
    const char *code;
    const char *param;
    const char *text; // part of the message
} refusals[] = {
    {"{}", false, "missing_required_parameter", "messages", "Missing required parameter"},
    {"{\"messages\":null}", false, "missing_required_parameter", "messages", "Missing"},
    {"{\"messages\":[]}", false, "empty_array", "messages", "empty array"},
    {"{\"messages\":\"x\"}", false, "invalid_type", "messages", "expected an array of objects"},
    {"{\"messages\":[3]}", false, "invalid_type", "messages[0]", "an object"},
    {"[1]", false, "invalid_type", "", "must be a JSON object, but is an array"},
    {"{\"messages\":[{\"content\":\"x\"}]}", false, "missing_required_parameter",
     "messages[0].role", "messages[0].role"},
    {"{\"messages\":[{\"role\":5,\"content\":\"x\"}]}", false, "invalid_type", "messages[0].role",
     "expected a string, but got an integer"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"boss\",\"content\":\"x\"}]}",
     false, "invalid_value", "messages[1].role", "Invalid value: 'boss'. Supported values are: "},
    {"{\"messages\":[{\"role\":\"user\"}]}", false, "missing_required_parameter",
     "messages[0].content", "content"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":null}]}", false, "invalid_type",
     "messages[0].content", "got null"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":{}}]}", false, "invalid_type",
     "messages[0].content", "an array of content parts"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
     false, "unsupported_value", "messages[0].content[0].type", "content part type: 'image_url'"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", false,
     "missing_required_parameter", "messages[0].content[0].text", "text"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]}]}", false,
     "missing_required_parameter", "messages[0].content[0].type", "type"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[7]}]}", false, "invalid_type",
     "messages[0].content[0]", "an object"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"function\","
     "\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}]}",
     false, "invalid_value", "messages[0].tool_calls[0].function.arguments", "JSON object"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"custom\"}]}]}", false,
     "unsupported_value", "messages[0].tool_calls[0]", "function"},
    {"{" USER ",\"model\":3}", false, "invalid_type", "model", "expected a string"},
    {"{" USER ",\"temperature\":\"hot\"}", false, "invalid_type", "temperature", "a number"},
    {"{" USER ",\"temperature\":3}", false, "decimal_above_max_value", "temperature",
     "Expected a value <= 2, but got 3 instead"},
    {"{" USER ",\"temperature\":-0.5}", false, "decimal_below_min_value", "temperature", ">= 0"},
    {"{" USER ",\"top_p\":0}", false, "decimal_below_min_value", "top_p", "(0, 1]"},
    {"{" USER ",\"top_p\":1.5}", false, "decimal_above_max_value", "top_p", "<= 1"},
    {"{" USER ",\"top_k\":-2}", false, "integer_below_min_value", "top_k", ">= -1"},
    {"{" USER ",\"max_tokens\":0}", false, "integer_below_min_value", "max_tokens", ">= 1"},
    {"{" USER ",\"max_tokens\":99999999999}", false, "integer_above_max_value", "max_tokens",
     "integer above maximum value"},
    {"{" USER ",\"max_tokens\":2.5}", false, "invalid_type", "max_tokens", "a decimal"},
    {"{" USER ",\"max_tokens\":2,\"min_tokens\":3}", false, "integer_above_max_value", "min_tokens",
     "max_tokens=2"},
    {"{" USER ",\"stop\":\"\"}", false, "invalid_value", "stop", "empty string"},
    {"{" USER ",\"stop\":[\"a\",3]}", false, "invalid_type", "stop[1]", "a string"},
    {"{" USER ",\"stop\":3}", false, "invalid_type", "stop", "array of strings"},
    {"{" USER ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\","
     "\"d\",\"e\",\"f\",\"g\",\"h\"]}",
     false, "array_above_max_length", "stop", "maximum length 16"},
    {"{" USER ",\"stop_token_ids\":[-1]}", false, "integer_below_min_value", "stop_token_ids[0]",
     ">= 0"},
    {"{" USER ",\"stream\":1}", false, "invalid_type", "stream", "a boolean"},
    {"{" USER ",\"stream_options\":{\"include_usage\":true}}", false, "invalid_value",
     "stream_options", "stream=True"},
    {"{" USER ",\"stream\":true,\"stream_options\":{\"include_usage\":1}}", false, "invalid_type",
     "stream_options.include_usage", "a boolean"},
    {"{" USER ",\"n\":2}", false, "unsupported_parameter", "n", "'n' is not supported yet"},
    {"{" USER ",\"presence_penalty\":0.1}", false, "unsupported_parameter", "presence_penalty",
     "neutral value"},
    {"{" USER ",\"logit_bias\":{\"5\":1}}", false, "unsupported_parameter", "logit_bias", "yet"},
    {"{" USER ",\"tools\":[{}]}", false, "unsupported_parameter", "tools", "yet"},
    {"{" USER ",\"tool_choice\":\"required\"}", false, "unsupported_parameter", "tool_choice",
     "yet"},
    {"{" USER ",\"functions\":[{}]}", false, "unsupported_parameter", "functions", "'tools'"},
    {"{" USER ",\"response_format\":{\"type\":\"json_object\"}}", false, "unsupported_parameter",
     "response_format", "yet"},
    {"{" USER ",\"guided_regex\":\"a+\"}", false, "unsupported_parameter", "guided_regex",
     "response_format"},
    {"{" USER ",\"logprobs\":true,\"top_logprobs\":3}", false, "unsupported_parameter",
     "top_logprobs", "yet"},
    {"{" USER ",\"top_logprobs\":0}", false, "invalid_value", "top_logprobs", "logprobs"},
    {"{" USER ",\"top_logprobs\":21}", false, "integer_above_max_value", "top_logprobs", "<= 20"},
    {"{" USER ",\"logprobs\":2}", false, "invalid_type", "logprobs", "a boolean"},
    {"{" USER ",\"continue_final_message\":true,\"add_generation_prompt\":true}", false,
     "invalid_value", "add_generation_prompt", "Cannot set both"},
    {"{" USER ",\"echo\":true}", false, "unsupported_parameter", "echo", "chat"},
    {"{}", true, "missing_required_parameter", "prompt", "Missing"},
    {"{\"prompt\":[]}", true, "empty_array", "prompt", "empty array"},
    {"{\"prompt\":[1,2]}", true, "unsupported_parameter", "prompt", "one string"},
    {"{\"prompt\":[\"a\",\"b\"]}", true, "unsupported_parameter", "prompt", "one string"},
    {"{\"prompt\":5}", true, "invalid_type", "prompt", "a string"},
    {"{\"prompt\":\"a\",\"suffix\":\"b\"}", true, "unsupported_parameter", "suffix", "yet"},
    {"{\"prompt\":\"a\",\"logprobs\":2}", true, "unsupported_parameter", "logprobs", "yet"},
    {"{\"prompt\":\"a\",\"logprobs\":-1}", true, "integer_below_min_value", "logprobs", ">= 0"},
    {"{\"prompt\":\"a\",\"echo\":true,\"logprobs\":0}", true, "unsupported_parameter", "echo",
     "yet"},
};

TEST(refusals_name_code_param_and_reason)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct chat_json_request q;
        struct chat_failure f;
        const enum status rc = read(refusals[i].body, refusals[i].completion, &q, &f);

        if (rc != E_INVALID || f.http_status != 400 || f.code == NULL ||
            strcmp(f.code, refusals[i].code) != 0 || strcmp(f.param, refusals[i].param) != 0 ||
            strstr(f.message, refusals[i].text) == NULL) {
            FAIL("case %zu %s: status %d code %s param \"%s\" message \"%s\"", i, refusals[i].body,
                 rc, f.code == NULL ? "-" : f.code, f.param, f.message);
        }
    }
}

static struct str member(const struct chat_json_request *q, uint32_t idx, struct str key)
{
    return json_string_or(json_get(&q->chat.messages->items[idx], key), STR("(none)"));
}

TEST(messages_are_put_into_plain_form)
{
    struct chat_json_request q;
    struct chat_failure f;
    const struct json_value *call;

    EXPECT_OK(read(
        "{\"messages\":[{\"role\":\"developer\",\"content\":\"d\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},\"b\","
        "{\"type\":\"input_text\",\"text\":\"c\"}],\"name\":\"n\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"p\\\":1}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":[{\"type\":\"text\",\"text\":\"1\"},"
        "{\"type\":\"text\",\"text\":\"2\"}]},"
        "{\"role\":\"assistant\",\"tool_calls\":[]},{\"role\":\"user\",\"content\":[]}]}",
        false, &q, &f));
    EXPECT_EQ_STR(member(&q, 0, STR("role")), STR("system"));
    EXPECT_EQ_STR(member(&q, 1, STR("content")), STR("abc"));
    EXPECT_EQ_STR(member(&q, 1, STR("name")), STR("n"));
    EXPECT_EQ_STR(member(&q, 2, STR("content")), STR(""));
    call = &json_get(&q.chat.messages->items[2], STR("tool_calls"))->items[0];
    EXPECT_EQ_I64(json_int_or(json_get(json_get(json_get(call, STR("function")), STR("arguments")),
                                       STR("p")),
                              0),
                  1);
    EXPECT_EQ_STR(member(&q, 3, STR("content")), STR("1\n2"));
    EXPECT_TRUE(json_get(&q.chat.messages->items[4], STR("tool_calls")) == NULL);
    EXPECT_EQ_STR(member(&q, 4, STR("content")), STR(""));
    EXPECT_EQ_STR(member(&q, 5, STR("content")), STR(""));
}

TEST(completions_have_their_own_defaults)
{
    struct chat_json_request q;
    struct chat_failure f;

    EXPECT_OK(read("{\"prompt\":[\"only\"],\"logprobs\":0}", true, &q, &f));
    EXPECT_EQ_STR(q.chat.prompt_text, STR("only"));
    EXPECT_EQ_U32(q.chat.sampling.max_tokens, 16);
    EXPECT_TRUE(q.chat.sampling.logprobs);
    EXPECT_EQ_INT(q.chat.prompt_kind, CHAT_PROMPT_TEXT);
}

TEST(memory_has_a_ceiling)
{
    struct arena *small = arena_create(600);
    struct chat_json_request q;
    struct chat_failure f = {0};
    const struct json_value *root =
        parse("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\","
              "\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}");

    EXPECT_STATUS(chat_json_read_chat(small, root, &q, &f), E_NO_MEMORY);
    EXPECT_EQ_INT(f.http_status, 413);
    arena_destroy(small);
}

/* --- writing --- */

static const struct chat_json_frame frame = {.id = {"chatcmpl-1", 10},
                                             .model = {"m\"x", 3},
                                             .fingerprint = {"fp", 2},
                                             .created_s = 7};

static struct str prefix_of(const struct chat_json_frame *f, struct buf *out)
{
    buf_init(out, 4096);
    chat_json_write_prefix(out, f);
    return buf_str(out);
}

TEST(chunks_look_like_the_clients_expect)
{
    struct buf prefix;
    struct buf out;
    const struct chat_json_token token = {{"a\xC3", 2}, -0.25f};
    struct chat_json_chunk c = {.prefix = prefix_of(&frame, &prefix), .stop_token = -1};

    buf_init(&out, 1 << 16);
    c.kind = CHAT_EVENT_START;
    chat_json_write_chunk(&out, &c);
    EXPECT_EQ_STR(
        buf_str(&out),
        STR("{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":7,"
            "\"model\":\"m\\\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
            "\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}"));
    buf_reset(&out);
    c.kind = CHAT_EVENT_TEXT;
    c.text = STR("\xE4\xBD\xA0\n");
    c.tokens = &token;
    c.n_tokens = 1;
    chat_json_write_chunk(&out, &c);
    EXPECT_CONTAINS(buf_c(&out), "\"delta\":{\"content\":\"\xE4\xBD\xA0\\n\"},\"logprobs\":"
                                 "{\"content\":[{\"token\":\"a\xEF\xBF\xBD\",\"logprob\":-0.25,"
                                 "\"bytes\":[97,195],\"top_logprobs\":[]}],\"refusal\":null}");
    buf_reset(&out);
    c.kind = CHAT_EVENT_DONE;
    c.tokens = NULL;
    c.stop_reason = STR("END");
    c.fingerprint = frame.fingerprint;
    chat_json_write_chunk(&out, &c);
    EXPECT_CONTAINS(buf_c(&out), "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\","
                                 "\"stop_reason\":\"END\"}],\"system_fingerprint\":\"fp\"}");
    buf_done(&out);
    buf_done(&prefix);
}

TEST(failures_in_both_styles)
{
    struct chat_failure f;
    struct buf out;

    chat_failure_set(&f, 404, "invalid_request_error", "model_not_found", "model", "no `%s`", "x");
    buf_init(&out, 4096);
    chat_json_write_failure(&out, &f, CHAT_JSON_STYLE_OPENAI);
    EXPECT_EQ_STR(buf_str(&out),
                  STR("{\"error\":{\"message\":\"no `x`\",\"type\":\"invalid_request_error\","
                      "\"param\":\"model\",\"code\":\"model_not_found\"}}"));
    buf_reset(&out);
    chat_json_write_failure(&out, &f, CHAT_JSON_STYLE_VLLM);
    EXPECT_EQ_STR(buf_str(&out), STR("{\"error\":{\"message\":\"no `x`\",\"type\":"
                                     "\"NotFoundError\",\"param\":\"model\",\"code\":404}}"));
    buf_done(&out);
}

TEST(infinite_logprobs_have_a_floor)
{
    const struct chat_json_token token = {{"a", 1}, -__builtin_inff()};
    const struct chat_json_answer answer = {.text = STR("a"),
                                            .tokens = &token,
                                            .n_tokens = 1,
                                            .stop_token = 151336};
    struct buf out;

    buf_init(&out, 4096);
    chat_json_write_answer(&out, &frame, &answer);
    EXPECT_CONTAINS(buf_c(&out), "\"logprob\":-9999");
    EXPECT_CONTAINS(buf_c(&out), "\"stop_reason\":151336");
    buf_done(&out);
}

/* --- the client's side --- */

TEST(chunks_are_read_back)
{
    struct chat_json_delta d;
    struct chat_failure f;

    EXPECT_OK(
        chat_json_read_chunk(parse("{\"choices\":[{\"delta\":{\"content\":\"hi\","
                                   "\"reasoning_content\":\"r\"},\"finish_reason\":\"stop\"}],"
                                   "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}"),
                             &d, &f));
    EXPECT_EQ_STR(d.content, STR("hi"));
    EXPECT_EQ_STR(d.reasoning, STR("r"));
    EXPECT_TRUE(d.has_finish && d.has_usage);
    EXPECT_EQ_U32(d.usage.completion_tokens, 4);
    EXPECT_OK(chat_json_read_chunk(parse("{\"choices\":[{\"text\":\"t\"}]}"), &d, &f));
    EXPECT_EQ_STR(d.content, STR("t"));
    EXPECT_OK(chat_json_read_chunk(parse("{\"choices\":[]}"), &d, &f));
    EXPECT_STATUS(chat_json_read_chunk(parse("{\"error\":{\"message\":\"m\",\"code\":429}}"), &d,
                                       &f),
                  E_INVALID);
    EXPECT_EQ_INT(f.http_status, 429);
    EXPECT_EQ_C_STR(f.message, "m");
    EXPECT_STATUS(chat_json_read_chunk(parse("{\"x\":1}"), &d, &f), E_INVALID);
    EXPECT_EQ_INT(f.http_status, 502);
}

TEST(error_bodies_of_other_servers)
{
    struct chat_failure f;

    chat_json_read_failure(parse("{\"error\":\"Unauthorized\"}"), 401, &f);
    EXPECT_EQ_C_STR(f.message, "Unauthorized");
    chat_json_read_failure(parse("{\"detail\":\"Not Found\"}"), 404, &f);
    EXPECT_EQ_C_STR(f.message, "Not Found");
    chat_json_read_failure(parse("{\"message\":\"flat\",\"object\":\"error\"}"), 500, &f);
    EXPECT_EQ_C_STR(f.message, "flat");
    EXPECT_EQ_C_STR(f.type, "server_error");
}
