/* driver_files.h - versions that a driver leaves in files, readable without asking any library. */
#ifndef DEVICES_DRIVER_FILES_H
#define DEVICES_DRIVER_FILES_H

#include "devices/devices.h"

/** Fill a vendor's driver version where it is unknown, and the firmware of Ascend cards.  `root` is
 *  "" for this host. */
void driver_files_read(const char *root, struct devices_report *report);

#endif
