/* libmtml.so: two cards.  Counts open handles; mtmlLibraryShutDown ends the process when one is
 * still open or was freed too early. */
#include "support/stub.h"

#define MIB ((unsigned long long)1 << 20)

static int library, system_handle;
static struct device {
    int open, index;
} devices[2];
static int n_open;

static int close_handle(void)
{
    n_open--;
    return 0;
}

STUB(int, mtmlLibraryInit, (void **lib))
{
    *lib = &library;
    n_open = 0;
    return stub_init_rc();
}

STUB(int, mtmlLibraryShutDown, (void *lib))
{
    if (lib != &library || n_open != 0) {
        abort();
    }
    return 0;
}

STUB(int, mtmlLibraryInitSystem, (void *lib, void **system))
{
    (void)lib;
    *system = &system_handle;
    n_open++;
    return 0;
}

STUB(int, mtmlLibraryFreeSystem, (void *system))
{
    (void)system;
    return close_handle();
}

STUB(int, mtmlSystemGetDriverVersion, (void *system, char *text, unsigned len))
{
    (void)system;
    stub_text(text, len, "3.3.5-server");
    return 0;
}

#if STUB_VARIANT != STUB_MISSING
STUB(int, mtmlLibraryCountDevice, (void *lib, unsigned *count))
{
    (void)lib;
    *count = (unsigned)stub_count(2);
    return 0;
}
#endif

STUB(int, mtmlLibraryInitDeviceByIndex, (void *lib, unsigned index, void **device))
{
    (void)lib;
    if (index > 1) {
        return 7;
    }
    devices[index].open = 1;
    devices[index].index = (int)index;
    *device = &devices[index];
    n_open++;
    return 0;
}

STUB(int, mtmlLibraryFreeDevice, (void *device))
{
    ((struct device *)device)->open = 0;
    return close_handle();
}

STUB(int, mtmlDeviceGetName, (void *device, char *text, unsigned len))
{
    (void)device;
    stub_text(text, len, "MTT S5000");
    return 0;
}

STUB(int, mtmlDeviceGetUUID, (void *device, char *text, unsigned len))
{
    stub_text(text, len, ((struct device *)device)->index == 0 ? "mtt-0" : "mtt-1");
    return 0;
}

#if STUB_VARIANT == STUB_OLD
STUB(int, mtmlDeviceGetVbiosVersion, (void *device, char *text, unsigned len))
#else
STUB(int, mtmlDeviceGetMtBiosVersion, (void *device, char *text, unsigned len))
#endif
{
    (void)device;
    stub_text(text, len, "3.4.3");
    return 0;
}

STUB(int, mtmlDeviceGetPciInfo, (void *device, void *pci))
{
    stub_u32(pci, 32, 0);
    stub_u32(pci, 36, 0x2a + 16 * (uint32_t)((struct device *)device)->index);
    stub_u32(pci, 40, 0);
    return 0;
}

#if STUB_VARIANT != STUB_OLD
STUB(int, mtmlDeviceGetPowerUsage, (void *device, unsigned *milliwatt))
{
    (void)device;
    *milliwatt = STUB_VARIANT == STUB_GARBAGE ? 0xffffffffu : 250500;
    return 0;
}
#endif

STUB(int, mtmlDeviceInitMemory, (void *device, void **memory))
{
    *memory = device;
    n_open++;
    return 0;
}

STUB(int, mtmlDeviceFreeMemory, (void *memory))
{
    return ((struct device *)memory)->open != 0 ? close_handle() : 3;
}

STUB(int, mtmlMemoryGetTotal, (void *memory, unsigned long long *bytes))
{
    (void)memory;
    *bytes = 81920 * MIB;
    return 0;
}

STUB(int, mtmlMemoryGetUsed, (void *memory, unsigned long long *bytes))
{
    (void)memory;
    *bytes = STUB_VARIANT == STUB_GARBAGE ? 90000 * MIB : 8192 * MIB;
    return 0;
}

STUB(int, mtmlDeviceInitGpu, (void *device, void **gpu))
{
    *gpu = device;
    n_open++;
    return 0;
}

STUB(int, mtmlDeviceFreeGpu, (void *gpu))
{
    return ((struct device *)gpu)->open != 0 ? close_handle() : 3;
}

STUB(int, mtmlGpuGetUtilization, (void *gpu, unsigned *percent))
{
    (void)gpu;
    *percent = STUB_VARIANT == STUB_GARBAGE ? 65535 : 75;
    return 0;
}

STUB(int, mtmlGpuGetTemperature, (void *gpu, int *celsius))
{
    (void)gpu;
    stub_hang();
    *celsius = STUB_VARIANT == STUB_GARBAGE ? 255 : 39;
    return 0;
}
