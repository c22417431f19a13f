/* drivers.h - the operations of the CPU backend, as they stand in the table of ops.h.
 *
 * They check the shapes, cut the work for the pool and call the kernels of the level.  Engine
 * thread.
 * Contracts: compute/ops.h.
 */
#ifndef COMPUTE_CPU_DRIVERS_H
#define COMPUTE_CPU_DRIVERS_H

#include "compute/ops.h"

/** Fill every entry but the name. */
void drivers_fill(struct ops *ops);

/** Entry ops.matrix_bytes. */
size_t matrix_bytes(enum dtype dtype, uint32_t n_out, uint32_t n_in);
/** Entry ops.matrix_pack. */
void matrix_pack(struct compute *c, struct matrix *m, uint32_t row_begin, uint32_t n_rows,
                 const void *src, enum dtype src_dtype);
/** Entry ops.matrix_row. */
void matrix_row(const struct matrix *m, uint32_t row, float *ret_row);

/** Entry ops.matmul. */
void matmul_run(struct compute *c, const struct matmul_args *a);

/** Entry ops.attention. */
void attention_run(struct compute *c, const struct attention_args *a);

/** Entry ops.embed. */
void rowwise_embed(struct compute *c, const struct embed_args *a);
/** Entry ops.rmsnorm. */
void rowwise_rmsnorm(struct compute *c, const struct rmsnorm_args *a);
/** Entry ops.rmsnorm_add. */
void rowwise_rmsnorm_add(struct compute *c, const struct rmsnorm_args *a);
/** Entry ops.kv_write. */
void rowwise_kv_write(struct compute *c, const struct kv_write_args *a);
/** Entry ops.silu_mul. */
void rowwise_silu_mul(struct compute *c, struct rows x, struct rows y);
/** Entry ops.add. */
void rowwise_add(struct compute *c, struct rows x, struct rows y);
/** Entry ops.gather_rows. */
void rowwise_gather(struct compute *c, struct rows x, const uint32_t *idx, struct rows y);

/** Entry ops.rope. */
void rope_run(struct compute *c, const struct rope_args *a);

#endif
