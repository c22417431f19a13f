#include "support/table_printer.h"
#include "base/check.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)

struct printer {
    uint64_t seed;
    uint64_t position;
    struct buf *out;
    struct reading *want;
    int wide; // blanks added to every column
};

static uint32_t draw(struct printer *p, uint32_t n)
{
    uint32_t words[4];

    rng_block(p->seed, 77, p->position++, words);
    return words[0] % n;
}

static bool one_in(struct printer *p, uint32_t n)
{
    return draw(p, n) == 0;
}

/* Left aligned in a column that is as wide as the layout's, or wider. */
static void cell(struct printer *p, int width, const char *text)
{
    buf_printf(p->out, "| %-*s ", width + p->wide, text);
}

static void end_row(struct printer *p)
{
    buf_append_c(p->out, one_in(p, 9) ? "|\r\n" : "|\n");
}

static void rule(struct printer *p, char c)
{
    buf_append_byte(p->out, '+');
    for (int i = 0; i < 60 + 3 * p->wide; i++) {
        buf_append_byte(p->out, c);
    }
    buf_append_c(p->out, "+\n");
}

/* A figure, or one of the words for "not known"; returns what must be read. */
static double figure(struct printer *p, char *text, size_t cap, double v, const char *fmt_unit)
{
    static const char *const unknown[] = {"NA", "N/A", "-"};

    if (one_in(p, 6)) {
        snprintf(text, cap, "%s", unknown[draw(p, 3)]);
        return (double)NAN;
    }
    snprintf(text, cap, "%g%s", v, fmt_unit);
    return v;
}

static int64_t mib(double v)
{
    return isnan(v) ? -1 : (int64_t)v * MIB;
}

static struct devices_card *new_card(struct printer *p, enum devices_vendor vendor, uint32_t index)
{
    struct devices_card card;
    bool fits;

    reading_card_init(&card, vendor, index);
    reading_bus_numbers(card.bus_id, draw(p, 3), draw(p, 256), draw(p, 32), 0);
    memcpy(card.driver, p->want->driver, sizeof(card.driver));
    fits = reading_add_card(p->want, &card);
    CHECK(fits);
    return &p->want->cards[p->want->n_cards - 1];
}

static void bus_upper(const struct devices_card *c, const char *prefix, char to[48])
{
    snprintf(to, 48, "%s%s", prefix, c->bus_id);
    for (char *s = to; *s != '\0'; s++) {
        *s = *s >= 'a' && *s <= 'f' ? (char)(*s - 32) : *s;
    }
}

static void version(struct printer *p, const char *suffix)
{
    snprintf(p->want->driver, sizeof(p->want->driver), "%u.%u.%u%s", draw(p, 600), draw(p, 90),
             draw(p, 20), suffix);
}

/* ---- npu-smi ---- */

static void npu_card(struct printer *p, struct devices_card *c, bool phy, bool hbm)
{
    static const char *const models[] = {"910B3", "Ascend910", "310P3", "910B2C", "Ascend 910B4-1"};
    static const char *const healths[] = {"OK", "Warning", "Alarm", "Critical"};
    uint32_t health = draw(p, 4);
    char a[64];
    char b[64];
    char u[64];
    char t[64];
    char text[256];

    snprintf(c->model, sizeof(c->model), "%s", models[draw(p, 5)]);
    c->health = (enum devices_health)(DEVICES_HEALTH_OK + (int)health);
    snprintf(text, sizeof(text), "%d     %s", c->npu, c->model);
    cell(p, 25, text);
    cell(p, 13, healths[health]);
    c->power_w = figure(p, a, sizeof(a), draw(p, 4000) / 10.0, "");
    c->temperature_c = figure(p, b, sizeof(b), draw(p, 100), "");
    snprintf(text, sizeof(text), "%-11s %-17s %u    / %u", a, b, draw(p, 20), draw(p, 20));
    cell(p, 50, text);
    end_row(p);
    if (phy) {
        c->node = (int32_t)draw(p, 16);
        snprintf(text, sizeof(text), "%d     %d", c->chip, c->node);
    } else {
        snprintf(text, sizeof(text), "%d", c->chip);
    }
    cell(p, 25, text);
    bus_upper(c, "", text);
    if (one_in(p, 7)) {
        c->bus_id[0] = '\0';
        snprintf(text, sizeof(text), "NA");
    }
    cell(p, 13, text);
    c->utilization_percent = figure(p, a, sizeof(a), draw(p, 101), "");
    c->memory_used_bytes = mib(figure(p, u, sizeof(u), draw(p, 65536), ""));
    c->memory_total_bytes = mib(figure(p, t, sizeof(t), 65536 + draw(p, 100), ""));
    snprintf(text, sizeof(text), hbm ? "%-11s 0    / 0          %s%s/ %s" : "%-11s %s%s/ %s", a, u,
             one_in(p, 2) || u[0] == 'N' || u[0] == '-' ? " " : "", t);
    cell(p, 50, text);
    end_row(p);
    rule(p, '=');
}

static void npu_processes(struct printer *p)
{
    char text[128];

    if (!one_in(p, 3)) {
        cell(p, 25, "NPU     Chip");
        cell(p, 13, "Process id");
        cell(p, 24, "Process name");
        cell(p, 20, "Process memory(MB)");
        end_row(p);
        rule(p, '=');
    }
    for (uint32_t i = 0; i < p->want->n_cards; i++) {
        struct devices_card *c = &p->want->cards[i];
        uint32_t pid = 1 + draw(p, 4000000);
        uint32_t used = draw(p, 60000);

        if (one_in(p, 2)) {
            continue;
        }
        c->processes_known = true;
        reading_add_process(p->want, i, pid, STR("python3 -m vllm"), (int64_t)used * MIB);
        snprintf(text, sizeof(text), "%d       %d", c->npu, c->chip);
        cell(p, 25, text);
        snprintf(text, sizeof(text), "%u", pid);
        cell(p, 13, text);
        cell(p, 24, "python3 -m vllm");
        snprintf(text, sizeof(text), "%u", used);
        cell(p, 20, text);
        end_row(p);
        rule(p, '=');
    }
}

static void print_npu(struct printer *p)
{
    bool phy = one_in(p, 2);
    bool hbm = one_in(p, 2);
    uint32_t n = 1 + draw(p, 8);
    char text[256];

    version(p, one_in(p, 2) ? "" : ".rc1");
    rule(p, '-');
    snprintf(text, sizeof(text), "npu-smi %s       Version: %s", p->want->driver, p->want->driver);
    cell(p, 90, text);
    end_row(p);
    cell(p, 25, "NPU   Name");
    cell(p, 13, "Health");
    cell(p, 50, "Power(W)    Temp(C)           Hugepages-Usage(page)");
    end_row(p);
    cell(p, 25, phy ? "Chip  Phy-ID" : "Chip");
    cell(p, 13, "Bus-Id");
    cell(p, 50,
         hbm ? "AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)" : "AICore(%)   Memory-Usage(MB)");
    end_row(p);
    rule(p, '=');
    for (uint32_t i = 0, npu = draw(p, 3); i < n; i++, npu += 1 + draw(p, 3)) {
        struct devices_card *c = new_card(p, DEVICES_ASCEND, i);

        c->npu = (int32_t)npu;
        c->chip = (int32_t)draw(p, 2);
        npu_card(p, c, phy, hbm);
    }
    npu_processes(p);
}

/* ---- cnmon ---- */

static void cnmon_card(struct printer *p, struct devices_card *c, bool v5)
{
    char a[64];
    char b[64];
    char text[256];

    snprintf(c->model, sizeof(c->model), one_in(p, 2) ? "MLU370-X8" : "MLU 590-M9");
    snprintf(c->firmware, sizeof(c->firmware), "1.%u.%u", draw(p, 9), draw(p, 9));
    snprintf(text, sizeof(text), "%u     /   %s    v%s", c->index, c->model, c->firmware);
    cell(p, 29, text);
    if (v5) {
        bus_upper(c, "", text);
    } else {
        c->bus_id[0] = '\0';
        snprintf(text, sizeof(text), "On    v%s", p->want->driver);
    }
    cell(p, 20, text);
    c->utilization_percent = figure(p, a, sizeof(a), draw(p, 101), "%");
    snprintf(text, sizeof(text), "%s   N/A", a);
    cell(p, 21, text);
    end_row(p);
    c->temperature_c = figure(p, a, sizeof(a), draw(p, 100), "C");
    c->power_w = figure(p, b, sizeof(b), draw(p, 30000) / 100.0, "");
    snprintf(text, sizeof(text), "%u%%   %s   %s W/ 250 W", draw(p, 100), a, b);
    cell(p, 29, text);
    c->memory_total_bytes = (24000 + (int64_t)draw(p, 30000)) * MIB;
    c->memory_used_bytes = (int64_t)draw(p, 24000) * MIB;
    snprintf(text, sizeof(text), "%lld MiB/ %lld MiB", (long long)(c->memory_used_bytes / MIB),
             (long long)(c->memory_total_bytes / MIB));
    if (one_in(p, 6)) {
        c->memory_total_bytes = -1;
        c->memory_used_bytes = -1;
        snprintf(text, sizeof(text), "xxxxx MiB/ xxxxx MiB");
    }
    cell(p, 20, text);
    cell(p, 21, v5 ? "FULL          Default" : "10240 MiB/1048576 MiB");
    end_row(p);
    rule(p, '-');
}

static void print_cnmon(struct printer *p)
{
    bool v5 = one_in(p, 2);
    uint32_t n = 1 + draw(p, 8);
    char text[256];

    version(p, "");
    buf_append_c(p->out, "Thu Dec 19 22:05:42 2024\n");
    rule(p, '-');
    snprintf(text, sizeof(text), v5 ? "CNMON v%s      Driver v%s" : "CNMON v%s", p->want->driver,
             p->want->driver);
    cell(p, 74, text);
    end_row(p);
    cell(p, 29, "Card  VF  Name       Firmware");
    cell(p, 20, v5 ? "Bus-Id" : "Inited        Driver");
    cell(p, 21, "Util        Ecc-Error");
    end_row(p);
    cell(p, 29, "Fan   Temp      Pwr:Usage/Cap");
    cell(p, 20, "Memory-Usage");
    cell(p, 21, "Mode     Compute-Mode");
    end_row(p);
    buf_append_c(p->out, "|===============================+======================+=========|\n");
    for (uint32_t i = 0; i < n; i++) {
        cnmon_card(p, new_card(p, DEVICES_CAMBRICON, i), v5);
    }
    if (one_in(p, 3)) {
        return; // cut in front of the processes
    }
    cell(p, 76, "Processes:");
    end_row(p);
    cell(p, 76, " Card  MI  PID     Command Line                             MLU Memory Usage");
    end_row(p);
    for (uint32_t i = 0; i < n; i++) {
        p->want->cards[i].processes_known = true;
        if (one_in(p, 2)) {
            uint32_t used = draw(p, 20000);

            reading_add_process(p->want, i, 7 + i, STR("python -m vllm"), (int64_t)used * MIB);
            snprintf(text, sizeof(text), " %u     /   %u      python -m vllm         %u MiB", i,
                     7 + i, used);
            cell(p, 76, text);
            end_row(p);
        }
    }
    rule(p, '-');
}

/* ---- mthreads-gmi ---- */

static void gmi_card(struct printer *p, struct devices_card *c, bool perf)
{
    char a[64];
    char b[64];
    char bus[48];
    int name_width = 15 + p->wide;

    snprintf(c->model, sizeof(c->model), one_in(p, 2) ? "MTT S4000" : "MTT S5000");
    c->utilization_percent = figure(p, a, sizeof(a), draw(p, 101), "%");
    c->memory_used_bytes = (int64_t)draw(p, 49152) * MIB;
    c->memory_total_bytes = 49152 * MIB;
    snprintf(bus, sizeof(bus), "0000%s", c->bus_id);
    buf_printf(p->out, "%-4u %-*s|%-20s|%-5s %lldMiB(%lldMiB)\n", c->index, name_width, c->model,
               bus, a, (long long)(c->memory_used_bytes / MIB),
               (long long)(c->memory_total_bytes / MIB));
    c->temperature_c = figure(p, b, sizeof(b), draw(p, 100), "C");
    buf_printf(p->out, "     %-*s|16x(16x)            |%-5s YES\n", name_width,
               perf ? "Physical  P0" : "Physical", b);
    if (one_in(p, 2)) {
        buf_printf(p->out, "     %*s|                    |      N/A  \n", name_width, "");
    }
    buf_append_c(p->out, "+-------------------------------------------------------------+\n");
}

static void print_gmi(struct printer *p)
{
    bool perf = one_in(p, 2);
    uint32_t n = 1 + draw(p, 8);

    version(p, one_in(p, 2) ? "" : "-rc4.2.0-server-Ubuntu");
    if (one_in(p, 5)) {
        p->want->driver[0] = '\0';
    }
    buf_printf(p->out,
               "Fri May  9 11:16:37 2025\n------------\n    mthreads-gmi:1.14.0          "
               "Driver Version:%s  \n------------\n",
               p->want->driver[0] != '\0' ? p->want->driver : "N/A");
    buf_append_c(p->out, "ID   Name           |PCIe                |%GPU  Mem\n"
                         "     Device Type    |Pcie Lane Width     |Temp  MPC Capable\n"
                         "                                         |      ECC Mode\n"
                         "+-------------------------------------------------------------+\n");
    for (uint32_t i = 0; i < n; i++) {
        gmi_card(p, new_card(p, DEVICES_MTHREADS, i), perf);
    }
    if (one_in(p, 3)) {
        return;
    }
    buf_append_c(p->out,
                 "------------\n\n------------\nProcesses:\nID   PID   Process name     GPU "
                 "Memory\n                                 Usage\n+-------------+\n");
    for (uint32_t i = 0; i < n; i++) {
        p->want->cards[i].processes_known = true;
        if (one_in(p, 2)) {
            reading_add_process(p->want, i, 20 + i, STR("...bin/llama-box -m x"), 1333 * MIB);
            buf_printf(p->out, "%u    %u      ...bin/llama-box -m x   1333MiB\n", i, 20 + i);
        }
    }
}

/* ---- nvidia-smi ---- */

static void nvidia_card(struct printer *p, struct devices_card *c)
{
    char a[64];
    char b[64];
    char text[256];

    snprintf(c->model, sizeof(c->model),
             one_in(p, 2) ? "NVIDIA H100 80GB HBM3" : "NVIDIA GeForce RTX 4080 ...");
    snprintf(text, sizeof(text), "  %u  %s   %s", c->index, c->model, one_in(p, 2) ? "On" : "Off");
    cell(p, 39, text);
    bus_upper(c, "0000", a);
    snprintf(text, sizeof(text), "  %s Off", a);
    cell(p, 22, text);
    cell(p, 20, "                 N/A");
    end_row(p);
    c->temperature_c = figure(p, a, sizeof(a), draw(p, 100), "C");
    c->power_w = figure(p, b, sizeof(b), draw(p, 700), "W");
    snprintf(text, sizeof(text), "N/A   %s    P0   %s /  700W", a, b);
    cell(p, 39, text);
    c->memory_used_bytes = (int64_t)draw(p, 81559) * MIB;
    c->memory_total_bytes = 81559 * MIB;
    snprintf(text, sizeof(text), "%lldMiB /  81559MiB", (long long)(c->memory_used_bytes / MIB));
    cell(p, 22, text);
    c->utilization_percent = figure(p, a, sizeof(a), draw(p, 101), "%");
    snprintf(text, sizeof(text), "%s      Default", a);
    cell(p, 20, text);
    end_row(p);
    cell(p, 39, "");
    cell(p, 22, "");
    cell(p, 20, "N/A");
    end_row(p);
    rule(p, '-');
}

static void print_nvidia(struct printer *p)
{
    uint32_t n = 1 + draw(p, 8);
    char text[512];

    version(p, "");
    snprintf(p->want->toolkit, sizeof(p->want->toolkit), "13.%u", draw(p, 4));
    rule(p, '-');
    snprintf(text, sizeof(text), "NVIDIA-SMI %s   Driver Version: %s     CUDA Version: %s",
             p->want->driver, p->want->driver, p->want->toolkit);
    cell(p, 87, text);
    end_row(p);
    cell(p, 39, "GPU  Name                 Persistence-M");
    cell(p, 22, "Bus-Id          Disp.A");
    cell(p, 20, "Volatile Uncorr. ECC");
    end_row(p);
    buf_append_c(p->out, "|=================+==============+============|\n");
    for (uint32_t i = 0; i < n; i++) {
        nvidia_card(p, new_card(p, DEVICES_NVIDIA, i));
    }
    if (one_in(p, 3)) {
        return;
    }
    cell(p, 87, "Processes:");
    end_row(p);
    for (uint32_t i = 0; i < n; i++) {
        p->want->cards[i].processes_known = true;
        if (one_in(p, 2)) {
            uint32_t used = draw(p, 80000);

            reading_add_process(p->want, i, 21180 + i, STR("/root/a b/memhog"),
                                (int64_t)used * MIB);
            snprintf(text, sizeof(text), "   %u   N/A  N/A     %u      C   /root/a b/memhog  %uMiB",
                     i, 21180 + i, used);
            cell(p, 87, text);
            end_row(p);
        }
    }
}

static void csv_card(struct printer *p, struct devices_card *c)
{
    char values[4][64];
    char bus[48];

    bus_upper(c, "0000", bus);
    snprintf(c->model, sizeof(c->model), "NVIDIA H%u", 100 * (1 + draw(p, 2)));
    snprintf(c->uuid, sizeof(c->uuid), "GPU-%08x-%u", draw(p, 1u << 31), c->index);
    c->memory_total_bytes = 143771 * MIB;
    c->memory_used_bytes = mib(figure(p, values[0], 64, draw(p, 143771), " MiB"));
    c->utilization_percent = figure(p, values[1], 64, draw(p, 101), " %");
    c->temperature_c = figure(p, values[2], 64, draw(p, 100), "");
    c->power_w = figure(p, values[3], 64, draw(p, 70000) / 100.0, " W");
    buf_printf(p->out, "%s, %s, %s, %s, %u, %s, %s, 143771 MiB, %s, [N/A], %s\n", values[3],
               c->uuid, c->model, bus, c->index, c->driver, values[0], values[1], values[2]);
}

static void print_csv(struct printer *p)
{
    uint32_t n = 1 + draw(p, 8);

    version(p, "");
    buf_append_c(p->out,
                 "power.draw [W], uuid, name, pci.bus_id, index, driver_version, memory.used "
                 "[MiB], memory.total [MiB], utilization.gpu [%], fan.speed [%], "
                 "temperature.gpu\n");
    for (uint32_t i = 0; i < n; i++) {
        csv_card(p, new_card(p, DEVICES_NVIDIA, i));
    }
}

void table_printer_print(enum table_printer_kind kind, uint64_t seed, struct buf *out,
                         struct reading *want)
{
    struct printer p = {.seed = seed, .out = out, .want = want};

    memset(want, 0, sizeof(*want));
    p.wide = one_in(&p, 2) ? 0 : (int)draw(&p, 40);
    switch (kind) {
    case TABLE_PRINTER_NVIDIA:
        print_nvidia(&p);
        break;
    case TABLE_PRINTER_NVIDIA_CSV:
        print_csv(&p);
        break;
    case TABLE_PRINTER_NPU:
        print_npu(&p);
        break;
    case TABLE_PRINTER_CNMON:
        print_cnmon(&p);
        break;
    case TABLE_PRINTER_GMI:
        print_gmi(&p);
        break;
    }
    want->state = DEVICES_FINE;
}
