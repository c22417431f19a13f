/* registry.h - the architectures by their published names: those that are built, and those that are
 * known but are not.
 *
 * Immutable table; any thread.
 */
#ifndef MODEL_REGISTRY_H
#define MODEL_REGISTRY_H

#include "base/buf.h"
#include "base/str.h"
#include "model/arch.h"

struct registry_entry {
    const char *name;        // architectures[0] of config.json
    const char *model_type;  // model_type of config.json
    const char *models;      // published models, for people
    const struct arch *arch; // NULL: known, not built
};

/** By architectures[0]; when `name` is empty, by model_type.  NULL: unknown. */
const struct registry_entry *registry_find(struct str name, struct str model_type);
/** "Glm4ForCausalLM (GLM-4-9B-0414, ...)", comma separated: what is built. */
void registry_supported(struct buf *out);

#endif
