#include "engine/batch.h"
#include "base/check.h"
#include "engine/engine_internal.h"

#include <stdlib.h>

enum status batch_init(struct batch *b, const struct engine *e)
{
    size_t n_rows = e->parts.max_num_batched_tokens;
    size_t n_seqs = e->parts.max_num_seqs;

    b->ids = calloc(n_rows, sizeof(*b->ids));
    b->positions = calloc(n_rows, sizeof(*b->positions));
    b->slots = calloc(n_rows, sizeof(*b->slots));
    b->seqs = calloc(n_seqs, sizeof(*b->seqs));
    b->logit_rows = calloc(n_seqs, sizeof(*b->logit_rows));
    b->logit_parts = calloc(n_seqs, sizeof(*b->logit_parts));
    if (b->ids == NULL || b->positions == NULL || b->slots == NULL || b->seqs == NULL ||
        b->logit_rows == NULL || b->logit_parts == NULL) {
        return E_NO_MEMORY;
    }
    return OK;
}

void batch_done(struct batch *b)
{
    free(b->ids);
    free(b->positions);
    free(b->slots);
    free(b->seqs);
    free(b->logit_rows);
    free(b->logit_parts);
}

/* Rows [row, row + part->n_tokens). */
static void fill_rows(struct batch *b, const struct sched_part *part, uint32_t row,
                      uint32_t block_tokens)
{
    const struct engine_ticket *t = part->ticket;

    for (uint32_t i = 0; i < part->n_tokens; i++) {
        uint32_t position = t->n_computed + i;
        uint32_t block = position / block_tokens;

        DCHECK(block < t->n_blocks);
        b->ids[row + i] = t->ids[position];
        b->positions[row + i] = i32_from_u32(position);
        b->slots[row + i] = t->blocks[block] * block_tokens + position % block_tokens;
    }
}

void batch_fill(struct engine *e)
{
    const struct sched *s = &e->sched;
    struct batch *b = &e->batch;
    uint32_t row = 0;
    uint32_t n_logits = 0;

    for (uint32_t p = 0; p < s->n_parts; p++) {
        const struct sched_part *part = &s->parts[p];

        fill_rows(b, part, row, e->parts.block_tokens);
        b->seqs[p] = (struct batch_seq){
            .q_start = row,
            .q_len = part->n_tokens,
            .kv_len = part->ticket->n_computed + part->n_tokens,
            .blocks = part->ticket->blocks,
        };
        row += part->n_tokens;
        if (part->samples) {
            b->logit_rows[n_logits] = row - 1;
            b->logit_parts[n_logits] = p;
            n_logits++;
        }
    }
    CHECK(row == s->n_tokens && row <= e->parts.max_num_batched_tokens);
    b->model = (struct model_batch){
        .n_tokens = row,
        .ids = b->ids,
        .positions = b->positions,
        .slots = b->slots,
        .n_seqs = s->n_parts,
        .seqs = b->seqs,
        .n_logits = n_logits,
        .logit_rows = b->logit_rows,
    };
}
