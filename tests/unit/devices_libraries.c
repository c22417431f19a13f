/* The four readers against stand-ins built from the published layouts (tests/support/stub_*.c).
 * They prove order of calls, layouts and fault handling; nothing about a real card. */
#include "base/check.h"
#include "devices/devices.h"
#include "devices/devices_sampler.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)

static const char *const libraries[DEVICES_VENDOR_COUNT] = {"nvml", "dcmi", "cndev", "mtml"};

static struct devices_report *report; // one for all tests: it is large

/* Look at an empty machine through one stub. */
static const struct devices_vendor_report *scan(enum devices_vendor vendor, const char *variant,
                                                uint32_t call_timeout_ms)
{
    struct temp_folder empty;
    char path[1024];
    struct devices_options o = {.vendors = 1u << vendor, .no_tools = true};

    temp_folder_open(&empty);
    snprintf(path, sizeof(path), "%s/stub_%s_%s.so", KONTOR_STUB_DIR, libraries[vendor], variant);
    o.root = empty.path;
    o.libraries[vendor] = path;
    o.call_timeout_ms = call_timeout_ms;
    free(report);
    report = calloc(1, sizeof(*report));
    CHECK(report != NULL);
    devices_scan(&o, report);
    temp_folder_close(&empty);
    return &report->vendors[vendor];
}

static void expect_card(const struct devices_card *c, const char *model, const char *uuid,
                        const char *bus_id)
{
    EXPECT_EQ_C_STR(c->model, model);
    EXPECT_EQ_C_STR(c->uuid, uuid);
    EXPECT_EQ_C_STR(c->bus_id, bus_id);
}

TEST(nvml_reads_two_cards)
{
    const struct devices_vendor_report *v = scan(DEVICES_NVIDIA, "normal", 0);
    const struct devices_card *c = report->cards;

    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_INT(v->source, DEVICES_FROM_LIBRARY);
    EXPECT_EQ_C_STR(v->driver, "550.54.15");
    EXPECT_EQ_C_STR(v->toolkit, "12.4");
    EXPECT_EQ_U32(report->n_cards, 2);
    expect_card(&c[0], "NVIDIA L20", "GPU-0a", "0000:3b:00.0");
    expect_card(&c[1], "NVIDIA L20", "GPU-0b", "0000:3c:00.0");
    EXPECT_EQ_I64(c[0].memory_total_bytes, 48 * GIB);
    EXPECT_EQ_I64(c[0].memory_used_bytes, 12 * GIB);
    EXPECT_NEAR(c[0].utilization_percent, 37, 0);
    EXPECT_TRUE(isnan(c[1].utilization_percent)); // NOT_SUPPORTED is unknown, not 0
    EXPECT_NEAR(c[0].temperature_c, 61, 0);
    EXPECT_NEAR(c[0].power_w, 123.456, 1e-9);
    EXPECT_EQ_I64(c[1].node, 4);
    EXPECT_EQ_C_STR(c[0].capability, "8.9");
    EXPECT_EQ_C_STR(c[0].firmware, "95.02");
    EXPECT_EQ_INT(c[0].health, DEVICES_HEALTH_UNKNOWN);
    EXPECT_TRUE(c[0].processes_known);
    EXPECT_EQ_U32(report->n_processes, 2);
    EXPECT_EQ_U32(report->processes[0].pid, 4711);
    EXPECT_EQ_I64(report->processes[0].memory_bytes, 10 * GIB);
    EXPECT_EQ_I64(report->processes[1].memory_bytes, -1); // all ones is unknown
    EXPECT_FALSE(devices_problem(report));
}

TEST(nvml_without_newer_symbols_takes_the_older_layouts)
{
    const struct devices_vendor_report *v = scan(DEVICES_NVIDIA, "old", 0);

    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_CONTAINS(v->missing, "nvmlDeviceGetMemoryInfo_v2");
    EXPECT_EQ_I64(report->cards[0].memory_total_bytes, 24 * GIB);
    EXPECT_EQ_I64(report->cards[0].memory_used_bytes, 6 * GIB);
    EXPECT_EQ_U32(report->n_processes, 4); // 16 bytes each
    EXPECT_EQ_U32(report->processes[1].pid, 101);
    EXPECT_EQ_I64(report->processes[1].memory_bytes, 2 * GIB);
}

TEST(dcmi_reads_chips_and_skips_the_control_unit)
{
    const struct devices_vendor_report *v = scan(DEVICES_ASCEND, "normal", 0);
    const struct devices_card *c = report->cards;

    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_C_STR(v->driver, "25.5.1");
    EXPECT_EQ_U32(report->n_cards, 3);
    expect_card(&c[1], "910B3", "E0F4EE64 2 1 89528485 104301E3", "0001:c2:00.0");
    EXPECT_EQ_I64(c[1].npu, 2);
    EXPECT_EQ_I64(c[1].chip, 1);
    EXPECT_EQ_U32(c[1].index, 1);
    EXPECT_EQ_I64(c[1].node, 5); // physical, not logic id
    EXPECT_EQ_I64(c[2].npu, 5);
    EXPECT_EQ_I64(c[0].memory_total_bytes, 65536 * MIB);
    EXPECT_EQ_I64(c[0].memory_used_bytes, 3445 * MIB);
    EXPECT_EQ_I64(c[2].memory_total_bytes, 21525 * MIB); // no HBM there
    EXPECT_EQ_I64(c[2].memory_used_bytes, 1525 * MIB);
    EXPECT_NEAR(c[0].utilization_percent, 21, 0); // AICore
    EXPECT_NEAR(c[0].power_w, 102.8, 1e-9);
    EXPECT_EQ_INT(c[0].health, DEVICES_HEALTH_OK);
    EXPECT_EQ_INT(c[2].health, DEVICES_HEALTH_ALARM);
    EXPECT_EQ_U32(report->n_processes, 1);
    EXPECT_EQ_I64(report->processes[0].memory_bytes, 56630 * MIB);
    EXPECT_TRUE(devices_problem(report)); // the sick chip
}

TEST(dcmi_of_an_old_driver)
{
    const struct devices_vendor_report *v = scan(DEVICES_ASCEND, "old", 0);

    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_U32(report->n_cards, 3);
    expect_card(&report->cards[0], "910B3", "E0F4EE64 2 0 89528485 104301E3", "0000:c2:00.0");
    EXPECT_EQ_I64(report->cards[0].memory_total_bytes, 21525 * MIB);
    EXPECT_NEAR((double)report->cards[0].memory_used_bytes, 2152.5 * (double)MIB, 100.0);
}

TEST(cndev_reads_both_generations)
{
    const struct devices_vendor_report *v = scan(DEVICES_CAMBRICON, "normal", 0);
    const struct devices_card *c = report->cards;

    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_C_STR(v->driver, "5.6.7");
    EXPECT_EQ_U32(report->n_cards, 2);
    expect_card(&c[0], "MLU370-X8", "MLU-aaaa-0", "0000:4f:00.0");
    EXPECT_EQ_C_STR(c[0].firmware, "1.2.3");
    EXPECT_EQ_I64(c[0].memory_total_bytes, 49152 * MIB);
    EXPECT_NEAR(c[0].power_w, 107, 0);
    EXPECT_NEAR(c[0].utilization_percent, 88, 0);
    EXPECT_NEAR(c[0].temperature_c, 41, 0);
    EXPECT_EQ_INT(c[0].health, DEVICES_HEALTH_OK);
    EXPECT_EQ_INT(c[1].health, DEVICES_HEALTH_CRITICAL);
    EXPECT_EQ_I64(report->processes[0].memory_bytes, 2 * MIB);

    v = scan(DEVICES_CAMBRICON, "old", 0);
    c = report->cards;
    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_U32(report->n_cards, 2);
    expect_card(&c[1], "MLU370-X8", "MLU-aaaa-1", "0000:1c:00.0");
    EXPECT_EQ_I64(c[0].memory_total_bytes, 23308 * MIB);
    EXPECT_EQ_I64(c[0].memory_used_bytes, 512 * MIB);
    EXPECT_NEAR(c[0].power_w, 27, 0);
    EXPECT_EQ_INT(c[0].health, DEVICES_HEALTH_OK);
    EXPECT_FALSE(c[0].processes_known);
}

TEST(mtml_frees_what_it_opens)
{
    const struct devices_vendor_report *v = scan(DEVICES_MTHREADS, "normal", 0); // else: abort
    const struct devices_card *c = report->cards;

    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_C_STR(v->driver, "3.3.5-server");
    EXPECT_EQ_U32(report->n_cards, 2);
    expect_card(&c[1], "MTT S5000", "mtt-1", "0000:3a:00.0");
    EXPECT_EQ_I64(c[1].memory_used_bytes, 8192 * MIB);
    EXPECT_NEAR(c[1].utilization_percent, 75, 0);
    EXPECT_NEAR(c[1].power_w, 250.5, 1e-9);
    EXPECT_FALSE(c[0].processes_known); // the library cannot tell

    v = scan(DEVICES_MTHREADS, "old", 0);
    EXPECT_EQ_INT(v->state, DEVICES_FINE);
    EXPECT_EQ_C_STR(report->cards[0].firmware, "3.4.3");
    EXPECT_TRUE(isnan(report->cards[0].power_w));
}

TEST(a_missing_symbol_means_driver_too_old)
{
    static const char *const wanted[] = {"nvmlDeviceGetCount_v2", "dcmi_get_device_num_in_card",
                                         "cndevGetDeviceCount", "mtmlLibraryCountDevice"};

    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        const struct devices_vendor_report *v = scan((enum devices_vendor)i, "missing", 0);

        EXPECT_EQ_INT(v->state, DEVICES_INIT_FAILED);
        EXPECT_CONTAINS(v->reason, "driver too old");
        EXPECT_CONTAINS(v->reason, wanted[i]);
        EXPECT_CONTAINS(v->fix, "Upgrade the driver");
        EXPECT_EQ_U32(report->n_cards, 0);
    }
}

TEST(garbage_is_unknown_with_a_remark)
{
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        const struct devices_vendor_report *v = scan((enum devices_vendor)i, "garbage", 0);
        const struct devices_card *c = &report->cards[0];

        EXPECT_EQ_INT(v->state, DEVICES_FINE);
        EXPECT_TRUE(report->n_cards > 0 && report->n_cards <= DEVICES_CARDS_MAX);
        EXPECT_EQ_I64(c->memory_used_bytes, -1);
        EXPECT_TRUE(isnan(c->utilization_percent));
        EXPECT_TRUE(isnan(c->temperature_c));
        EXPECT_TRUE(isnan(c->power_w));
        EXPECT_CONTAINS(c->remark, "temperature 255 is not plausible");
    }
}

TEST(states_of_an_init_that_fails_and_of_no_device)
{
    static const char *const codes[] = {"18", "-8005", "1", "9"};
    static const char *const words[] = {"driver and library versions differ", "internal error",
                                        "kernel driver is not loaded", "too old"};

    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        const struct devices_vendor_report *v;

        setenv("STUB_INIT_RC", codes[i], 1);
        v = scan((enum devices_vendor)i, "normal", 0);
        unsetenv("STUB_INIT_RC");
        EXPECT_EQ_INT(v->state, DEVICES_INIT_FAILED);
        EXPECT_CONTAINS(v->reason, words[i]);
        EXPECT_CONTAINS(v->reason, codes[i]);
        EXPECT_TRUE(v->fix[0] != '\0');

        setenv("STUB_COUNT", "0", 1);
        v = scan((enum devices_vendor)i, "normal", 0);
        unsetenv("STUB_COUNT");
        EXPECT_EQ_INT(v->state, DEVICES_NO_DEVICE);
        EXPECT_TRUE(v->fix[0] != '\0');
        EXPECT_TRUE(devices_problem(report));
    }
}

TEST(a_file_that_is_no_library)
{
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        const struct devices_vendor_report *v = scan((enum devices_vendor)i, "nowhere", 0);

        EXPECT_EQ_INT(v->state, DEVICES_NO_LIBRARY);
        EXPECT_TRUE(v->reason[0] != '\0');
        EXPECT_TRUE(v->fix[0] != '\0');
    }
}

TEST(sampler_answers_from_the_last_look)
{
    struct metrics *metrics = metrics_create();
    char path[1024];
    double percent[8] = {0};
    struct devices_options o = {.vendors = 1u << DEVICES_NVIDIA, .no_tools = true, .root = "/none"};
    struct devices_sampler *s;
    struct buf text;

    snprintf(path, sizeof(path), "%s/stub_nvml_normal.so", KONTOR_STUB_DIR);
    o.libraries[DEVICES_NVIDIA] = path;
    s = devices_sampler_create(&o, 1, metrics);
    EXPECT_TRUE(s != NULL);
    usleep(20000); // some looks of the thread
    EXPECT_EQ_U32(devices_sampler_utilization(s, percent, 8), 2);
    EXPECT_NEAR(percent[0], 37, 0);
    EXPECT_TRUE(isnan(percent[1]));
    EXPECT_EQ_U32(devices_sampler_utilization(s, percent, 1), 1);
    buf_init(&text, 1 << 16);
    metrics_render(metrics, &text);
    EXPECT_CONTAINS(buf_c(&text), "kontor_device_memory_used_bytes{vendor=\"nvidia\",index=\"0\","
                                  "model=\"NVIDIA L20\",uuid=\"GPU-0a\"} ");
    EXPECT_TRUE(str_find(buf_str(&text), STR("utilization_percent{vendor=\"nvidia\",index=\"1\""),
                         0) == SIZE_MAX);
    buf_done(&text);
    devices_sampler_destroy(s);
    o.libraries[DEVICES_NVIDIA] = "/nowhere.so";
    EXPECT_TRUE(devices_sampler_create(&o, 1, metrics) == NULL);
    devices_sampler_destroy(NULL);
    metrics_destroy(metrics);
}

/* Last: until the stub comes back the vendor stays marked. */
TEST(z_a_hanging_call_is_named_and_left_behind)
{
    static const char *const calls[] = {"nvmlDeviceGetTemperature", "dcmi_get_device_health",
                                        "cndevGetDeviceUtilizationInfo", "mtmlGpuGetTemperature"};

    setenv("STUB_HANG_MS", "600", 1);
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        const struct devices_vendor_report *v = scan((enum devices_vendor)i, "hang", 60);

        EXPECT_TRUE(v->hangs);
        EXPECT_EQ_C_STR(v->call, calls[i]);
        EXPECT_CONTAINS(v->reason, "hangs");
        EXPECT_CONTAINS(v->fix, "did not come back");
        EXPECT_EQ_INT(v->state, i == 0 ? DEVICES_FINE : DEVICES_INIT_FAILED);
        EXPECT_EQ_U32(report->n_cards, i == 0 ? 1 : 0); // the card before the hang was published
        EXPECT_TRUE(devices_problem(report));
        EXPECT_TRUE(devices_abandoned());
        v = scan((enum devices_vendor)i, "normal", 60); // no second thread beside the stuck one
        EXPECT_TRUE(v->hangs);
        EXPECT_CONTAINS(v->reason, "still hangs");
    }
    for (int i = 0; devices_abandoned() && i < 1000; i++) {
        usleep(10000);
    }
    EXPECT_FALSE(devices_abandoned()); // the late threads ended and freed what they had
    EXPECT_EQ_INT(scan(DEVICES_ASCEND, "normal", 0)->state, DEVICES_FINE);
    free(report);
    report = NULL;
}
