/* devices.h - accelerator cards of this machine: what is there, and if not, why not.
 *
 * One scan asks in this order: PCI ids in sysfs, device nodes, kernel modules; then the vendor's
 * management library (NVML, DCMI, CNDev, MTML, loaded with dlopen); then the vendor's command-line
 * tool.  Vendor code hangs when a card does, so every vendor is asked in a thread of its own with a
 * deadline per call.  What was not read stays unknown: -1, NAN or an empty text, never 0.
 * Nothing here needs a vendor's SDK to build, and none of it has been run on a card:
 * docs/devices.md.
 */
#ifndef DEVICES_DEVICES_H
#define DEVICES_DEVICES_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define DEVICES_CARDS_MAX 128     // chips of all vendors together
#define DEVICES_PROCESSES_MAX 512 // of all cards together
#define DEVICES_PCI_MAX 256       // accelerator functions on the PCI bus
#define DEVICES_NAME_MAX 96
#define DEVICES_TEXT_MAX 512

enum devices_vendor { DEVICES_NVIDIA, DEVICES_ASCEND, DEVICES_CAMBRICON, DEVICES_MTHREADS };
#define DEVICES_VENDOR_COUNT 4

/* The answer per vendor; each has its own fix. */
enum devices_state {
    DEVICES_NO_CARD,     // neither PCI id, nor device node, nor kernel module
    DEVICES_NO_LIBRARY,  // a card, but no management library could be loaded
    DEVICES_INIT_FAILED, // the library is there and refuses, lacks what we need, or hangs
    DEVICES_NO_DEVICE,   // the library works and counts 0 devices
    DEVICES_FINE,        // at least one device was read
};

enum devices_source { DEVICES_FROM_NOTHING, DEVICES_FROM_LIBRARY, DEVICES_FROM_TOOL };

enum devices_health {
    DEVICES_HEALTH_UNKNOWN,
    DEVICES_HEALTH_OK,
    DEVICES_HEALTH_WARNING,
    DEVICES_HEALTH_ALARM,
    DEVICES_HEALTH_CRITICAL,
};

/* One chip that work can be placed on.  Texts are NUL terminated, "" when unknown. */
struct devices_card {
    enum devices_vendor vendor;
    uint32_t index; // the vendor's own number: NVML index, Ascend logic id, MLU card, MTT id
    int32_t npu;    // Ascend: NPU (board) id and chip on it; others -1
    int32_t chip;
    int32_t node; // N of /dev/nvidiaN, /dev/davinciN, /dev/cambricon_devN; -1 unknown
    char model[DEVICES_NAME_MAX];
    char uuid[DEVICES_NAME_MAX];
    char bus_id[32]; // "0000:c1:00.0", lower case
    char driver[DEVICES_NAME_MAX];
    char firmware[DEVICES_NAME_MAX];
    char capability[16];        // NVIDIA: compute capability "9.0"; else ""
    int64_t memory_total_bytes; // -1 unknown
    int64_t memory_used_bytes;  // -1 unknown
    double utilization_percent; // NAN unknown, as the next two
    double temperature_c;
    double power_w;
    enum devices_health health;
    bool processes_known;          // false: nobody could be asked
    char remark[DEVICES_TEXT_MAX]; // readings that were thrown away, faults; or ""
};

struct devices_process {
    uint32_t card_idx; // into devices_report.cards
    uint32_t pid;
    int64_t memory_bytes;        // -1 unknown
    char name[DEVICES_NAME_MAX]; // "" unknown
};

/* An accelerator function on the PCI bus, also of vendors that Kontor does not read. */
struct devices_pci {
    uint16_t vendor_id;
    uint16_t device_id;
    char bus_id[32];
    char driver[32];         // kernel driver bound to it, "" none
    const char *vendor_name; // static: "NVIDIA", "Hygon" ...
    int32_t vendor;          // enum devices_vendor, or -1: recognised, not supported
};

struct devices_vendor_report {
    enum devices_state state;
    enum devices_source source;
    bool asked; // false: left out by options.vendors
    bool hangs; // a call did not come back in time; `call` names it
    uint32_t n_pci;
    uint32_t n_nodes; // of /dev, one per card
    bool module_loaded;
    char call[64];                  // the call that failed or hangs, "" none
    char library[256];              // what was loaded
    char tool[256];                 // what was run instead, or ""
    char driver[DEVICES_NAME_MAX];  // "" unknown
    char toolkit[DEVICES_NAME_MAX]; // newest CUDA that the driver supports ("13.1"); else ""
    char missing[DEVICES_TEXT_MAX]; // symbols that the library lacks, separated by blanks
    char reason[DEVICES_TEXT_MAX];  // what was seen, one sentence
    char fix[DEVICES_TEXT_MAX];     // what to do; "" when fine or no card
};

struct devices_report {
    struct devices_vendor_report vendors[DEVICES_VENDOR_COUNT];
    uint32_t n_cards;
    struct devices_card cards[DEVICES_CARDS_MAX];
    uint32_t n_processes;
    struct devices_process processes[DEVICES_PROCESSES_MAX];
    uint32_t n_pci;
    struct devices_pci pci[DEVICES_PCI_MAX];
    bool pci_known; // sysfs could be read
};

/* Zero gives the defaults. */
struct devices_options {
    const char *root; // put before /sys, /dev, /proc and the tools' folders; NULL or "": this host.
                      // With a root no library or tool of this host is used
    uint32_t vendors; // bit per enum devices_vendor; 0: all
    const char *libraries[DEVICES_VENDOR_COUNT]; // load this file instead of the usual places
    const char *tools[DEVICES_VENDOR_COUNT];     // run this file instead of the usual places
    uint32_t call_timeout_ms;                    // one vendor call [5000]
    uint32_t tool_timeout_ms;                    // one run of a tool [10000]
    bool no_tools;                               // do not fall back to the tools
};

/**
 * Look at this machine.  `report` (about 230 KB, allocate it) is filled completely whatever is
 * found; that nothing is there is an answer, not an error.
 *
 * Takes up to the deadlines of one vendor (vendors are asked one after the other).  Any thread, one
 * scan at a time per process.  A vendor whose call hangs keeps its thread; until that comes back
 * the vendor is reported as hanging at once, without another thread.
 */
void devices_scan(const struct devices_options *options, struct devices_report *report);

/** A vendor's thread has not come back: leave the process with _exit, its library may hold
 * locks. */
bool devices_abandoned(void);

/** "nvidia", "ascend", "cambricon", "mthreads". */
const char *devices_vendor_name(enum devices_vendor v);
/** Vendor of a word; E_NOT_FOUND names those there are. */
MUST_USE enum status devices_vendor_find(struct str word, enum devices_vendor *ret_vendor,
                                         struct error *err);
/** "no card", "card without library", "init failed", "no device", "fine". */
const char *devices_state_name(enum devices_state s);
/** "unknown", "ok", "warning", "alarm", "critical". */
const char *devices_health_name(enum devices_health h);

/** Something needs repair: a state between no card and fine, a hang, or a card's health. */
bool devices_problem(const struct devices_report *report);

/** The report as one JSON object with a newline; unknown is null. */
void devices_write_json(const struct devices_report *report, struct buf *out);
/** For people: at most `columns` wide where words allow. */
void devices_write_text(const struct devices_report *report, uint32_t columns, struct buf *out);
/** Prometheus text 0.0.4, families kontor_device_*; unknown readings have no sample. */
void devices_write_prometheus(const struct devices_report *report, struct buf *out);

#endif
