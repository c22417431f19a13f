/* cpus.h - how many processors this process may really use.
 *
 * The affinity mask says where threads may run, the cgroup quota how much time they get together.
 * Reads files below /proc and /sys once; any thread.
 */
#ifndef COMPUTE_CPUS_H
#define COMPUTE_CPUS_H

#include <stdint.h>

/** min(affinity mask, cgroup quota rounded up), at least 1. */
uint32_t cpus_usable(void);

/** Processors in the affinity mask, at least 1. */
uint32_t cpus_in_affinity_mask(void);

/**
 * The CPU quota of this process's cgroup (v1 and v2, the smallest on the way to the root), in whole
 * processors rounded up; UINT32_MAX without a quota.
 *
 * membership   text of /proc/self/cgroup
 * cgroup_root  where the hierarchies are mounted ("/sys/fs/cgroup")
 */
uint32_t cpus_in_quota(const char *membership, const char *cgroup_root);

#endif
