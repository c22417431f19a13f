/* config_probe.h - open what a configuration names as a gateway would: certificates, keys, key
 * sets.  So that a check finds what would stop the start or a reload.
 */
#ifndef APP_CONFIG_PROBE_H
#define APP_CONFIG_PROBE_H

#include "app/config_read.h"
#include "gateway/settings.h"

/** Report each file that is there but of no use (another key, expired, no PEM, no key set).  Reads
 *  files; nothing with r->without_secrets.  Files that cannot be read are not reported again. */
void config_probe_run(struct config_reader *r, const struct settings *s);

#endif
