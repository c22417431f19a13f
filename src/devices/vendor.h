/* vendor.h - the four readers that run in a probe's thread, one per management library.
 *
 * Layouts are declared in the .c files from published descriptions of the interfaces; every struct
 * is handed over inside a larger zeroed block, so that a newer driver that writes more does no
 * harm.
 */
#ifndef DEVICES_VENDOR_H
#define DEVICES_VENDOR_H

#include "devices/probe.h"

#define VENDOR_ROOM 256 // bytes behind which small structs are handed over

/** NVIDIA: libnvidia-ml.so.1. */
void vendor_nvml_read(struct probe *p);
/** Huawei Ascend: libdcmi.so. */
void vendor_dcmi_read(struct probe *p);
/** Cambricon: libcndev.so. */
void vendor_cndev_read(struct probe *p);
/** Moore Threads: libmtml.so. */
void vendor_mtml_read(struct probe *p);

/** bytes of a driver's unsigned MiB figure; -1 when it cannot be one. */
int64_t vendor_mib(uint64_t mib);
/** A byte count that fits int64_t; -1 otherwise. */
int64_t vendor_bytes(uint64_t bytes);

#endif
