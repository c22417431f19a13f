#include "compute/cpu/kernels.h"

void kernels_avx512_fill(struct kernels *k)
{
    k->name = "avx512";
}
