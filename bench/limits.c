#include "limits.h"

#include "base/str.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LOOPS 2000000
#define CHAINS 12

static clockid_t clock_used = CLOCK_MONOTONIC;

void limits_use_cpu_time(void)
{
    clock_used = CLOCK_PROCESS_CPUTIME_ID;
}

double limits_now_s(void)
{
    struct timespec ts;

    clock_gettime(clock_used, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Keeps the compiler from dropping a result. */
static atomic_uint_fast64_t sink;

struct read_job {
    const char *ptr;
    size_t n_bytes;
    uint32_t n_threads;
};

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_avx2(const char *ptr, size_t n_bytes)
{
    __m256i sum[8];
    uint64_t out[4];

    for (int i = 0; i < 8; i++) {
        sum[i] = _mm256_setzero_si256();
    }
    for (size_t at = 0; at + 256 <= n_bytes; at += 256) {
        for (int i = 0; i < 8; i++) {
            sum[i] = _mm256_xor_si256(sum[i],
                                      _mm256_load_si256((const void *)(ptr + at + (size_t)i * 32)));
        }
    }
    for (int i = 1; i < 8; i++) {
        sum[0] = _mm256_xor_si256(sum[0], sum[i]);
    }
    _mm256_storeu_si256((void *)out, sum[0]);
    return out[0] ^ out[1] ^ out[2] ^ out[3];
}
#endif

static uint64_t read_plain(const char *ptr, size_t n_bytes)
{
    uint64_t sum[8] = {0};

    for (size_t at = 0; at + 64 <= n_bytes; at += 64) {
        for (size_t i = 0; i < 8; i++) {
            uint64_t word;

            memcpy(&word, ptr + at + i * 8, 8);
            sum[i] ^= word;
        }
    }
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

static void read_share(void *arg, uint32_t thread_idx)
{
    const struct read_job *job = arg;
    size_t share = job->n_bytes / job->n_threads / 4096 * 4096;
    const char *begin = job->ptr + share * thread_idx;
    size_t n = thread_idx + 1 == job->n_threads ? job->n_bytes - share * thread_idx : share;
    uint64_t sum;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        sum = read_avx2(begin, n);
    } else {
        sum = read_plain(begin, n);
    }
#else
    sum = read_plain(begin, n);
#endif
    atomic_fetch_xor(&sink, sum);
}

double limits_read_s(struct pool *pool, const void *ptr, size_t n_bytes)
{
    struct read_job job = {ptr, n_bytes, pool_threads(pool)};
    double begin = limits_now_s();

    pool_run(pool, read_share, &job);
    return limits_now_s() - begin;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void flops_avx2(void *arg, uint32_t thread_idx)
{
    __m256 sum[CHAINS];
    __m256 x = _mm256_set1_ps(1e-9f * (float)thread_idx);
    float out[8];

    (void)arg;
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = x;
    }
    for (int n = 0; n < LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm256_fmadd_ps(x, x, sum[i]);
        }
    }
    for (int i = 1; i < CHAINS; i++) {
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    }
    _mm256_storeu_ps(out, sum[0]);
    atomic_fetch_xor(&sink, (uint64_t)out[0]);
}

__attribute__((target("avx512f"))) static void flops_avx512(void *arg, uint32_t thread_idx)
{
    __m512 sum[CHAINS];
    __m512 x = _mm512_set1_ps(1e-9f * (float)thread_idx);
    float out[16];

    (void)arg;
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = x;
    }
    for (int n = 0; n < LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_fmadd_ps(x, x, sum[i]);
        }
    }
    for (int i = 1; i < CHAINS; i++) {
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    }
    _mm512_storeu_ps(out, sum[0]);
    atomic_fetch_xor(&sink, (uint64_t)out[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static void flops_avx512bf16(void *arg,
                                                                           uint32_t thread_idx)
{
    __m512 sum[CHAINS];
    __m512i bits = _mm512_set1_epi32(0x3f803f80 + (int)thread_idx);
    __m512bh x;
    float out[16];

    (void)arg;
    memcpy(&x, &bits, sizeof(x));
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = _mm512_setzero_ps();
    }
    for (int n = 0; n < LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
        }
    }
    for (int i = 1; i < CHAINS; i++) {
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    }
    _mm512_storeu_ps(out, sum[0]);
    atomic_fetch_xor(&sink, (uint64_t)out[0]);
}
#endif

double limits_flops(struct pool *pool, const char *level, bool bf16)
{
    pool_fn fn = NULL;
    double per_loop = 0;
    double begin;

#if defined(__x86_64__)
    struct str name = str_from_c(level);

    if (str_eq(name, STR("avx512bf16")) && bf16) {
        fn = flops_avx512bf16;
        per_loop = CHAINS * 64.0;
    } else if (str_eq(name, STR("avx512bf16")) || str_eq(name, STR("avx512"))) {
        fn = flops_avx512;
        per_loop = CHAINS * 32.0;
    } else if (str_eq(name, STR("avx2"))) {
        fn = flops_avx2;
        per_loop = CHAINS * 16.0;
    }
#else
    (void)level;
    (void)bf16;
#endif
    if (fn == NULL) {
        return 0;
    }
    begin = limits_now_s();
    pool_run(pool, fn, NULL);
    return per_loop * LOOPS * pool_threads(pool) / (limits_now_s() - begin);
}
