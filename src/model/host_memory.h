/* host_memory.h - how much memory this process may use: the machine's and its cgroup's.
 *
 * Reads /proc/meminfo, /proc/self/cgroup and the memory controller (v2, or v1) of the group and all
 * groups above it.  A container's limit counts although /proc/meminfo shows the host.
 */
#ifndef MODEL_HOST_MEMORY_H
#define MODEL_HOST_MEMORY_H

#include "base/status.h"

#include <stdint.h>

struct host_memory {
    uint64_t total_bytes;     // min(MemTotal, cgroup limits)
    uint64_t available_bytes; // what can be taken now without swapping, within those limits
};

/** `root` is put in front of the paths ("" but in tests).  Errors: IO when meminfo cannot be
 * read. */
MUST_USE enum status host_memory_read(const char *root, struct host_memory *ret_memory,
                                      struct error *err);

#endif
