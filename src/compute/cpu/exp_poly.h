/* exp_poly.h - the constants of e^x that every instruction-set level shares.
 *
 * x = n ln2 + r, |r| <= ln2 / 2;  e^r = 1 + r + r^2 (C2 + C3 r + C4 r^2 + C5 r^3 + C6 r^4), a
 * minimax fit with relative error 4.3e-9 before rounding.  Results below 2^-126 are 0; the error
 * otherwise is at most EXP_ULP_MAX units in the last place (tests/kernel/rowwise.c measures it).
 * e^0 == 1 and e^-inf == 0 exactly: attention's merge relies on both.
 */
#ifndef COMPUTE_CPU_EXP_POLY_H
#define COMPUTE_CPU_EXP_POLY_H

#define EXP_ULP_MAX 2

#define EXP_LO (-87.3365402f) // ln(2^-126), rounded towards zero: below it the result is 0
#define EXP_HI 88.7228317f    // ln(largest float): above it the result is infinity
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HI 0x1.62e400p-1f // 15 bits: n * LN2_HI is exact
#define EXP_LN2_LO 0x1.7f7d1cp-20f
#define EXP_C2 0x1.fffffep-2f
#define EXP_C3 0x1.55547ep-3f
#define EXP_C4 0x1.55563ap-5f
#define EXP_C5 0x1.12472ap-7f
#define EXP_C6 0x1.6c3514p-10f

#endif
