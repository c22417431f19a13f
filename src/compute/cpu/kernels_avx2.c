#include "compute/cpu/kernels.h"

void kernels_avx2_fill(struct kernels *k)
{
    k->name = "avx2";
}
