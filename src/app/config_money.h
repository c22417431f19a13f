/* config_money.h - prices and budgets of a configuration: do they add up? */
#ifndef APP_CONFIG_MONEY_H
#define APP_CONFIG_MONEY_H

#include "app/config_read.h"
#include "gateway/settings.h"

/** Refuse budgets over several currencies; warn of upstreams and models without a price where money
 *  is counted.  The prices of `s` are complete. */
void config_money_check(struct config_reader *r, const struct settings *s);

#endif
