/* rope.c - rotary position embedding.
 *
 * The angle is float32(position) * inv_freq rounded to float32, as the models were trained; its
 * sine and cosine are computed here in double precision and rounded once, so that they do not
 * depend on the version of libm.  One set per token serves all heads.
 */
#include "base/check.h"
#include "compute/compute_internal.h"
#include "compute/cpu/drivers.h"
#include "compute/cpu/rope.h"

#include <math.h>

struct rope_job {
    const struct rope_args *a;
    struct pool_range range;
};

#define PI_2_HI 0x1.921fb54400000p+0 // 33 bits: n * HI is exact for n < 2^20
#define PI_2_MID 0x1.0b4611a600000p-34
#define PI_2_LO 0x1.3198a2e037073p-69
#define SMALL_VALUES 4096

void rope_sincos(float angle, float *ret_sin, float *ret_cos)
{
    double x = (double)angle;
    double n = nearbyint(x * 0x1.45f306dc9c883p-1);
    double r = ((x - n * PI_2_HI) - n * PI_2_MID) - n * PI_2_LO;
    double z = r * r;
    // Taylor on [-pi/4, pi/4]: the first term left out is below 1e-15
    double s =
        r + r * z *
                (-1.0 / 6 +
                 z * (1.0 / 120 +
                      z * (-1.0 / 5040 +
                           z * (1.0 / 362880 + z * (-1.0 / 39916800 + z * (1.0 / 6227020800.0))))));
    double c =
        1.0 + z * (-0.5 + z * (1.0 / 24 +
                               z * (-1.0 / 720 +
                                    z * (1.0 / 40320 + z * (-1.0 / 3628800 +
                                                            z * (1.0 / 479001600.0 +
                                                                 z * (-1.0 / 87178291200.0)))))));
    int quadrant = (int)((int64_t)n & 3);

    *ret_sin = (float)(quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c);
    *ret_cos = (float)(quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s);
}

static void turn_head(const struct rope_args *a, const float *sines, const float *cosines, float *x)
{
    uint32_t half = a->rotated / 2;
    uint32_t step = a->interleaved ? 2 : 1;
    uint32_t partner = a->interleaved ? 1 : half;

    for (uint32_t i = 0; i < half; i++) {
        float *first = x + (size_t)i * step;
        float u = first[0];
        float v = first[partner];

        first[0] = u * cosines[i] - v * sines[i];
        first[partner] = v * cosines[i] + u * sines[i];
    }
}

static void rope_range(void *arg, uint32_t thread_idx)
{
    struct rope_job *job = arg;
    const struct rope_args *a = job->a;
    float sines[HEAD_DIM_MAX / 2];
    float cosines[HEAD_DIM_MAX / 2];
    uint64_t begin;
    uint64_t end;

    (void)thread_idx;
    while (pool_range_take(&job->range, &begin, &end)) {
        float *x = a->x.ptr + begin * a->x.stride;
        float position = (float)a->positions[begin];

        for (uint32_t i = 0; i < a->rotated / 2; i++) {
            rope_sincos(position * a->inv_freq[i], &sines[i], &cosines[i]);
            sines[i] *= a->scale;
            cosines[i] *= a->scale;
        }
        for (uint32_t h = 0; h < a->n_heads; h++) {
            turn_head(a, sines, cosines, x + (size_t)h * a->head_dim);
        }
    }
}

void rope_run(struct compute *c, const struct rope_args *a)
{
    struct rope_job job = {.a = a};

    CHECK(a->x.n_cols == a->n_heads * a->head_dim && a->x.stride >= a->x.n_cols);
    CHECK(a->rotated % 2 == 0 && a->rotated <= a->head_dim && a->head_dim <= HEAD_DIM_MAX);
    for (uint32_t i = 0; i < a->x.n_rows; i++) {
        CHECK(a->positions[i] >= 0);
    }
    pool_range_init(&job.range, a->x.n_rows, 1);
    if ((uint64_t)a->x.n_rows * a->x.n_cols < SMALL_VALUES) {
        rope_range(&job, 0);
    } else {
        pool_run(c->pool, rope_range, &job);
    }
}
