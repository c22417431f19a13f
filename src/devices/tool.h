/* tool.h - which command-line tool belongs to which vendor, and how its answer is read. */
#ifndef DEVICES_TOOL_H
#define DEVICES_TOOL_H

#include "devices/reading.h"

struct tool_request {
    enum devices_vendor vendor;
    const char *root;    // "" for this host
    const char *program; // explicit file, or NULL: the usual places
    uint32_t timeout_ms;
};

/**
 * Find and run the vendor's tool, parse what it prints.
 *
 * Returns OK with *ret filled (its state may still be INIT_FAILED, with the tool's words),
 * NOT_FOUND when there is no such tool, TIMEOUT or IO.  ret_path names the tool.
 */
MUST_USE enum status tool_read(const struct tool_request *request, struct reading *ret,
                               char ret_path[256], struct error *err);

/** "nvidia-smi", "npu-smi", "cnmon", "mthreads-gmi". */
const char *tool_name(enum devices_vendor v);

#endif
