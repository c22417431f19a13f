/* glm4.h - Glm4ForCausalLM: GLM-4-0414 and GLM-Z1-0414, dense decoders with sandwich norms. */
#ifndef MODEL_GLM4_H
#define MODEL_GLM4_H

#include "model/arch.h"

extern const struct arch glm4_arch;

#endif
