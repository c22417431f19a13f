/* rope.h - the sine and cosine of rotary embedding, for rope.c and its test.  Pure, any thread. */
#ifndef COMPUTE_CPU_ROPE_H
#define COMPUTE_CPU_ROPE_H

/** Sine and cosine, within 0.501 units in the last place for |angle| < 2^20 (the largest
 * position). */
void rope_sincos(float angle, float *ret_sin, float *ret_cos);

#endif
