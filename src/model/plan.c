#include "model/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Slots are 32-bit numbers block * block_tokens + offset. */
#define SLOTS_MAX ((uint64_t)UINT32_MAX)

void plan_bytes_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes / 1024.0;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, 32, "%" PRIu64 " bytes", bytes);
        return;
    }
    while (v >= 1024.0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1024.0;
        unit++;
    }
    snprintf(text, 32, "%.2f %s", v, units[unit]);
}

/* All sums of sizes go through here: hostile shapes must not wrap around. */
static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The options with their defaults, and what follows from them. */
struct request {
    const struct plan_needs *needs;
    const struct model_plan_options *o;
    uint32_t max_model_len;
    uint64_t block_bytes;
    uint64_t blocks_one;    // of one sequence of max_model_len
    uint64_t blocks_useful; // of max_num_seqs of them
    uint64_t budget;        // bytes that may be used
    struct model_plan plan;
};

static enum status read_options(struct request *r, struct error *err)
{
    const struct model_plan_options *o = r->o;
    double fraction = o->memory_fraction == 0.0 ? PLAN_MEMORY_FRACTION : o->memory_fraction;
    struct model_plan *p = &r->plan;

    r->max_model_len = o->max_model_len == 0 ? r->needs->max_positions : o->max_model_len;
    if (r->max_model_len > r->needs->max_positions) {
        return error_set(err, E_INVALID,
                         "--max-model-len is %" PRIu32 ", the model was made for at most %" PRIu32
                         " positions",
                         r->max_model_len, r->needs->max_positions);
    }
    if (!(fraction > 0.0 && fraction <= 1.0)) {
        return error_set(err, E_INVALID,
                         "--gpu-memory-utilization is %g, but must be above 0 and at most 1",
                         fraction);
    }
    p->block_tokens = o->block_tokens == 0 ? PLAN_BLOCK_TOKENS : o->block_tokens;
    p->memory_bytes = o->memory_bytes;
    p->limit_bytes = (uint64_t)ceil((double)o->memory_bytes * fraction);
    p->weight_bytes = r->needs->weight_bytes;
    p->workspace_bytes = r->needs->workspace_bytes;
    p->kv_bytes_per_token = r->needs->kv_bytes_per_token;
    r->budget = min_u64(p->limit_bytes, o->available_bytes);
    r->block_bytes = times(p->kv_bytes_per_token, p->block_tokens);
    r->blocks_one = ((uint64_t)r->max_model_len + p->block_tokens - 1) / p->block_tokens;
    r->blocks_useful = times(r->blocks_one, o->max_num_seqs == 0 ? 1 : o->max_num_seqs);
    r->blocks_useful = min_u64(r->blocks_useful, SLOTS_MAX / p->block_tokens);
    return OK;
}

/* Bytes the KV cache gets, before anybody asks whether they are there. */
static uint64_t choose_blocks(const struct request *r)
{
    uint64_t fixed = add(r->plan.weight_bytes, r->plan.workspace_bytes);
    uint64_t left = r->budget > fixed ? r->budget - fixed : 0;
    uint64_t blocks;

    if (r->o->kv_blocks_override != 0) {
        return r->o->kv_blocks_override;
    }
    if (r->o->kv_cache_bytes != 0) {
        return min_u64(r->o->kv_cache_bytes / r->block_bytes, SLOTS_MAX / r->plan.block_tokens);
    }
    blocks = min_u64(PLAN_KV_DEFAULT_MAX, left / 2) / r->block_bytes;
    blocks = min_u64(blocks, r->blocks_useful);
    return blocks < r->blocks_one ? r->blocks_one : blocks;
}

static enum status refuse_short_kv(const struct request *r, uint64_t blocks, struct error *err)
{
    uint64_t tokens = times(blocks, r->plan.block_tokens);
    bool by_blocks = r->o->kv_blocks_override != 0;

    return error_set(err, E_LIMIT,
                     "%s gives a KV cache of %" PRIu64 " tokens, but one sequence of %" PRIu32
                     " tokens must fit: give at least %" PRIu64
                     " %s, or lower --max-model-len to %" PRIu64 " or less",
                     by_blocks ? "--num-gpu-blocks-override" : "--kv-cache-memory-bytes", tokens,
                     r->max_model_len,
                     by_blocks ? r->blocks_one : times(r->blocks_one, r->block_bytes),
                     by_blocks ? "blocks" : "bytes", tokens);
}

/* Which knob is worth turning, dearest first. */
static void knobs(const struct request *r, char *text, size_t n)
{
    uint64_t fixed = add(r->plan.weight_bytes, r->plan.workspace_bytes);
    bool by_limit = r->plan.limit_bytes <= r->o->available_bytes;
    uint64_t tokens = r->budget > fixed ? (r->budget - fixed) / r->plan.kv_bytes_per_token : 0;
    char fits[96] = "";

    if (fixed < r->budget && tokens >= r->plan.block_tokens) {
        snprintf(fits, sizeof(fits), " (%" PRIu64 " tokens would fit)",
                 tokens / r->plan.block_tokens * r->plan.block_tokens);
    }
    snprintf(text, n,
             "Lower --max-model-len%s, --kv-cache-memory-bytes, --max-num-seqs or "
             "--max-num-batched-tokens, %s%s, or take a smaller model or a larger machine",
             fits, r->o->math == MATH_F32 ? "use --dtype bfloat16, " : "",
             by_limit ? "raise --gpu-memory-utilization" : "end other programs");
}

static enum status refuse_total(const struct request *r, struct error *err)
{
    const struct model_plan *p = &r->plan;
    char total[32];
    char budget[32];
    char weights[32];
    char kv[32];
    char workspace[32];
    char turn[400];

    plan_bytes_text(p->total_bytes, total);
    plan_bytes_text(r->budget, budget);
    plan_bytes_text(p->weight_bytes, weights);
    plan_bytes_text(p->kv_bytes, kv);
    plan_bytes_text(p->workspace_bytes, workspace);
    knobs(r, turn, sizeof(turn));
    return error_set(
        err, E_LIMIT,
        "the model does not fit: it needs %s (weights %s, KV cache %s, workspace %s), %s may be "
        "used: %" PRIu64 " bytes short. %s.",
        total, weights, kv, workspace, budget, p->total_bytes - r->budget, turn);
}

enum status plan_compute(const struct plan_needs *needs, const struct model_plan_options *o,
                         struct model_plan *ret_plan, struct error *err)
{
    struct request r = {.needs = needs, .o = o};
    struct model_plan *p = &r.plan;
    enum status rc = read_options(&r, err);
    uint64_t blocks;

    if (rc != OK) {
        return rc;
    }
    blocks = choose_blocks(&r);
    if (blocks > SLOTS_MAX / p->block_tokens) {
        return error_set(err, E_INVALID,
                         "a KV cache of %" PRIu64 " blocks of %" PRIu32
                         " tokens is beyond 2^32 tokens",
                         blocks, p->block_tokens);
    }
    p->kv_blocks = (uint32_t)blocks;
    p->kv_bytes = times(blocks, r.block_bytes);
    p->total_bytes = add(add(p->weight_bytes, p->workspace_bytes), p->kv_bytes);
    *ret_plan = *p;
    if (blocks < r.blocks_one) {
        return refuse_short_kv(&r, blocks, err);
    }
    return p->total_bytes > r.budget ? refuse_total(&r, err) : OK;
}

static void print_row(struct buf *out, const char *what, uint64_t bytes, const char *remark)
{
    char text[32];

    plan_bytes_text(bytes, text);
    buf_printf(out, "  %-10s %18" PRIu64 " bytes %12s%s%s\n", what, bytes, text,
               remark[0] != '\0' ? "  " : "", remark);
}

void plan_print(const struct model_plan *p, struct buf *out)
{
    char remark[96];

    print_row(out, "weights", p->weight_bytes, "");
    print_row(out, "workspace", p->workspace_bytes, "activations, logits, scratch");
    snprintf(remark, sizeof(remark),
             "%" PRIu32 " blocks of %" PRIu32 " tokens, %" PRIu64 " bytes per token", p->kv_blocks,
             p->block_tokens, p->kv_bytes_per_token);
    print_row(out, "KV cache", p->kv_bytes, remark);
    print_row(out, "total", p->total_bytes, "");
    print_row(out, "allowed", p->limit_bytes, "--gpu-memory-utilization of the memory");
    print_row(out, "memory", p->memory_bytes, "of the machine or its container");
}
