#include "devices/devices_fix.h"

#include <string.h>

static const char *const no_library[DEVICES_VENDOR_COUNT] = {
    [DEVICES_NVIDIA] = "Install the NVIDIA driver (it brings libnvidia-ml.so.1), or start the "
                       "container with --gpus all (NVIDIA container toolkit).",
    [DEVICES_ASCEND] = "Install the Ascend driver (libdcmi.so under /usr/local/Ascend/driver), or "
                       "start the container with the Ascend runtime, which mounts it.",
    [DEVICES_CAMBRICON] = "Install the Cambricon driver and CNToolkit (libcndev.so), set "
                          "NEUWARE_HOME, or mount libcndev.so into the container.",
    [DEVICES_MTHREADS] = "Install the MT driver and the mtml package (libmtml.so), or start the "
                         "container with the mthreads runtime.",
};

static const char *const init_failed[DEVICES_VENDOR_COUNT] = {
    [DEVICES_NVIDIA] = "Look at `dmesg | grep -i nvrm`; versions differ after an upgrade: reload "
                       "the nvidia module or reboot; in a container restart it, its access to the "
                       "device nodes may be lost.",
    [DEVICES_ASCEND] = "In a container map /dev/davinciN, /dev/davinci_manager, /dev/devmm_svm and "
                       "/dev/hisi_hdc, and join the group HwHiAiUser; -8020: another container "
                       "holds the device; on the host look at `dmesg` and `npu-smi info`.",
    [DEVICES_CAMBRICON] = "Load the driver module, map /dev/cambricon_devN and /dev/cambricon_ctl "
                          "into the container, and keep the driver at least as new as libcndev.",
    [DEVICES_MTHREADS] = "Load the module mtgpu (`modprobe mtgpu`, `dkms status`), join the groups "
                         "video and render, and keep mtml and driver of one release.",
};

static const char *const no_device[DEVICES_VENDOR_COUNT] = {
    [DEVICES_NVIDIA] = "The driver runs but shows no GPU: check CUDA/NVIDIA_VISIBLE_DEVICES, the "
                       "container's device list, and `dmesg` for a card that fell off the bus.",
    [DEVICES_ASCEND] = "The driver runs but lists no NPU: check which /dev/davinciN the container "
                       "has, and on the host whether `npu-smi info` lists the card.",
    [DEVICES_CAMBRICON] = "The library runs but counts no card: map /dev/cambricon_devN, and check "
                          "`cnmon` on the host.",
    [DEVICES_MTHREADS] = "The library runs but counts no card: map /dev/mtgpu.N and /dev/dri, and "
                         "check `mthreads-gmi` on the host.",
};

const char *devices_fix_text(enum devices_vendor vendor, const struct devices_vendor_report *v)
{
    if (v->hangs) {
        return "A vendor call did not come back: a card or its driver is stuck. Look at `dmesg`, "
               "end the processes on the card, reset the card or reboot.";
    }
    if (v->state == DEVICES_INIT_FAILED && strstr(v->reason, "driver too old") != NULL) {
        return "Upgrade the driver: its management library lacks functions that have been there "
               "for years. Until then the vendor's command-line tool is asked.";
    }
    switch (v->state) {
    case DEVICES_NO_LIBRARY:
        return no_library[vendor];
    case DEVICES_INIT_FAILED:
        return init_failed[vendor];
    case DEVICES_NO_DEVICE:
        return no_device[vendor];
    case DEVICES_NO_CARD:
    case DEVICES_FINE:
        break;
    }
    return "";
}
