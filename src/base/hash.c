#include "base/hash.h"
#include "base/check.h"
#include "base/rng.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

/* Random odd constants with balanced bits; nothing depends on their exact values. */
#define SALT_0 UINT64_C(0xa0761d6478bd642f)
#define SALT_1 UINT64_C(0xe7037ed1a0b428db)
#define SALT_2 UINT64_C(0x8ebc6af09c88c6e3)

static uint64_t load64(const unsigned char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t load32(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

__extension__ typedef unsigned __int128 u128; // the only 128-bit type in the tree

/* Folded 64x64 product: every input bit reaches every output bit. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    u128 product = (u128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(const void *bytes, size_t n_bytes, uint64_t seed)
{
    const unsigned char *p = bytes;
    size_t left = n_bytes;
    uint64_t h = seed ^ mix(seed ^ SALT_0, SALT_1);
    uint64_t a = 0;
    uint64_t b = 0;

    while (left > 16) {
        h = mix(load64(p) ^ SALT_1, load64(p + 8) ^ h);
        p += 16;
        left -= 16;
    }
    if (left >= 8) { // two overlapping words cover 8..16 bytes
        a = load64(p);
        b = load64(p + left - 8);
    } else if (left >= 4) {
        a = load32(p);
        b = load32(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
    }
    return mix(SALT_2 ^ n_bytes, mix(a ^ SALT_1, b ^ h));
}

uint64_t hash_u64(uint64_t value, uint64_t seed)
{
    return mix(mix(value ^ SALT_0, seed ^ SALT_1), SALT_2);
}

static uint64_t process_seed;
static pthread_once_t process_seed_once = PTHREAD_ONCE_INIT;

static void draw_process_seed(void)
{
    process_seed = rng_from_system();
}

uint64_t hash_process_seed(void)
{
    pthread_once(&process_seed_once, draw_process_seed);
    return process_seed;
}

void hash_sha256(struct str s, uint8_t ret_digest[HASH_SHA256_BYTES])
{
    static const char empty[1] = "";

    CHECK(EVP_Digest(s.len == 0 ? empty : s.ptr, s.len, ret_digest, NULL, EVP_sha256(), NULL) == 1);
}
