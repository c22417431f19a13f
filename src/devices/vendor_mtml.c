/* Handles of memory and GPU belong to their device: the device's stays open until theirs are freed.
 * The library knows no processes, no health and no power limit. */
#include "base/check.h"
#include "devices/vendor.h"

#include <stdio.h>
#include <string.h>

struct mtml_pci {
    char sbdf[32];
    uint32_t segment, bus, device, device_id, subsystem_id, bus_width;
    float max_speed, cur_speed;
    uint32_t max_width, cur_width, max_gen, cur_gen;
    int32_t reserve[6];
};

_Static_assert(sizeof(struct mtml_pci) == 104, "layout");

struct mtml {
    int (*mtmlLibraryInit)(void **);
    int (*mtmlLibraryShutDown)(void *);
    int (*mtmlLibraryInitSystem)(void *, void **);
    int (*mtmlLibraryFreeSystem)(void *);
    int (*mtmlSystemGetDriverVersion)(void *, char *, unsigned);
    int (*mtmlLibraryCountDevice)(void *, unsigned *);
    int (*mtmlLibraryInitDeviceByIndex)(void *, unsigned, void **);
    int (*mtmlLibraryFreeDevice)(void *);
    int (*mtmlDeviceGetName)(void *, char *, unsigned);
    int (*mtmlDeviceGetUUID)(void *, char *, unsigned);
    int (*mtmlDeviceGetMtBiosVersion)(void *, char *, unsigned);
    int (*mtmlDeviceGetVbiosVersion)(void *, char *, unsigned);
    int (*mtmlDeviceGetPciInfo)(void *, void *);
    int (*mtmlDeviceGetPowerUsage)(void *, unsigned *);
    int (*mtmlDeviceInitMemory)(void *, void **);
    int (*mtmlDeviceFreeMemory)(void *);
    int (*mtmlMemoryGetTotal)(void *, unsigned long long *);
    int (*mtmlMemoryGetUsed)(void *, unsigned long long *);
    int (*mtmlDeviceInitGpu)(void *, void **);
    int (*mtmlDeviceFreeGpu)(void *);
    int (*mtmlGpuGetUtilization)(void *, unsigned *);
    int (*mtmlGpuGetTemperature)(void *, int *);
};

static const struct probe_symbol symbols[] = {
    PROBE_SYMBOL(mtml, mtmlLibraryInit, true),
    PROBE_SYMBOL(mtml, mtmlLibraryShutDown, false),
    PROBE_SYMBOL(mtml, mtmlLibraryInitSystem, false),
    PROBE_SYMBOL(mtml, mtmlLibraryFreeSystem, false),
    PROBE_SYMBOL(mtml, mtmlSystemGetDriverVersion, false),
    PROBE_SYMBOL(mtml, mtmlLibraryCountDevice, true),
    PROBE_SYMBOL(mtml, mtmlLibraryInitDeviceByIndex, true),
    PROBE_SYMBOL(mtml, mtmlLibraryFreeDevice, false),
    PROBE_SYMBOL(mtml, mtmlDeviceGetName, false),
    PROBE_SYMBOL(mtml, mtmlDeviceGetUUID, false),
    PROBE_SYMBOL(mtml, mtmlDeviceGetMtBiosVersion, false),
    PROBE_SYMBOL(mtml, mtmlDeviceGetVbiosVersion, false),
    PROBE_SYMBOL(mtml, mtmlDeviceGetPciInfo, false),
    PROBE_SYMBOL(mtml, mtmlDeviceGetPowerUsage, false),
    PROBE_SYMBOL(mtml, mtmlDeviceInitMemory, false),
    PROBE_SYMBOL(mtml, mtmlDeviceFreeMemory, false),
    PROBE_SYMBOL(mtml, mtmlMemoryGetTotal, false),
    PROBE_SYMBOL(mtml, mtmlMemoryGetUsed, false),
    PROBE_SYMBOL(mtml, mtmlDeviceInitGpu, false),
    PROBE_SYMBOL(mtml, mtmlDeviceFreeGpu, false),
    PROBE_SYMBOL(mtml, mtmlGpuGetUtilization, false),
    PROBE_SYMBOL(mtml, mtmlGpuGetTemperature, false),
};

static const char *const places[] = {"libmtml.so"};

static const char *meaning(int rc)
{
    static const char *const words[] = {
        [1] = "the kernel driver is not loaded",
        [2] = "driver failure",
        [3] = "invalid argument",
        [4] = "not supported",
        [5] = "no permission",
        [6] = "insufficient size",
        [7] = "not found",
        [8] = "out of memory",
        [9] = "the driver is too old for this library",
        [10] = "the driver is too new for this library",
        [11] = "time-out",
        [12] = "the resource is busy",
    };

    if (rc == PROBE_MISSING) {
        return "the library lacks this function";
    }
    return rc > 0 && rc < (int)ARRAY_COUNT(words) ? words[rc] : "unknown error";
}

static void read_memory(struct probe *p, const struct mtml *m, void *dev, struct devices_card *card)
{
    unsigned long long bytes = 0;
    void *memory = NULL;

    if (PROBE_CALL(p, m, mtmlDeviceInitMemory, (dev, &memory)) != 0) {
        return;
    }
    if (PROBE_CALL(p, m, mtmlMemoryGetTotal, (memory, &bytes)) == 0) {
        card->memory_total_bytes = vendor_bytes(bytes);
    }
    if (PROBE_CALL(p, m, mtmlMemoryGetUsed, (memory, &bytes)) == 0) {
        card->memory_used_bytes = vendor_bytes(bytes);
    }
    (void)PROBE_CALL(p, m, mtmlDeviceFreeMemory, (memory));
}

static void read_gpu(struct probe *p, const struct mtml *m, void *dev, struct devices_card *card)
{
    unsigned percent = 0;
    int celsius = 0;
    void *gpu = NULL;

    if (PROBE_CALL(p, m, mtmlDeviceInitGpu, (dev, &gpu)) != 0) {
        return;
    }
    if (PROBE_CALL(p, m, mtmlGpuGetUtilization, (gpu, &percent)) == 0) {
        card->utilization_percent = percent;
    }
    if (PROBE_CALL(p, m, mtmlGpuGetTemperature, (gpu, &celsius)) == 0) {
        card->temperature_c = celsius;
    }
    (void)PROBE_CALL(p, m, mtmlDeviceFreeGpu, (gpu));
}

static void read_identity(struct probe *p, const struct mtml *m, void *dev,
                          struct devices_card *card)
{
    char text[VENDOR_ROOM] = "";
    union {
        struct mtml_pci pci;
        char room[VENDOR_ROOM];
    } u = {.room = {0}};
    int rc;

    if (PROBE_CALL(p, m, mtmlDeviceGetName, (dev, text, 32)) == 0) {
        reading_field(card->model, sizeof(card->model), text, 32);
    }
    if (PROBE_CALL(p, m, mtmlDeviceGetUUID, (dev, text, 48)) == 0) {
        reading_field(card->uuid, sizeof(card->uuid), text, 48);
    }
    rc = PROBE_CALL(p, m, mtmlDeviceGetMtBiosVersion, (dev, text, 64));
    if (rc == PROBE_MISSING) {
        rc = PROBE_CALL(p, m, mtmlDeviceGetVbiosVersion, (dev, text, 64));
    }
    if (rc == 0) {
        reading_field(card->firmware, sizeof(card->firmware), text, 64);
    }
    if (PROBE_CALL(p, m, mtmlDeviceGetPciInfo, (dev, &u)) == 0) {
        reading_bus_numbers(card->bus_id, u.pci.segment, u.pci.bus, u.pci.device, 0);
    }
}

static void read_device(struct probe *p, const struct mtml *m, void *lib, unsigned index)
{
    struct reading *w = probe_work(p);
    struct devices_card card;
    unsigned milliwatt = 0;
    void *dev = NULL;
    int rc = PROBE_CALL(p, m, mtmlLibraryInitDeviceByIndex, (lib, index, &dev));

    reading_card_init(&card, DEVICES_MTHREADS, index);
    memcpy(card.driver, w->driver, sizeof(card.driver));
    if (rc != 0) {
        reading_remark(card.remark, "no handle: %s (%d)", meaning(rc), rc);
    } else {
        read_identity(p, m, dev, &card);
        read_memory(p, m, dev, &card);
        read_gpu(p, m, dev, &card);
        if (PROBE_CALL(p, m, mtmlDeviceGetPowerUsage, (dev, &milliwatt)) == 0) {
            card.power_w = milliwatt / 1000.0;
        }
        (void)PROBE_CALL(p, m, mtmlLibraryFreeDevice, (dev));
    }
    reading_add_card(w, &card);
    probe_publish(p);
}

static void read_driver(struct probe *p, const struct mtml *m, void *lib)
{
    struct reading *w = probe_work(p);
    char text[VENDOR_ROOM] = "";
    void *system = NULL;

    if (PROBE_CALL(p, m, mtmlLibraryInitSystem, (lib, &system)) != 0) {
        return;
    }
    if (PROBE_CALL(p, m, mtmlSystemGetDriverVersion, (system, text, 80)) == 0) {
        reading_field(w->driver, sizeof(w->driver), text, 80);
    }
    (void)PROBE_CALL(p, m, mtmlLibraryFreeSystem, (system));
}

void vendor_mtml_read(struct probe *p)
{
    struct reading *w = probe_work(p);
    struct mtml m = {0};
    void *lib = NULL;
    unsigned count = 0;
    int rc;

    if (!probe_load(p, places, ARRAY_COUNT(places), symbols, ARRAY_COUNT(symbols), &m)) {
        return;
    }
    rc = PROBE_CALL(p, &m, mtmlLibraryInit, (&lib));
    if (rc != 0) {
        probe_failed(p, "mtmlLibraryInit", rc, meaning(rc));
        return;
    }
    read_driver(p, &m, lib);
    rc = PROBE_CALL(p, &m, mtmlLibraryCountDevice, (lib, &count));
    if (rc != 0) {
        probe_failed(p, "mtmlLibraryCountDevice", rc, meaning(rc));
    } else {
        w->state = count == 0 ? DEVICES_NO_DEVICE : DEVICES_FINE;
        for (unsigned i = 0; i < count && i < READING_CARDS_MAX; i++) {
            read_device(p, &m, lib, i);
        }
    }
    (void)PROBE_CALL(p, &m, mtmlLibraryShutDown, (lib));
}
