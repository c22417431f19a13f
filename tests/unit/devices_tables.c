/* The parsers of the vendors' tables: what a printer wrote comes back, cut tables give whole cards,
 * and every recorded sample is read as its author would. */
#include "base/check.h"
#include "devices/table.h"
#include "support/guard.h"
#include "support/table_printer.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 400
#define OUT_BYTES_MAX (1 << 20)
#define MIB ((int64_t)1 << 20)

static const table_parser parsers[TABLE_PRINTER_KINDS] = {
    [TABLE_PRINTER_NVIDIA] = table_nvidia, [TABLE_PRINTER_NVIDIA_CSV] = table_nvidia_csv,
    [TABLE_PRINTER_NPU] = table_npu,       [TABLE_PRINTER_CNMON] = table_cnmon,
    [TABLE_PRINTER_GMI] = table_gmi,
};

static struct reading got;
static struct reading want;

static void parse(table_parser parser, struct str text)
{
    memset(&got, 0, sizeof(got));
    parser(text, &got);
}

static bool same_number(double a, double b)
{
    return isnan(a) ? isnan(b) : fabs(a - b) < 1e-9;
}

static bool same_card(const struct devices_card *a, const struct devices_card *b)
{
    return a->vendor == b->vendor && a->index == b->index && a->npu == b->npu &&
           a->chip == b->chip && a->node == b->node && strcmp(a->model, b->model) == 0 &&
           strcmp(a->uuid, b->uuid) == 0 && strcmp(a->bus_id, b->bus_id) == 0 &&
           strcmp(a->driver, b->driver) == 0 && strcmp(a->firmware, b->firmware) == 0 &&
           a->memory_total_bytes == b->memory_total_bytes &&
           a->memory_used_bytes == b->memory_used_bytes &&
           same_number(a->utilization_percent, b->utilization_percent) &&
           same_number(a->temperature_c, b->temperature_c) && same_number(a->power_w, b->power_w) &&
           a->health == b->health;
}

static void show(const char *who, const struct devices_card *c)
{
    printf("# %s: index %u npu %d/%d node %d model '%s' uuid '%s' bus '%s' driver '%s' firmware "
           "'%s' memory %lld/%lld util %g temp %g power %g health %d\n",
           who, c->index, c->npu, c->chip, c->node, c->model, c->uuid, c->bus_id, c->driver,
           c->firmware, (long long)c->memory_used_bytes, (long long)c->memory_total_bytes,
           c->utilization_percent, c->temperature_c, c->power_w, c->health);
}

TEST(what_was_printed_comes_back)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    for (int kind = 0; kind < TABLE_PRINTER_KINDS; kind++) {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            buf_reset(&out);
            table_printer_print((enum table_printer_kind)kind, seed, &out, &want);
            parse(parsers[kind], buf_str(&out));
            if (got.n_cards != want.n_cards || got.n_processes != want.n_processes ||
                strcmp(got.driver, want.driver) != 0 || strcmp(got.toolkit, want.toolkit) != 0) {
                printf("%s", buf_c(&out));
                FAIL("kind %d seed %d: %u cards of %u, %u processes of %u, driver '%s' of '%s'",
                     kind, (int)seed, got.n_cards, want.n_cards, got.n_processes, want.n_processes,
                     got.driver, want.driver);
            }
            for (uint32_t i = 0; i < got.n_cards; i++) {
                if (!same_card(&got.cards[i], &want.cards[i])) {
                    show("got ", &got.cards[i]);
                    show("want", &want.cards[i]);
                    FAIL("kind %d seed %d card %u differs", kind, (int)seed, i);
                }
                EXPECT_EQ_INT(got.cards[i].processes_known, want.cards[i].processes_known);
            }
            for (uint32_t i = 0; i < got.n_processes; i++) {
                EXPECT_EQ_U32(got.processes[i].card_idx, want.processes[i].card_idx);
                EXPECT_EQ_U32(got.processes[i].pid, want.processes[i].pid);
                EXPECT_EQ_C_STR(got.processes[i].name, want.processes[i].name);
                EXPECT_EQ_I64(got.processes[i].memory_bytes, want.processes[i].memory_bytes);
            }
            EXPECT_EQ_INT(got.state, DEVICES_FINE);
        }
    }
    buf_done(&out);
}

/* A cell that was cut through may give a shorter figure; all cards but the last must be whole. */
TEST(every_prefix_gives_whole_cards)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    for (int kind = 0; kind < TABLE_PRINTER_KINDS; kind++) {
        table_printer_print((enum table_printer_kind)kind, 11, &out, &want);
        for (size_t n = 0; n <= out.len; n++) {
            struct guard g = guard_copy(str_slice(buf_str(&out), 0, n));

            parse(parsers[kind], g.text);
            guard_done(&g);
            EXPECT_TRUE(got.n_cards <= want.n_cards);
            for (uint32_t i = 0; i + 1 < got.n_cards; i++) {
                EXPECT_TRUE(same_card(&got.cards[i], &want.cards[i]));
            }
            EXPECT_EQ_INT(got.state, got.n_cards > 0 ? DEVICES_FINE : DEVICES_INIT_FAILED);
        }
        buf_reset(&out);
    }
    buf_done(&out);
}

TEST(words_of_a_tool_that_failed)
{
    static const struct {
        table_parser parser;
        const char *text;
        enum devices_state state;
        const char *reason;
    } cases[] = {
        {table_npu, "Log trouble failed. (level=3)\ndcmi module initialize failed. ret is -8005\n",
         DEVICES_INIT_FAILED, "ret is -8005"},
        {table_npu, "dcmi model initialized failed, because the device is used. ret is -8020",
         DEVICES_INIT_FAILED, "ret is -8020"},
        {table_nvidia_csv, "No devices were found\n", DEVICES_NO_DEVICE, "No devices were found"},
        {table_nvidia, "Failed to initialize NVML: Driver/library version mismatch\n",
         DEVICES_INIT_FAILED, "version mismatch"},
        {table_nvidia_csv, "Field \"compute_cap\" is not a valid field to query.\n",
         DEVICES_INIT_FAILED, "not a valid field"},
        {table_gmi, "", DEVICES_INIT_FAILED, "no table"},
        {table_cnmon, "\n\n|||\n| |\n", DEVICES_INIT_FAILED, "no table"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        parse(cases[i].parser, str_from_c(cases[i].text));
        EXPECT_EQ_U32(got.n_cards, 0);
        EXPECT_EQ_INT(got.state, cases[i].state);
        EXPECT_CONTAINS(got.reason, cases[i].reason);
    }
}

TEST(processes_from_the_csv_find_their_card)
{
    parse(table_nvidia_csv, STR("index, uuid, memory.total [MiB]\n0, GPU-a, 10 MiB\n1, GPU-b, 20 "
                                "MiB\n"));
    EXPECT_EQ_U32(got.n_cards, 2);
    EXPECT_FALSE(got.cards[0].processes_known);
    table_nvidia_apps(STR("gpu_uuid, pid, process_name, used_gpu_memory [MiB]\n"
                          "GPU-b, 77, ./burn, 5 MiB\nGPU-c, 78, ./burn, 5 MiB\n"),
                      &got);
    EXPECT_TRUE(got.cards[0].processes_known);
    EXPECT_EQ_U32(got.n_processes, 1);
    EXPECT_EQ_U32(got.processes[0].card_idx, 1);
    EXPECT_EQ_U32(got.processes[0].pid, 77);
    EXPECT_EQ_I64(got.processes[0].memory_bytes, 5 * MIB);
}

TEST(more_cards_than_there_is_room_for)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    for (int i = 0; i < 1000; i++) {
        buf_printf(&out, "%d MTT S80 |0000:01:00.0|0%% 1MiB(2MiB)\n Physical|x|50C Y\n", i);
    }
    parse(table_gmi, buf_str(&out));
    EXPECT_EQ_U32(got.n_cards, READING_CARDS_MAX);
    EXPECT_NEAR(got.cards[READING_CARDS_MAX - 1].temperature_c, 50, 0);
    buf_done(&out);
}

/* file; parser; cards; then of the last card: model, driver, MiB used and total (-1 unknown),
 * utilisation, temperature, watts (-1 unknown); processes in all */
struct sample {
    const char *file;
    table_parser parser;
    uint32_t n_cards;
    const char *model, *driver;
    int64_t used, total;
    double util, temperature, power;
    uint32_t n_processes;
};

static const struct sample samples[] = {
    {"ascend/npu-smi_23.0.5_910b_UNHEALTHY_warning_elided", table_npu, 2, "xxx", "23.0.5", 0, 32768,
     0, 38, 67, 0},
    {"ascend/npu-smi_24.1.rc2_300t-a2_no_process_header", table_npu, 2, "xxx", "24.1.rc2", 0, 32768,
     0, 52, 64, 0},
    {"ascend/npu-smi_24.1.rc3.7_a3_partial", table_npu, 2, "Ascend910", "24.1.rc3.7", 3186, 65536,
     0, 36, -1, 0},
    {"ascend/npu-smi_25.3.rc1_a3_partial", table_npu, 2, "Ascend910", "25.3.rc1", 2896, 65536, 0,
     30, -1, 0},
    {"ascend/npu-smi_25.5.1_2x310p3", table_npu, 2, "310P3", "25.5.1", 1849, 21525, 0, 38, -1, 0},
    {"ascend/npu-smi_25.5.1_2x910b4_idle", table_npu, 2, "910B4", "25.5.1", 2890, 32768, 0, 39,
     88.6, 0},
    {"ascend/npu-smi_25.5.1_8x910b3_busy_excerpt", table_npu, 2, "910B3", "25.5.1", 60156, 65536,
     12, 44, 100.8, 1},
    {"ascend/npu-smi_25.5.1_910b2c_single", table_npu, 1, "910B2C", "25.5.1", 3406, 65536, 0, 31,
     87.8, 0},
    {"ascend/npu-smi_26.0.rc2_a3_wide_partial", table_npu, 2, "Ascend910", "26.0.rc2", 2874, 65536,
     0, 34, -1, 0},
    {"ascend/npu-smi_310p_layout_masked_no_busid", table_npu, 1, "xxx", "xxx", 957, 10810, 0, 66,
     10.4, 0},
    {"ascend/npu-smi_a3_busy_hbm_57784_partial", table_npu, 2, "Ascend910", "", 57831, 65536, 0, 36,
     -1, 0},
    {"ascend/npu-smi_soft-vnpu_process_id_in_container", table_npu, 2, "xxx", "xxx.xxx.xxx", 3130,
     65536, 0, 32, -1, 0},
    {"cambricon/cnmon_v1.16.0_mlu220-m2_layout_without_driver_header", table_cnmon, 1, "MLU220-M2",
     "4.6.9", 967, 4096, 0, 51, 3.7, 0},
    {"cambricon/cnmon_v4.20.11_mlu370-x4_3cards", table_cnmon, 3, "MLU370-X4", "4.20.11", 0, 23308,
     0, 30, 26, 0},
    {"cambricon/cnmon_v5.10.10_mlu370-x4_exclusive", table_cnmon, 2, "MLU370-X4", "5.10.10", 0,
     23308, 0, 41, 27, 0},
    {"cambricon/cnmon_v5.10.13_mlu370-x8_2cards", table_cnmon, 2, "MLU370-X8", "5.10.13", 0, 23374,
     0, 39, 106, 0},
    {"cambricon/cnmon_v5.10.22_mlu370-x8_2cards", table_cnmon, 2, "MLU370-X8", "5.10.22", 0, 20638,
     0, 32, 107, 0},
    {"cambricon/cnmon_v5.10.31_8cards_masked_names", table_cnmon, 8, "MLUXXX-XX", "5.10.31", 0, -1,
     0, 33, 105, 0},
    {"mthreads/mthreads-gmi_1.12.2_mtt-s4000_UNHEALTHY_used_exceeds_total", table_gmi, 1,
     "MTT S4000", "1.2.0", 44302, 32768, 88, 65, -1, 0},
    {"mthreads/mthreads-gmi_1.14.0_8x-s4000_driver2.7.0_partial", table_gmi, 3, "MTT S4000",
     "2.7.0", 2, 49152, 0, 39, -1, 0},
    {"mthreads/mthreads-gmi_1.14.0_mtt-s80_busy_processes", table_gmi, 1, "MTT S80", "2.7.0", 1339,
     16384, 98, 56, -1, 2},
    {"mthreads/mthreads-gmi_1.14.0_mtt-s80_idle", table_gmi, 1, "MTT S80", "2.7.0", 2, 16384, 0, 49,
     -1, 0},
    {"mthreads/mthreads-gmi_1.6.0_mtt-s2000_driver_NA", table_gmi, 1, "MTT S2000", "", 4, 16384, 0,
     50, -1, 0},
    {"mthreads/mthreads-gmi_2.1.0_s4000_driver3.0.0-rc-KuaE2.0_partial", table_gmi, 3, "MTT S4000",
     "3.0.0-rc-KuaE2.0", 3, 49152, 0, 45, -1, 0},
    {"mthreads/mthreads-gmi_2.1.0_s4000_driver3.1.0-rc4.2.0-server-Ubuntu_partial", table_gmi, 3,
     "MTT S4000", "3.1.0-rc4.2.0-server-Ubuntu", 562, 49152, 0, 52, -1, 0},
    {"mthreads/mthreads-gmi_2.3.2_2x-s5000_driver3.3.5-server_test_fixture", table_gmi, 2,
     "MTT S5000", "3.3.5-server", 8192, 81920, 75, 39, -1, 1},
    {"mthreads/mthreads-gmi_2.3.2_mtt-s5000_partial", table_gmi, 2, "MTT S5000", "3.3.5-server",
     64889, 81920, 0, 51, -1, 0},
    {"nvidia/nvidia-smi_h100-mig_590.48.01_table_load", table_nvidia, 1, "NVIDIA H100 80GB HBM3",
     "590.48.01", 11125, 81559, -1, 52, 432, 3},
    {"nvidia/nvidia-smi_l40s_595.80_table_load", table_nvidia, 1, "NVIDIA L40S", "595.80", 1235,
     46068, 9, 54, 110, 2},
    {"nvidia/nvidia-smi_rtx4080s_595.71.05_table_load", table_nvidia, 1,
     "NVIDIA GeForce RTX 4080 ...", "595.71.05", 1474, 16376, 7, 45, 83, 7},
    {"nvidia/nvidia-smi_h200_590.48.01_query_gpu_load", table_nvidia_csv, 1, "NVIDIA H200",
     "590.48.01", 32362, 143771, 100, 52, 627.4, 0},
    {"nvidia/nvidia-smi_h100-mig_590.48.01_query_gpu_load", table_nvidia_csv, 1,
     "NVIDIA H100 80GB HBM3", "590.48.01", 11125, 81559, -1, 53, 433.78, 0},
    {"nvidia/nvidia-smi_l40s_595.80_query_gpu_load", table_nvidia_csv, 1, "NVIDIA L40S", "595.80",
     1235, 46068, 9, 54, 110.23, 0},
};

static bool is_value(double got_value, double wanted)
{
    return wanted < 0 ? isnan(got_value) : fabs(got_value - wanted) < 0.5;
}

TEST(recorded_samples)
{
    const char *folder = test_material();
    char path[1024];

    if (folder == NULL) {
        SKIP("no material");
    }
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        const struct sample *s = &samples[i];
        const struct devices_card *c;

        snprintf(path, sizeof(path), "%s/accelerators/%s.txt", folder, s->file);
        parse(s->parser, test_read_file(path));
        c = &got.cards[got.n_cards > 0 ? got.n_cards - 1 : 0];
        if (got.n_cards != s->n_cards || got.n_processes != s->n_processes ||
            strcmp(c->model, s->model) != 0 || strcmp(got.driver, s->driver) != 0 ||
            c->memory_used_bytes != s->used * MIB ||
            c->memory_total_bytes != (s->total < 0 ? -1 : s->total * MIB) ||
            !is_value(c->utilization_percent, s->util) ||
            !is_value(c->temperature_c, s->temperature) || !is_value(c->power_w, s->power)) {
            show("got", c);
            FAIL("%s: %u cards, %u processes, driver '%s'", s->file, got.n_cards, got.n_processes,
                 got.driver);
        }
    }
}
