#include "compute/cpu/kernels.h"

void kernels_avx512bf16_fill(struct kernels *k)
{
    k->name = "avx512bf16";
}
