/* config_external.h - does `external` of the pools fit where their members are? */
#ifndef APP_CONFIG_EXTERNAL_H
#define APP_CONFIG_EXTERNAL_H

#include "app/config_read.h"
#include "gateway/settings.h"

/** Report an upstream in pools of both kinds (error), a server under two names in both (warning),
 *  and a pool that does not say `external` although a member's host looks like one outside
 *  (warning).  Tolerates settings that are incomplete because of faults reported before. */
void config_external_check(struct config_reader *r, const struct settings *s);
/** Does this host of a URL look like one outside of the house?  Addresses: neither loopback, link,
 *  private (RFC 1918, RFC 6598, RFC 4193) nor unspecified.  Names: with a dot, and not under a
 *  domain that is for private use.  Asks no resolver. */
bool config_external_looks_public(struct str host);

#endif
