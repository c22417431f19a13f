/* Memory, shared memory, ports, disk, clock. */
#include "base/check.h"
#include "doctor/host_internal.h"

#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#define GIB ((uint64_t)1 << 30)
#define OLDEST_CLOCK 1735689600 // 2025-01-01: older than this program

static uint64_t meminfo(struct str text, const char *key)
{
    uint64_t v = 0;

    return files_number(host_value(text, key), &v) ? v : 0;
}

static void check_huge_pages(struct host *h, struct str info)
{
    uint64_t total = meminfo(info, "MemTotal:");
    uint64_t held = meminfo(info, "HugePages_Free:") * meminfo(info, "Hugepagesize:");

    if (total == 0) {
        host_unknown(h, "host-memory", STR("memory and huge pages"),
                     STR("/proc/meminfo cannot be read."));
    } else if (held > total / 4) {
        host_problem(h, "host-huge-pages", STR("unused huge pages hold the memory"),
                     host_text(h,
                               "%" PRIu64 " MiB are reserved for huge pages that nobody uses; "
                               "ordinary programs cannot have them.",
                               held / 1024),
                     host_text(h, "HugePages_Free in /proc/meminfo, of %" PRIu64 " MiB",
                               total / 1024),
                     STR("Lower vm.nr_hugepages (sysctl), unless a program that is not running yet "
                         "needs them."));
    } else {
        host_ok(h, "host-memory",
                host_text(h, "%" PRIu64 " MiB of memory, %" PRIu64 " available", total / 1024,
                          meminfo(info, "MemAvailable:") / 1024),
                STR(""));
    }
}

/* Size of /dev/shm by its mount options. */
static void check_shm(struct host *h, struct str mounts, uint64_t memory_kib)
{
    size_t at = str_find(mounts, STR(" /dev/shm "), 0);
    struct str line =
        at == SIZE_MAX ? STR("") : str_slice(mounts, at, str_find_byte(mounts, '\n', at));
    size_t size = str_find(line, STR("size="), 0);
    uint64_t bytes = memory_kib * 512; // half of the memory is the default

    if (at == SIZE_MAX) {
        host_unknown(h, "host-shm", STR("size of /dev/shm"),
                     STR("/proc/mounts names no /dev/shm."));
        return;
    }
    if (size != SIZE_MAX) {
        struct str v = str_slice(line, size + 5, line.len);
        size_t end = 0;

        while (end < v.len && v.ptr[end] != ',' && v.ptr[end] != ' ') {
            end++;
        }
        if (!files_bytes(str_slice(v, 0, end), &bytes)) {
            host_unknown(h, "host-shm", STR("size of /dev/shm"), STR("Its size is no number."));
            return;
        }
    }
    if (bytes > 0 && bytes < GIB) {
        host_problem(h, "host-shm", STR("/dev/shm is smaller than 1 GB"),
                     STR("Ranks on several cards exchange data there; NCCL and HCCL stop with \"no "
                         "space left on device\"."),
                     host_text(h, "%" PRIu64 " MiB", bytes >> 20),
                     STR("In a container --shm-size=16g or --ipc=host; on a host mount -o "
                         "remount,size=16G /dev/shm."));
    } else {
        host_ok(h, "host-shm", host_text(h, "/dev/shm has %" PRIu64 " MiB", bytes >> 20), STR(""));
    }
}

/* A listening socket with this local port in /proc/net/tcp{,6}. */
static bool listens(struct str table, uint32_t port, struct host *h)
{
    struct str want = host_text(h, ":%04X ", port);
    size_t at = 0;

    while (at < table.len) {
        size_t end = str_find_byte(table, '\n', at);
        struct str line = str_slice(table, at, end == SIZE_MAX ? table.len : end);
        size_t local = str_find(line, want, 0);
        size_t first = str_find(line, STR(": "), 0);

        /* "  0: 00000000:1F40 00000000:0000 0A ..." */
        if (local != SIZE_MAX && first != SIZE_MAX && local < first + 45 &&
            str_find(line, STR(":0000 0A "), local) != SIZE_MAX) {
            return true;
        }
        at += line.len + 1;
    }
    return false;
}

static void check_ports(struct host *h)
{
    static const struct {
        const char *engine;
        uint32_t ports[3];
    } wanted[] = {{"mindie", {1025, 1026, 1027}},
                  {"sglang", {30000, 0, 0}},
                  {"llama.cpp", {8080, 0, 0}},
                  {"vllm", {8000, 0, 0}},
                  {"kontor", {8000, 0, 0}}};
    struct str tcp = host_read(h, "/proc/net/tcp");
    struct str tcp6 = host_read(h, "/proc/net/tcp6");
    bool taken = false;

    if (h->q->engine == NULL) {
        return;
    }
    if (tcp.len == 0) {
        host_unknown(h, "host-port", STR("is the engine's port free"),
                     STR("/proc/net/tcp cannot be read."));
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        size_t n = strlen(wanted[i].engine);

        for (size_t k = 0; strncmp(h->q->engine, wanted[i].engine, n) == 0 && k < 3; k++) {
            uint32_t port = wanted[i].ports[k];

            if (port != 0 && (listens(tcp, port, h) || listens(tcp6, port, h))) {
                taken = true;
                host_problem(h, "host-port", host_text(h, "port %u is taken", port),
                             STR("Another process listens on the engine's default port: \"address "
                                 "already in use\"."),
                             STR("/proc/net/tcp"),
                             host_text(h,
                                       "End that process (ss -ltnp | grep :%u), or give the "
                                       "engine another port.",
                                       port));
            }
        }
    }
    if (!taken) {
        host_ok(h, "host-port", STR("the engine's default port is free"), STR(""));
    }
}

static void check_disk(struct host *h)
{
    const char *where = host_exists(h, "/var/lib/docker") ? "/var/lib/docker" : "/";
    struct statvfs s;
    uint64_t free_bytes;

    if (statvfs(host_path(h, where), &s) != 0) {
        host_unknown(h, "host-disk", STR("free disk space"),
                     host_text(h, "%s cannot be asked.", where));
        return;
    }
    free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
    if (h->q->image != NULL && free_bytes < 30 * GIB) {
        host_problem(h, "host-disk", STR("less than 30 GB free for the image"),
                     STR("Engine images unpack to 15 to 30 GB; the pull ends with \"no space left "
                         "on device\"."),
                     host_text(h, "%s: %" PRIu64 " MiB free", where, free_bytes >> 20),
                     STR("Free space (docker system df), or move data-root to a larger disk."));
    } else {
        host_ok(h, "host-disk", host_text(h, "%s: %" PRIu64 " MiB free", where, free_bytes >> 20),
                STR(""));
    }
}

static void check_clock(struct host *h)
{
    if (time(NULL) < OLDEST_CLOCK) {
        host_problem(h, "host-clock", STR("the clock is years behind"),
                     STR("Certificates seem not to be valid yet, and logs of several nodes cannot "
                         "be put in order."),
                     STR("time"), STR("Set the clock and start chrony or systemd-timesyncd."));
    } else if (host_exists(h, "/run/systemd/timesync/synchronized") ||
               host_exists(h, "/var/lib/chrony/drift") || host_exists(h, "/run/chrony")) {
        host_ok(h, "host-clock", STR("the clock is kept by a time service"), STR(""));
    } else {
        host_unknown(h, "host-clock", STR("is the clock kept in step"),
                     STR("No trace of systemd-timesyncd or chrony was found."));
    }
}

static void check_tuning(struct host *h)
{
    struct str numa = host_read(h, "/proc/sys/kernel/numa_balancing");
    struct str governor = host_read(h, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");

    if (str_eq(numa, STR("1"))) {
        host_ok(h, "host-tuning", STR("kernel.numa_balancing is on; engines run better with 0"),
                STR(""));
    }
    if (governor.len > 0 && !str_eq(governor, STR("performance"))) {
        host_ok(h, "host-tuning",
                host_text(h, "clock governor %.*s; performance is steadier", STR_ARG(governor)),
                STR(""));
    }
}

void host_system_check(struct host *h)
{
    struct str info = host_read(h, "/proc/meminfo");

    check_huge_pages(h, info);
    check_shm(h, host_read(h, "/proc/mounts"), meminfo(info, "MemTotal:"));
    check_ports(h);
    check_disk(h);
    check_clock(h);
    check_tuning(h);
}
