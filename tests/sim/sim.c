#include "sim/sim.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "engine/prep.h"
#include "engine/step.h"
#include "support/test.h"
#include "text/pretokenize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_NS 1000000u // a step lasts 1 ms and 10 us a row
#define ROW_NS 10000u
#define TEXT_MAX (1u << 20)

struct script {
    int32_t *ids;
    uint32_t n_ids;
};

struct sim {
    struct sim_options options;
    struct engine *engine;
    struct kontor_clock clock;
    _Atomic uint64_t now_ns;
    struct script scripts[SIM_SCRIPTS_MAX];
    int32_t *kv;      // [n_blocks * block_tokens] the cache: ids
    int32_t *kv_at;   // positions
    uint64_t n_drawn; // random prompt bytes so far
    uint64_t n_started;
    pthread_mutex_t lock; // guards n_requests and the records' `done`
    pthread_cond_t wake;
    struct sim_record *records[SIM_REQUESTS_MAX];
    uint32_t n_requests;
};

static uint64_t sim_clock_now(void *user)
{
    struct sim *sim = user;

    return atomic_load(&sim->now_ns);
}

static int64_t sim_clock_unix(void *user)
{
    (void)user;
    return 0;
}

/* ---- the fake model ---- */

/* Hash of the history after one more token. */
static uint64_t chain(uint64_t h, int32_t id)
{
    return hash_u64((uint64_t)(uint32_t)id, h);
}

/* A byte; the model never ends a sequence by itself. */
static int32_t next_token(uint64_t h)
{
    return (int32_t)(hash_u64(7, h) % 256);
}

static void write_logits(uint64_t h, int32_t next, float *logits)
{
    for (uint32_t v = 0; v < SIM_VOCAB; v++) {
        logits[v] = (float)(hash_u64(v, h) % 4096) / 1024.0F;
    }
    logits[next] = 8.0F;
    for (uint32_t v = 259; v < SIM_VOCAB; v++) {
        logits[v] = 20.0F; // rows without a token would win if they were not masked
    }
}

static const struct script *script_of(const struct sim *sim, int32_t first_id)
{
    if (first_id < SIM_SCRIPT || first_id >= SIM_SCRIPT + SIM_SCRIPTS_MAX) {
        return NULL;
    }
    return sim->scripts[first_id - SIM_SCRIPT].ids != NULL ? &sim->scripts[first_id - SIM_SCRIPT]
                                                           : NULL;
}

/* Read the history of `seq` as the cache has it. */
static void fake_logits(const struct sim *sim, const struct batch_seq *seq, float *logits)
{
    uint32_t block_tokens = sim->options.block_tokens;
    uint64_t h = sim->options.seed;
    int32_t first = -1;
    int32_t last = -1;
    const struct script *script;
    int32_t next;

    for (uint32_t i = 0; i < seq->kv_len; i++) {
        uint32_t slot = seq->blocks[i / block_tokens] * block_tokens + i % block_tokens;

        CHECK(sim->kv_at[slot] == (int32_t)i);
        last = sim->kv[slot];
        first = i == 0 ? last : first;
        h = chain(h, last);
    }
    script = script_of(sim, first);
    next = next_token(h);
    if (script != NULL) {
        next = seq->kv_len - 1 < script->n_ids ? script->ids[seq->kv_len - 1] : SIM_EOS;
    }
    write_logits(h, next, logits);
    if (last == SIM_NAN_ID) {
        logits[123] = NAN;
    }
}

static void fake_forward(void *user, const struct model_batch *b, float *logits)
{
    struct sim *sim = user;
    uint32_t n_slots = sim->options.blocks * sim->options.block_tokens;
    uint32_t row = 0;
    uint32_t n_done = 0;

    CHECK(b->n_tokens >= 1 && b->n_tokens <= sim->options.max_num_batched_tokens);
    CHECK(b->n_seqs >= 1 && b->n_seqs <= sim->options.max_num_seqs);
    for (uint32_t i = 0; i < b->n_tokens; i++) {
        CHECK(b->slots[i] < n_slots);
        sim->kv[b->slots[i]] = b->ids[i];
        sim->kv_at[b->slots[i]] = b->positions[i];
    }
    for (uint32_t s = 0; s < b->n_seqs; s++) {
        CHECK(b->seqs[s].q_start == row && b->seqs[s].q_len >= 1);
        row += b->seqs[s].q_len;
        for (uint32_t j = 0; j < b->seqs[s].q_len; j++) {
            uint32_t position = b->seqs[s].kv_len - b->seqs[s].q_len + j;

            CHECK(b->positions[b->seqs[s].q_start + j] == (int32_t)position);
        }
        if (n_done < b->n_logits && b->logit_rows[n_done] < row) {
            CHECK(b->logit_rows[n_done] == row - 1);
            fake_logits(sim, &b->seqs[s], logits + (size_t)n_done * SIM_VOCAB);
            n_done++;
        }
    }
    CHECK(row == b->n_tokens && n_done == b->n_logits);
    atomic_fetch_add(&sim->now_ns, STEP_NS + sim->options.row_ns * (uint64_t)b->n_tokens);
}

static void fake_destroy(void *user)
{
    (void)user; // the sim outlives its engine
}

void sim_expect(struct sim *sim, const int32_t *prompt, uint32_t n_prompt, uint32_t n_ids,
                int32_t *ret_ids)
{
    uint64_t h = sim->options.seed;

    for (uint32_t i = 0; i < n_prompt; i++) {
        h = chain(h, prompt[i]);
    }
    for (uint32_t i = 0; i < n_ids; i++) {
        ret_ids[i] = next_token(h);
        h = chain(h, ret_ids[i]);
    }
}

/* ---- the tokenizer: one token per byte ---- */

static void write_vocab(struct buf *out)
{
    uint32_t n_moved = 0;

    for (uint32_t byte = 0; byte < 256; byte++) {
        bool shown = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
        uint32_t cp = shown ? byte : 0x100 + n_moved++;
        char text[4];
        struct str key = {text, utf8_encode(cp, text)};

        buf_append_c(out, byte == 0 ? "" : ",");
        json_write_string(out, key);
        buf_printf(out, ":%u", byte);
    }
}

static void write_added(struct buf *out, int32_t id, const char *text, bool special)
{
    buf_printf(out,
               "%s{\"id\":%d,\"content\":\"%s\",\"special\":%s,\"lstrip\":false,\"rstrip\":false,"
               "\"normalized\":false,\"single_word\":false}",
               id == SIM_EOS ? "" : ",", id, text, special ? "true" : "false");
}

static struct tokenizer *make_tokenizer(void)
{
    struct tokenizer *tok = NULL;
    struct error err;
    struct buf json;

    buf_init(&json, 1 << 20);
    buf_append_c(&json, "{\"version\":\"1.0\",\"added_tokens\":[");
    write_added(&json, SIM_EOS, "<|endoftext|>", true);
    write_added(&json, SIM_USER, "<|user|>", true);
    write_added(&json, SIM_TOOL, "<tool_call>", false);
    buf_append_c(&json, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\","
                        "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    json_write_string(&json, str_from_c(PRETOKENIZE_REGEX));
    buf_append_c(&json, "},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
                        "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]},"
                        "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},"
                        "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    write_vocab(&json);
    buf_append_c(&json, "},\"merges\":[]}}");
    if (tokenizer_parse(buf_str(&json), &tok, &err) != OK) {
        FAIL("%s", err.text);
    }
    buf_done(&json);
    return tok;
}

/* ---- start and stop ---- */

static void fill_options(struct sim_options *o)
{
    o->seed = o->seed != 0 ? o->seed : 1;
    o->blocks = o->blocks != 0 ? o->blocks : 64;
    o->block_tokens = o->block_tokens != 0 ? o->block_tokens : 4;
    o->max_num_seqs = o->max_num_seqs != 0 ? o->max_num_seqs : 4;
    o->max_num_batched_tokens = o->max_num_batched_tokens != 0 ? o->max_num_batched_tokens : 16;
    o->max_model_len = o->max_model_len != 0 ? o->max_model_len : 128;
    if (o->max_model_len > o->blocks * o->block_tokens) {
        o->max_model_len = o->blocks * o->block_tokens;
    }
    o->queue_max = o->queue_max != 0 ? o->queue_max : 1024;
    o->row_ns = o->row_ns != 0 ? o->row_ns : ROW_NS;
    o->engine_seed = o->engine_seed != 0 ? o->engine_seed : 99;
    if (o->defaults.top_p == 0.0) {
        chat_sampling_default(&o->defaults);
    }
}

static struct engine_parts make_parts(struct sim *sim)
{
    const struct sim_options *o = &sim->options;
    struct engine_parts parts = {
        .backend = {.user = sim,
                    .vocab = SIM_VOCAB,
                    .forward = fake_forward,
                    .destroy = fake_destroy},
        .tok = o->no_tokenizer ? NULL : make_tokenizer(),
        .clock = &sim->clock,
        .metrics = o->metrics,
        .served_model_name = "sim",
        .architecture = "fake",
        .fingerprint = "sim",
        .max_model_len = o->max_model_len,
        .max_num_seqs = o->max_num_seqs,
        .max_num_batched_tokens = o->max_num_batched_tokens,
        .n_blocks = o->blocks,
        .block_tokens = o->block_tokens,
        .queue_max = o->queue_max,
        .eos_ids = {SIM_EOS, SIM_USER},
        .n_eos = 2,
        .defaults = o->defaults,
        .seed = o->engine_seed,
        .threads = o->threads,
    };
    struct error err;

    if (o->chat_template != NULL &&
        chat_template_compile(str_from_c(o->chat_template), &parts.template, &err) != OK) {
        FAIL("%s", err.text);
    }
    return parts;
}

struct sim *sim_start_with(const struct sim_options *o)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    struct engine_parts parts;
    struct error err;

    CHECK(sim != NULL);
    sim->options = *o;
    fill_options(&sim->options);
    sim->clock = (struct kontor_clock){sim_clock_now, sim_clock_unix, sim};
    sim->now_ns = 1000;
    CHECK(pthread_mutex_init(&sim->lock, NULL) == 0 && pthread_cond_init(&sim->wake, NULL) == 0);
    sim->kv = calloc((size_t)sim->options.blocks * sim->options.block_tokens, sizeof(*sim->kv));
    sim->kv_at = calloc((size_t)sim->options.blocks * sim->options.block_tokens, sizeof(*sim->kv));
    CHECK(sim->kv != NULL && sim->kv_at != NULL);
    parts = make_parts(sim);
    if (engine_assemble(&parts, &sim->engine, &err) != OK) {
        FAIL("%s", err.text);
    }
    return sim;
}

static void record_free(struct sim_record *r)
{
    arena_destroy(r->arena);
    buf_done(&r->text);
    free(r->prompt);
    free(r->ids);
    free(r->logprobs);
    free(r);
}

void sim_stop(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_requests; i++) {
        engine_release(sim->engine, sim->records[i]->ticket);
    }
    engine_destroy(sim->engine);
    for (uint32_t i = 0; i < sim->n_requests; i++) {
        const struct sim_record *r = sim->records[i];

        if (r->n_lasts != 1) {
            FAIL("request %u got %u last events", i, r->n_lasts);
        }
        EXPECT_EQ_U32(r->n_ids, r->usage.completion_tokens);
        record_free(sim->records[i]);
    }
    for (uint32_t k = 0; k < SIM_SCRIPTS_MAX; k++) {
        free(sim->scripts[k].ids);
    }
    pthread_mutex_destroy(&sim->lock);
    pthread_cond_destroy(&sim->wake);
    free(sim->kv);
    free(sim->kv_at);
    free(sim);
}

struct engine *sim_engine(struct sim *sim)
{
    return sim->engine;
}

struct kv_pool *sim_pool(struct sim *sim)
{
    return sim->engine->kv;
}

uint64_t sim_now_ns(struct sim *sim)
{
    return atomic_load(&sim->now_ns);
}

void sim_script_ids(struct sim *sim, uint32_t k, const int32_t *ids, uint32_t n_ids)
{
    struct script *s = &sim->scripts[k];

    CHECK(k < SIM_SCRIPTS_MAX && s->ids == NULL && n_ids > 0);
    s->ids = calloc(n_ids, sizeof(*s->ids));
    CHECK(s->ids != NULL);
    memcpy(s->ids, ids, n_ids * sizeof(*ids));
    s->n_ids = n_ids;
}

void sim_script(struct sim *sim, uint32_t k, const char *text)
{
    int32_t ids[1024];
    uint32_t n = 0;

    for (; text[n] != '\0'; n++) {
        CHECK(n < ARRAY_COUNT(ids));
        ids[n] = (unsigned char)text[n];
    }
    sim_script_ids(sim, k, ids, n);
}

/* ---- events ---- */

static void record_tokens(struct sim_record *r, const struct chat_event *event)
{
    for (uint32_t i = 0; i < event->n_tokens; i++) {
        r->ids[r->n_ids] = event->token_ids[i];
        r->logprobs[r->n_ids] = event->logprobs != NULL ? event->logprobs[i] : 1.0F;
        r->n_ids++;
    }
}

static void record_last(struct sim *sim, struct sim_record *r, const struct chat_event *event)
{
    r->n_lasts++;
    r->failed = event->kind == CHAT_EVENT_ERROR;
    r->finish = event->finish;
    r->stop_token = event->stop_token;
    snprintf(r->stop_reason, sizeof(r->stop_reason), "%.*s", STR_ARG(event->stop_reason));
    if (r->failed) {
        r->failure = *event->failure;
    }
    CHECK(event->usage.prompt_tokens == r->usage.prompt_tokens || r->n_starts == 0);
    r->usage = event->usage;
    r->n_ids_before_last = r->n_ids;
    r->done_ns = atomic_load(&sim->now_ns);
    record_tokens(r, event);
    pthread_mutex_lock(&sim->lock);
    r->done = true;
    pthread_cond_broadcast(&sim->wake);
    pthread_mutex_unlock(&sim->lock);
}

/* In order: START, TEXT ..., DONE or ERROR; whole characters only. */
static void on_event(void *user, const struct chat_event *event)
{
    struct sim_record *r = user;
    struct sim *sim = r->sim;

    CHECK(r->n_lasts == 0);
    switch (event->kind) {
    case CHAT_EVENT_START:
        CHECK(r->n_starts == 0 && r->n_texts == 0);
        r->n_starts++;
        r->usage = event->usage;
        r->start_order = ++sim->n_started; // one thread sends all STARTs
        break;
    case CHAT_EVENT_TEXT:
        CHECK(r->n_starts == 1);
        CHECK(utf8_valid(event->text));
        r->n_texts++;
        record_tokens(r, event);
        buf_append_str(&r->text, event->text);
        CHECK(buf_status(&r->text) == OK);
        break;
    case CHAT_EVENT_DONE:
    case CHAT_EVENT_ERROR:
        record_last(sim, r, event);
        break;
    case CHAT_EVENT_REASONING:
    case CHAT_EVENT_TOOL_CALL:
        CHECK(false && "the engine sends text only");
    }
}

/* ---- requests ---- */

static void fill_prompt(struct sim *sim, struct sim_record *r, const struct sim_request *q)
{
    uint32_t n = q->prompt_tokens > 0 ? q->prompt_tokens : q->script > 0 ? 1 : q->n_ids;

    r->prompt = calloc(n + 1, sizeof(*r->prompt));
    CHECK(r->prompt != NULL);
    r->n_prompt = n;
    for (uint32_t i = 0; i < n; i++) {
        if (q->prompt_tokens > 0) {
            r->prompt[i] = (int32_t)(hash_u64(sim->n_drawn++, sim->options.seed) % 256);
        } else {
            r->prompt[i] = q->script > 0 ? (int32_t)(SIM_SCRIPT + q->script - 1) : q->ids[i];
        }
    }
}

static const struct json_value *parse_messages(struct sim_record *r, const char *text)
{
    const struct json_value *root = NULL;
    struct error err;

    if (json_parse(r->arena, str_from_c(text), NULL, &root, &err) != OK) {
        FAIL("%s", err.text);
    }
    return root;
}

static void fill_request(struct sim_record *r, const struct sim_request *q)
{
    struct chat_request *c = &r->request;

    c->sampling = q->sampling;
    c->sampling.max_tokens = q->max_tokens;
    c->sampling.skip_special_tokens = !q->keep_special;
    if (!q->sampling.has_temperature &&
        !q->unset_temperature) { // greedy unless a test says otherwise
        c->sampling.has_temperature = true;
        c->sampling.temperature = 0.0;
    }
    if (c->sampling.top_p == 0.0) {
        c->sampling.top_p = 1.0;
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(q->stop) && q->stop[i] != NULL; i++) {
        c->sampling.stop[c->sampling.n_stop++] = str_from_c(q->stop[i]);
    }
    c->add_generation_prompt = true;
    c->continue_final_message = q->continue_final_message;
    if (q->messages != NULL) {
        c->prompt_kind = CHAT_PROMPT_MESSAGES;
        c->messages = parse_messages(r, q->messages);
    } else if (q->text != NULL) {
        c->prompt_kind = CHAT_PROMPT_TEXT;
        c->prompt_text = str_from_c(q->text);
        c->add_special_tokens = true;
    } else {
        c->prompt_kind = CHAT_PROMPT_IDS;
        c->prompt_ids = r->prompt;
        c->n_prompt_ids = r->n_prompt;
    }
}

static struct sim_record *new_record(struct sim *sim, const struct sim_request *q)
{
    struct sim_record *r = calloc(1, sizeof(*r));
    size_t n_max = sim->options.max_model_len;

    CHECK(r != NULL);
    r->arena = arena_create(1 << 20);
    r->ids = calloc(n_max, sizeof(*r->ids));
    r->logprobs = calloc(n_max, sizeof(*r->logprobs));
    CHECK(r->arena != NULL && r->ids != NULL && r->logprobs != NULL);
    buf_init(&r->text, TEXT_MAX);
    CHECK(buf_reserve(&r->text, 4 * n_max) != NULL); // events must not allocate: sim_alloc counts
    fill_prompt(sim, r, q);
    fill_request(r, q);
    r->sim = sim;
    return r;
}

enum status sim_try_submit(struct sim *sim, const struct sim_request *q, uint32_t *ret_idx)
{
    struct sim_record *r = new_record(sim, q);
    struct engine_job job = {.request = &r->request, .on_event = on_event, .user = r};
    enum status rc = engine_submit(sim->engine, &job, &r->ticket);

    if (rc != OK) {
        record_free(r);
        return rc;
    }
    CHECK(sim->n_requests < SIM_REQUESTS_MAX);
    sim->records[sim->n_requests] = r;
    *ret_idx = sim->n_requests++;
    return OK;
}

uint32_t sim_submit_with(struct sim *sim, const struct sim_request *q)
{
    uint32_t idx = 0;

    EXPECT_OK(sim_try_submit(sim, q, &idx));
    return idx;
}

bool sim_step(struct sim *sim)
{
    bool any = false;

    while (prep_run_one(sim->engine, false)) {
        any = true;
    }
    any = step_run(sim->engine) || any;
    EXPECT_STR_NULL(sched_check(sim->engine));
    return any;
}

uint32_t sim_run(struct sim *sim, uint32_t n_max)
{
    uint32_t n = 0;

    while (sim_step(sim)) {
        n++;
        if (n > n_max) {
            FAIL("still not idle after %u steps", n_max);
        }
    }
    return n;
}

void sim_cancel(struct sim *sim, uint32_t idx)
{
    engine_cancel(sim->engine, sim->records[idx]->ticket);
}

void sim_wait(struct sim *sim, uint32_t idx)
{
    pthread_mutex_lock(&sim->lock);
    while (!sim->records[idx]->done) {
        pthread_cond_wait(&sim->wake, &sim->lock);
    }
    pthread_mutex_unlock(&sim->lock);
}

const struct sim_record *sim_record(struct sim *sim, uint32_t idx)
{
    CHECK(idx < sim->n_requests);
    return sim->records[idx];
}
