/* weights.h - the one way from a tensor's name to its bytes: verified by name, dtype and shape.
 *
 * Everything the loader reads went through weights_verify() before the first byte was used; all
 * faults are reported together, with what was expected and what was found.  One thread.
 */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/arch.h"
#include "model/checkpoint.h"
#include "model/faults.h"

/**
 * The tensor of a part when it is there, is F32, BF16 or F16 and has exactly the shape
 * [n_rows, n_cols] (vectors: [n_rows]).  NULL otherwise, with the fault added (faults may be NULL)
 * unless the file it should be in was reported already.
 */
const struct tensor *weights_get(const struct checkpoint *c, const struct weight *w,
                                 const struct weight_part *part, struct faults *faults);
/** dtype of a tensor that weights_get() returned. */
enum dtype weights_dtype(const struct tensor *t);
/**
 * Look up everything the architecture needs.  Tensors that nobody asks for are notes; those that
 * contradict the configuration (layers beyond the last, biases it denies) are faults.
 */
void weights_verify(const struct checkpoint *c, const struct arch *arch,
                    const struct model_config *config, struct faults *faults);

#endif
