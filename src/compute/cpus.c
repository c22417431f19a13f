#include "compute/cpus.h"

#include "base/str.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define PATH_CAP 4352 // PATH_MAX and a file name

uint32_t cpus_in_affinity_mask(void)
{
    cpu_set_t fixed;
    cpu_set_t *set;
    size_t n_cpus;
    int count = 0;

    if (sched_getaffinity(0, sizeof(fixed), &fixed) == 0) {
        count = CPU_COUNT(&fixed);
    }
    // the kernel's mask may be wider than cpu_set_t: ask again with room for more
    for (n_cpus = 4096; count == 0 && n_cpus <= (1u << 20); n_cpus *= 4) {
        set = CPU_ALLOC(n_cpus);
        if (set == NULL) {
            break;
        }
        if (sched_getaffinity(0, CPU_ALLOC_SIZE(n_cpus), set) == 0) {
            count = CPU_COUNT_S(CPU_ALLOC_SIZE(n_cpus), set);
        }
        CPU_FREE(set);
    }
    return count < 1 ? 1 : (uint32_t)count;
}

/* The file as text without blanks at the ends; empty when it cannot be read. */
static struct str read_small(const char *path, char *ret_text, size_t text_cap)
{
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        n = read(fd, ret_text, text_cap);
        close(fd);
    }
    return str_trim((struct str){ret_text, n < 0 ? 0 : (size_t)n});
}

/* Quota and period in microseconds as whole processors; no or unlimited quota is UINT32_MAX. */
static uint32_t cpus_of_quota(struct str quota, struct str period)
{
    uint64_t quota_us;
    uint64_t period_us;
    uint64_t n;

    // "max" (v2) and "-1" (v1) are no numbers here and mean no quota
    if (str_to_u64(quota, &quota_us) != OK || str_to_u64(period, &period_us) != OK ||
        period_us == 0 || quota_us == 0) {
        return UINT32_MAX;
    }
    n = quota_us / period_us + (quota_us % period_us != 0);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static uint32_t quota_v1(const char *dir)
{
    char path[PATH_CAP];
    char quota[64];
    char period[64];
    struct str quota_text;
    struct str period_text;

    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
    quota_text = read_small(path, quota, sizeof(quota));
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
    period_text = read_small(path, period, sizeof(period));
    return cpus_of_quota(quota_text, period_text);
}

static uint32_t quota_v2(const char *dir)
{
    char path[PATH_CAP];
    char text[128];
    struct str all;
    size_t blank;

    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    all = read_small(path, text, sizeof(text)); // "150000 100000" or "max 100000"
    blank = str_find_byte(all, ' ', 0);
    if (blank == SIZE_MAX) {
        return UINT32_MAX;
    }
    return cpus_of_quota(str_slice(all, 0, blank), str_slice(all, blank + 1, all.len));
}

/* Smallest quota from `mount`/`group` up to `mount`. */
static uint32_t quota_upwards(const char *mount, struct str group,
                              uint32_t (*quota_of)(const char *dir))
{
    char dir[PATH_CAP - 64];
    uint32_t least = UINT32_MAX;
    uint32_t quota;
    size_t len = group.len;
    int n;

    for (;;) {
        while (len > 0 && group.ptr[len - 1] == '/') {
            len--;
        }
        n = snprintf(dir, sizeof(dir), "%s%.*s", mount, STR_ARG(str_slice(group, 0, len)));
        if (n > 0 && (size_t)n < sizeof(dir)) {
            quota = quota_of(dir);
            least = quota < least ? quota : least;
        }
        if (len == 0) {
            return least;
        }
        while (len > 0 && group.ptr[len - 1] != '/') {
            len--;
        }
    }
}

static bool names_cpu(struct str controllers)
{
    size_t begin = 0;
    size_t end;

    while (begin <= controllers.len) {
        end = str_find_byte(controllers, ',', begin);
        end = end == SIZE_MAX ? controllers.len : end;
        if (str_eq(str_slice(controllers, begin, end), STR("cpu"))) {
            return true;
        }
        begin = end + 1;
    }
    return false;
}

/* One line of /proc/self/cgroup: "4:cpu,cpuacct:/group" (v1) or "0::/group" (v2). */
static uint32_t quota_of_line(struct str line, const char *root)
{
    char mount[PATH_CAP - 128];
    uint32_t least = UINT32_MAX;
    uint32_t quota;
    size_t first = str_find_byte(line, ':', 0);
    size_t second = first == SIZE_MAX ? SIZE_MAX : str_find_byte(line, ':', first + 1);
    struct str controllers;
    struct str group;

    if (second == SIZE_MAX) {
        return UINT32_MAX;
    }
    controllers = str_slice(line, first + 1, second);
    group = str_slice(line, second + 1, line.len);
    if (names_cpu(controllers)) {
        snprintf(mount, sizeof(mount), "%s/%.*s", root, STR_ARG(controllers));
        least = quota_upwards(mount, group, quota_v1);
        // the usual symbolic link, where "cpu" is mounted together with another controller
        snprintf(mount, sizeof(mount), "%s/cpu", root);
        quota = quota_upwards(mount, group, quota_v1);
        least = quota < least ? quota : least;
    } else if (controllers.len == 0) {
        least = quota_upwards(root, group, quota_v2);
        snprintf(mount, sizeof(mount), "%s/unified", root);
        quota = quota_upwards(mount, group, quota_v2);
        least = quota < least ? quota : least;
    }
    return least;
}

uint32_t cpus_in_quota(const char *membership, const char *cgroup_root)
{
    struct str all = str_from_c(membership);
    uint32_t least = UINT32_MAX;
    uint32_t quota;
    size_t begin = 0;
    size_t end;

    while (begin < all.len) {
        end = str_find_byte(all, '\n', begin);
        end = end == SIZE_MAX ? all.len : end;
        quota = quota_of_line(str_slice(all, begin, end), cgroup_root);
        least = quota < least ? quota : least;
        begin = end + 1;
    }
    return least;
}

uint32_t cpus_usable(void)
{
    char membership[16384];
    struct str text = read_small("/proc/self/cgroup", membership, sizeof(membership) - 1);
    uint32_t n_mask = cpus_in_affinity_mask();
    uint32_t n_quota;

    membership[text.ptr == NULL ? 0 : text.len] = '\0'; // nothing to trim in front
    n_quota = cpus_in_quota(membership, "/sys/fs/cgroup");
    return n_quota < n_mask ? n_quota : n_mask;
}
