#include "base/hash.h"
#include "base/check.h"
#include "base/rng.h"

#include <openssl/crypto.h>
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

#define SHA256_BLOCK_BYTES 64

/* Looked up once: asking OpenSSL by name costs six times the hashing of a key. */
static EVP_MD *sha256; // written once, never freed
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    CHECK(sha256 != NULL);
}

static void digest_two(EVP_MD_CTX *ctx, const void *first, size_t n_first, struct str second,
                       uint8_t ret_digest[HASH_SHA256_BYTES])
{
    CHECK(EVP_DigestInit_ex2(ctx, sha256, NULL) == 1 &&
          EVP_DigestUpdate(ctx, first, n_first) == 1 &&
          EVP_DigestUpdate(ctx, second.len == 0 ? "" : second.ptr, second.len) == 1 &&
          EVP_DigestFinal_ex(ctx, ret_digest, NULL) == 1);
}

void hash_sha256(struct str s, uint8_t ret_digest[HASH_SHA256_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(ctx != NULL && pthread_once(&sha256_once, fetch_sha256) == 0);
    digest_two(ctx, "", 0, s, ret_digest);
    EVP_MD_CTX_free(ctx);
}

/* RFC 2104 with a key of one digest's length. */
void hash_hmac_sha256(const uint8_t key[HASH_SHA256_BYTES], struct str message,
                      uint8_t ret_digest[HASH_SHA256_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t inner[SHA256_BLOCK_BYTES];
    uint8_t outer[SHA256_BLOCK_BYTES];
    uint8_t digest[HASH_SHA256_BYTES];

    CHECK(ctx != NULL && pthread_once(&sha256_once, fetch_sha256) == 0);
    memset(inner, 0x36, sizeof(inner));
    memset(outer, 0x5C, sizeof(outer));
    for (size_t i = 0; i < HASH_SHA256_BYTES; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
    digest_two(ctx, inner, sizeof(inner), message, digest);
    digest_two(ctx, outer, sizeof(outer), (struct str){(const char *)digest, sizeof(digest)},
               ret_digest);
    EVP_MD_CTX_free(ctx);
    OPENSSL_cleanse(inner, sizeof(inner));
    OPENSSL_cleanse(outer, sizeof(outer));
}
