/* A card carries up to four devices, and one of them may be a control unit; ids have holes, so only
 * ids from the library's own lists are used.  /dev/davinciN counts physical ids, never logic ids.
 * The dcmiv2 family of 950 drivers (one id per device) is not bound: such hosts are read by
 * npu-smi. */
#include "base/check.h"
#include "devices/vendor.h"

#include <stdio.h>
#include <string.h>

#define DCMI_CARDS_MAX 64
#define DCMI_DEVICES_MAX 4 // per card
#define DCMI_TYPE_NPU 0
#define DCMI_DIE_VDIE 1
#define DCMI_PROCESSES_MAX 32
#define DCMI_INVALID 0x7fffffffu // values from here on are a failed read

enum { DCMI_RATE_AICORE = 2, DCMI_RATE_OVERALL = 13 };

struct dcmi_chip_v2 {
    char type[32], name[32], version[32];
    uint32_t n_cores;
    char npu_name[32];
};

struct dcmi_hbm {
    uint64_t size_mb;
    uint32_t freq;
    uint64_t used_mb;
    int32_t temperature;
    uint32_t bandwidth_percent;
};

struct dcmi_memory_v3 {
    uint64_t size_mb, available_mb;
    uint64_t freq, hugepage_size, hugepages_total, hugepages_free;
    uint32_t percent;
    uint8_t reserve[60];
};

struct dcmi_memory_v2 {
    uint64_t size_mb;
    uint32_t freq, percent;
};

struct dcmi_pcie_v2 {
    uint32_t vendor, sub_vendor, device_id, sub_device, domain, bus, device, function;
    uint8_t reserve[32];
};

struct dcmi_pcie_v1 {
    uint32_t device_id, vendor, sub_vendor, sub_device, device, bus, function;
};

struct dcmi_process {
    int32_t pid;
    unsigned long bytes;
};

_Static_assert(sizeof(struct dcmi_chip_v2) == 132, "layout");
_Static_assert(sizeof(struct dcmi_hbm) == 32, "layout");
_Static_assert(sizeof(struct dcmi_memory_v3) == 112, "layout");
_Static_assert(sizeof(struct dcmi_memory_v2) == 16, "layout");
_Static_assert(sizeof(struct dcmi_pcie_v2) == 64, "layout");
_Static_assert(sizeof(struct dcmi_pcie_v1) == 28, "layout");
_Static_assert(sizeof(struct dcmi_process) == 16 || sizeof(long) != 8, "layout");

struct dcmi {
    int (*dcmi_init)(void);
    int (*dcmi_get_driver_version)(char *, unsigned);
    int (*dcmi_get_card_list)(int *, int *, int);
    int (*dcmi_get_card_num_list)(int *, int *, int);
    int (*dcmi_get_device_num_in_card)(int, int *);
    int (*dcmi_get_device_type)(int, int, int *);
    int (*dcmi_get_device_logic_id)(int *, int, int);
    int (*dcmi_get_device_phyid_from_logicid)(unsigned, unsigned *);
    int (*dcmi_get_device_chip_info_v2)(int, int, void *);
    int (*dcmi_get_device_chip_info)(int, int, void *);
    int (*dcmi_get_device_die_v2)(int, int, int, void *);
    int (*dcmi_get_device_pcie_info_v2)(int, int, void *);
    int (*dcmi_get_device_pcie_info)(int, int, void *);
    int (*dcmi_get_device_hbm_info)(int, int, void *);
    int (*dcmi_get_device_memory_info_v3)(int, int, void *);
    int (*dcmi_get_device_memory_info_v2)(int, int, void *);
    int (*dcmi_get_device_utilization_rate)(int, int, int, unsigned *);
    int (*dcmi_get_device_temperature)(int, int, int *);
    int (*dcmi_get_device_power_info)(int, int, int *);
    int (*dcmi_get_device_health)(int, int, unsigned *);
    int (*dcmi_get_device_resource_info)(int, int, void *, int *);
};

static const struct probe_symbol symbols[] = {
    PROBE_SYMBOL(dcmi, dcmi_init, true),
    PROBE_SYMBOL(dcmi, dcmi_get_driver_version, false),
    PROBE_SYMBOL(dcmi, dcmi_get_card_list, false),
    PROBE_SYMBOL(dcmi, dcmi_get_card_num_list, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_num_in_card, true),
    PROBE_SYMBOL(dcmi, dcmi_get_device_type, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_logic_id, true),
    PROBE_SYMBOL(dcmi, dcmi_get_device_phyid_from_logicid, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_chip_info_v2, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_chip_info, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_die_v2, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_pcie_info_v2, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_pcie_info, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_hbm_info, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_memory_info_v3, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_memory_info_v2, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_utilization_rate, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_temperature, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_power_info, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_health, false),
    PROBE_SYMBOL(dcmi, dcmi_get_device_resource_info, false),
};

static const char *const places[] = {
    "libdcmi.so",
    "/usr/local/Ascend/driver/lib64/driver/libdcmi.so",
    "/usr/local/dcmi/libdcmi.so",
    "/usr/lib64/libdcmi.so",
};

static const char *meaning(int rc)
{
    static const struct {
        int code;
        const char *words;
    } table[] = {
        {PROBE_MISSING, "the library lacks this function"},
        {-8001, "bad parameter"},
        {-8002, "no permission"},
        {-8003, "memory operation failed"},
        {-8005, "internal error: the driver cannot be used from here"},
        {-8006, "time-out"},
        {-8007, "bad device id"},
        {-8008, "the device does not exist"},
        {-8009, "ioctl failed"},
        {-8012, "not ready"},
        {-8013, "not supported in a container"},
        {-8014, "file operation failed"},
        {-8015, "reset failed"},
        {-8017, "upgrading"},
        {-8020, "another process or container holds the device"},
        {-8255, "not supported on this device"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        if (table[i].code == rc) {
            return table[i].words;
        }
    }
    return "unknown error";
}

/* One device while it is read. */
struct unit {
    struct probe *p;
    const struct dcmi *d;
    int card, dev;
    struct devices_card *out;
};

static void read_model(const struct unit *u)
{
    union {
        struct dcmi_chip_v2 chip;
        char room[VENDOR_ROOM];
    } b = {.room = {0}};
    int rc = PROBE_CALL(u->p, u->d, dcmi_get_device_chip_info_v2, (u->card, u->dev, &b));

    if (rc != 0) {
        rc = PROBE_CALL(u->p, u->d, dcmi_get_device_chip_info, (u->card, u->dev, &b));
    }
    if (rc == 0) {
        reading_field(u->out->model, sizeof(u->out->model), b.chip.name, sizeof(b.chip.name));
    }
}

static void read_identity(const struct unit *u)
{
    uint32_t die[VENDOR_ROOM / 4] = {0};
    union {
        struct dcmi_pcie_v2 v2;
        struct dcmi_pcie_v1 v1;
        char room[VENDOR_ROOM];
    } pci = {.room = {0}};

    read_model(u);
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_die_v2, (u->card, u->dev, DCMI_DIE_VDIE, die)) ==
        0) {
        snprintf(u->out->uuid, sizeof(u->out->uuid), "%X %X %X %X %X", die[0], die[1], die[2],
                 die[3], die[4]);
    }
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_pcie_info_v2, (u->card, u->dev, &pci)) == 0) {
        reading_bus_numbers(u->out->bus_id, pci.v2.domain, pci.v2.bus, pci.v2.device,
                            pci.v2.function);
    } else if (PROBE_CALL(u->p, u->d, dcmi_get_device_pcie_info, (u->card, u->dev, &pci)) == 0) {
        reading_bus_numbers(u->out->bus_id, 0, pci.v1.bus, pci.v1.device, pci.v1.function);
    }
}

/* The 910 family answers for HBM, the 310P family for DDR, with a free figure or only a share. */
static void read_memory(const struct unit *u)
{
    union {
        struct dcmi_hbm hbm;
        struct dcmi_memory_v3 v3;
        struct dcmi_memory_v2 v2;
        char room[VENDOR_ROOM];
    } m = {.room = {0}};
    struct devices_card *c = u->out;

    if (PROBE_CALL(u->p, u->d, dcmi_get_device_hbm_info, (u->card, u->dev, &m)) == 0 &&
        m.hbm.size_mb != 0) {
        c->memory_total_bytes = vendor_mib(m.hbm.size_mb);
        c->memory_used_bytes = vendor_mib(m.hbm.used_mb);
        return;
    }
    memset(&m, 0, sizeof(m));
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_memory_info_v3, (u->card, u->dev, &m)) == 0) {
        c->memory_total_bytes = vendor_mib(m.v3.size_mb);
        c->memory_used_bytes =
            m.v3.available_mb <= m.v3.size_mb ? vendor_mib(m.v3.size_mb - m.v3.available_mb) : -1;
        return;
    }
    memset(&m, 0, sizeof(m));
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_memory_info_v2, (u->card, u->dev, &m)) == 0) {
        c->memory_total_bytes = vendor_mib(m.v2.size_mb);
        c->memory_used_bytes = m.v2.percent <= 100 && c->memory_total_bytes >= 0
                                   ? c->memory_total_bytes / 100 * (int64_t)m.v2.percent
                                   : -1;
    }
}

static void read_usage(const struct unit *u)
{
    unsigned value = 0;
    int number = 0;
    int rc = PROBE_CALL(u->p, u->d, dcmi_get_device_utilization_rate,
                        (u->card, u->dev, DCMI_RATE_AICORE, &value));

    if (rc == 0) {
        u->out->utilization_percent = value;
    }
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_temperature, (u->card, u->dev, &number)) == 0) {
        u->out->temperature_c = number;
    }
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_power_info, (u->card, u->dev, &number)) == 0) {
        u->out->power_w = number / 10.0;
    }
    if (PROBE_CALL(u->p, u->d, dcmi_get_device_health, (u->card, u->dev, &value)) == 0) {
        if (value <= 3) {
            u->out->health = (enum devices_health)(DEVICES_HEALTH_OK + (int)value);
        } else if (value >= DCMI_INVALID) {
            reading_remark(u->out->remark, "health was not read: device absent or not started");
        }
    }
}

static void read_processes(const struct unit *u, uint32_t card_idx)
{
    union {
        struct dcmi_process list[DCMI_PROCESSES_MAX];
        char room[2 * DCMI_PROCESSES_MAX * sizeof(struct dcmi_process)];
    } b = {.room = {0}};
    struct reading *w = probe_work(u->p);
    int n = DCMI_PROCESSES_MAX;

    if (PROBE_CALL(u->p, u->d, dcmi_get_device_resource_info, (u->card, u->dev, b.list, &n)) != 0 ||
        n < 0 || n > DCMI_PROCESSES_MAX) {
        return;
    }
    w->cards[card_idx].processes_known = true;
    for (int i = 0; i < n; i++) {
        if (b.list[i].pid > 0) {
            reading_add_process(w, card_idx, (uint32_t)b.list[i].pid, STR(""),
                                vendor_bytes(b.list[i].bytes));
        }
    }
}

static void read_device(struct probe *p, const struct dcmi *d, int card_id, int device_id)
{
    struct reading *w = probe_work(p);
    struct devices_card card;
    struct unit u = {p, d, card_id, device_id, &card};
    int type = DCMI_TYPE_NPU;
    int logic = -1;
    unsigned physical = 0;
    int rc = PROBE_CALL(p, d, dcmi_get_device_type, (card_id, device_id, &type));

    if (rc == 0 && type != DCMI_TYPE_NPU) {
        return; // the board's control unit
    }
    rc = PROBE_CALL(p, d, dcmi_get_device_logic_id, (&logic, card_id, device_id));
    reading_card_init(&card, DEVICES_ASCEND, rc == 0 && logic >= 0 ? (uint32_t)logic : w->n_cards);
    card.npu = card_id;
    card.chip = device_id;
    if (rc != 0 || logic < 0) {
        reading_remark(card.remark, "logic id was not read: %s (%d)", meaning(rc), rc);
    } else if (PROBE_CALL(p, d, dcmi_get_device_phyid_from_logicid, ((unsigned)logic, &physical)) ==
                   0 &&
               physical < 4096) {
        card.node = (int32_t)physical;
    }
    read_identity(&u);
    read_memory(&u);
    read_usage(&u);
    memcpy(card.driver, w->driver, sizeof(card.driver));
    if (reading_add_card(w, &card)) {
        read_processes(&u, w->n_cards - 1);
    }
    probe_publish(p);
}

static int list_cards(struct probe *p, const struct dcmi *d, int *ret_n,
                      int ret_ids[DCMI_CARDS_MAX])
{
    int rc = PROBE_CALL(p, d, dcmi_get_card_list, (ret_n, ret_ids, DCMI_CARDS_MAX));

    if (rc == PROBE_MISSING) {
        rc = PROBE_CALL(p, d, dcmi_get_card_num_list, (ret_n, ret_ids, DCMI_CARDS_MAX));
    }
    return rc;
}

void vendor_dcmi_read(struct probe *p)
{
    struct reading *w = probe_work(p);
    struct dcmi d = {0};
    char text[VENDOR_ROOM] = "";
    int ids[DCMI_CARDS_MAX] = {0};
    int n_cards = 0;
    int rc;

    if (!probe_load(p, places, ARRAY_COUNT(places), symbols, ARRAY_COUNT(symbols), &d)) {
        return;
    }
    rc = PROBE_CALL(p, &d, dcmi_init, ());
    if (rc != 0) {
        probe_failed(p, "dcmi_init", rc, meaning(rc));
        return;
    }
    if (PROBE_CALL(p, &d, dcmi_get_driver_version, (text, 64)) == 0) {
        reading_field(w->driver, sizeof(w->driver), text, 64);
    }
    rc = list_cards(p, &d, &n_cards, ids);
    if (rc != 0) {
        probe_failed(p, "dcmi_get_card_list", rc, meaning(rc));
        return;
    }
    for (int i = 0; i < n_cards && i < DCMI_CARDS_MAX; i++) {
        int n_devices = 0;

        rc = PROBE_CALL(p, &d, dcmi_get_device_num_in_card, (ids[i], &n_devices));
        for (int j = 0; rc == 0 && j < n_devices && j < DCMI_DEVICES_MAX; j++) {
            read_device(p, &d, ids[i], j);
        }
    }
    w->state = w->n_cards > 0 ? DEVICES_FINE : DEVICES_NO_DEVICE;
}
