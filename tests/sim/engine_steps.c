/* One behaviour of the engine per test, step by step on the fake model. */
#include "sim/sim.h"
#include "support/test.h"

#include <math.h>
#include <string.h>

TEST(answers_greedily_what_the_model_says)
{
    struct sim *sim = sim_start();
    uint32_t i = sim_submit(sim, .prompt_tokens = 40, .max_tokens = 20);
    const struct sim_record *r = sim_record(sim, i);
    int32_t want[20];

    sim_run(sim, 100);
    sim_expect(sim, r->prompt, 40, 20, want);
    EXPECT_EQ_U32(r->usage.prompt_tokens, 40);
    EXPECT_EQ_U32(r->n_ids, 20);
    EXPECT_EQ_INT(memcmp(r->ids, want, sizeof(want)), 0);
    EXPECT_EQ_INT(r->finish, CHAT_FINISH_LENGTH);
    EXPECT_EQ_INT(r->stop_token, -1);
    sim_stop(sim);
}

TEST(a_long_prompt_is_computed_in_chunks)
{
    struct sim *sim = sim_start(.max_num_batched_tokens = 8);
    uint32_t i = sim_submit(sim, .prompt_tokens = 30, .max_tokens = 1);

    for (int step = 0; step < 4; step++) { // 8 + 8 + 8 + 6
        EXPECT_EQ_U32(sim_record(sim, i)->n_texts, 0);
        EXPECT_TRUE(sim_step(sim));
    }
    EXPECT_EQ_U32(sim_engine(sim)->sched.n_tokens, 6);
    EXPECT_EQ_U32(sim_record(sim, i)->n_lasts, 0);
    sim_step(sim);
    EXPECT_EQ_U32(sim_record(sim, i)->n_lasts, 1);
    sim_stop(sim);
}

TEST(decoding_goes_on_beside_a_long_prompt)
{
    struct sim *sim = sim_start(.max_num_batched_tokens = 8);
    uint32_t a = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 50, .sampling.ignore_eos = true);
    uint32_t b;

    sim_step(sim);
    b = sim_submit(sim, .prompt_tokens = 60, .max_tokens = 1);
    for (uint32_t step = 1; step <= 8; step++) {
        EXPECT_TRUE(sim_step(sim));
        EXPECT_EQ_U32(sim_engine(sim)->tally.n_generated_tokens, 1 + step);
        EXPECT_EQ_U32(sim_engine(sim)->sched.parts[0].n_tokens, 1);
        EXPECT_EQ_U32(sim_engine(sim)->sched.n_tokens, 8);
    }
    sim_step(sim); // 8 * 7 = 56 of 60, the rest comes now
    sim_step(sim);
    EXPECT_EQ_U32(sim_record(sim, b)->n_lasts, 1);
    EXPECT_EQ_U32(sim_record(sim, a)->n_lasts, 0);
    sim_stop(sim);
}

TEST(on_a_slow_machine_chunks_shrink_until_a_step_takes_a_second)
{
    struct sim *sim = sim_start(.blocks = 1024, .max_model_len = 4000, .row_ns = 8000000,
                                .max_num_batched_tokens = 2000); // 125 rows a second
    uint32_t a = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 400);
    uint64_t before;

    sim_step(sim);
    sim_submit(sim, .prompt_tokens = 3500, .max_tokens = 1);
    sim_step(sim); // as large as allowed, 16 s: nothing is known yet
    EXPECT_EQ_U32(sim_engine(sim)->sched.n_tokens, 2000);
    for (int step = 0; step < 5; step++) {
        before = sim_now_ns(sim);
        sim_step(sim);
        EXPECT_TRUE(sim_now_ns(sim) - before <= SCHED_STEP_NS + 10000000);
        EXPECT_TRUE(sim_engine(sim)->sched.n_tokens > 100);
    }
    EXPECT_EQ_U32(sim_record(sim, a)->n_ids, 7);
    sim_run(sim, 1000);
    EXPECT_EQ_U32(sim_record(sim, a)->n_ids, 400);
    sim_stop(sim);
}

TEST(the_budget_never_falls_below_its_least_nor_stops_a_prompt)
{
    struct sim *sim = sim_start(.blocks = 2048, .max_model_len = 4000, .row_ns = 1000000000,
                                .max_num_seqs = 80, .max_num_batched_tokens = 500);
    uint32_t i;

    for (uint32_t k = 0; k < 70; k++) {
        sim_submit(sim, .prompt_tokens = 4, .max_tokens = 40);
    }
    sim_step(sim);
    sim_step(sim);
    EXPECT_EQ_U32(sim_engine(sim)->sched.budget, SCHED_BUDGET_MIN);
    i = sim_submit(sim, .prompt_tokens = 10, .max_tokens = 1);
    sim_step(sim);
    EXPECT_EQ_U32(sim_engine(sim)->sched.n_tokens, 71); // 70 decode, one row of the prompt
    for (int step = 0; step < 11; step++) {
        sim_step(sim);
    }
    EXPECT_EQ_U32(sim_record(sim, i)->n_lasts, 1);
    sim_run(sim, 1000);
    sim_stop(sim);
}

TEST(admission_is_in_order_and_waits_for_blocks)
{
    struct sim *sim = sim_start(.blocks = 8, .block_tokens = 4, .max_model_len = 32);
    uint32_t big = sim_submit(sim, .prompt_tokens = 16, .max_tokens = 5); // 20 cached: 5 blocks
    uint32_t large = sim_submit(sim, .prompt_tokens = 20, .max_tokens = 1);
    uint32_t small = sim_submit(sim, .prompt_tokens = 1, .max_tokens = 1);

    sim_step(sim);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), 3);
    EXPECT_EQ_U32(sim_record(sim, big)->n_starts, 1);
    EXPECT_EQ_U32(sim_record(sim, large)->n_starts, 0);
    EXPECT_EQ_U32(sim_record(sim, small)->n_starts, 0); // would fit, but does not overtake
    sim_run(sim, 100);
    EXPECT_EQ_U64(sim_record(sim, big)->start_order, 1);
    EXPECT_EQ_U64(sim_record(sim, large)->start_order, 2);
    EXPECT_EQ_U64(sim_record(sim, small)->start_order, 3);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), 8);
    sim_stop(sim);
}

TEST(a_request_as_long_as_the_context_fits_exactly)
{
    struct sim *sim = sim_start(.blocks = 8, .block_tokens = 4, .max_model_len = 32);
    uint32_t i = sim_submit(sim, .prompt_tokens = 20, .max_tokens = 0);

    sim_step(sim);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), 0);
    sim_run(sim, 100);
    EXPECT_EQ_U32(sim_record(sim, i)->usage.completion_tokens, 12);
    EXPECT_EQ_INT(sim_record(sim, i)->finish, CHAT_FINISH_LENGTH);
    sim_stop(sim);
}

TEST(max_tokens_is_capped_by_the_context)
{
    struct sim *sim = sim_start(.max_model_len = 32);
    uint32_t i = sim_submit(sim, .prompt_tokens = 31, .max_tokens = 1000);

    sim_run(sim, 100);
    EXPECT_EQ_U32(sim_record(sim, i)->usage.completion_tokens, 1);
    sim_stop(sim);
}

static void expect_overflow(const struct sim_record *r, const char *size)
{
    EXPECT_TRUE(r->failed);
    EXPECT_EQ_U32(r->n_starts, 0);
    EXPECT_EQ_INT(r->failure.http_status, 400);
    EXPECT_EQ_C_STR(r->failure.code, "context_length_exceeded");
    EXPECT_CONTAINS(r->failure.message, "maximum context length is 32 tokens");
    EXPECT_CONTAINS(r->failure.message, size);
}

TEST(a_prompt_that_leaves_no_room_is_refused_with_openai_s_words)
{
    struct sim *sim = sim_start(.max_model_len = 32);
    uint32_t a = sim_submit(sim, .prompt_tokens = 32, .max_tokens = 1);
    uint32_t b = sim_submit(sim, .prompt_tokens = 100, .max_tokens = 1);
    uint32_t c = sim_submit(sim, .text = "a text of more than thirty-two bytes, one token each");
    uint32_t d = sim_submit(sim, .text = "fits", .max_tokens = 2);

    sim_run(sim, 100);
    expect_overflow(sim_record(sim, a), "resulted in 32 tokens");
    expect_overflow(sim_record(sim, b), "at least 33 tokens");
    expect_overflow(sim_record(sim, c), "at least 33 tokens");
    EXPECT_EQ_C_STR(sim_record(sim, a)->failure.param, "prompt");
    EXPECT_FALSE(sim_record(sim, d)->failed);
    EXPECT_EQ_U32(sim_record(sim, d)->usage.prompt_tokens, 4);
    sim_stop(sim);
}

TEST(bad_requests_get_a_400_and_the_next_is_served)
{
    const int32_t outside[] = {5, SIM_VOCAB};
    const int32_t negative[] = {-1};
    struct sim *sim = sim_start();
    uint32_t bad[] = {
        sim_submit(sim, .ids = outside, .n_ids = 2),
        sim_submit(sim, .ids = negative, .n_ids = 1),
        sim_submit(sim, .n_ids = 0),
        sim_submit(sim, .prompt_tokens = 3,
                   .sampling = {.has_temperature = true, .temperature = (double)NAN}),
        sim_submit(sim, .prompt_tokens = 3,
                   .sampling = {.has_temperature = true, .temperature = 2.1}),
        sim_submit(sim, .prompt_tokens = 3, .sampling = {.has_top_p = true, .top_p = 1.5}),
        sim_submit(sim, .prompt_tokens = 3, .sampling = {.has_top_k = true, .top_k = -2}),
        sim_submit(sim, .prompt_tokens = 3, .sampling = {.min_p = -0.5}),
        sim_submit(sim, .prompt_tokens = 3, .stop = {""}),
        sim_submit(sim, .prompt_tokens = 3, .sampling = {.stop_ids = {SIM_VOCAB}, .n_stop_ids = 1}),
        sim_submit(sim, .messages = "[{\"role\":\"user\",\"content\":\"hi\"}]"), // no template
    };
    uint32_t good = sim_submit(sim, .prompt_tokens = 3, .max_tokens = 1);

    sim_run(sim, 100);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EXPECT_TRUE(sim_record(sim, bad[i])->failed);
        EXPECT_EQ_INT(sim_record(sim, bad[i])->failure.http_status, 400);
        EXPECT_TRUE(sim_record(sim, bad[i])->failure.message[0] != '\0');
    }
    EXPECT_CONTAINS(sim_record(sim, bad[0])->failure.message, "Token id 300 is out of vocabulary");
    EXPECT_FALSE(sim_record(sim, good)->failed);
    sim_stop(sim);
}

TEST(text_of_the_answer_is_the_decoded_bytes)
{
    struct sim *sim = sim_start();
    uint32_t i;

    sim_script(sim, 0, "Zinsen f\xC3\xBCr \xE9\x93\xB6\xE8\xA1\x8C \xF0\x9F\x98\x80.");
    i = sim_submit(sim, .script = 1);
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&sim_record(sim, i)->text),
                  STR("Zinsen f\xC3\xBCr \xE9\x93\xB6\xE8\xA1\x8C \xF0\x9F\x98\x80."));
    EXPECT_EQ_INT(sim_record(sim, i)->finish, CHAT_FINISH_STOP);
    EXPECT_EQ_INT(sim_record(sim, i)->stop_token, -1);
    /* the end token is counted and reported, but is no text */
    EXPECT_EQ_U32(sim_record(sim, i)->usage.completion_tokens, 25);
    EXPECT_EQ_U32(sim_record(sim, i)->n_ids_before_last, 24);
    EXPECT_EQ_INT(sim_record(sim, i)->ids[24], SIM_EOS);
    sim_stop(sim);
}

TEST(a_character_cut_by_max_tokens_becomes_a_replacement_character)
{
    struct sim *sim = sim_start();
    uint32_t i;

    sim_script(sim, 0, "ab\xE9\x93\xB6");
    i = sim_submit(sim, .script = 1, .max_tokens = 4);
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&sim_record(sim, i)->text), STR("ab\xEF\xBF\xBD"));
    EXPECT_EQ_U32(sim_record(sim, i)->n_ids_before_last, 4);
    sim_stop(sim);
}

TEST(half_characters_are_reported_with_the_text_they_belong_to)
{
    struct sim *sim = sim_start();
    uint32_t i;

    sim_script(sim, 0, "a\xE9\x93\xB6");
    i = sim_submit(sim, .script = 1);
    sim_step(sim);
    EXPECT_EQ_U32(sim_record(sim, i)->n_ids, 1);
    sim_step(sim);
    sim_step(sim);
    EXPECT_EQ_U32(sim_record(sim, i)->n_ids, 1);
    sim_step(sim);
    EXPECT_EQ_U32(sim_record(sim, i)->n_ids, 4);
    sim_run(sim, 10);
    sim_stop(sim);
}

TEST(a_stop_string_ends_the_answer_and_is_cut_off)
{
    struct sim *sim = sim_start();
    const struct sim_record *r;

    sim_script(sim, 0, "one STO two STOP three");
    r = sim_record(sim, sim_submit(sim, .script = 1, .stop = {"never", "STOP"}));
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&r->text), STR("one STO two "));
    EXPECT_EQ_INT(r->finish, CHAT_FINISH_STOP);
    EXPECT_EQ_C_STR(r->stop_reason, "STOP");
    EXPECT_EQ_U32(r->usage.completion_tokens, 16); // the tokens of "STOP" were generated
    EXPECT_EQ_U32(r->n_ids_before_last, 12);
    EXPECT_EQ_U32(r->n_ids, 16);
    sim_stop(sim);
}

TEST(the_stop_string_can_be_kept)
{
    struct sim *sim = sim_start();
    const struct sim_record *r;

    sim_script(sim, 0, "one STOP three");
    r = sim_record(sim,
                   sim_submit(sim, .script = 1, .sampling.include_stop = true, .stop = {"STOP"}));
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&r->text), STR("one STOP"));
    EXPECT_EQ_U32(r->n_ids_before_last, 8);
    sim_stop(sim);
}

TEST(held_back_text_leaves_when_the_answer_ends)
{
    struct sim *sim = sim_start();
    const struct sim_record *eos;
    const struct sim_record *length;

    sim_script(sim, 0, "wait ST");
    sim_script(sim, 1, "wait STand go");
    eos = sim_record(sim, sim_submit(sim, .script = 1, .stop = {"STOP"}));
    length = sim_record(sim, sim_submit(sim, .script = 2, .max_tokens = 7, .stop = {"STOP"}));
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&eos->text), STR("wait ST"));
    EXPECT_EQ_STR(buf_str(&length->text), STR("wait ST"));
    EXPECT_EQ_U32(eos->n_ids_before_last, 7); // the end token comes with DONE
    EXPECT_EQ_U32(length->n_ids_before_last, 7);
    sim_stop(sim);
}

TEST(a_stop_token_ends_the_answer_and_is_named)
{
    struct sim *sim = sim_start();
    const struct sim_record *r;
    const struct sim_record *kept;

    sim_script(sim, 0, "a;b");
    r = sim_record(sim,
                   sim_submit(sim, .script = 1, .sampling = {.stop_ids = {';'}, .n_stop_ids = 1}));
    kept = sim_record(sim, sim_submit(sim, .script = 1,
                                      .sampling = {.stop_ids = {';'},
                                                   .n_stop_ids = 1,
                                                   .include_stop = true}));
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&r->text), STR("a"));
    EXPECT_EQ_INT(r->stop_token, ';');
    EXPECT_EQ_INT(r->finish, CHAT_FINISH_STOP);
    EXPECT_EQ_STR(buf_str(&kept->text), STR("a;"));
    sim_stop(sim);
}

TEST(every_end_token_of_the_model_ends_the_answer)
{
    const int32_t ids[] = {'h', 'i', SIM_USER, 'x'};
    struct sim *sim = sim_start();
    const struct sim_record *r;

    sim_script_ids(sim, 0, ids, 4);
    r = sim_record(sim, sim_submit(sim, .script = 1));
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&r->text), STR("hi"));
    EXPECT_EQ_INT(r->finish, CHAT_FINISH_STOP);
    sim_stop(sim);
}

TEST(ignore_eos_goes_on_and_special_tokens_show_only_when_asked)
{
    const int32_t ids[] = {'h', SIM_USER, SIM_TOOL, 'x', SIM_EOS, 'y'};
    struct sim *sim = sim_start();
    const struct sim_record *hidden;
    const struct sim_record *shown;

    sim_script_ids(sim, 0, ids, 6);
    hidden =
        sim_record(sim, sim_submit(sim, .script = 1, .max_tokens = 6, .sampling.ignore_eos = true));
    shown = sim_record(sim, sim_submit(sim, .script = 1, .max_tokens = 6,
                                       .sampling.ignore_eos = true, .keep_special = true));
    sim_run(sim, 100);
    EXPECT_EQ_STR(buf_str(&hidden->text), STR("h<tool_call>xy"));
    EXPECT_EQ_STR(buf_str(&shown->text), STR("h<|user|><tool_call>x<|endoftext|>y"));
    EXPECT_EQ_U32(hidden->n_ids_before_last, 6);
    EXPECT_EQ_INT(hidden->finish, CHAT_FINISH_LENGTH);
    sim_stop(sim);
}

TEST(min_tokens_rules_out_ends_until_reached)
{
    struct sim *sim = sim_start();
    const struct sim_record *r;
    const struct sim_record *s;

    sim_script(sim, 0, "hi");
    sim_script(sim, 1, "a.b.c.");
    r = sim_record(sim, sim_submit(sim, .script = 1, .max_tokens = 20, .sampling.min_tokens = 5));
    s = sim_record(sim, sim_submit(sim, .script = 2, .sampling.min_tokens = 3, .stop = {"."}));
    sim_run(sim, 100);
    EXPECT_EQ_U32(r->usage.completion_tokens, 6); // 5, then the end token
    EXPECT_EQ_INT(r->ids[5], SIM_EOS);
    for (uint32_t i = 0; i < 5; i++) {
        EXPECT_TRUE(r->ids[i] != SIM_EOS && r->ids[i] != SIM_USER);
    }
    EXPECT_EQ_STR(buf_str(&s->text), STR("a.b"));
    sim_stop(sim);
}

TEST(cancel_frees_blocks_and_slot_within_one_step)
{
    struct sim *sim = sim_start(.seed = 7, .blocks = 16, .block_tokens = 4, .max_model_len = 64);
    uint32_t i = sim_submit(sim, .prompt_tokens = 40);
    struct engine_stats stats;

    sim_step(sim);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), 0);
    sim_cancel(sim, i);
    sim_cancel(sim, i); // idempotent
    sim_step(sim);
    EXPECT_STR_NULL(kv_check(sim_pool(sim)));
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), 16);
    EXPECT_EQ_U32(sim_record(sim, i)->n_lasts, 1);
    EXPECT_EQ_INT(sim_record(sim, i)->finish, CHAT_FINISH_ABORT);
    engine_stats(sim_engine(sim), &stats);
    EXPECT_EQ_U32(stats.n_running, 0);
    EXPECT_EQ_U32(stats.kv_blocks_used, 0);
    sim_cancel(sim, i); // after the end: nothing
    EXPECT_FALSE(sim_step(sim));
    sim_stop(sim);
}

TEST(cancel_reaches_requests_that_wait)
{
    struct sim *sim = sim_start(.max_num_seqs = 1);
    uint32_t a = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 30);
    uint32_t b = sim_submit(sim, .prompt_tokens = 4);
    uint32_t c = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 2);
    uint32_t d;
    struct engine_stats stats;

    sim_step(sim);
    d = sim_submit(sim, .prompt_tokens = 4);
    sim_cancel(sim, d); // before prep saw it
    sim_cancel(sim, b);
    sim_step(sim);
    EXPECT_EQ_INT(sim_record(sim, b)->finish, CHAT_FINISH_ABORT);
    EXPECT_EQ_U32(sim_record(sim, b)->n_starts, 0);
    EXPECT_EQ_INT(sim_record(sim, d)->finish, CHAT_FINISH_ABORT);
    engine_stats(sim_engine(sim), &stats);
    EXPECT_EQ_U32(stats.n_waiting, 1);
    sim_run(sim, 100);
    EXPECT_EQ_U32(sim_record(sim, a)->n_ids, 30);
    EXPECT_EQ_U32(sim_record(sim, c)->n_ids, 2);
    sim_stop(sim);
}

TEST(a_full_queue_says_so)
{
    struct sim *sim = sim_start(.queue_max = 2);
    uint32_t idx = 0;

    sim_submit(sim, .prompt_tokens = 4, .max_tokens = 2);
    sim_submit(sim, .prompt_tokens = 4, .max_tokens = 2);
    EXPECT_STATUS(sim_try_submit(sim, &(struct sim_request){.prompt_tokens = 4}, &idx), E_LIMIT);
    sim_step(sim);
    EXPECT_OK(
        sim_try_submit(sim, &(struct sim_request){.prompt_tokens = 4, .max_tokens = 1}, &idx));
    sim_run(sim, 100);
    sim_stop(sim);
}

TEST(drain_lets_requests_inside_finish)
{
    struct sim *sim = sim_start(.max_num_seqs = 1);
    uint32_t a = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 9);
    uint32_t b = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 9);
    uint32_t idx = 0;

    sim_step(sim);
    engine_drain(sim_engine(sim));
    EXPECT_STATUS(sim_try_submit(sim, &(struct sim_request){.prompt_tokens = 4}, &idx), E_CLOSED);
    sim_run(sim, 100);
    EXPECT_EQ_U32(sim_record(sim, a)->n_ids, 9);
    EXPECT_EQ_U32(sim_record(sim, b)->n_ids, 9);
    sim_stop(sim);
}

TEST(destroy_cancels_what_is_inside)
{
    struct sim *sim = sim_start(.max_num_seqs = 1);

    sim_submit(sim, .prompt_tokens = 4);
    sim_submit(sim, .prompt_tokens = 4);
    sim_step(sim);
    sim_submit(sim, .prompt_tokens = 4); // not even prepared
    sim_stop(sim);                       // fails unless each got its last event
}

TEST(logits_that_are_no_numbers_fail_the_request_and_the_engine)
{
    const int32_t ids[] = {1, SIM_NAN_ID};
    struct sim *sim = sim_start();
    uint32_t good = sim_submit(sim, .prompt_tokens = 4, .max_tokens = 5);
    uint32_t bad = sim_submit(sim, .ids = ids, .n_ids = 2);
    uint32_t idx = 0;
    struct engine_stats stats;

    sim_run(sim, 100);
    EXPECT_TRUE(sim_record(sim, bad)->failed);
    EXPECT_EQ_INT(sim_record(sim, bad)->failure.http_status, 500);
    EXPECT_EQ_U32(sim_record(sim, bad)->usage.prompt_tokens, 2);
    EXPECT_FALSE(sim_record(sim, good)->failed);
    engine_stats(sim_engine(sim), &stats);
    EXPECT_TRUE(stats.failed);
    EXPECT_STATUS(sim_try_submit(sim, &(struct sim_request){.prompt_tokens = 4}, &idx), E_CLOSED);
    EXPECT_EQ_U32(kv_free_count(sim_pool(sim)), 64);
    sim_stop(sim);
}

TEST(without_a_tokenizer_ids_go_in_and_out)
{
    struct sim *sim = sim_start(.no_tokenizer = true);
    const struct sim_record *r =
        sim_record(sim, sim_submit(sim, .prompt_tokens = 4, .max_tokens = 5));
    const struct sim_record *text = sim_record(sim, sim_submit(sim, .text = "hello"));

    sim_run(sim, 100);
    EXPECT_EQ_U32(r->n_texts, 5);
    EXPECT_EQ_U32(r->n_ids_before_last, 5);
    EXPECT_EQ_SIZE(r->text.len, 0);
    EXPECT_TRUE(text->failed);
    EXPECT_CONTAINS(text->failure.message, "without a tokenizer");
    sim_stop(sim);
}

TEST(times_and_counts_reach_the_metrics)
{
    struct metrics *m = metrics_create();
    struct sim *sim = sim_start(.metrics = m, .max_num_seqs = 1);
    struct buf out;
    uint32_t c;

    buf_init(&out, 1 << 20);
    sim_submit(sim, .prompt_tokens = 6, .max_tokens = 3);
    c = sim_submit(sim, .prompt_tokens = 6, .max_tokens = 3);
    sim_step(sim);
    metrics_render(m, &out);
    EXPECT_CONTAINS(buf_c(&out), "vllm:num_requests_running{model_name=\"sim\",engine=\"0\"} 1");
    EXPECT_CONTAINS(buf_c(&out), "vllm:num_requests_waiting{model_name=\"sim\",engine=\"0\"} 1");
    EXPECT_CONTAINS(buf_c(&out),
                    "vllm:kv_cache_usage_perc{model_name=\"sim\",engine=\"0\"} 0.03125");
    EXPECT_CONTAINS(buf_c(&out), "finished_reason=\"error\"} 0");
    sim_step(sim);
    sim_step(sim);
    sim_step(sim);
    sim_cancel(sim, c);
    sim_run(sim, 10);
    buf_reset(&out);
    metrics_render(m, &out);
    EXPECT_CONTAINS(buf_c(&out), "vllm:prompt_tokens_total{model_name=\"sim\",engine=\"0\"} 12");
    EXPECT_CONTAINS(buf_c(&out), "vllm:generation_tokens_total{model_name=\"sim\",engine=\"0\"} 4");
    EXPECT_CONTAINS(buf_c(&out), "finished_reason=\"length\"} 1");
    EXPECT_CONTAINS(buf_c(&out), "finished_reason=\"abort\"} 1");
    EXPECT_CONTAINS(buf_c(&out), "kontor_cancel_seconds_count{model_name=\"sim\",engine=\"0\"} 1");
    EXPECT_CONTAINS(buf_c(&out), "vllm:num_requests_running{model_name=\"sim\",engine=\"0\"} 0");
    EXPECT_CONTAINS(buf_c(&out), "vllm:num_requests_waiting{model_name=\"sim\",engine=\"0\"} 0");
    EXPECT_CONTAINS(buf_c(&out), "block_size=\"4\",num_gpu_blocks=\"64\"");
    sim_stop(sim);
    buf_done(&out);
    metrics_destroy(m);
}

TEST(tokenize_and_detokenize_answer_on_the_caller_s_thread)
{
    struct sim *sim = sim_start();
    struct chat_failure failure;
    struct buf ids;
    struct buf text;
    const int32_t want[] = {'a', SIM_USER, 'b'};
    const int32_t outside[] = {SIM_VOCAB};

    buf_init(&ids, 1000);
    buf_init(&text, 1000);
    EXPECT_OK(engine_tokenize(sim_engine(sim), STR("a<|user|>b"), true, &ids, &failure));
    EXPECT_EQ_SIZE(ids.len, sizeof(want));
    EXPECT_EQ_INT(memcmp(ids.ptr, want, sizeof(want)), 0);
    EXPECT_OK(engine_detokenize(sim_engine(sim), want, 3, &text, &failure));
    EXPECT_EQ_STR(buf_str(&text), STR("a<|user|>b"));
    EXPECT_STATUS(engine_detokenize(sim_engine(sim), outside, 1, &text, &failure), E_INVALID);
    EXPECT_EQ_INT(failure.http_status, 400);
    EXPECT_EQ_STR(engine_token_text(sim_engine(sim), SIM_TOOL), STR("<tool_call>"));
    EXPECT_EQ_SIZE(engine_token_text(sim_engine(sim), 263).len, 0);
    buf_done(&ids);
    buf_done(&text);
    sim_stop(sim);
}
