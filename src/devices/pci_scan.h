/* pci_scan.h - what the kernel shows of accelerators: PCI functions, device nodes, modules.
 *
 * Reads below a root folder only; nothing is opened for writing.  Any thread.
 */
#ifndef DEVICES_PCI_SCAN_H
#define DEVICES_PCI_SCAN_H

#include "devices/devices.h"

/** Fill n_pci, pci and pci_known of the report, and n_pci, n_nodes and module_loaded of its
 *  vendors.  `root` is "" for this host. */
void pci_scan_run(const char *root, struct devices_report *report);

#endif
