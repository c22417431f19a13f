/* ops.h - the operations a forward pass is written in.  A backend fills the table.
 *
 * Reference C fills it first, better levels overlay entries by CPUID.  Activations are float32 rows
 * in memory; how a matmul reads them depends on the math mode:
 *   MATH_F32   weights float32, everything float32                       (--dtype float32)
 *   MATH_BF16  weights bf16 (or fp16), inputs of a matmul rounded to bf16, float32 accumulation
 * KV cache: float32 in MATH_F32, bf16 in MATH_BF16.
 *
 * Batch invariance: each output element is computed by the same instruction sequence whatever the
 * number of rows, the chunking of a prompt or the other sequences in the batch.  matmul reduces K
 * in COMPUTE_K_SEGMENTS fixed segments (boundaries multiples of 64, the last takes the rest)
 * combined as (s0 + s1) + (s2 + s3); attention walks KV in pieces of COMPUTE_KV_PIECE tokens at
 * absolute positions 0, 256, 512 ..., merged in order; the rest is row-wise.  See
 * docs/determinism.md.
 *
 * Every operation forks onto the pool of its context and returns when done (a CPU needs no stream).
 * Engine thread only.  All shapes are CHECKed: a wrong one is our bug, input was verified before.
 */
#ifndef COMPUTE_OPS_H
#define COMPUTE_OPS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPUTE_K_SEGMENTS 4
#define COMPUTE_KV_PIECE 256

enum dtype { DTYPE_F32, DTYPE_BF16, DTYPE_F16 };
enum math { MATH_F32, MATH_BF16 };

static inline size_t dtype_bytes(enum dtype t)
{
    return t == DTYPE_F32 ? 4 : 2;
}

struct compute; // one device: level, pool of threads, scratch

struct compute_options {
    enum math math;
    const char *level;  // NULL: best this machine has; "ref" "avx2" "avx512" "avx512bf16" "neon"
    uint32_t n_threads; // 0: affinity mask and cgroup quota
    uint32_t rows_max;  // largest n_tokens any op will see (scratch is sized from it)
    uint32_t cols_max;  // largest K of any matmul
};

/** Errors: UNSUPPORTED level on this machine (err names the ones it has), NO_MEMORY. */
MUST_USE enum status compute_create(const struct compute_options *o, struct compute **ret_c,
                                    struct error *err);
void compute_destroy(struct compute *c);
const char *compute_level(const struct compute *c);
uint32_t compute_threads(const struct compute *c);
const struct ops *compute_ops(const struct compute *c);
/** Bytes compute_create() would allocate for scratch; for the memory plan. */
uint64_t compute_scratch_bytes(const struct compute_options *o);

/* A weight [n_out, n_in] in the backend's own order.  y = x * W^T (+ bias). */
struct matrix {
    uint32_t n_out;
    uint32_t n_in;
    enum dtype dtype; // of the packed elements
    void *packed;     // owned by who allocated it; 64-byte aligned, matrix_bytes() long
};

/* Row-major activations: [n_rows, n_cols] float32, rows `stride` elements apart. */
struct rows {
    float *ptr;
    uint32_t n_rows;
    uint32_t n_cols;
    uint32_t stride; // >= n_cols, elements
};

/* One layer's KV cache.  Element order [n_blocks][n_kv_heads][block_tokens][head_dim] for k and
 * v. */
struct kv_layer {
    void *k;
    void *v;
    enum dtype dtype; // F32 or BF16
    uint32_t n_blocks;
    uint32_t block_tokens;
    uint32_t n_kv_heads;
    uint32_t head_dim;
};

/* One sequence's part of a ragged batch. */
struct batch_seq {
    uint32_t q_start; // first row of this sequence in the batch
    uint32_t q_len;   // rows of this sequence in this step, >= 1
    uint32_t
        kv_len; // tokens in the cache after this step; row q_start+j has position kv_len-q_len+j
    const uint32_t *blocks; // [ceil(kv_len / block_tokens)] borrowed: block ids in order
};

struct embed_args {
    const void *table; // [vocab, hidden] row-major
    enum dtype dtype;
    uint32_t vocab;
    const int32_t *ids; // [y.n_rows], each in [0, vocab)
    struct rows y;
};

struct rmsnorm_args {
    struct rows x;
    const float *weight; // [n_cols]
    float eps;           // inside the root
    struct rows y;       // may equal x
};

struct matmul_args {
    struct rows x; // [n_rows, n_in]
    const struct matrix *w;
    const float *bias; // [n_out] or NULL
    struct rows y;     // [n_rows, n_out]; must not overlap x
};

struct rope_args {
    struct rows x; // [n_tokens, n_heads * head_dim] in place
    uint32_t n_heads;
    uint32_t head_dim;
    uint32_t rotated;         // first `rotated` dims of each head turn, the rest pass
    bool interleaved;         // pairs (2i, 2i+1); else (i, i + rotated/2)
    const float *inv_freq;    // [rotated / 2]
    float scale;              // multiplies cos and sin (YaRN's attention factor); 1 without
    const int32_t *positions; // [n_tokens]
};

struct kv_write_args {
    struct kv_layer *kv;
    struct rows k; // [n_tokens, n_kv_heads * head_dim]
    struct rows v;
    const uint32_t *slots; // [n_tokens] block * block_tokens + offset
};

struct attention_args {
    struct rows q; // [n_tokens, n_heads * head_dim]
    const struct kv_layer *kv;
    uint32_t n_heads; // multiple of kv->n_kv_heads; head j reads kv head j * KV / NH
    float scale;
    const struct batch_seq *seqs; // [n_seqs] covering all rows of q, in order
    uint32_t n_seqs;
    struct rows y; // same shape as q, must not overlap it
};

struct ops {
    const char *name;

    /** Bytes of a packed matrix of `n_out` x `n_in` (rounded up to the backend's tiles and 64). */
    size_t (*matrix_bytes)(enum dtype dtype, uint32_t n_out, uint32_t n_in);
    /**
     * Pack rows [row_begin, row_begin + n_rows) of a row-major source into `m` (n_in columns,
     * src points at row row_begin).  Row ranges may come in any order, but each row exactly once;
     * ranges start at multiples of 64.  src_dtype may differ from m->dtype (converted, RNE).
     */
    void (*matrix_pack)(struct compute *c, struct matrix *m, uint32_t row_begin, uint32_t n_rows,
                        const void *src, enum dtype src_dtype);
    /** Unpack one row back to float32 (tests, inspection). */
    void (*matrix_row)(const struct matrix *m, uint32_t row, float *ret_row);

    void (*embed)(struct compute *c, const struct embed_args *a);
    void (*rmsnorm)(struct compute *c, const struct rmsnorm_args *a);
    /** x += rmsnorm(y): GLM-4's sandwich norm and residual in one pass.  Args: x = y's input, y =
     * sum. */
    void (*rmsnorm_add)(struct compute *c, const struct rmsnorm_args *a);
    void (*matmul)(struct compute *c, const struct matmul_args *a);
    void (*rope)(struct compute *c, const struct rope_args *a);
    void (*kv_write)(struct compute *c, const struct kv_write_args *a);
    void (*attention)(struct compute *c, const struct attention_args *a);
    /** y[t,i] = silu(x[t,i]) * x[t,n+i]; x [n_tokens, 2n], y [n_tokens, n]. */
    void (*silu_mul)(struct compute *c, struct rows x, struct rows y);
    /** y += x, element by element. */
    void (*add)(struct compute *c, struct rows x, struct rows y);
    /** y[j] = x[idx[j]] row copies; idx [y.n_rows]. */
    void (*gather_rows)(struct compute *c, struct rows x, const uint32_t *idx, struct rows y);
};

#endif
