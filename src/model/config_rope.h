/* config_rope.h - the rotary keys of config.json in their old and new spelling.  Own folder. */
#ifndef MODEL_CONFIG_ROPE_H
#define MODEL_CONFIG_ROPE_H

#include "model/config_reader.h"
#include "model/model.h"

/** Fill rope_theta, rotated, yarn_* and, under YaRN, max_positions of `c`; head_dim and
 *  max_positions are set already. */
void config_rope_read(const struct config_reader *root, struct model_config *c);

#endif
