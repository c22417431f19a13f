/* rope_table.h - the rotary frequencies of a model, YaRN included.  Pure; any thread. */
#ifndef MODEL_ROPE_TABLE_H
#define MODEL_ROPE_TABLE_H

#include "model/model.h"

/**
 * inv_freq[i] for the pairs i = 0 ... rotated/2 - 1, computed in double.
 *
 * ret_inv_freq  [rotated / 2]
 * ret_scale     multiplies cos and sin; 1 without YaRN
 */
void rope_table_fill(const struct model_config *c, float *ret_inv_freq, float *ret_scale);

#endif
