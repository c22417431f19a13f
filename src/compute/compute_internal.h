/* compute_internal.h - what one compute device holds; for this folder only. */
#ifndef COMPUTE_COMPUTE_INTERNAL_H
#define COMPUTE_COMPUTE_INTERNAL_H

#include "compute/cpu/kernels.h"
#include "compute/ops.h"
#include "compute/pool.h"

/* Matmul: rows of one pass over the weights, and what one task of a pass covers. */
#define CHUNK_ROWS_MAX 512
#define TASK_PANELS_MAX 8
#define TASK_TILES_MAX 4

/* Attention: (query, head) rows of one item, and the widest head. */
#define ATTENTION_ROWS 64
#define HEAD_DIM_MAX 256

/* State of the online softmax of one item: after one piece, or merged so far. */
struct attention_state {
    float max[ATTENTION_ROWS];
    float sum[ATTENTION_ROWS];
    float out[ATTENTION_ROWS * HEAD_DIM_MAX]; // [rows][head_dim rounded up to TILE_COLS]
};

/* One piece of one item, when attention shares out pieces. */
struct piece_task {
    uint64_t item;
    uint32_t piece;
};

/* One thread's own scratch; matmul and attention use it in turn.  64-byte aligned. */
union thread_scratch {
    float acc[COMPUTE_K_SEGMENTS * TASK_TILES_MAX * TASK_PANELS_MAX * PANEL_ROWS_MAX * TILE_COLS];
    struct {
        _Alignas(64) float queries[ATTENTION_ROWS * HEAD_DIM_MAX];
        _Alignas(64) float scores[ATTENTION_ROWS * SCORE_STRIDE];
        _Alignas(64) float keys[HEAD_DIM_MAX * TILE_COLS];
        _Alignas(64) float values[COMPUTE_KV_PIECE * TILE_COLS];
        _Alignas(64) struct attention_state piece;
        _Alignas(64) struct attention_state merged;
    } attention;
};

struct compute {
    struct ops ops;
    struct kernels kernels;
    enum math math;
    uint32_t n_threads;
    uint32_t rows_max;
    uint32_t cols_max;
    struct pool *pool;

    // scratch, all inside one allocation
    void *scratch; // owned, by memory_alloc
    size_t scratch_bytes;
    void *panels;                          // matmul's activations, packed
    size_t panels_bytes;                   // >= what PANEL_ROWS_MAX rows of cols_max float32 take
    union thread_scratch *threads;         // [n_threads]
    uint64_t *first_items;                 // attention: [rows_max + 1] items before each sequence
    struct attention_state *piece_states;  // attention: [n_piece_states]
    struct attention_state *merged_states; // attention: [n_piece_states]
    struct piece_task *piece_tasks;        // attention: [n_piece_states]
    uint32_t *wave_starts;                 // attention: [n_piece_states + 1] first task of an item
    uint32_t n_piece_states;
};

/** True when bf16 weights are multiplied by the bf16 dot-product instruction. */
static inline bool compute_uses_pairs(const struct compute *c)
{
    return c->math == MATH_BF16 && c->kernels.has_pairs;
}

#endif
