/* preset.h - shapes of published models, for plans and dummy runs without files.  Immutable. */
#ifndef MODEL_PRESET_H
#define MODEL_PRESET_H

#include "base/status.h"
#include "model/model.h"

#include <stdint.h>

/** Errors: NOT_FOUND; err names the nearest ones and lists all. */
MUST_USE enum status preset_find(const char *name, struct model_config *ret_config,
                                 struct error *err);
/** Names in order; NULL at the end. */
const char *preset_name(uint32_t idx);

#endif
