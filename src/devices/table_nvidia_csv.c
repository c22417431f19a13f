#include "base/check.h"
#include "devices/table.h"

#include <math.h>
#include <string.h>

enum column {
    COLUMN_INDEX,
    COLUMN_NAME,
    COLUMN_UUID,
    COLUMN_BUS,
    COLUMN_DRIVER,
    COLUMN_VBIOS,
    COLUMN_TOTAL,
    COLUMN_USED,
    COLUMN_UTIL,
    COLUMN_TEMPERATURE,
    COLUMN_POWER,
    COLUMN_CAPABILITY,
    COLUMN_MIG,
    COLUMN_PID,
    COLUMN_PROCESS,
    COLUMN_PROCESS_MEMORY,
    COLUMN_COUNT,
};

/* Names as printed, without " [unit]"; the second is that of the process list. */
static const char *const names[COLUMN_COUNT][2] = {
    [COLUMN_INDEX] = {"index", NULL},
    [COLUMN_NAME] = {"name", NULL},
    [COLUMN_UUID] = {"uuid", "gpu_uuid"},
    [COLUMN_BUS] = {"pci.bus_id", "gpu_bus_id"},
    [COLUMN_DRIVER] = {"driver_version", NULL},
    [COLUMN_VBIOS] = {"vbios_version", NULL},
    [COLUMN_TOTAL] = {"memory.total", NULL},
    [COLUMN_USED] = {"memory.used", NULL},
    [COLUMN_UTIL] = {"utilization.gpu", NULL},
    [COLUMN_TEMPERATURE] = {"temperature.gpu", NULL},
    [COLUMN_POWER] = {"power.draw", NULL},
    [COLUMN_CAPABILITY] = {"compute_cap", NULL},
    [COLUMN_MIG] = {"mig.mode.current", NULL},
    [COLUMN_PID] = {"pid", NULL},
    [COLUMN_PROCESS] = {"process_name", NULL},
    [COLUMN_PROCESS_MEMORY] = {"used_gpu_memory", "used_memory"},
};

struct csv {
    uint32_t at[COLUMN_COUNT]; // index of the cell, UINT32_MAX: not printed
};

static bool read_header(struct str line, struct csv *csv)
{
    struct table_cells c;
    bool any = false;

    memset(csv, 0xff, sizeof(*csv));
    table_cut(line, ',', &c);
    for (uint32_t i = 0; i < c.n; i++) {
        size_t unit = str_find(c.at[i], STR(" ["), 0);
        struct str name = str_slice(c.at[i], 0, unit);

        for (uint32_t k = 0; k < COLUMN_COUNT; k++) {
            if (str_eq(name, str_from_c(names[k][0])) ||
                (names[k][1] != NULL && str_eq(name, str_from_c(names[k][1])))) {
                csv->at[k] = i;
                any = true;
            }
        }
    }
    return any;
}

static struct str cell(const struct csv *csv, const struct table_cells *c, enum column k)
{
    return csv->at[k] < c->n ? c->at[csv->at[k]] : STR("");
}

static void read_card(const struct csv *csv, const struct table_cells *c, struct reading *r)
{
    struct devices_card card;
    int64_t index = table_count(cell(csv, c, COLUMN_INDEX));

    reading_card_init(&card, DEVICES_NVIDIA, index >= 0 ? (uint32_t)index : r->n_cards);
    reading_text(card.model, sizeof(card.model), cell(csv, c, COLUMN_NAME));
    reading_text(card.uuid, sizeof(card.uuid), cell(csv, c, COLUMN_UUID));
    reading_bus_id(card.bus_id, cell(csv, c, COLUMN_BUS));
    reading_text(card.driver, sizeof(card.driver), cell(csv, c, COLUMN_DRIVER));
    reading_text(card.firmware, sizeof(card.firmware), cell(csv, c, COLUMN_VBIOS));
    reading_text(card.capability, sizeof(card.capability), cell(csv, c, COLUMN_CAPABILITY));
    card.memory_total_bytes = table_mib(table_number(cell(csv, c, COLUMN_TOTAL), "MiB"));
    card.memory_used_bytes = table_mib(table_number(cell(csv, c, COLUMN_USED), "MiB"));
    card.utilization_percent = table_number(cell(csv, c, COLUMN_UTIL), "%");
    card.temperature_c = table_number(cell(csv, c, COLUMN_TEMPERATURE), NULL);
    card.power_w = table_number(cell(csv, c, COLUMN_POWER), "W");
    if (str_eq(cell(csv, c, COLUMN_MIG), STR("Enabled"))) {
        reading_remark(card.remark, "MIG is on: the card's own utilisation is not measured");
    }
    memcpy(r->driver, card.driver, sizeof(r->driver));
    reading_add_card(r, &card);
}

/* Rows of a csv whose header names `needed`; others give nothing. */
static void each_row(struct str text, enum column needed, struct reading *r,
                     void (*row)(const struct csv *, const struct table_cells *, struct reading *))
{
    struct csv csv;
    struct table_cells c;
    struct str line;
    bool in_table = false;
    size_t at = 0;

    for (uint32_t n = 0; n < TABLE_LINES_MAX && table_next_line(text, &at, &line); n++) {
        if (!in_table) {
            in_table = read_header(line, &csv) && csv.at[needed] != UINT32_MAX;
            continue;
        }
        table_cut(line, ',', &c);
        if (c.n > 1) {
            row(&csv, &c, r);
        }
    }
}

void table_nvidia_csv(struct str text, struct reading *r)
{
    each_row(text, COLUMN_TOTAL, r, read_card);
    table_conclude(text, r);
}

static void read_process(const struct csv *csv, const struct table_cells *c, struct reading *r)
{
    int64_t pid = table_count(cell(csv, c, COLUMN_PID));
    char uuid[DEVICES_NAME_MAX];
    char bus_id[32];

    reading_text(uuid, sizeof(uuid), cell(csv, c, COLUMN_UUID));
    reading_bus_id(bus_id, cell(csv, c, COLUMN_BUS));
    for (uint32_t i = 0; pid > 0 && i < r->n_cards; i++) {
        bool same_bus = bus_id[0] != '\0' && strcmp(bus_id, r->cards[i].bus_id) == 0;
        bool same_uuid = uuid[0] != '\0' && strcmp(uuid, r->cards[i].uuid) == 0;

        if (same_bus || (bus_id[0] == '\0' && same_uuid)) {
            reading_add_process(r, i, (uint32_t)pid, cell(csv, c, COLUMN_PROCESS),
                                table_mib(
                                    table_number(cell(csv, c, COLUMN_PROCESS_MEMORY), "MiB")));
            return;
        }
    }
}

void table_nvidia_apps(struct str text, struct reading *r)
{
    if (str_find(text, STR("pid"), 0) == SIZE_MAX) {
        return; // an error, or nothing at all
    }
    for (uint32_t i = 0; i < r->n_cards; i++) {
        r->cards[i].processes_known = true;
    }
    each_row(text, COLUMN_PID, r, read_process);
}
