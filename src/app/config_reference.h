/* config_reference.h - what the schema table says, for readers and for editors. */
#ifndef APP_CONFIG_REFERENCE_H
#define APP_CONFIG_REFERENCE_H

#include "app/config_schema.h"
#include "base/buf.h"

/** docs/config.md: every key with type, range, default and sentence. */
void config_reference_page(struct buf *out);
/** JSON Schema (draft 2020-12) of the file, for editors that complete and check YAML. */
void config_reference_schema(struct buf *out);

#endif
