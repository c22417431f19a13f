/* host_internal.h - the host under examination and small readers of its files. */
#ifndef DOCTOR_HOST_INTERNAL_H
#define DOCTOR_HOST_INTERNAL_H

#include "base/arena.h"
#include "doctor/files_internal.h"
#include "doctor/host.h"

#define HOST_FILE_BYTES_MAX (1u << 20)
#define HOST_CARDS_MAX 256
#define HOST_NAMES_MAX 4096

struct host_card {
    uint32_t vendor; // VENDOR_ bit
    uint32_t device; // PCI id
};

struct host {
    const struct host_request *q;
    struct arena *arena;
    struct report *report;
    struct str root; // without a slash at the end; "" is the real one
    struct host_card cards[HOST_CARDS_MAX];
    uint32_t n_cards;
    uint32_t vendors;
    bool pci_read;
    uint32_t want;    // vendor that the engine is for, 0: any
    struct str torch; // versions found, "" for none
    struct str nvidia_driver;
};

/** A path below the root. */
const char *host_path(struct host *h, const char *path);
/** Whole file below the root, trimmed; "" when it cannot be read. */
struct str host_read(struct host *h, const char *path);
bool host_exists(struct host *h, const char *path);
/** Names in a folder below the root, sorted; 0 when there is none. */
uint32_t host_names(struct host *h, const char *path, struct str **ret_names);
/** "Version=25.5.1" in a file: the value behind the key, or "". */
struct str host_value(struct str text, const char *key);
struct str host_text(struct host *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
void host_ok(struct host *h, const char *id, struct str title, struct str evidence);
void host_unknown(struct host *h, const char *id, struct str title, struct str why);
void host_problem(struct host *h, const char *id, struct str title, struct str cause,
                  struct str evidence, struct str fix);
uint32_t host_count(const struct host *h, uint32_t vendor);

/** Cards by sysfs. */
void host_pci_scan(struct host *h);
/** Kernel modules, device nodes, driver and toolkit versions. */
void host_vendor_check(struct host *h);
/** Container runtimes, CDI, daemon.json, the image's name. */
void host_runtime_check(struct host *h);
/** Installed Python packages against each other and the cards. */
void host_python_check(struct host *h);
/** Shared memory, huge pages, memory, ports, disk, clock. */
void host_system_check(struct host *h);
/** The checkpoint. */
MUST_USE enum status host_model_check(struct host *h, struct error *err);

#endif
