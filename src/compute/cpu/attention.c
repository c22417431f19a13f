/* attention.c - causal attention over paged KV, decode and prefill by one path.
 *
 * An item is up to ATTENTION_ROWS rows (query, head of one kv head's group) of one sequence.  For
 * each piece of COMPUTE_KV_PIECE tokens at absolute positions 0, 256, ...
 *
 *   scores[r][t] = q[r] . k[t]                 one chain over head_dim per element
 *   m, p, l      = softmax over the tokens row r may see, of this piece alone
 *   o[r][d]      = sum over t of p[r][t] v[t][d]    one chain over ascending t per element
 *
 * and the pieces of a row are merged in order by the usual rescaling.  Nothing here depends on
 * which other rows, chunks or sequences are in the batch.  A row never touches a token it may not
 * see, not even multiplied by zero, so neither later tokens nor stale cache contents can reach it.
 *
 * Work for the pool: items; when there are few (decode of few sequences), single pieces of items,
 * whose states are merged afterwards in the same order by the same code: the bits are the same.
 */
#include "base/check.h"
#include "compute/compute_internal.h"
#include "compute/cpu/drivers.h"

#include <math.h>
#include <string.h>

#define ITEMS_PER_THREAD 3 // with fewer the pieces are shared out

struct attention_job {
    struct compute *c;
    const struct attention_args *a;
    uint32_t group;      // query heads per kv head
    uint32_t padded_dim; // head_dim rounded up to TILE_COLS
    bool pairs;          // queries and keys meet in bf16 pairs
    uint64_t n_items;
    struct pool_range range;
};

/* Rows of one item and where they look. */
struct item {
    const struct batch_seq *seq;
    uint32_t kv_head;
    uint32_t row_begin; // among the q_len * group rows of (seq, kv head)
    uint32_t n_rows;
    uint32_t n_pieces;
    uint32_t n_panels;
};

/* One piece of an item: token rows of the cache. */
struct piece {
    const void *keys[COMPUTE_KV_PIECE];
    const void *values[COMPUTE_KV_PIECE];
    uint32_t n_tokens; // visible to at least one row of the item
    uint32_t visible[ATTENTION_ROWS];
};

static uint32_t items_of(const struct attention_job *job, const struct batch_seq *seq)
{
    uint32_t rows = seq->q_len * job->group;

    return (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS * job->a->kv->n_kv_heads;
}

static uint32_t position_of(const struct attention_job *job, const struct item *it, uint32_t row)
{
    return it->seq->kv_len - it->seq->q_len + (it->row_begin + row) / job->group;
}

static struct item item_at(const struct attention_job *job, uint64_t idx)
{
    const uint64_t *first = job->c->first_items;
    uint32_t panel_rows = job->c->kernels.panel_rows[job->a->kv->dtype];
    uint32_t lo = 0;
    uint32_t hi = job->a->n_seqs;
    struct item it;
    uint32_t rows;
    uint32_t per_head;
    uint32_t within;

    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (first[mid] <= idx) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    it.seq = &job->a->seqs[lo];
    rows = it.seq->q_len * job->group;
    per_head = (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    within = (uint32_t)(idx - first[lo]);
    it.kv_head = within / per_head;
    // the last rows see most: they come first, so that the longest work does not start last
    it.row_begin = (per_head - 1 - within % per_head) * ATTENTION_ROWS;
    it.n_rows = rows - it.row_begin < ATTENTION_ROWS ? rows - it.row_begin : ATTENTION_ROWS;
    it.n_pieces = position_of(job, &it, it.n_rows - 1) / COMPUTE_KV_PIECE + 1;
    it.n_panels = (it.n_rows + panel_rows - 1) / panel_rows;
    return it;
}

static uint32_t panel_begin(const struct item *it, uint32_t panel)
{
    uint32_t base = it->n_rows / it->n_panels;
    uint32_t extra = it->n_rows % it->n_panels;

    return panel * base + (panel < extra ? panel : extra);
}

/* Index of an item's row in the batch, and of the first column of its head. */
static size_t batch_offset(const struct attention_job *job, const struct item *it, uint32_t row,
                           uint32_t stride)
{
    uint32_t flat = it->row_begin + row;
    size_t token = it->seq->q_start + flat / job->group;
    size_t head = it->kv_head * job->group + flat % job->group;

    return token * stride + head * job->a->kv->head_dim;
}

static void pack_queries(const struct attention_job *job, const struct item *it, float *queries)
{
    const struct kernels *k = &job->c->kernels;
    const float *rows[PANEL_ROWS_MAX];
    size_t head_dim = job->a->kv->head_dim;

    for (uint32_t p = 0; p < it->n_panels; p++) {
        uint32_t begin = panel_begin(it, p);
        size_t n_rows = panel_begin(it, p + 1) - begin;
        float *panel = queries + begin * head_dim; // pairs leave half of it unused

        for (uint32_t r = 0; r < n_rows; r++) {
            rows[r] = job->a->q.ptr + batch_offset(job, it, begin + r, job->a->q.stride);
        }
        if (job->pairs) {
            k->panel_pairs((void *)panel, rows, n_rows, head_dim);
        } else {
            k->panel_f32(panel, rows, n_rows, head_dim, job->a->kv->dtype == DTYPE_BF16);
        }
    }
}

static void find_piece(const struct attention_job *job, const struct item *it, uint32_t piece_idx,
                       struct piece *ret_piece)
{
    const struct kv_layer *kv = job->a->kv;
    size_t row_bytes = kv->head_dim * dtype_bytes(kv->dtype);
    uint32_t begin = piece_idx * COMPUTE_KV_PIECE;
    uint32_t end = position_of(job, it, it->n_rows - 1) + 1;

    end = end - begin < COMPUTE_KV_PIECE ? end : begin + COMPUTE_KV_PIECE;
    ret_piece->n_tokens = end - begin;
    for (uint32_t r = 0; r < it->n_rows; r++) {
        uint32_t sees = position_of(job, it, r) + 1; // tokens [0, sees)

        sees = sees < begin ? 0 : sees - begin;
        ret_piece->visible[r] = sees < end - begin ? sees : end - begin;
    }
    for (uint32_t t = begin; t < end; t++) {
        size_t block = it->seq->blocks[t / kv->block_tokens];
        size_t row =
            (block * kv->n_kv_heads + it->kv_head) * kv->block_tokens + t % kv->block_tokens;

        DCHECK(block < kv->n_blocks);
        ret_piece->keys[t - begin] = (const char *)kv->k + row * row_bytes;
        ret_piece->values[t - begin] = (const char *)kv->v + row * row_bytes;
    }
}

static void score_piece(const struct attention_job *job, const struct item *it,
                        const struct piece *piece, union thread_scratch *scratch)
{
    const struct kernels *k = &job->c->kernels;
    bool wide = job->a->kv->dtype == DTYPE_F32;
    size_t head_dim = job->a->kv->head_dim;
    kernel_mm mm = wide ? k->mm_f32 : job->pairs ? k->mm_pairs : k->mm_bf16;

    for (uint32_t t = 0; t < piece->n_tokens; t += TILE_COLS) {
        size_t n = piece->n_tokens - t < TILE_COLS ? piece->n_tokens - t : TILE_COLS;

        k->transpose((void *)scratch->attention.keys, piece->keys + t, n,
                     wide ? head_dim : head_dim / 2);
        for (uint32_t p = 0; p < it->n_panels; p++) {
            uint32_t begin = panel_begin(it, p);

            mm(scratch->attention.scores + (size_t)begin * SCORE_STRIDE + t, SCORE_STRIDE,
               scratch->attention.keys, scratch->attention.queries + begin * head_dim, head_dim,
               panel_begin(it, p + 1) - begin, true);
        }
    }
}

/* Columns of TILE_COLS values for one panel: rows see different numbers of tokens. */
static void weigh_panel(const struct attention_job *job, const struct piece *piece, float *out,
                        const union thread_scratch *scratch, uint32_t row, uint32_t n_rows)
{
    const struct kernels *k = &job->c->kernels;
    const float *scores = scratch->attention.scores + (size_t)row * SCORE_STRIDE;
    const float *values = scratch->attention.values;
    // rows are in ascending order of position; each of the item is set  NOLINTNEXTLINE
    uint32_t n_common = piece->visible[row];

    k->mm_probs(out, job->padded_dim, values, scores, n_common, n_rows, true);
    for (uint32_t r = 1; r < n_rows; r++) {
        uint32_t n_more = piece->visible[row + r] - n_common;

        if (n_more > 0) {
            k->mm_probs(out + (size_t)r * job->padded_dim, job->padded_dim,
                        values + (size_t)n_common * TILE_COLS,
                        scores + (size_t)r * SCORE_STRIDE + n_common, n_more, 1, false);
        }
    }
}

static void load_values(const struct attention_job *job, const struct piece *piece, size_t col,
                        float *tile)
{
    const struct kv_layer *kv = job->a->kv;
    size_t n_cols = kv->head_dim - col < TILE_COLS ? kv->head_dim - col : TILE_COLS;
    const void *rows[COMPUTE_KV_PIECE];

    for (uint32_t t = 0; t < piece->n_tokens; t++) {
        rows[t] = (const char *)piece->values[t] + col * dtype_bytes(kv->dtype);
    }
    if (kv->dtype == DTYPE_BF16) {
        job->c->kernels.widen_rows(tile, rows, piece->n_tokens, n_cols);
        return;
    }
    for (uint32_t t = 0; t < piece->n_tokens; t++) {
        memset(tile + (size_t)t * TILE_COLS, 0, TILE_COLS * sizeof(*tile));
        memcpy(tile + (size_t)t * TILE_COLS, rows[t], n_cols * sizeof(*tile));
    }
}

/* The softmax state of one piece alone.  Queries are packed already. */
static void attend_piece(const struct attention_job *job, const struct item *it, uint32_t piece_idx,
                         union thread_scratch *scratch, struct attention_state *ret_state)
{
    struct piece piece;

    find_piece(job, it, piece_idx, &piece);
    score_piece(job, it, &piece, scratch);
    for (uint32_t r = 0; r < it->n_rows; r++) {
        ret_state->max[r] = -INFINITY;
        ret_state->sum[r] = 0.0f;
        if (piece.visible[r] > 0) {
            job->c->kernels.softmax(scratch->attention.scores + (size_t)r * SCORE_STRIDE,
                                    piece.visible[r], job->a->scale, &ret_state->max[r],
                                    &ret_state->sum[r]);
        }
    }
    for (uint32_t col = 0; col < job->a->kv->head_dim; col += TILE_COLS) {
        load_values(job, &piece, col, scratch->attention.values);
        for (uint32_t p = 0; p < it->n_panels; p++) {
            uint32_t begin = panel_begin(it, p);

            weigh_panel(job, &piece, ret_state->out + (size_t)begin * job->padded_dim + col,
                        scratch, begin, panel_begin(it, p + 1) - begin);
        }
    }
}

static void clear_state(const struct attention_job *job, const struct item *it,
                        struct attention_state *s)
{
    for (uint32_t r = 0; r < it->n_rows; r++) {
        s->max[r] = -INFINITY;
        s->sum[r] = 0.0f;
    }
    memset(s->out, 0, (size_t)it->n_rows * job->padded_dim * sizeof(*s->out));
}

/* e^x by the level's own exponential, so that merging rounds like the rest. */
static float exp_of(const struct kernels *k, float x)
{
    _Alignas(64) float s[16] = {0.0f, x}; // maximum 0: s[1] becomes e^x for x <= 0
    float max;
    float sum;

    k->softmax(s, 2, 1.0f, &max, &sum);
    return s[1];
}

/* Take the next piece into the state of an item. */
static void merge_piece(const struct attention_job *job, const struct item *it,
                        struct attention_state *s, const struct attention_state *piece)
{
    const struct kernels *k = &job->c->kernels;

    for (uint32_t r = 0; r < it->n_rows; r++) {
        float max = piece->max[r] > s->max[r] ? piece->max[r] : s->max[r];
        float a;
        float b;

        if (piece->sum[r] == 0.0f) { // the row sees nothing of this piece
            continue;
        }
        a = exp_of(k, s->max[r] - max);
        b = exp_of(k, piece->max[r] - max);
        s->max[r] = max;
        s->sum[r] = s->sum[r] * a + piece->sum[r] * b;
        k->merge(s->out + (size_t)r * job->padded_dim, piece->out + (size_t)r * job->padded_dim, a,
                 b, job->padded_dim);
    }
}

static void write_item(const struct attention_job *job, const struct item *it,
                       const struct attention_state *s)
{
    for (uint32_t r = 0; r < it->n_rows; r++) {
        float *y = job->a->y.ptr + batch_offset(job, it, r, job->a->y.stride);
        const float *out = s->out + (size_t)r * job->padded_dim;
        float sum = s->sum[r];

        for (uint32_t d = 0; d < job->a->kv->head_dim; d++) {
            y[d] = out[d] / sum;
        }
    }
}

static void run_items(void *arg, uint32_t thread_idx)
{
    struct attention_job *job = arg;
    union thread_scratch *scratch = &job->c->threads[thread_idx];
    uint64_t begin;
    uint64_t end;

    while (pool_range_take(&job->range, &begin, &end)) {
        struct item it = item_at(job, begin);

        pack_queries(job, &it, scratch->attention.queries);
        clear_state(job, &it, &scratch->attention.merged);
        for (uint32_t p = 0; p < it.n_pieces; p++) {
            attend_piece(job, &it, p, scratch, &scratch->attention.piece);
            merge_piece(job, &it, &scratch->attention.merged, &scratch->attention.piece);
        }
        write_item(job, &it, &scratch->attention.merged);
    }
}

static void run_pieces(void *arg, uint32_t thread_idx)
{
    struct attention_job *job = arg;
    union thread_scratch *scratch = &job->c->threads[thread_idx];
    uint64_t begin;
    uint64_t end;

    while (pool_range_take(&job->range, &begin, &end)) {
        const struct piece_task *task = &job->c->piece_tasks[begin];
        struct item it = item_at(job, task->item);

        pack_queries(job, &it, scratch->attention.queries);
        attend_piece(job, &it, task->piece, scratch, &job->c->piece_states[begin]);
    }
}

/* Items of a wave, each by one thread: its pieces in ascending order. */
static void merge_items(void *arg, uint32_t thread_idx)
{
    struct attention_job *job = arg;
    const struct piece_task *tasks = job->c->piece_tasks;
    uint64_t begin;
    uint64_t end;

    (void)thread_idx;
    while (pool_range_take(&job->range, &begin, &end)) {
        struct attention_state *s = &job->c->merged_states[begin];
        uint32_t t = job->c->wave_starts[begin];
        struct item it = item_at(job, tasks[t].item);

        if (tasks[t].piece == 0) {
            clear_state(job, &it, s);
        }
        for (; t < job->c->wave_starts[begin + 1]; t++) {
            merge_piece(job, &it, s, &job->c->piece_states[t]);
        }
        if (tasks[t - 1].piece + 1 == it.n_pieces) {
            write_item(job, &it, s);
        }
    }
}

/* Tasks for one wave from piece *piece of item *item on, which are moved behind its last. */
static uint32_t plan_wave(const struct attention_job *job, uint64_t *item, uint32_t *piece,
                          uint32_t *ret_items)
{
    struct compute *c = job->c;
    uint32_t n_tasks = 0;
    uint32_t n_items = 0;

    while (*item < job->n_items && n_tasks < c->n_piece_states) {
        struct item it = item_at(job, *item);

        c->wave_starts[n_items++] = n_tasks;
        while (*piece < it.n_pieces && n_tasks < c->n_piece_states) {
            c->piece_tasks[n_tasks++] = (struct piece_task){*item, (*piece)++};
        }
        if (*piece == it.n_pieces) {
            *piece = 0;
            (*item)++;
        }
    }
    c->wave_starts[n_items] = n_tasks;
    *ret_items = n_items;
    return n_tasks;
}

/* Share out single pieces, as many at a time as there are states for. */
static void run_by_pieces(struct attention_job *job)
{
    struct compute *c = job->c;
    uint64_t item = 0;
    uint32_t piece = 0; // of `item`, the first that is not done

    while (item < job->n_items) {
        uint32_t n_items;
        uint32_t n_tasks = plan_wave(job, &item, &piece, &n_items);

        pool_range_init(&job->range, n_tasks, 1);
        pool_run(c->pool, run_pieces, job);
        pool_range_init(&job->range, n_items, 1);
        pool_run(c->pool, merge_items, job);
        if (piece > 0 && n_items > 1) {
            // the item that goes on in the next wave is the first one there
            c->merged_states[0] = c->merged_states[n_items - 1];
        }
    }
}

static void check_args(const struct compute *c, const struct attention_args *a)
{
    const struct kv_layer *kv = a->kv;
    uint32_t row = 0;

    CHECK(kv->head_dim >= 2 && kv->head_dim % 2 == 0 && kv->head_dim <= HEAD_DIM_MAX);
    CHECK(kv->block_tokens >= 1 && kv->n_kv_heads >= 1 && a->n_heads % kv->n_kv_heads == 0);
    CHECK(kv->dtype == (c->math == MATH_F32 ? DTYPE_F32 : DTYPE_BF16));
    CHECK(a->q.n_cols == a->n_heads * kv->head_dim && a->q.n_rows <= c->rows_max);
    CHECK(a->y.n_cols == a->q.n_cols && a->y.n_rows == a->q.n_rows);
    CHECK(a->q.stride >= a->q.n_cols && a->y.stride >= a->y.n_cols);
    for (uint32_t s = 0; s < a->n_seqs; s++) {
        CHECK(a->seqs[s].q_start == row && a->seqs[s].q_len >= 1);
        CHECK(a->seqs[s].kv_len >= a->seqs[s].q_len);
        row += a->seqs[s].q_len;
    }
    CHECK(row == a->q.n_rows);
}

void attention_run(struct compute *c, const struct attention_args *a)
{
    struct attention_job job = {
        .c = c,
        .a = a,
        .group = a->n_heads / a->kv->n_kv_heads,
        .padded_dim = (a->kv->head_dim + TILE_COLS - 1) / TILE_COLS * TILE_COLS,
        .pairs = compute_uses_pairs(c),
    };

    check_args(c, a);
    for (uint32_t s = 0; s < a->n_seqs; s++) {
        c->first_items[s] = job.n_items;
        job.n_items += items_of(&job, &a->seqs[s]);
    }
    if (c->n_threads > 1 && job.n_items < (uint64_t)c->n_threads * ITEMS_PER_THREAD) {
        run_by_pieces(&job);
    } else {
        pool_range_init(&job.range, job.n_items, 1);
        pool_run(c->pool, run_items, &job);
    }
}
