/* Kernel modules, device nodes and driver versions of the cards that are there. */
#include "base/check.h"
#include "doctor/host_internal.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct vendor {
    uint32_t bit;
    const char *name;
    const char *module;    // of /proc/modules; NULL: not known for sure
    const char *node;      // numbered nodes begin with this
    const char *needed[4]; // further nodes
    const char *group;     // whose members may open them
    const char *install;
} vendors[] = {
    {VENDOR_NVIDIA,
     "NVIDIA",
     "nvidia",
     "nvidia",
     {"nvidiactl", "nvidia-uvm", NULL, NULL},
     "video",
     "the NVIDIA driver"},
    {VENDOR_ASCEND,
     "Ascend",
     NULL,
     "davinci",
     {"davinci_manager", "devmm_svm", "hisi_hdc", NULL},
     "HwHiAiUser",
     "the Ascend HDK (driver, then firmware)"},
    {VENDOR_CAMBRICON,
     "Cambricon",
     NULL,
     "cambricon_dev",
     {"cambricon_ctl", NULL, NULL, NULL},
     "root",
     "the Cambricon driver"},
    {VENDOR_MTHREADS,
     "Moore Threads",
     "mtgpu",
     "mtgpu.",
     {NULL, NULL, NULL, NULL},
     "render",
     "the musa driver package"},
};

static bool has_module(struct str modules, const char *name)
{
    struct str n = str_from_c(name);
    size_t at = 0;

    while (at < modules.len) {
        size_t end = str_find_byte(modules, '\n', at);
        struct str line = str_slice(modules, at, end == SIZE_MAX ? modules.len : end);

        if (str_starts(line, n) && line.len > n.len && line.ptr[n.len] == ' ') {
            return true;
        }
        at += line.len + 1;
    }
    return false;
}

static void check_module(struct host *h, const struct vendor *v, struct str modules)
{
    if (v->module == NULL) {
        return;
    }
    if (modules.len == 0) {
        host_unknown(h, "host-module", host_text(h, "kernel module of %s", v->name),
                     STR("/proc/modules cannot be read or is empty."));
        return;
    }
    if (has_module(modules, v->module)) {
        host_ok(h, "host-module", host_text(h, "kernel module %s is loaded", v->module), STR(""));
        return;
    }
    host_problem(h, "host-module", host_text(h, "kernel module %s is not loaded", v->module),
                 has_module(modules, "nouveau") && v->bit == VENDOR_NVIDIA
                     ? STR("The free driver nouveau holds the card instead.")
                     : STR("The driver is not installed, was not built for this kernel, or Secure "
                           "Boot refused it."),
                 STR("/proc/modules"),
                 has_module(modules, "nouveau") && v->bit == VENDOR_NVIDIA
                     ? STR("Blacklist nouveau (/etc/modprobe.d), rebuild the initramfs and reboot.")
                     : host_text(h,
                                 "Install %s for the running kernel (dkms status), then modprobe "
                                 "%s.",
                                 v->install, v->module));
}

static bool is_member(gid_t gid)
{
    gid_t groups[256];
    int n = getgroups(256, groups);

    for (int i = 0; i < n; i++) {
        if (groups[i] == gid) {
            return true;
        }
    }
    return getegid() == gid;
}

static void check_rights(struct host *h, const struct vendor *v, const char *node)
{
    struct stat st;
    bool open;

    if (stat(host_path(h, node), &st) != 0) {
        return;
    }
    open = geteuid() == 0 || (st.st_mode & 06) == 06 ||
           (st.st_uid == geteuid() && (st.st_mode & 0600) == 0600) ||
           (is_member(st.st_gid) && (st.st_mode & 060) == 060);
    if (open) {
        host_ok(h, "host-node-rights", host_text(h, "%s may be opened", node), STR(""));
        return;
    }
    host_problem(h, "host-node-rights", host_text(h, "%s may not be opened by this user", node),
                 host_text(h, "It belongs to group %u with mode %03o, and this user is not in it.",
                           (unsigned)st.st_gid, (unsigned)(st.st_mode & 0777)),
                 str_from_c(node),
                 host_text(h,
                           "Add the service's user to the group (usually %s): usermod -aG %s "
                           "USER, and log in again.",
                           v->group, v->group));
}

static void check_nodes(struct host *h, const struct vendor *v)
{
    struct str *names;
    uint32_t n = host_names(h, "/dev", &names);
    struct str prefix = str_from_c(v->node);
    uint32_t found = 0;
    struct str first = STR("");

    for (uint32_t i = 0; i < n; i++) {
        if (str_starts(names[i], prefix) && names[i].len > prefix.len &&
            names[i].ptr[prefix.len] >= '0' && names[i].ptr[prefix.len] <= '9') {
            first = found == 0 ? names[i] : first;
            found++;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(v->needed) && v->needed[i] != NULL; i++) {
        struct str path = host_text(h, "/dev/%s", v->needed[i]);

        if (!host_exists(h, path.ptr)) {
            host_problem(
                h, "host-node", host_text(h, "%.*s is missing", STR_ARG(path)),
                STR("Programs cannot reach the card without this node; the driver makes it "
                    "when it is loaded."),
                path,
                v->bit == VENDOR_NVIDIA
                    ? STR("Load the modules (modprobe nvidia nvidia_uvm; nvidia-modprobe "
                          "-u -c=0), or start nvidia-persistenced.")
                    : host_text(h, "Install or reload %s.", v->install));
        }
    }
    if (found < host_count(h, v->bit) && v->bit != VENDOR_ASCEND) {
        host_problem(h, "host-node-count",
                     host_text(h, "%u cards on the bus, %u nodes /dev/%sN", host_count(h, v->bit),
                               found, v->node),
                     STR("The driver did not start every card."), STR("/dev"),
                     STR("Read the kernel log (dmesg) for this vendor's messages."));
    } else if (v->bit == VENDOR_ASCEND && found == 0) {
        host_problem(h, "host-node-count", STR("no /dev/davinciN"),
                     STR("The driver is not loaded, or the devices have not finished booting."),
                     STR("/dev"), STR("Install the HDK, reboot, and look at npu-smi info."));
    } else {
        host_ok(h, "host-node-count", host_text(h, "%u nodes /dev/%sN", found, v->node), STR(""));
    }
    if (first.len > 0) {
        check_rights(h, v, host_text(h, "/dev/%.*s", STR_ARG(first)).ptr);
    }
}

/* "... Kernel Module  550.54.15  Thu ..." */
static struct str nvidia_version(struct str text)
{
    size_t at = str_find(text, STR("Kernel Module"), 0);

    for (; at != SIZE_MAX && at < text.len; at++) {
        if (text.ptr[at] >= '0' && text.ptr[at] <= '9') {
            size_t end = at;

            while (end < text.len && text.ptr[end] != ' ' && text.ptr[end] != '\n') {
                end++;
            }
            if (str_find_byte(str_slice(text, at, end), '.', 0) != SIZE_MAX) {
                return str_slice(text, at, end);
            }
        }
    }
    return STR("");
}

/* Kernel module against the library of the same driver. */
static void check_nvidia_driver(struct host *h)
{
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
                                          "/usr/lib64"};
    struct str kernel = nvidia_version(host_read(h, "/proc/driver/nvidia/version"));
    struct str library = STR("");

    if (kernel.len == 0) {
        kernel = host_read(h, "/sys/module/nvidia/version");
    }
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        struct str *names;
        uint32_t n = host_names(h, folders[i], &names);

        for (uint32_t k = 0; k < n; k++) {
            if (str_starts(names[k], STR("libnvidia-ml.so.")) && names[k].len > 20) {
                library = str_slice(names[k], 16, names[k].len);
            }
        }
    }
    h->nvidia_driver = kernel;
    if (kernel.len == 0 || library.len == 0) {
        host_unknown(h, "host-driver", STR("NVIDIA driver against its library"),
                     kernel.len == 0 ? STR("The kernel module's version cannot be read.")
                                     : STR("libnvidia-ml was not found in the usual folders."));
    } else if (!str_eq(kernel, library)) {
        host_problem(h, "host-driver", STR("NVIDIA kernel module and library differ"),
                     STR("The packages were upgraded while the old module stayed loaded: "
                         "\"Driver/library version mismatch\"."),
                     host_text(h, "module %.*s, library %.*s", STR_ARG(kernel), STR_ARG(library)),
                     STR("Reboot, or stop all users of the card and reload the nvidia modules."));
    } else {
        host_ok(h, "host-driver", host_text(h, "NVIDIA driver %.*s", STR_ARG(kernel)), STR(""));
    }
}

/* "[7.0.0,7.7.9]" holds `v`? */
static bool in_range(struct str range, struct str v, bool *ret_known)
{
    size_t comma = str_find_byte(range, ',', 0);
    uint32_t low = 0;
    uint32_t high = 0;
    uint32_t have = 0;

    *ret_known = comma != SIZE_MAX && files_version(str_slice(range, 1, comma), &low) &&
                 files_version(str_slice(range, comma + 1, range.len), &high) &&
                 files_version(v, &have);
    return !*ret_known || (have >= low && have <= high);
}

static void check_ascend_driver(struct host *h)
{
    struct str driver = host_read(h, "/usr/local/Ascend/driver/version.info");
    struct str firmware = host_read(h, "/usr/local/Ascend/firmware/version.info");
    struct str dv = host_value(driver, "Version=");
    struct str fv = host_value(firmware, "Version=");
    struct str range = host_value(driver, "compatible_version_fw=");
    bool known = false;

    if (dv.len == 0) {
        host_problem(h, "host-driver", STR("no Ascend driver is installed"),
                     STR("driver/version.info is missing, so there are no driver libraries "
                         "either."),
                     STR("/usr/local/Ascend/driver/version.info"),
                     STR("Install the HDK package of this server: driver first, then firmware, "
                         "then reboot."));
    } else if (fv.len == 0) {
        host_unknown(h, "host-firmware", STR("Ascend driver against firmware"),
                     STR("/usr/local/Ascend/firmware/version.info cannot be read."));
    } else if (!in_range(range, fv, &known)) {
        host_problem(h, "host-firmware", STR("the firmware does not fit the driver"),
                     STR("The driver names the firmware versions that it works with; dcmi answers "
                         "-8005 otherwise."),
                     host_text(h, "driver %.*s wants firmware %.*s, found %.*s", STR_ARG(dv),
                               STR_ARG(range), STR_ARG(fv)),
                     STR("Install driver and firmware of one HDK release and reboot."));
    } else {
        host_ok(h, "host-driver",
                host_text(h, "Ascend driver %.*s, firmware %.*s", STR_ARG(dv), STR_ARG(fv)),
                STR(""));
    }
}

void host_vendor_check(struct host *h)
{
    struct str modules = host_read(h, "/proc/modules");

    for (size_t i = 0; i < ARRAY_COUNT(vendors); i++) {
        if ((h->vendors & vendors[i].bit) != 0) {
            check_module(h, &vendors[i], modules);
            check_nodes(h, &vendors[i]);
        }
    }
    if (h->vendors & VENDOR_NVIDIA) {
        check_nvidia_driver(h);
    }
    if (h->vendors & VENDOR_ASCEND) {
        check_ascend_driver(h);
    }
}
