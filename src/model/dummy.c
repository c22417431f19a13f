#include "model/dummy.h"
#include "base/str.h"
#include "compute/cpu/halves.h"

#include <math.h>
#include <string.h>

/* Four elements from one 64-bit word: word i of a tensor is mix(key + i * odd constant), the
 * splitmix64 generator (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014)
 * used as a counter.  base/rng.h would do as well but takes five times as long, which matters at 32
 * billion. */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* FNV-1a: stable, and names are short. */
static uint64_t key_of(uint64_t seed, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u ^ mix(seed + 1);

    for (; *name != '\0'; name++) {
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    }
    return mix(h);
}

struct spread {
    float centre;
    float half_width; // values are uniform in centre +- half_width
};

static struct spread spread_of(const struct weight *w, const struct weight_part *part)
{
    const float root3 = 1.7320508f; // standard deviation 1

    switch (w->kind) {
    case WEIGHT_TABLE:
        return (struct spread){0.0f, root3};
    case WEIGHT_MATRIX:
        return (struct spread){0.0f, root3 / sqrtf((float)w->n_cols)};
    case WEIGHT_VECTOR:
        break;
    }
    return str_ends(str_from_c(part->name), STR(".bias")) ? (struct spread){0.0f, 0.1f}
                                                          : (struct spread){1.0f, 0.1f};
}

void dummy_fill(uint64_t seed, const struct weight *w, const struct weight_part *part,
                uint64_t begin, uint64_t n, uint16_t *ret_bf16)
{
    uint64_t key = key_of(seed, part->name);
    struct spread s = spread_of(w, part);
    float step = s.half_width / 32768.0f;
    uint64_t word = 0;

    for (uint64_t i = begin; i < begin + n; i++) {
        int32_t offset;

        if (i == begin || i % 4 == 0) {
            word = mix(key + (i / 4) * 0x9e3779b97f4a7c15u);
        }
        offset = (int32_t)(word >> (16 * (i % 4)) & 0xffff) - 32768;
        ret_bf16[i - begin] = halves_to_bf16(s.centre + step * (float)offset);
    }
}
