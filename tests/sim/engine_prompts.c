/* Messages: through the template and the tokenizer to the model, and what clients are told when
 * that fails. */
#include "sim/sim.h"
#include "support/test.h"

#include <string.h>

#define TEMPLATE                                                                                   \
    "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}"    \
    "{% endif %}<|user|>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"

static void expect_prompt(struct sim *sim, uint32_t idx, const char *want)
{
    const struct engine_ticket *t = sim_record(sim, idx)->ticket;
    struct chat_failure failure;
    struct buf text;

    EXPECT_FALSE(sim_record(sim, idx)->failed);
    buf_init(&text, 10000);
    EXPECT_OK(engine_detokenize(sim_engine(sim), t->ids, t->n_prompt, &text, &failure));
    EXPECT_EQ_STR(buf_str(&text), str_from_c(want));
    buf_done(&text);
}

TEST(messages_are_rendered_and_special_tokens_become_ids)
{
    struct sim *sim = sim_start(.chat_template = TEMPLATE);
    uint32_t i =
        sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"hi\"}]", .max_tokens = 1);

    sim_run(sim, 10);
    expect_prompt(sim, i, "<|user|>hi>");
    EXPECT_EQ_U32(sim_record(sim, i)->usage.prompt_tokens, 4);
    EXPECT_EQ_INT(sim_record(sim, i)->ticket->ids[0], SIM_USER);
    sim_stop(sim);
}

TEST(the_last_message_can_be_continued)
{
    const char *messages = "[{\"role\":\"user\",\"content\":\"ab\"},"
                           "{\"role\":\"assistant\",\"content\":\" ab \"}]";
    struct sim *sim = sim_start(.chat_template = TEMPLATE "!");
    uint32_t whole = sim_submit(sim, .messages = messages, .max_tokens = 1);
    uint32_t open =
        sim_submit(sim, .messages = messages, .max_tokens = 1, .continue_final_message = true);
    uint32_t empty = sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"\"}]",
                                .continue_final_message = true);

    sim_run(sim, 10);
    expect_prompt(sim, whole, "<|user|>ab<|user|> ab >!");
    expect_prompt(sim, open, "<|user|>ab<|user|> ab");
    EXPECT_TRUE(sim_record(sim, empty)->failed);
    EXPECT_EQ_INT(sim_record(sim, empty)->failure.http_status, 400);
    EXPECT_EQ_C_STR(sim_record(sim, empty)->failure.param, "continue_final_message");
    sim_stop(sim);
}

TEST(what_the_template_refuses_is_a_400_that_names_the_line)
{
    struct sim *sim = sim_start(.chat_template = "\n\n" TEMPLATE);
    uint32_t bad = sim_submit(sim, .messages = "[{\"role\":\"tool\",\"content\":\"x\"}]");
    uint32_t good =
        sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"x\"}]", .max_tokens = 1);

    sim_run(sim, 10);
    EXPECT_TRUE(sim_record(sim, bad)->failed);
    EXPECT_EQ_INT(sim_record(sim, bad)->failure.http_status, 400);
    EXPECT_CONTAINS(sim_record(sim, bad)->failure.message, "no tools here");
    EXPECT_CONTAINS(sim_record(sim, bad)->failure.message, "line 3");
    EXPECT_FALSE(sim_record(sim, good)->failed);
    sim_stop(sim);
}

TEST(a_template_without_end_is_a_400_and_the_next_request_is_served)
{
    struct sim *sim =
        sim_start(.chat_template =
                      "{% if messages[0]['content'] == 'loop' %}{% for i in range(2000) %}"
                      "{% for j in range(2000) %}{% endfor %}{% endfor %}{% endif %}ok");
    uint32_t bad = sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"loop\"}]");
    uint32_t good =
        sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"x\"}]", .max_tokens = 1);

    sim_run(sim, 10);
    EXPECT_TRUE(sim_record(sim, bad)->failed);
    EXPECT_EQ_INT(sim_record(sim, bad)->failure.http_status, 400);
    EXPECT_CONTAINS(sim_record(sim, bad)->failure.message, "line 1");
    EXPECT_FALSE(sim_record(sim, good)->failed);
    sim_stop(sim);
}

TEST(long_messages_are_told_by_the_name_of_the_field)
{
    struct sim *sim = sim_start(.chat_template = TEMPLATE, .max_model_len = 16);
    uint32_t i =
        sim_submit(sim,
                   .messages =
                       "[{\"role\":\"user\",\"content\":\"more than sixteen bytes of text\"}]");

    sim_run(sim, 10);
    EXPECT_EQ_C_STR(sim_record(sim, i)->failure.code, "context_length_exceeded");
    EXPECT_EQ_C_STR(sim_record(sim, i)->failure.param, "messages");
    EXPECT_CONTAINS(sim_record(sim, i)->failure.message,
                    "This model's maximum context length is 16 tokens. However, your messages");
    sim_stop(sim);
}

TEST(render_answers_on_the_caller_s_thread)
{
    struct sim *sim = sim_start(.chat_template = TEMPLATE);
    const struct sim_record *r =
        sim_record(sim, sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"hi\"}]",
                                   .max_tokens = 1));
    struct chat_failure failure;
    struct buf text;

    buf_init(&text, 1000);
    EXPECT_OK(engine_render(sim_engine(sim), &r->request, &text, &failure));
    EXPECT_EQ_STR(buf_str(&text), STR("<|user|>hi>"));
    buf_done(&text);
    sim_run(sim, 10);
    sim_stop(sim);
}
