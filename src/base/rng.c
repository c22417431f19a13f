#include "base/rng.h"
#include "base/check.h"

#include <sys/random.h>

void rng_block(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t ret_words[4])
{
    uint32_t c0 = (uint32_t)counter_lo;
    uint32_t c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi;
    uint32_t c3 = (uint32_t)(counter_hi >> 32);
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u;
        uint64_t p1 = (uint64_t)c2 * 0xCD9E8D57u;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    ret_words[0] = c0;
    ret_words[1] = c1;
    ret_words[2] = c2;
    ret_words[3] = c3;
}

double rng_uniform(uint64_t seed, uint64_t stream, uint64_t position)
{
    uint32_t words[4];
    uint64_t bits;

    rng_block(seed, stream, position, words);
    bits = (uint64_t)words[0] << 32 | words[1];
    return (double)(bits >> 11) * 0x1p-53;
}

uint64_t rng_from_system(void)
{
    uint64_t bits;

    CHECK(getrandom(&bits, sizeof(bits), 0) == (ssize_t)sizeof(bits));
    return bits;
}
