#include "base/check.h"
#include "devices/vendor.h"

#include <stdio.h>
#include <string.h>

#define NVML_SUCCESS 0
#define NVML_NOT_SUPPORTED 3
#define NVML_INSUFFICIENT_SIZE 7
#define NVML_GPU_IS_LOST 15
#define NVML_RESET_REQUIRED 16
/* A versioned struct says its size and version: size | version << 24. */
#define NVML_MEMORY_V2 (40u | 2u << 24)

typedef void *nvml_device; // opaque

struct nvml_memory {
    uint64_t total, free, used;
};

struct nvml_memory_v2 {
    uint32_t version;
    uint64_t total, reserved, free, used;
};

struct nvml_pci {
    char legacy[16];
    uint32_t domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

struct nvml_process {
    uint32_t pid;
    uint64_t memory;
    uint32_t gpu_instance, compute_instance;
};

struct nvml_process_v1 {
    uint32_t pid;
    uint64_t memory;
};

_Static_assert(sizeof(struct nvml_memory) == 24, "layout");
_Static_assert(sizeof(struct nvml_memory_v2) == 40, "layout");
_Static_assert(sizeof(struct nvml_pci) == 68, "layout");
_Static_assert(sizeof(struct nvml_process) == 24, "layout");
_Static_assert(sizeof(struct nvml_process_v1) == 16, "layout");

struct nvml {
    int (*nvmlInit_v2)(void);
    int (*nvmlShutdown)(void);
    int (*nvmlSystemGetDriverVersion)(char *, unsigned);
    int (*nvmlSystemGetCudaDriverVersion_v2)(int *);
    int (*nvmlDeviceGetCount_v2)(unsigned *);
    int (*nvmlDeviceGetHandleByIndex_v2)(unsigned, nvml_device *);
    int (*nvmlDeviceGetName)(nvml_device, char *, unsigned);
    int (*nvmlDeviceGetUUID)(nvml_device, char *, unsigned);
    int (*nvmlDeviceGetMinorNumber)(nvml_device, unsigned *);
    int (*nvmlDeviceGetVbiosVersion)(nvml_device, char *, unsigned);
    int (*nvmlDeviceGetCudaComputeCapability)(nvml_device, int *, int *);
    int (*nvmlDeviceGetPciInfo_v3)(nvml_device, void *);
    int (*nvmlDeviceGetMemoryInfo_v2)(nvml_device, void *);
    int (*nvmlDeviceGetMemoryInfo)(nvml_device, void *);
    int (*nvmlDeviceGetUtilizationRates)(nvml_device, void *);
    int (*nvmlDeviceGetTemperature)(nvml_device, int, unsigned *);
    int (*nvmlDeviceGetPowerUsage)(nvml_device, unsigned *);
    int (*nvmlDeviceGetMigMode)(nvml_device, unsigned *, unsigned *);
    int (*nvmlDeviceGetComputeRunningProcesses_v3)(nvml_device, unsigned *, void *);
    int (*nvmlDeviceGetComputeRunningProcesses_v2)(nvml_device, unsigned *, void *);
    int (*nvmlDeviceGetComputeRunningProcesses)(nvml_device, unsigned *, void *);
};

static const struct probe_symbol symbols[] = {
    PROBE_SYMBOL(nvml, nvmlInit_v2, true),
    PROBE_SYMBOL(nvml, nvmlShutdown, false),
    PROBE_SYMBOL(nvml, nvmlSystemGetDriverVersion, false),
    PROBE_SYMBOL(nvml, nvmlSystemGetCudaDriverVersion_v2, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetCount_v2, true),
    PROBE_SYMBOL(nvml, nvmlDeviceGetHandleByIndex_v2, true),
    PROBE_SYMBOL(nvml, nvmlDeviceGetName, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetUUID, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetMinorNumber, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetVbiosVersion, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetCudaComputeCapability, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetPciInfo_v3, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetMemoryInfo_v2, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetMemoryInfo, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetUtilizationRates, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetTemperature, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetPowerUsage, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetMigMode, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetComputeRunningProcesses_v3, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetComputeRunningProcesses_v2, false),
    PROBE_SYMBOL(nvml, nvmlDeviceGetComputeRunningProcesses, false),
};

/* Never the unversioned name: that is the toolkit's link stub. */
static const char *const places[] = {"libnvidia-ml.so.1"};

static const char *meaning(int rc)
{
    static const char *const words[] = {
        [1] = "not initialised",
        [2] = "invalid argument",
        [3] = "not supported",
        [4] = "no permission",
        [6] = "not found",
        [7] = "insufficient size",
        [8] = "power cable missing",
        [9] = "the kernel driver is not loaded",
        [10] = "time-out",
        [11] = "interrupt problem",
        [12] = "library not found",
        [13] = "function not found",
        [14] = "corrupted inforom",
        [15] = "the card is lost (it fell off the bus)",
        [16] = "the card needs a reset",
        [17] = "the operating system or a cgroup blocks the card",
        [18] = "driver and library versions differ",
        [19] = "in use",
        [20] = "out of memory",
        [25] = "argument version mismatch",
        [28] = "card not found",
    };

    if (rc == PROBE_MISSING) {
        return "the library lacks this function";
    }
    return rc > 0 && rc < (int)ARRAY_COUNT(words) && words[rc] != NULL ? words[rc]
                                                                       : "unknown error";
}

static void read_memory(struct probe *p, const struct nvml *n, nvml_device dev,
                        struct devices_card *card)
{
    union {
        struct nvml_memory_v2 v2;
        struct nvml_memory v1;
        char room[VENDOR_ROOM];
    } m = {.room = {0}};

    m.v2.version = NVML_MEMORY_V2;
    if (PROBE_CALL(p, n, nvmlDeviceGetMemoryInfo_v2, (dev, &m)) == NVML_SUCCESS) {
        card->memory_total_bytes = vendor_bytes(m.v2.total);
        card->memory_used_bytes = vendor_bytes(m.v2.used);
    } else if (PROBE_CALL(p, n, nvmlDeviceGetMemoryInfo, (dev, &m)) == NVML_SUCCESS) {
        card->memory_total_bytes = vendor_bytes(m.v1.total);
        card->memory_used_bytes = vendor_bytes(m.v1.used);
    }
}

static void read_usage(struct probe *p, const struct nvml *n, nvml_device dev,
                       struct devices_card *card)
{
    uint32_t util[VENDOR_ROOM / 4] = {0}; // gpu, memory
    unsigned value = 0;
    unsigned mig = 0;
    unsigned pending = 0;

    if (PROBE_CALL(p, n, nvmlDeviceGetUtilizationRates, (dev, util)) == NVML_SUCCESS) {
        card->utilization_percent = util[0];
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetTemperature, (dev, 0, &value)) == NVML_SUCCESS) {
        card->temperature_c = value;
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetPowerUsage, (dev, &value)) == NVML_SUCCESS) {
        card->power_w = value / 1000.0;
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetMigMode, (dev, &mig, &pending)) == NVML_SUCCESS && mig == 1) {
        reading_remark(card->remark, "MIG is on: the card's own utilisation is not measured");
    }
}

static void read_identity(struct probe *p, const struct nvml *n, nvml_device dev,
                          struct devices_card *card)
{
    char text[VENDOR_ROOM] = "";
    union {
        struct nvml_pci pci;
        char room[VENDOR_ROOM];
    } u = {.room = {0}};
    int major = 0;
    int minor = 0;
    unsigned node = 0;

    if (PROBE_CALL(p, n, nvmlDeviceGetName, (dev, text, 96)) == NVML_SUCCESS) {
        reading_field(card->model, sizeof(card->model), text, 96);
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetUUID, (dev, text, 96)) == NVML_SUCCESS) {
        reading_field(card->uuid, sizeof(card->uuid), text, 96);
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetVbiosVersion, (dev, text, 32)) == NVML_SUCCESS) {
        reading_field(card->firmware, sizeof(card->firmware), text, 32);
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetMinorNumber, (dev, &node)) == NVML_SUCCESS && node < 4096) {
        card->node = (int32_t)node;
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetCudaComputeCapability, (dev, &major, &minor)) ==
        NVML_SUCCESS) {
        snprintf(card->capability, sizeof(card->capability), "%d.%d", major, minor);
    }
    if (PROBE_CALL(p, n, nvmlDeviceGetPciInfo_v3, (dev, &u)) == NVML_SUCCESS) {
        reading_bus_numbers(card->bus_id, u.pci.domain, u.pci.bus, u.pci.device, 0);
    }
}

/* The three generations share the call and differ in the size of an element: 24, 24 and 16
 * bytes. */
static void read_processes(struct probe *p, const struct nvml *n, nvml_device dev,
                           uint32_t card_idx)
{
    uint8_t list[READING_CARD_PROCESSES_MAX * sizeof(struct nvml_process) + VENDOR_ROOM] = {0};
    struct reading *w = probe_work(p);
    size_t step = sizeof(struct nvml_process);
    unsigned count = READING_CARD_PROCESSES_MAX;
    int rc = PROBE_CALL(p, n, nvmlDeviceGetComputeRunningProcesses_v3, (dev, &count, list));

    if (rc == PROBE_MISSING) {
        rc = PROBE_CALL(p, n, nvmlDeviceGetComputeRunningProcesses_v2, (dev, &count, list));
    }
    if (rc == PROBE_MISSING) {
        step = sizeof(struct nvml_process_v1);
        rc = PROBE_CALL(p, n, nvmlDeviceGetComputeRunningProcesses, (dev, &count, list));
    }
    if (rc == NVML_INSUFFICIENT_SIZE) {
        reading_remark(w->cards[card_idx].remark, "more than %d processes: none listed",
                       READING_CARD_PROCESSES_MAX);
    }
    if (rc != NVML_SUCCESS || count > READING_CARD_PROCESSES_MAX) {
        return;
    }
    w->cards[card_idx].processes_known = true;
    for (unsigned i = 0; i < count; i++) {
        struct nvml_process_v1 item; // the first two fields are the same in all

        memcpy(&item, list + i * step, sizeof(item));
        reading_add_process(w, card_idx, item.pid, STR(""), vendor_bytes(item.memory));
    }
}

static void read_device(struct probe *p, const struct nvml *n, unsigned index)
{
    struct reading *w = probe_work(p);
    struct devices_card card;
    nvml_device dev = NULL;
    int rc = PROBE_CALL(p, n, nvmlDeviceGetHandleByIndex_v2, (index, &dev));

    reading_card_init(&card, DEVICES_NVIDIA, index);
    if (rc != NVML_SUCCESS) {
        reading_remark(card.remark, "no handle: %s (%d)", meaning(rc), rc);
        card.health = rc == NVML_GPU_IS_LOST || rc == NVML_RESET_REQUIRED ? DEVICES_HEALTH_CRITICAL
                                                                          : DEVICES_HEALTH_UNKNOWN;
    } else {
        read_identity(p, n, dev, &card);
        read_memory(p, n, dev, &card);
        read_usage(p, n, dev, &card);
    }
    memcpy(card.driver, w->driver, sizeof(card.driver));
    if (reading_add_card(w, &card) && rc == NVML_SUCCESS) {
        read_processes(p, n, dev, w->n_cards - 1);
    }
    probe_publish(p);
}

static void read_system(struct probe *p, const struct nvml *n)
{
    struct reading *w = probe_work(p);
    char text[VENDOR_ROOM] = "";
    int cuda = 0;

    if (PROBE_CALL(p, n, nvmlSystemGetDriverVersion, (text, 80)) == NVML_SUCCESS) {
        reading_field(w->driver, sizeof(w->driver), text, 80);
    }
    if (PROBE_CALL(p, n, nvmlSystemGetCudaDriverVersion_v2, (&cuda)) == NVML_SUCCESS &&
        cuda >= 1000) {
        snprintf(w->toolkit, sizeof(w->toolkit), "%d.%d", cuda / 1000, cuda % 1000 / 10);
    }
}

void vendor_nvml_read(struct probe *p)
{
    struct reading *w = probe_work(p);
    struct nvml n = {0};
    unsigned count = 0;
    int rc;

    if (!probe_load(p, places, ARRAY_COUNT(places), symbols, ARRAY_COUNT(symbols), &n)) {
        return;
    }
    rc = PROBE_CALL(p, &n, nvmlInit_v2, ());
    if (rc != NVML_SUCCESS) {
        probe_failed(p, "nvmlInit_v2", rc, meaning(rc));
        return;
    }
    read_system(p, &n);
    rc = PROBE_CALL(p, &n, nvmlDeviceGetCount_v2, (&count));
    if (rc != NVML_SUCCESS) {
        probe_failed(p, "nvmlDeviceGetCount_v2", rc, meaning(rc));
    } else {
        w->state = count == 0 ? DEVICES_NO_DEVICE : DEVICES_FINE;
        for (unsigned i = 0; i < count && i < READING_CARDS_MAX; i++) {
            read_device(p, &n, i);
        }
    }
    (void)PROBE_CALL(p, &n, nvmlShutdown, ());
}
