/* config.h - config.json and generation_config.json to struct model_config.
 *
 * Accepts the old and the new spelling of every key (rope_theta + rope_scaling, rope_parameters;
 * torch_dtype, dtype; eos_token_id as number or list).  Every number is range-checked; a fault
 * names the key and the value.  Where the publisher's library has a default for a missing key it is
 * taken and noted; sizes have none.  docs/checkpoints.md lists keys, defaults and ranges.
 * Pure; any thread.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "base/status.h"
#include "base/str.h"
#include "model/faults.h"
#include "model/model.h"

#define CONFIG_BYTES_MAX ((size_t)4 << 20)
#define CONFIG_NAME "config.json"
#define CONFIG_GENERATION_NAME "generation_config.json"

/* Limits on shapes: generous for any dense decoder, small enough that no product overflows 64
 * bits. */
#define CONFIG_LAYERS_MAX 1024
#define CONFIG_HIDDEN_MAX 131072
#define CONFIG_FFN_MAX 1048576
#define CONFIG_HEADS_MAX 1024
#define CONFIG_HEAD_DIM_MAX 256 // what attention has scratch for
#define CONFIG_VOCAB_MAX 4194304
#define CONFIG_POSITIONS_MAX 16777216 // exact as float

/** Read config.json.  Faults and notes go to `faults`; ret_config holds what could be read and is
 *  usable when no fault was added. */
void config_parse(struct str text, struct faults *faults, struct model_config *ret_config);

/** Read generation_config.json into the has_* fields and the eos ids of `config`; call after
 *  config_parse() (ids are checked against the vocabulary). */
void config_parse_generation(struct str text, struct faults *faults, struct model_config *config);

#endif
