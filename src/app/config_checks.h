/* config_checks.h - what a table of keys cannot say: how the parts of a configuration fit. */
#ifndef APP_CONFIG_CHECKS_H
#define APP_CONFIG_CHECKS_H

#include "app/config_read.h"
#include "gateway/settings.h"

/* Where a gateway listens when nobody says. */
#define CONFIG_CHECKS_HOST "127.0.0.1"
#define CONFIG_CHECKS_PORT 8000

/** Look at settings that were read from r->root; report what does not fit and fill in what depends
 *  on other settings (listener, ceilings, keys file, version of the prices).  Tolerates settings
 *  that are incomplete because of faults reported before. */
void config_checks_run(struct config_reader *r, struct settings *s);

#endif
