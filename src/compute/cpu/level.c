#include "compute/cpu/level.h"

#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const names[LEVEL_COUNT] = {
    [LEVEL_REF] = "ref",       [LEVEL_AVX2] = "avx2",
    [LEVEL_AVX512] = "avx512", [LEVEL_AVX512BF16] = "avx512bf16",
    [LEVEL_NEON] = "neon",
};

const char *level_name(enum level level)
{
    CHECK((unsigned)level < LEVEL_COUNT);
    return names[level];
}

#if defined(__x86_64__)

/* Register state the operating system saves: XCR0. */
static unsigned saved_state(void)
{
    unsigned lo;
    unsigned hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

#define HAS(word, bit) (((word) >> (bit)&1u) != 0)
#define STATE_AVX 0x06u    // XMM, YMM
#define STATE_AVX512 0xe6u // and opmask, ZMM

static enum level machine_level(void)
{
    unsigned a, b, c, d;
    unsigned b7, a71;
    unsigned state;

    // Intel SDM volume 2, CPUID: leaf 1 ECX, leaf 7 EBX, leaf 7.1 EAX
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !HAS(c, 27)) { // OSXSAVE
        return LEVEL_REF;
    }
    state = saved_state();
    if (!HAS(c, 28) || !HAS(c, 12) || !HAS(c, 29) || (state & STATE_AVX) != STATE_AVX) {
        return LEVEL_REF; // AVX, FMA, F16C
    }
    if (__get_cpuid_count(7, 0, &a, &b7, &c, &d) == 0 || !HAS(b7, 5)) { // AVX2
        return LEVEL_REF;
    }
    // AVX512F, DQ, BW, VL
    if (!HAS(b7, 16) || !HAS(b7, 17) || !HAS(b7, 30) || !HAS(b7, 31) ||
        (state & STATE_AVX512) != STATE_AVX512) {
        return LEVEL_AVX2;
    }
    if (__get_cpuid_count(7, 1, &a71, &b, &c, &d) == 0 || !HAS(a71, 5)) { // AVX512_BF16
        return LEVEL_AVX512;
    }
    return LEVEL_AVX512BF16;
}

#elif defined(__aarch64__)

static enum level machine_level(void)
{
    return LEVEL_NEON; // part of every ARMv8-A
}

#else

static enum level machine_level(void)
{
    return LEVEL_REF;
}

#endif

static bool is_of(enum level machine, enum level level)
{
    return level == LEVEL_REF || level == machine || (machine != LEVEL_NEON && level < machine);
}

static bool find(const char *name, enum level *ret_level)
{
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        if (str_eq(str_from_c(name), str_from_c(names[i]))) {
            *ret_level = (enum level)i;
            return true;
        }
    }
    return false;
}

/* "ref, avx2, avx512" */
static void list_levels(enum level best, char *ret_text, size_t text_cap)
{
    size_t len = 0;
    int n;

    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        if (is_of(best, (enum level)i) && len < text_cap) {
            n = snprintf(ret_text + len, text_cap - len, "%s%s", len == 0 ? "" : ", ", names[i]);
            len += n < 0 ? 0 : (size_t)n;
        }
    }
}

enum status level_pick(const char *name, enum level *ret_level, struct error *err)
{
    enum level best = machine_level();
    enum level cap = best;
    enum level wanted;
    const char *cap_name = getenv("KONTOR_CPU_LEVEL");
    bool has_cap = cap_name != NULL && cap_name[0] != '\0';
    char list[80] = "";

    if (has_cap) {
        if (!find(cap_name, &cap)) {
            list_levels(best, list, sizeof(list));
            return error_set(err, E_UNSUPPORTED,
                             "KONTOR_CPU_LEVEL is \"%s\", which is no instruction-set level; this "
                             "machine has: %s",
                             cap_name, list);
        }
        best = is_of(best, cap) ? cap : best; // a cap above what the machine has changes nothing
    }
    if (name == NULL) {
        *ret_level = best;
        return OK;
    }
    if (!find(name, &wanted) || !is_of(best, wanted)) {
        list_levels(best, list, sizeof(list));
        return error_set(err, E_UNSUPPORTED,
                         "instruction-set level \"%s\" is not available; this machine has: %s%s",
                         name, list, has_cap ? " (capped by KONTOR_CPU_LEVEL)" : "");
    }
    *ret_level = wanted;
    return OK;
}
