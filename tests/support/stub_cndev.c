/* libcndev.so: two cards, in the old variant as MLU370 drivers answer (version 5, old structs). */
#include "support/stub.h"

#define UNSUPPORTED_VERSION 3

static int refuses(const void *block)
{
    return stub_read_u32(block, 0) != (STUB_VARIANT == STUB_OLD ? 5u : 6u);
}

STUB(int, cndevInit, (int reserved))
{
    return reserved == 0 ? stub_init_rc() : 5;
}

STUB(int, cndevRelease, (void))
{
    return 0;
}

#if STUB_VARIANT != STUB_MISSING
STUB(int, cndevGetDeviceCount, (void *info))
{
    if (refuses(info)) {
        return UNSUPPORTED_VERSION;
    }
    stub_u32(info, 4, STUB_VARIANT == STUB_GARBAGE ? 0x7fffffffu : (uint32_t)stub_count(2));
    return 0;
}
#endif

#if STUB_VARIANT != STUB_OLD
STUB(int, cndevGetDeviceHandleByIndex, (int index, int32_t *device))
{
    *device = index + 40;
    return 0;
}

STUB(int, cndevGetMemoryUsageV2, (void *memory, int32_t device))
{
    (void)device;
    memset(memory, 0, 176);
    stub_u64(memory, 0, 49152);
    stub_u64(memory, 8, STUB_VARIANT == STUB_GARBAGE ? UINT64_MAX : 1024);
    return 0;
}

STUB(int, cndevGetDevicePowerInfo, (void *power, int32_t device))
{
    (void)device;
    memset(power, 0, 84);
    stub_u32(power, 0, STUB_VARIANT == STUB_GARBAGE ? 0x80000000u : 107);
    return 0;
}

STUB(int, cndevGetCardHealthStateV2, (void *health, int32_t device))
{
    memset(health, 0xee, 34612); // the whole struct, as the real one does
    stub_u32(health, 0, device == 41 ? 0 : 1);
    stub_u32(health, 4, 0);
    stub_u32(health, 8, 4);
    return 0;
}

STUB(int, cndevGetPCIeInfoV2, (void *pci, int32_t device))
{
    memset(pci, 0, 64);
    stub_u16(pci, 8, 0xcabc);
    stub_u32(pci, 12, 0);
    stub_u32(pci, 16, 0x4f + (uint32_t)device - 40);
    return 0;
}

STUB(int, cndevGetProcessInfo, (unsigned *count, void *list, int32_t device))
{
    if (refuses(list)) {
        return UNSUPPORTED_VERSION;
    }
    *count = device == 40 ? 1 : 0;
    stub_u32(list, 4, 900);
    stub_u64(list, 8, 2048);
    return 0;
}
#else
STUB(int, cndevGetMemoryUsage, (void *memory, int32_t device))
{
    (void)device;
    if (refuses(memory)) {
        return UNSUPPORTED_VERSION;
    }
    stub_u64(memory, 8, 23308);
    stub_u64(memory, 16, 512);
    return 0;
}

STUB(int, cndevGetPowerInfo, (void *power, int32_t device))
{
    (void)device;
    if (refuses(power)) {
        return UNSUPPORTED_VERSION;
    }
    stub_u32(power, 4, 27);
    stub_u32(power, 8, 150);
    return 0;
}

STUB(int, cndevGetCardHealthState, (void *health, int32_t device))
{
    (void)device;
    if (refuses(health)) {
        return UNSUPPORTED_VERSION;
    }
    stub_u32(health, 4, 1);
    return 0;
}

STUB(int, cndevGetPCIeInfo, (void *pci, int32_t device))
{
    if (refuses(pci)) {
        return UNSUPPORTED_VERSION;
    }
    stub_u32(pci, 16, 0);
    stub_u32(pci, 20, 0x1b + (uint32_t)device);
    stub_u32(pci, 24, 0);
    stub_u32(pci, 28, 0);
    return 0;
}
#endif

STUB(const char *, cndevGetCardNameStringByDevId, (int32_t device))
{
    (void)device;
    return STUB_VARIANT == STUB_GARBAGE ? NULL : "MLU370-X8";
}

STUB(int, cndevGetUUID, (void *uuid, int32_t device))
{
    if (refuses(uuid)) {
        return UNSUPPORTED_VERSION;
    }
    stub_text((char *)uuid + 4, 37, device % 2 == 0 ? "aaaa-0" : "aaaa-1");
    return 0;
}

STUB(int, cndevGetVersionInfo, (void *version, int32_t device))
{
    (void)device;
    if (refuses(version)) {
        return UNSUPPORTED_VERSION;
    }
    for (uint32_t i = 0; i < 3; i++) {
        stub_u32(version, 4 + 4 * i, i + 1);  // firmware 1.2.3
        stub_u32(version, 16 + 4 * i, i + 5); // driver 5.6.7
    }
    return 0;
}

STUB(int, cndevGetDeviceUtilizationInfo, (void *utilization, int32_t device))
{
    (void)device;
    if (refuses(utilization)) {
        return UNSUPPORTED_VERSION;
    }
    stub_hang();
    stub_u32(utilization, 4, STUB_VARIANT == STUB_GARBAGE ? 101 : 88);
    return 0;
}

STUB(int, cndevGetTemperatureInfo, (void *temperature, int32_t device))
{
    (void)device;
    if (refuses(temperature)) {
        return UNSUPPORTED_VERSION;
    }
    stub_u32(temperature, 4, 30); // board
    stub_u32(temperature, 120, STUB_VARIANT == STUB_GARBAGE ? 255 : 41);
    return 0;
}
