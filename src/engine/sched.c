#include "engine/sched.h"
#include "base/check.h"
#include "engine/engine_internal.h"

#include <stdlib.h>

enum status sched_init(struct sched *s, const struct engine *e)
{
    uint32_t n = e->parts.max_num_seqs;

    s->running = calloc(n, sizeof(struct engine_ticket *));
    s->free_slots = calloc(n, sizeof(*s->free_slots));
    s->tables = calloc((size_t)n * e->blocks_per_seq, sizeof(*s->tables));
    s->parts = calloc(n, sizeof(*s->parts));
    if (s->running == NULL || s->free_slots == NULL || s->tables == NULL || s->parts == NULL) {
        return E_NO_MEMORY; // the caller calls sched_done
    }
    for (uint32_t i = 0; i < n; i++) {
        s->free_slots[i] = n - 1 - i;
    }
    s->n_free_slots = n;
    s->budget = e->parts.max_num_batched_tokens;
    return OK;
}

void sched_done(struct sched *s)
{
    free(s->running);
    free(s->free_slots);
    free(s->tables);
    free(s->parts);
}

static void report_load(struct engine *e)
{
    tally_load(&e->tally, e->sched.n_running, kv_capacity(e->kv) - kv_free_count(e->kv));
}

/* Tokens that ever lie in the cache: all but the last one, which nobody attends to. */
static uint32_t blocks_needed(const struct engine *e, const struct engine_ticket *t)
{
    uint32_t n_cached = t->n_prompt + t->max_new - 1;

    return (n_cached + e->parts.block_tokens - 1) / e->parts.block_tokens;
}

static bool try_admit(struct engine *e, struct engine_ticket *t)
{
    struct sched *s = &e->sched;
    uint32_t n_blocks = blocks_needed(e, t);
    uint32_t slot;
    uint32_t *table;

    if (s->n_free_slots == 0) {
        return false;
    }
    slot = s->free_slots[s->n_free_slots - 1];
    table = s->tables + (size_t)slot * e->blocks_per_seq;
    CHECK(n_blocks <= e->blocks_per_seq);
    if (kv_take(e->kv, n_blocks, table) != OK) {
        return false;
    }
    s->n_free_slots--;
    t->slot = slot;
    t->blocks = table;
    t->n_blocks = n_blocks;
    t->n_tokens = t->n_prompt;
    t->n_computed = 0;
    s->running[s->n_running++] = t;
    return true;
}

void sched_admit(struct engine *e)
{
    struct engine_ticket *t = queue_peek(e->queue);

    /* Only ever the oldest: a small request that overtakes could starve a large one. */
    while (t != NULL && try_admit(e, t)) {
        queue_pop(e->queue, t);
        tally_waiting(&e->tally, -1);
        t->admit_ns = engine_now(e);
        report_load(e);
        deliver_start(e, t);
        t = queue_peek(e->queue);
    }
}

static void add_part(struct sched *s, struct engine_ticket *t, uint32_t n_tokens)
{
    s->parts[s->n_parts++] = (struct sched_part){
        .ticket = t,
        .n_tokens = n_tokens,
        .samples = t->n_computed + n_tokens == t->n_tokens,
    };
    s->n_tokens += n_tokens;
}

static bool is_decoding(const struct engine_ticket *t)
{
    return t->n_tokens > t->n_prompt && t->n_tokens - t->n_computed == 1;
}

uint32_t sched_plan(struct engine *e)
{
    struct sched *s = &e->sched;
    uint32_t budget;

    s->n_parts = 0;
    s->n_tokens = 0;
    for (uint32_t i = 0; i < s->n_running; i++) {
        if (is_decoding(s->running[i])) {
            add_part(s, s->running[i], 1); // all of them: max_num_seqs <= max_num_batched_tokens
        }
    }
    /* However many decode, the oldest prompt advances: there is a slot for it, so a row as well. */
    budget = s->n_tokens < s->budget ? s->budget : s->n_tokens + 1;
    for (uint32_t i = 0; i < s->n_running && s->n_tokens < budget; i++) {
        struct engine_ticket *t = s->running[i];
        uint32_t n_missing = t->n_tokens - t->n_computed;
        uint32_t n_left = budget - s->n_tokens;

        if (!is_decoding(t)) {
            add_part(s, t, n_missing < n_left ? n_missing : n_left);
        }
    }
    return s->n_tokens;
}

void sched_adapt(struct engine *e, uint32_t n_tokens, uint64_t step_ns)
{
    struct sched *s = &e->sched;
    uint64_t most = e->parts.max_num_batched_tokens;
    uint64_t fits;

    if (n_tokens < SCHED_BUDGET_MIN || step_ns == 0) {
        return; // small steps read the weights and say little about rows
    }
    fits = (uint64_t)n_tokens * SCHED_STEP_NS / step_ns;
    fits = fits > 2 * (uint64_t)s->budget ? 2 * (uint64_t)s->budget
                                          : fits; // one fast step proves little
    fits = fits < SCHED_BUDGET_MIN ? SCHED_BUDGET_MIN : fits;
    s->budget = (uint32_t)(fits < most ? fits : most);
}

void sched_remove(struct engine *e, struct engine_ticket *t)
{
    struct sched *s = &e->sched;
    uint32_t i = 0;

    while (i < s->n_running && s->running[i] != t) {
        i++;
    }
    CHECK(i < s->n_running);
    for (; i + 1 < s->n_running; i++) {
        s->running[i] = s->running[i + 1];
    }
    s->n_running--;
    kv_give(e->kv, t->n_blocks, t->blocks);
    s->free_slots[s->n_free_slots++] = t->slot;
    t->blocks = NULL;
    t->n_blocks = 0;
    report_load(e);
}

const char *sched_check(const struct engine *e)
{
    const struct sched *s = &e->sched;
    uint32_t n_blocks = 0;

    if (s->n_running + s->n_free_slots != e->parts.max_num_seqs) {
        return "running + free slots is not max_num_seqs";
    }
    for (uint32_t i = 0; i < s->n_running; i++) {
        const struct engine_ticket *t = s->running[i];

        n_blocks += t->n_blocks;
        if (i > 0 && s->running[i - 1]->number >= t->number) {
            return "running sequences are not in order of submission";
        }
        if (t->n_computed > t->n_tokens || t->n_tokens > t->n_prompt + t->max_new) {
            return "a sequence has computed more than it has, or more than it may";
        }
        if ((uint64_t)t->n_blocks * e->parts.block_tokens < t->n_computed) {
            return "a sequence has computed more than its blocks hold";
        }
    }
    if (n_blocks + kv_free_count(e->kv) != kv_capacity(e->kv)) {
        return "blocks of running sequences + free is not the capacity";
    }
    return kv_check(e->kv);
}
