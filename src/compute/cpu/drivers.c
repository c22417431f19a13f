#include "compute/cpu/drivers.h"

void drivers_fill(struct ops *ops)
{
    *ops = (struct ops){
        .matrix_bytes = matrix_bytes,
        .matrix_pack = matrix_pack,
        .matrix_row = matrix_row,
        .embed = rowwise_embed,
        .rmsnorm = rowwise_rmsnorm,
        .rmsnorm_add = rowwise_rmsnorm_add,
        .matmul = matmul_run,
        .rope = rope_run,
        .kv_write = rowwise_kv_write,
        .attention = attention_run,
        .silu_mul = rowwise_silu_mul,
        .add = rowwise_add,
        .gather_rows = rowwise_gather,
    };
}
