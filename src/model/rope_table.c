#include "model/rope_table.h"

#include <math.h>

/* d = rotated dimensions, n0 = original positions, s = factor:
 *
 *   inv_i  = theta^(-2i/d)
 *   lo     = floor(d ln(n0 / (beta_fast 2 pi)) / (2 ln theta))     hi = ceil(same with beta_slow)
 *            both clamped to [0, d-1]; truncate = false drops floor and ceil; lo = hi: hi += 0.001
 *   ramp_i = clamp((i - lo) / (hi - lo), 0, 1)
 *   inv_i <- inv_i (1 - ramp_i) + inv_i / s ramp_i
 *   scale  = attention_factor, or 0.1 ln(s) + 1
 *
 * Pairs that turn often within n0 positions keep their frequency, slow ones are stretched by s.
 * Source: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models",
 * 2023. */

static const double two_pi = 6.283185307179586476925286766559;

/* The (real) pair index that makes `turns` turns within the original positions. */
static double pair_of_turns(const struct model_config *c, double turns)
{
    return c->rotated * log(c->yarn_original_positions / (turns * two_pi)) /
           (2.0 * log(c->rope_theta));
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

void rope_table_fill(const struct model_config *c, float *ret_inv_freq, float *ret_scale)
{
    double last = (double)c->rotated - 1.0;
    double lo = 0.0;
    double hi = 0.0;
    double scale = 1.0;

    if (c->yarn_factor > 0.0) {
        lo = pair_of_turns(c, c->yarn_beta_fast);
        hi = pair_of_turns(c, c->yarn_beta_slow);
        lo = clamp(c->yarn_truncate ? floor(lo) : lo, 0.0, last);
        hi = clamp(c->yarn_truncate ? ceil(hi) : hi, 0.0, last);
        hi = lo == hi ? hi + 0.001 : hi;
        scale = c->yarn_attention_factor > 0.0 ? c->yarn_attention_factor
                                               : 0.1 * log(c->yarn_factor) + 1.0;
    }
    for (uint32_t i = 0; i < c->rotated / 2; i++) {
        double inv = pow(c->rope_theta, -2.0 * i / c->rotated);

        if (c->yarn_factor > 0.0) {
            double ramp = clamp((i - lo) / (hi - lo), 0.0, 1.0);

            inv = inv * (1.0 - ramp) + inv / c->yarn_factor * ramp;
        }
        ret_inv_freq[i] = (float)inv;
    }
    *ret_scale = (float)scale;
}
