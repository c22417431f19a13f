/* engine.c - assembly, threads, tickets: the functions of engine.h that are not one step.
 *
 * Threads: prep (prep.c) and step (step.c) are started here and joined in engine_destroy().  They
 * and the callers meet in the queue and in the atomics of a ticket, nowhere else.
 */
#include "engine/engine.h"
#include "base/check.h"
#include "base/rng.h"
#include "engine/engine_internal.h"
#include "engine/prep.h"
#include "engine/step.h"

#include <stdlib.h>
#include <string.h>

void engine_config_default(struct engine_config *c)
{
    memset(c, 0, sizeof(*c));
    c->max_num_batched_tokens = 2048;
    c->block_tokens = 16;
    c->memory_fraction = 0.92;
    c->queue_max = 1024;
}

/* ---- threads ---- */

static void *run_prep(void *user)
{
    struct engine *e = user;

    while (prep_run_one(e, true)) {
    }
    return NULL;
}

static void *run_steps(void *user)
{
    struct engine *e = user;

    for (;;) {
        bool stopping = atomic_load(&e->stopping); // read first: what was cancelled before it ends

        if (!step_run(e)) {
            if (stopping) {
                return NULL;
            }
            queue_wait(e->queue);
        }
    }
}

static enum status start_threads(struct engine *e, struct error *err)
{
    e->has_prep_thread = pthread_create(&e->prep_thread, NULL, run_prep, e) == 0;
    e->has_step_thread = pthread_create(&e->step_thread, NULL, run_steps, e) == 0;
    if (!e->has_prep_thread || !e->has_step_thread) {
        return error_set(
            err, E_NO_MEMORY,
            "cannot start the engine's threads; raise the limit on processes (ulimit -u)");
    }
    pthread_setname_np(e->prep_thread, "kontor-prep");
    pthread_setname_np(e->step_thread, "kontor-step");
    return OK;
}

/* ---- assembly ---- */

void engine_parts_done(struct engine_parts *parts)
{
    if (parts->backend.destroy != NULL) {
        parts->backend.destroy(parts->backend.user);
    }
    tokenizer_destroy(parts->tok);
    chat_template_destroy(parts->template);
    memset(parts, 0, sizeof(*parts));
}

static enum status check_parts(const struct engine_parts *p, struct error *err)
{
    if (p->max_num_seqs == 0 || p->max_num_batched_tokens == 0 || p->max_model_len < 2 ||
        p->n_blocks == 0 || p->block_tokens == 0 || p->queue_max == 0) {
        return error_set(err, E_INVALID, "an engine limit is 0, or the context is under 2 tokens");
    }
    if (p->max_num_seqs > p->max_num_batched_tokens) {
        return error_set(
            err, E_INVALID,
            "--max-num-batched-tokens %u is below --max-num-seqs %u, so a step could not "
            "hold one token of every sequence; raise the former or lower the latter",
            p->max_num_batched_tokens, p->max_num_seqs);
    }
    if ((uint64_t)p->n_blocks * p->block_tokens < p->max_model_len) {
        return error_set(err, E_LIMIT,
                         "the KV cache has %u blocks of %u tokens, less than one request of "
                         "--max-model-len %u needs; lower --max-model-len or raise "
                         "--kv-cache-memory-bytes",
                         p->n_blocks, p->block_tokens, p->max_model_len);
    }
    return OK;
}

/* Ids that the engine will compare with and mask must be rows of the head. */
static enum status check_eos(const struct engine_parts *p, struct error *err)
{
    for (uint32_t i = 0; i < p->n_eos; i++) {
        if (p->eos_ids[i] < 0 || (uint32_t)p->eos_ids[i] >= p->backend.vocab) {
            return error_set(err, E_INVALID,
                             "eos_token_id %d lies outside the vocabulary of %u; correct "
                             "generation_config.json or config.json",
                             p->eos_ids[i], p->backend.vocab);
        }
    }
    return OK;
}

static void fill_model(struct engine *e)
{
    e->model.architecture = str_from_c(e->parts.architecture);
    e->model.fingerprint = str_from_c(e->parts.fingerprint);
    e->model.max_model_len = e->parts.max_model_len;
    e->model.vocab = e->parts.backend.vocab;
    e->model.n_parameters = e->parts.n_parameters;
    e->model.defaults = e->parts.defaults;
}

static enum status init_limits(struct engine *e)
{
    struct engine_parts *p = &e->parts;

    if (p->clock == NULL) {
        p->clock = &kontor_clock_system;
    }
    e->seed = p->seed != 0 ? p->seed : rng_from_system();
    e->blocks_per_seq = (p->max_model_len + p->block_tokens - 1) / p->block_tokens;
    e->n_named = p->backend.vocab;
    if (p->tok != NULL && tokenizer_count(p->tok) < e->n_named) {
        e->n_named = tokenizer_count(p->tok);
    }
    return e->n_named > 0 ? OK : E_INVALID;
}

static enum status init_memory(struct engine *e)
{
    const struct engine_parts *p = &e->parts;
    enum status rc;

    e->logits = calloc((size_t)p->max_num_seqs * p->backend.vocab, sizeof(*e->logits));
    e->sampled = calloc(p->max_num_seqs, sizeof(*e->sampled));
    e->sampled_status = calloc(p->max_num_seqs, sizeof(*e->sampled_status));
    if (e->logits == NULL || e->sampled == NULL || e->sampled_status == NULL) {
        return E_NO_MEMORY;
    }
    rc = queue_create(p->queue_max, &e->queue);
    if (rc == OK) {
        rc = kv_create(p->n_blocks, &e->kv);
    }
    if (rc == OK) {
        rc = sched_init(&e->sched, e);
    }
    if (rc == OK) {
        rc = batch_init(&e->batch, e);
    }
    if (rc == OK) {
        rc = sample_create(p->backend.vocab, e->n_named, &e->sampler);
    }
    if (rc == OK) {
        rc = deliver_init(&e->deliver, e);
    }
    return rc;
}

static void engine_free(struct engine *e)
{
    deliver_done(&e->deliver);
    sample_destroy(e->sampler);
    batch_done(&e->batch);
    sched_done(&e->sched);
    kv_destroy(e->kv);
    queue_destroy(e->queue);
    free(e->sampled_status);
    free(e->sampled);
    free(e->logits);
    tally_done(&e->tally);
    engine_parts_done(&e->parts);
    free(e);
}

enum status engine_assemble(struct engine_parts *parts, struct engine **ret_engine,
                            struct error *err)
{
    struct engine *e = calloc(1, sizeof(*e));
    enum status rc;

    if (e == NULL) {
        engine_parts_done(parts);
        return error_set(err, E_NO_MEMORY, "no memory for the engine");
    }
    e->parts = *parts;
    memset(parts, 0, sizeof(*parts));
    rc = check_parts(&e->parts, err);
    if (rc == OK) {
        rc = check_eos(&e->parts, err);
    }
    if (rc == OK) {
        rc = init_limits(e);
        if (rc != OK) {
            error_set(err, rc, "the tokenizer has no tokens");
        }
    }
    if (rc == OK) {
        tally_init(&e->tally, &e->parts);
        fill_model(e);
        rc = init_memory(e);
        if (rc != OK) {
            error_set(err, rc, "no memory for %u sequences; lower --max-num-seqs",
                      e->parts.max_num_seqs);
        }
    }
    if (rc == OK && e->parts.threads) {
        rc = start_threads(e, err);
    }
    if (rc != OK) {
        engine_destroy(e);
        return rc;
    }
    *ret_engine = e;
    return OK;
}

enum status engine_create(const struct engine_config *config, struct engine **ret_engine,
                          struct error *err)
{
    struct engine_parts parts = {0};
    enum status rc = engine_load(config, &parts, err);

    if (rc != OK) {
        return rc;
    }
    return engine_assemble(&parts, ret_engine, err);
}

/* Everything inside ends as cancelled: prep empties its list, then steps run until nothing is
 * left. */
static void end_all(struct engine *e)
{
    queue_close(e->queue);
    atomic_store(&e->cancel_all, true);
    queue_stop_prep(e->queue);
    if (e->has_prep_thread) {
        pthread_join(e->prep_thread, NULL);
    }
    while (prep_run_one(e, false)) {
    }
    atomic_store(&e->stopping, true);
    queue_wake(e->queue);
    if (e->has_step_thread) {
        pthread_join(e->step_thread, NULL);
    }
    while (step_run(e)) {
    }
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    if (e->deliver.out.cap > 0) { // assembled to the end, so there may be requests
        end_all(e);
    }
    engine_free(e);
}

const struct engine_model *engine_model(const struct engine *e)
{
    return &e->model;
}

/* ---- tickets ---- */

void engine_ticket_unref(struct engine_ticket *t)
{
    if (atomic_fetch_sub(&t->n_refs, 1) != 1) {
        return;
    }
    free(t->ids);
    free(t->text_end);
    free(t->logprobs);
    free(t->stop);
    free(t->banned);
    free(t);
}

enum status engine_submit(struct engine *e, const struct engine_job *job,
                          struct engine_ticket **ret_ticket)
{
    struct engine_ticket *t = calloc(1, sizeof(*t));
    enum status rc;

    if (t == NULL) {
        return E_LIMIT; // short of memory for one more waiting request
    }
    t->job = *job;
    t->submit_ns = engine_now(e);
    t->stop_idx = UINT32_MAX;
    t->stop_token = -1;
    atomic_init(&t->n_refs, 2);
    tally_waiting(&e->tally, 1); // before prep can take it and count it out
    rc = queue_submit(e->queue, t);
    if (rc != OK) {
        tally_waiting(&e->tally, -1);
        free(t);
        return rc;
    }
    *ret_ticket = t;
    return OK;
}

void engine_cancel(struct engine *e, struct engine_ticket *t)
{
    uint64_t never = 0;

    atomic_compare_exchange_strong(&t->cancel_ns, &never, engine_now(e));
    atomic_store(&t->cancelled, true);
    queue_wake(e->queue);
}

void engine_release(struct engine *e, struct engine_ticket *t)
{
    (void)e;
    engine_ticket_unref(t);
}

void engine_drain(struct engine *e)
{
    queue_close(e->queue);
}

void engine_stats(struct engine *e, struct engine_stats *ret_stats)
{
    tally_stats(&e->tally, ret_stats);
    ret_stats->n_waiting = queue_count(e->queue);
    ret_stats->failed = atomic_load(&e->failed);
}

/* ---- text helpers ---- */

enum status engine_tokenize(struct engine *e, struct str text, bool add_special,
                            struct buf *ret_ids, struct chat_failure *failure)
{
    enum status rc = prep_encode(e, text, add_special, ret_ids, failure);

    if (rc == E_LIMIT || (rc == OK && buf_status(ret_ids) == E_LIMIT)) {
        chat_failure_set(failure, 400, "invalid_request_error", "string_above_max_length", "prompt",
                         "The text has more tokens than this server returns at once. Split it.");
        return E_LIMIT;
    }
    return rc;
}

enum status engine_render(struct engine *e, const struct chat_request *request,
                          struct buf *ret_text, struct chat_failure *failure)
{
    return prep_render(e, request, ret_text, failure);
}

enum status engine_detokenize(struct engine *e, const int32_t *ids, uint32_t n_ids,
                              struct buf *ret_text, struct chat_failure *failure)
{
    if (e->parts.tok == NULL) {
        chat_failure_set(failure, 400, "invalid_request_error", NULL, NULL,
                         "This server runs a model without a tokenizer.");
        return E_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= e->parts.backend.vocab) {
            chat_failure_set(failure, 400, "invalid_request_error", "invalid_value", "tokens",
                             "Token id %d is out of vocabulary; this model has ids 0 to %u.",
                             ids[i], e->parts.backend.vocab - 1);
            return E_INVALID;
        }
    }
    return tokenizer_decode(e->parts.tok, ids, n_ids, false, ret_text);
}

struct str engine_token_text(struct engine *e, int32_t id)
{
    if (e->parts.tok == NULL) {
        return (struct str){0};
    }
    return tokenizer_bytes(e->parts.tok, id);
}
