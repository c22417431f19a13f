/* devices_fix.h - what to do, per vendor and state. */
#ifndef DEVICES_DEVICES_FIX_H
#define DEVICES_DEVICES_FIX_H

#include "devices/devices.h"

/** The advice for a vendor in this state, "" for none.  Static text. */
const char *devices_fix_text(enum devices_vendor vendor, const struct devices_vendor_report *v);

#endif
