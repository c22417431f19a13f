/* Almost every struct begins with a version that the caller writes: 6 for current libraries, 5 for
 * those of MLU370 drivers.  A wrong one gives UNSUPPORTED_API_VERSION and the older is tried. */
#include "base/check.h"
#include "devices/vendor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CNDEV_UNSUPPORTED_VERSION 3
#define CNDEV_RUNNING 4         // state of the card's driver
#define CNDEV_HEALTH_ROOM 40000 // cndevCardHealthStateV2_t has 34,612 bytes, all written
#define CNDEV_ROOM 1024         // of all other structs, the largest known has 328

struct cndev_block { // the largest struct with room behind it
    union {
        int32_t version;
        int32_t words[CNDEV_ROOM / 4];
        int64_t longs[CNDEV_ROOM / 8];
        char bytes[CNDEV_ROOM];
    };
};

struct cndev_process {
    int32_t version;
    uint32_t pid;
    uint64_t physical_kib, virtual_kib;
};

_Static_assert(sizeof(struct cndev_process) == 24, "layout");

struct cndev {
    int (*cndevInit)(int);
    int (*cndevRelease)(void);
    int (*cndevGetDeviceCount)(void *);
    int (*cndevGetDeviceHandleByIndex)(int, int32_t *);
    const char *(*cndevGetCardNameStringByDevId)(int32_t);
    int (*cndevGetUUID)(void *, int32_t);
    int (*cndevGetVersionInfo)(void *, int32_t);
    int (*cndevGetMemoryUsageV2)(void *, int32_t);
    int (*cndevGetMemoryUsage)(void *, int32_t);
    int (*cndevGetDeviceUtilizationInfo)(void *, int32_t);
    int (*cndevGetTemperatureInfo)(void *, int32_t);
    int (*cndevGetDevicePowerInfo)(void *, int32_t);
    int (*cndevGetPowerInfo)(void *, int32_t);
    int (*cndevGetCardHealthStateV2)(void *, int32_t);
    int (*cndevGetCardHealthState)(void *, int32_t);
    int (*cndevGetPCIeInfoV2)(void *, int32_t);
    int (*cndevGetPCIeInfo)(void *, int32_t);
    int (*cndevGetProcessInfo)(unsigned *, void *, int32_t);
    int (*cndevDeviceGetMinorNumber)(unsigned *, int32_t);
};

static const struct probe_symbol symbols[] = {
    PROBE_SYMBOL(cndev, cndevInit, true),
    PROBE_SYMBOL(cndev, cndevRelease, false),
    PROBE_SYMBOL(cndev, cndevGetDeviceCount, true),
    PROBE_SYMBOL(cndev, cndevGetDeviceHandleByIndex, false),
    PROBE_SYMBOL(cndev, cndevGetCardNameStringByDevId, false),
    PROBE_SYMBOL(cndev, cndevGetUUID, false),
    PROBE_SYMBOL(cndev, cndevGetVersionInfo, false),
    PROBE_SYMBOL(cndev, cndevGetMemoryUsageV2, false),
    PROBE_SYMBOL(cndev, cndevGetMemoryUsage, false),
    PROBE_SYMBOL(cndev, cndevGetDeviceUtilizationInfo, false),
    PROBE_SYMBOL(cndev, cndevGetTemperatureInfo, false),
    PROBE_SYMBOL(cndev, cndevGetDevicePowerInfo, false),
    PROBE_SYMBOL(cndev, cndevGetPowerInfo, false),
    PROBE_SYMBOL(cndev, cndevGetCardHealthStateV2, false),
    PROBE_SYMBOL(cndev, cndevGetCardHealthState, false),
    PROBE_SYMBOL(cndev, cndevGetPCIeInfoV2, false),
    PROBE_SYMBOL(cndev, cndevGetPCIeInfo, false),
    PROBE_SYMBOL(cndev, cndevGetProcessInfo, false),
    PROBE_SYMBOL(cndev, cndevDeviceGetMinorNumber, false),
};

static const char *meaning(int rc)
{
    static const char *const words[] = {
        [1] = "the kernel driver is not loaded",
        [2] = "the driver is too old for this library",
        [3] = "unsupported API version",
        [4] = "not initialised",
        [5] = "invalid argument",
        [6] = "invalid device id",
        [7] = "unknown error",
        [8] = "out of memory",
        [9] = "insufficient space",
        [10] = "not supported",
        [12] = "no devices: the driver failed or the device nodes are not here",
        [13] = "no permission",
        [14] = "not found",
        [15] = "in use",
        [17] = "time-out",
        [18] = "in a faulty state",
    };

    if (rc == PROBE_MISSING) {
        return "the library lacks this function";
    }
    return rc > 0 && rc < (int)ARRAY_COUNT(words) && words[rc] != NULL ? words[rc]
                                                                       : "unknown error";
}

/* One versioned query: version 6, then 5. */
#define ASK(p, api, fn, block, args)                                                               \
    do {                                                                                           \
        *(block) = (struct cndev_block){.version = 6};                                             \
        rc = PROBE_CALL(p, api, fn, args);                                                         \
        if (rc == CNDEV_UNSUPPORTED_VERSION) {                                                     \
            *(block) = (struct cndev_block){.version = 5};                                         \
            rc = PROBE_CALL(p, api, fn, args);                                                     \
        }                                                                                          \
    } while (0)

struct unit {
    struct probe *p;
    const struct cndev *c;
    int32_t dev;
    struct devices_card *out;
};

static void read_model(const struct unit *u)
{
    const char *name;

    if (u->c->cndevGetCardNameStringByDevId == NULL ||
        !probe_enter(u->p, "cndevGetCardNameStringByDevId")) {
        return;
    }
    name = u->c->cndevGetCardNameStringByDevId(u->dev);
    if (probe_leave(u->p, 0) == 0 && name != NULL) {
        reading_field(u->out->model, sizeof(u->out->model), name, DEVICES_NAME_MAX);
    }
}

static void read_versions(const struct unit *u)
{
    struct cndev_block b;
    int rc;

    ASK(u->p, u->c, cndevGetVersionInfo, &b, (&b, u->dev));
    if (rc == 0) {
        snprintf(u->out->firmware, sizeof(u->out->firmware), "%d.%d.%d", b.words[1], b.words[2],
                 b.words[3]);
        snprintf(u->out->driver, sizeof(u->out->driver), "%d.%d.%d", b.words[4], b.words[5],
                 b.words[6]);
    }
}

static void read_bus(const struct unit *u)
{
    struct cndev_block b = {.version = 0};
    int rc = PROBE_CALL(u->p, u->c, cndevGetPCIeInfoV2, (&b, u->dev)); // V2 has no version field

    if (rc == 0) {
        reading_bus_numbers(u->out->bus_id, (uint32_t)b.words[3], (uint32_t)b.words[4],
                            (uint32_t)b.words[5], (uint32_t)b.words[6]);
        return;
    }
    ASK(u->p, u->c, cndevGetPCIeInfo, &b, (&b, u->dev));
    if (rc == 0) {
        reading_bus_numbers(u->out->bus_id, (uint32_t)b.words[4], (uint32_t)b.words[5],
                            (uint32_t)b.words[6], (uint32_t)b.words[7]);
    }
}

static void read_identity(const struct unit *u)
{
    struct cndev_block b;
    unsigned node = 0;
    int rc;

    read_model(u);
    read_versions(u);
    read_bus(u);
    ASK(u->p, u->c, cndevGetUUID, &b, (&b, u->dev));
    if (rc == 0) {
        char uuid[64];

        reading_field(uuid, sizeof(uuid), b.bytes + 4, 37);
        if (uuid[0] != '\0') {
            snprintf(u->out->uuid, sizeof(u->out->uuid), "MLU-%s", uuid);
        }
    }
    if (PROBE_CALL(u->p, u->c, cndevDeviceGetMinorNumber, (&node, u->dev)) == 0 && node < 4096) {
        u->out->node = (int32_t)node;
    }
}

static int64_t mib_or_unknown(int64_t mib)
{
    return mib < 0 ? -1 : vendor_mib((uint64_t)mib);
}

static void read_memory(const struct unit *u)
{
    struct cndev_block b = {.version = 0};
    int rc = PROBE_CALL(u->p, u->c, cndevGetMemoryUsageV2, (&b, u->dev)); // no version field

    if (rc == 0) {
        u->out->memory_total_bytes = mib_or_unknown(b.longs[0]);
        u->out->memory_used_bytes = mib_or_unknown(b.longs[1]);
        return;
    }
    ASK(u->p, u->c, cndevGetMemoryUsage, &b, (&b, u->dev));
    if (rc == 0) {
        u->out->memory_total_bytes = mib_or_unknown(b.longs[1]);
        u->out->memory_used_bytes = mib_or_unknown(b.longs[2]);
    }
}

static void read_usage(const struct unit *u)
{
    struct cndev_block b = {.version = 0};
    int rc;

    rc = PROBE_CALL(u->p, u->c, cndevGetDevicePowerInfo, (&b, u->dev)); // no version field
    if (rc == 0) {
        u->out->power_w = b.words[0];
    } else {
        ASK(u->p, u->c, cndevGetPowerInfo, &b, (&b, u->dev));
        if (rc == 0) {
            u->out->power_w = b.words[1];
        }
    }
    ASK(u->p, u->c, cndevGetDeviceUtilizationInfo, &b, (&b, u->dev));
    if (rc == 0) {
        u->out->utilization_percent = b.words[1];
    }
    ASK(u->p, u->c, cndevGetTemperatureInfo, &b, (&b, u->dev));
    if (rc == 0) { // the chip's at 120; the clusters' are 0 on MLU370
        u->out->temperature_c = b.words[30] != 0 ? b.words[30] : b.words[1];
    }
}

static void judge_health(struct devices_card *card, int32_t health, int32_t driver_state)
{
    if (health == 1 && driver_state == CNDEV_RUNNING) {
        card->health = DEVICES_HEALTH_OK;
        return;
    }
    card->health = DEVICES_HEALTH_CRITICAL;
    reading_remark(card->remark, "health %d, driver state %d (usable is 1 and %d)", health,
                   driver_state, CNDEV_RUNNING);
}

static void read_health(const struct unit *u)
{
    int32_t *v2 = calloc(1, CNDEV_HEALTH_ROOM);
    struct cndev_block b;
    int rc;

    CHECK(v2 != NULL);
    rc = PROBE_CALL(u->p, u->c, cndevGetCardHealthStateV2, (v2, u->dev));
    if (rc == 0) {
        judge_health(u->out, v2[0], v2[2]);
        free(v2);
        return;
    }
    free(v2);
    ASK(u->p, u->c, cndevGetCardHealthState, &b, (&b, u->dev));
    if (rc == 0) { // libraries before 2023 end behind `health` and leave the states 0
        judge_health(u->out, b.words[1], b.words[3] == 0 ? CNDEV_RUNNING : b.words[3]);
    }
}

static void read_processes(const struct unit *u, uint32_t card_idx)
{
    struct cndev_process list[READING_CARD_PROCESSES_MAX + 8] = {0};
    struct reading *w = probe_work(u->p);
    unsigned n = READING_CARD_PROCESSES_MAX;
    int rc;

    list[0].version = 6;
    rc = PROBE_CALL(u->p, u->c, cndevGetProcessInfo, (&n, list, u->dev));
    if (rc == CNDEV_UNSUPPORTED_VERSION) {
        n = READING_CARD_PROCESSES_MAX;
        list[0].version = 5;
        rc = PROBE_CALL(u->p, u->c, cndevGetProcessInfo, (&n, list, u->dev));
    }
    if (rc != 0 || n > READING_CARD_PROCESSES_MAX) {
        return;
    }
    w->cards[card_idx].processes_known = true;
    for (unsigned i = 0; i < n; i++) {
        uint64_t kib = list[i].physical_kib;

        reading_add_process(w, card_idx, list[i].pid, STR(""),
                            kib > INT64_MAX / 1024 ? -1 : (int64_t)kib * 1024);
    }
}

static void read_device(struct probe *p, const struct cndev *c, int index)
{
    struct reading *w = probe_work(p);
    struct devices_card card;
    struct unit u = {p, c, index, &card};
    int rc = PROBE_CALL(p, c, cndevGetDeviceHandleByIndex, (index, &u.dev));

    reading_card_init(&card, DEVICES_CAMBRICON, (uint32_t)index);
    if (rc == PROBE_MISSING) {
        u.dev = index; // older libraries count devices by index
    } else if (rc != 0) {
        reading_remark(card.remark, "no handle: %s (%d)", meaning(rc), rc);
        reading_add_card(w, &card);
        return;
    }
    read_identity(&u);
    read_memory(&u);
    read_usage(&u);
    read_health(&u);
    if (w->driver[0] == '\0') {
        memcpy(w->driver, card.driver, sizeof(w->driver));
    }
    if (reading_add_card(w, &card)) {
        read_processes(&u, w->n_cards - 1);
    }
    probe_publish(p);
}

static void read_all(struct probe *p, const struct cndev *c)
{
    struct reading *w = probe_work(p);
    struct cndev_block b;
    int rc;

    ASK(p, c, cndevGetDeviceCount, &b, (&b));
    if (rc != 0) {
        probe_failed(p, "cndevGetDeviceCount", rc, meaning(rc));
        return;
    }
    w->state = b.words[1] > 0 ? DEVICES_FINE : DEVICES_NO_DEVICE;
    for (int i = 0, n = b.words[1]; i < n && i < READING_CARDS_MAX; i++) {
        read_device(p, c, i);
    }
}

void vendor_cndev_read(struct probe *p)
{
    char home[512];
    const char *neuware = getenv("NEUWARE_HOME");
    const char *const places[] = {"libcndev.so", home, "/usr/local/neuware/lib64/libcndev.so",
                                  "/usr/local/neuware/lib/libcndev.so"};
    struct cndev c = {0};
    int rc;

    home[0] = '\0';
    if (neuware != NULL) {
        snprintf(home, sizeof(home), "%s/lib64/libcndev.so", neuware);
    }
    if (!probe_load(p, places, ARRAY_COUNT(places), symbols, ARRAY_COUNT(symbols), &c)) {
        return;
    }
    rc = PROBE_CALL(p, &c, cndevInit, (0));
    if (rc != 0) {
        probe_failed(p, "cndevInit", rc, meaning(rc));
        return;
    }
    read_all(p, &c);
    (void)PROBE_CALL(p, &c, cndevRelease, ());
}
