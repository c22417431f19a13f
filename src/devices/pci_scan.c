#include "devices/pci_scan.h"
#include "base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1024
#define ENTRIES_MAX 65536 // of one folder
#define MODULES_BYTES_MAX (256 * 1024)

/* Base classes that accelerators use.  Boards of these vendors show sound, USB and network
 * functions too, and a management controller's display (1711 of Huawei). */
#define CLASS_DISPLAY 0x03
#define CLASS_PROCESSOR 0x0b
#define CLASS_ACCELERATOR 0x12
#define HUAWEI 0x19e5
#define HUAWEI_NPU_FIRST 0xd000 // d100 310, d500 310P, d801 910, d802 910B, d803 910C

static const struct {
    uint16_t id;
    const char *name;
    int32_t vendor;
} vendor_ids[] = {
    {0x10de, "NVIDIA", DEVICES_NVIDIA},
    {HUAWEI, "Huawei Ascend", DEVICES_ASCEND},
    {0xcabc, "Cambricon", DEVICES_CAMBRICON},
    {0x1ed5, "Moore Threads", DEVICES_MTHREADS},
    {0x1d94, "Hygon", -1},
    {0x1e3e, "Iluvatar", -1},
    {0x9999, "MetaX", -1},
    {0x1ded, "T-Head", -1},
};

static const struct {
    const char *node;       // followed by a number
    const char *modules[2]; // any of them
} traces[DEVICES_VENDOR_COUNT] = {
    [DEVICES_NVIDIA] = {"nvidia", {"nvidia", NULL}},
    [DEVICES_ASCEND] = {"davinci", {"drv_davinci_intf", "drv_devmng_host"}},
    [DEVICES_CAMBRICON] = {"cambricon_dev", {"cambricon", "cambricon_drv"}},
    [DEVICES_MTHREADS] = {"mtgpu.", {"mtgpu", NULL}},
};

/* Text of a small file; the empty string when it cannot be read. */
static struct str read_small(const char *path, char *room, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t n = 0;

    while (fd >= 0 && n < cap) {
        ssize_t got = read(fd, room + n, cap - n);

        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    return (struct str){room, n};
}

/* "0x19e5\n"; 0 when it is not there. */
static uint32_t read_hex_file(const char *folder, const char *name)
{
    char path[PATH_BYTES_MAX];
    char room[32];
    struct str s;
    uint32_t v = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    s = str_trim(read_small(path, room, sizeof(room)));
    for (size_t i = str_starts(s, STR("0x")) ? 2 : 0; i < s.len && i < 10; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = memchr(digits, s.ptr[i] | 0x20, 16);

        if (at == NULL) {
            return 0;
        }
        v = v << 4 | (uint32_t)(at - digits);
    }
    return v;
}

static bool is_accelerator(uint32_t vendor, uint32_t device, uint32_t class_code)
{
    uint32_t base = class_code >> 16;

    if (vendor == HUAWEI) {
        return device >= HUAWEI_NPU_FIRST;
    }
    return class_code == 0 || base == CLASS_DISPLAY || base == CLASS_PROCESSOR ||
           base == CLASS_ACCELERATOR;
}

static void read_function(const char *folder, const char *bus_id, struct devices_report *r)
{
    uint32_t vendor = read_hex_file(folder, "vendor");
    uint32_t device = read_hex_file(folder, "device");
    struct devices_pci *p = &r->pci[r->n_pci];
    char path[PATH_BYTES_MAX + 16];
    char target[PATH_BYTES_MAX];
    ssize_t n;

    for (size_t i = 0; i < ARRAY_COUNT(vendor_ids); i++) {
        if (vendor_ids[i].id != vendor ||
            !is_accelerator(vendor, device, read_hex_file(folder, "class"))) {
            continue;
        }
        *p = (struct devices_pci){.vendor_id = (uint16_t)vendor,
                                  .device_id = (uint16_t)(device & 0xffff),
                                  .vendor_name = vendor_ids[i].name,
                                  .vendor = vendor_ids[i].vendor};
        snprintf(p->bus_id, sizeof(p->bus_id), "%.31s", bus_id);
        snprintf(path, sizeof(path), "%s/driver", folder);
        n = readlink(path, target, sizeof(target) - 1);
        if (n > 0) {
            const char *slash;

            target[n] = '\0';
            slash = strrchr(target, '/');
            snprintf(p->driver, sizeof(p->driver), "%.31s", slash != NULL ? slash + 1 : target);
        }
        r->n_pci++;
        if (p->vendor >= 0) {
            r->vendors[p->vendor].n_pci++;
        }
    }
}

static int by_bus_id(const void *a, const void *b)
{
    const struct devices_pci *x = a;
    const struct devices_pci *y = b;

    return strcmp(x->bus_id, y->bus_id);
}

static void scan_bus(const char *root, struct devices_report *r)
{
    char folder[PATH_BYTES_MAX / 2];
    char path[PATH_BYTES_MAX];
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/sys/bus/pci/devices", root);
    dir = opendir(folder);
    r->pci_known = dir != NULL;
    for (uint32_t n = 0; dir != NULL && n < ENTRIES_MAX && r->n_pci < DEVICES_PCI_MAX; n++) {
        const struct dirent *e = readdir(dir);

        if (e == NULL) {
            break;
        }
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%.64s", folder, e->d_name);
            read_function(path, e->d_name, r);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    qsort(r->pci, r->n_pci, sizeof(r->pci[0]), by_bus_id);
}

static bool is_numbered(const char *name, const char *prefix)
{
    struct str rest = str_from_c(name);
    uint64_t number;

    if (!str_starts(rest, str_from_c(prefix))) {
        return false;
    }
    rest = str_slice(rest, strlen(prefix), rest.len);
    return str_to_u64(rest, &number) == OK;
}

static void scan_nodes(const char *root, struct devices_report *r)
{
    char folder[PATH_BYTES_MAX];
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/dev", root);
    dir = opendir(folder);
    for (uint32_t n = 0; dir != NULL && n < ENTRIES_MAX; n++) {
        const struct dirent *e = readdir(dir);

        if (e == NULL) {
            break;
        }
        for (size_t v = 0; v < DEVICES_VENDOR_COUNT; v++) {
            r->vendors[v].n_nodes += is_numbered(e->d_name, traces[v].node) ? 1 : 0;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* /proc/modules: a line per module, the name first. */
static bool lists_module(struct str modules, const char *name)
{
    struct str wanted = str_from_c(name);

    for (size_t at = 0; at < modules.len;) {
        size_t end = str_find_byte(modules, '\n', at);
        struct str line = str_slice(modules, at, end);

        if (line.len > wanted.len && str_starts(line, wanted) && line.ptr[wanted.len] == ' ') {
            return true;
        }
        at = end == SIZE_MAX ? modules.len : end + 1;
    }
    return false;
}

static void scan_modules(const char *root, struct devices_report *r)
{
    char *room = malloc(MODULES_BYTES_MAX);
    char path[PATH_BYTES_MAX];
    struct str modules;

    CHECK(room != NULL);
    snprintf(path, sizeof(path), "%s/proc/modules", root);
    modules = read_small(path, room, MODULES_BYTES_MAX);
    for (size_t v = 0; v < DEVICES_VENDOR_COUNT; v++) {
        for (size_t i = 0; i < ARRAY_COUNT(traces[v].modules); i++) {
            if (traces[v].modules[i] != NULL && lists_module(modules, traces[v].modules[i])) {
                r->vendors[v].module_loaded = true;
            }
        }
    }
    free(room);
}

void pci_scan_run(const char *root, struct devices_report *report)
{
    scan_bus(root, report);
    scan_nodes(root, report);
    scan_modules(root, report);
}
