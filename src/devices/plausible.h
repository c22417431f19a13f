/* plausible.h - readings that cannot be true become unknown, with a remark. */
#ifndef DEVICES_PLAUSIBLE_H
#define DEVICES_PLAUSIBLE_H

#include "devices/devices.h"

/** Check every reading of one card; a remark names the value that was thrown away. */
void plausible_check(struct devices_card *card);

#endif
