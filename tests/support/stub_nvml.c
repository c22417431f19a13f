/* libnvidia-ml.so.1: two cards, the second at a PCI address of its own. */
#include "support/stub.h"

#define SUCCESS 0
#define NOT_SUPPORTED 3
#define INSUFFICIENT_SIZE 7
#define VERSION_MISMATCH 25
#define GIB ((uint64_t)1 << 30)

static int handles[2];

static unsigned index_of(const void *device)
{
    return device == &handles[1] ? 1 : 0;
}

STUB(int, nvmlInit_v2, (void))
{
    return stub_init_rc();
}

STUB(int, nvmlShutdown, (void))
{
    return SUCCESS;
}

STUB(int, nvmlSystemGetDriverVersion, (char *text, unsigned len))
{
    stub_text(text, len, "550.54.15");
    return SUCCESS;
}

STUB(int, nvmlSystemGetCudaDriverVersion_v2, (int *version))
{
    *version = 12040;
    return SUCCESS;
}

#if STUB_VARIANT != STUB_MISSING
STUB(int, nvmlDeviceGetCount_v2, (unsigned *count))
{
    *count = STUB_VARIANT == STUB_GARBAGE ? 0xffffffffu : (unsigned)stub_count(2);
    return SUCCESS;
}
#endif

STUB(int, nvmlDeviceGetHandleByIndex_v2, (unsigned index, void **device))
{
    if (index > 1) {
        return 15; // GPU_IS_LOST
    }
    *device = &handles[index];
    return SUCCESS;
}

STUB(int, nvmlDeviceGetName, (void *device, char *text, unsigned len))
{
    (void)device;
    stub_text(text, len, "NVIDIA L20");
    return SUCCESS;
}

STUB(int, nvmlDeviceGetUUID, (void *device, char *text, unsigned len))
{
    stub_text(text, len, index_of(device) == 0 ? "GPU-0a" : "GPU-0b");
    return SUCCESS;
}

STUB(int, nvmlDeviceGetMinorNumber, (void *device, unsigned *minor))
{
    *minor = index_of(device) + 3;
    return SUCCESS;
}

STUB(int, nvmlDeviceGetVbiosVersion, (void *device, char *text, unsigned len))
{
    (void)device;
    stub_text(text, len, "95.02");
    return SUCCESS;
}

STUB(int, nvmlDeviceGetCudaComputeCapability, (void *device, int *major, int *minor))
{
    (void)device;
    *major = 8;
    *minor = 9;
    return SUCCESS;
}

STUB(int, nvmlDeviceGetPciInfo_v3, (void *device, void *pci))
{
    stub_u32(pci, 16, 0);                       // domain
    stub_u32(pci, 20, 0x3b + index_of(device)); // bus
    stub_u32(pci, 24, 0);                       // device
    stub_u32(pci, 28, 0x26ba10de);              // device and vendor
    return SUCCESS;
}

#if STUB_VARIANT != STUB_OLD
STUB(int, nvmlDeviceGetMemoryInfo_v2, (void *device, void *memory))
{
    (void)device;
    if (stub_read_u32(memory, 0) != 0x02000028) {
        return VERSION_MISMATCH;
    }
    stub_u64(memory, 8, 48 * GIB);
    stub_u64(memory, 32, STUB_VARIANT == STUB_GARBAGE ? 90 * GIB : 12 * GIB);
    return SUCCESS;
}

STUB(int, nvmlDeviceGetComputeRunningProcesses_v3, (void *device, unsigned *count, void *list))
{
    if (*count < 2) {
        *count = 2;
        return INSUFFICIENT_SIZE;
    }
    *count = index_of(device) == 0 ? 2 : 0;
    if (index_of(device) == 0) {
        stub_u32(list, 0, 4711);
        stub_u64(list, 8, 10 * GIB);
        stub_u32(list, 24, 4712);
        stub_u64(list, 32, UINT64_MAX); // not known
    }
    return SUCCESS;
}
#endif

STUB(int, nvmlDeviceGetMemoryInfo, (void *device, void *memory))
{
    (void)device;
    stub_u64(memory, 0, 24 * GIB);
    stub_u64(memory, 16, 6 * GIB);
    return SUCCESS;
}

STUB(int, nvmlDeviceGetComputeRunningProcesses, (void *device, unsigned *count, void *list))
{
    (void)device;
    *count = 2; // 16 bytes each
    stub_u32(list, 0, 100);
    stub_u64(list, 8, GIB);
    stub_u32(list, 16, 101);
    stub_u64(list, 24, 2 * GIB);
    return SUCCESS;
}

STUB(int, nvmlDeviceGetUtilizationRates, (void *device, void *rates))
{
    if (index_of(device) == 1 && STUB_VARIANT == STUB_NORMAL) {
        return NOT_SUPPORTED;
    }
    stub_u32(rates, 0, STUB_VARIANT == STUB_GARBAGE ? 4711 : 37);
    stub_u32(rates, 4, 5);
    return SUCCESS;
}

STUB(int, nvmlDeviceGetTemperature, (void *device, int sensor, unsigned *celsius))
{
    (void)sensor;
    if (index_of(device) == 1) {
        stub_hang();
    }
    *celsius = STUB_VARIANT == STUB_GARBAGE ? 255 : 61;
    return SUCCESS;
}

STUB(int, nvmlDeviceGetPowerUsage, (void *device, unsigned *milliwatt))
{
    (void)device;
    *milliwatt = STUB_VARIANT == STUB_GARBAGE ? 0xffffffffu : 123456;
    return SUCCESS;
}
