/* Whole machines made of folders: what the kernel shows, which state follows, which tool is run. */
#include "base/check.h"
#include "base/json.h"
#include "devices/devices.h"
#include "devices/tool_run.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1200

static struct devices_report *report;

struct host {
    char root[256];
};

static void host_open(struct host *h)
{
    char name[] = "/tmp/kontor-host-XXXXXX";
    char *made = mkdtemp(name);

    EXPECT_TRUE(made != NULL);
    snprintf(h->root, sizeof(h->root), "%s", name);
}

/* Write a file below the root, with the folders that lead to it. */
static void host_file(const struct host *h, const char *path, const char *text, mode_t mode)
{
    char full[PATH_BYTES_MAX];
    FILE *f;

    snprintf(full, sizeof(full), "%s/%s", h->root, path);
    for (char *slash = full + strlen(h->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "w");
    EXPECT_TRUE(f != NULL);
    fputs(text, f);
    fclose(f);
    EXPECT_EQ_INT(chmod(full, mode), 0);
}

static void host_pci(const struct host *h, const char *bus_id, const char *vendor,
                     const char *device, const char *class_code)
{
    char path[512];

    snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vendor", bus_id);
    host_file(h, path, vendor, 0600);
    snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/device", bus_id);
    host_file(h, path, device, 0600);
    snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/class", bus_id);
    host_file(h, path, class_code, 0600);
}

static void host_tool(const struct host *h, const char *name, const char *script)
{
    char path[128];
    char text[8192];

    snprintf(path, sizeof(path), "usr/bin/%s", name);
    snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    host_file(h, path, text, 0700);
}

static void host_close(const struct host *h)
{
    const char *const argv[] = {"/bin/rm", "-rf", h->root, NULL};
    struct buf out;
    int code = 0;

    buf_init(&out, 4096);
    EXPECT_OK(tool_run(argv, 20000, &out, &code, NULL));
    buf_done(&out);
}

static const struct devices_report *scan(const struct host *h, uint32_t tool_timeout_ms)
{
    const struct devices_options o = {.root = h->root, .tool_timeout_ms = tool_timeout_ms};

    free(report);
    report = calloc(1, sizeof(*report));
    CHECK(report != NULL);
    devices_scan(&o, report);
    return report;
}

TEST(pci_ids_classes_nodes_and_modules)
{
    struct host h;
    const struct devices_report *r;

    host_open(&h);
    host_pci(&h, "0000:3b:00.0", "0x10de\n", "0x26ba\n", "0x030200\n");
    host_pci(&h, "0000:3b:00.1", "0x10de\n", "0x22ba\n", "0x040300\n"); // its sound function
    host_pci(&h, "0000:c1:00.0", "0x19e5\n", "0xd802\n", "0x120000\n");
    host_pci(&h, "0000:05:00.0", "0x19e5\n", "0x1711\n", "0x030000\n"); // management display
    host_pci(&h, "0000:06:00.0", "0x19e5\n", "0x0222\n", "0x020000\n"); // network
    host_pci(&h, "0000:4f:00.0", "0xcabc\n", "0x0370\n", "0x120000\n");
    host_pci(&h, "0000:2a:00.0", "0x1ed5\n", "0x0400\n", "0x030200\n");
    host_pci(&h, "0000:61:00.0", "0x1d94\n", "0x6210\n", "0x120000\n"); // Hygon
    host_pci(&h, "0000:00:00.0", "0x1d94\n", "0x1450\n", "0x060000\n"); // a host bridge of theirs
    host_pci(&h, "0000:62:00.0", "0x9999\n", "0x4001\n", "0x120000\n"); // MetaX
    host_pci(&h, "0000:63:00.0", "garbage", "", "0xzz");
    host_file(&h, "dev/nvidia0", "", 0600);
    host_file(&h, "dev/nvidia-uvm", "", 0600);
    host_file(&h, "dev/davinci3", "", 0600);
    host_file(&h, "dev/davinci_manager", "", 0600);
    host_file(&h, "proc/modules", "nvidia_uvm 4 0 - Live\nmtgpu 12 0 - Live 0x0\n", 0600);
    r = scan(&h, 0);
    EXPECT_TRUE(r->pci_known);
    EXPECT_EQ_U32(r->n_pci, 6);
    EXPECT_EQ_C_STR(r->pci[0].bus_id, "0000:2a:00.0"); // sorted
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        EXPECT_EQ_U32(r->vendors[i].n_pci, 1);
        EXPECT_EQ_INT(r->vendors[i].state, DEVICES_NO_LIBRARY);
        EXPECT_TRUE(r->vendors[i].fix[0] != '\0');
    }
    EXPECT_EQ_U32(r->vendors[DEVICES_NVIDIA].n_nodes, 1);
    EXPECT_EQ_U32(r->vendors[DEVICES_ASCEND].n_nodes, 1);
    EXPECT_FALSE(r->vendors[DEVICES_NVIDIA].module_loaded); // nvidia_uvm alone is not nvidia
    EXPECT_TRUE(r->vendors[DEVICES_MTHREADS].module_loaded);
    EXPECT_EQ_I64(r->pci[3].vendor, -1);
    EXPECT_EQ_C_STR(r->pci[3].vendor_name, "Hygon");
    EXPECT_TRUE(devices_problem(r));
    host_close(&h);
}

TEST(a_machine_without_cards)
{
    struct host h;
    const struct devices_report *r;

    host_open(&h);
    host_file(&h, "sys/bus/pci/devices/0000:00:00.0/vendor", "0x8086\n", 0600);
    r = scan(&h, 0);
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        EXPECT_EQ_INT(r->vendors[i].state, DEVICES_NO_CARD);
    }
    EXPECT_EQ_U32(r->n_cards + r->n_pci, 0);
    EXPECT_FALSE(devices_problem(r));
    host_close(&h);
}

TEST(without_sysfs_nothing_is_claimed)
{
    struct host h;
    const struct devices_report *r;

    host_open(&h);
    r = scan(&h, 0);
    EXPECT_FALSE(r->pci_known);
    EXPECT_EQ_INT(r->vendors[0].state, DEVICES_NO_CARD);
    EXPECT_CONTAINS(r->vendors[0].reason, "cannot be read");
    host_close(&h);
}

TEST(the_tool_stands_in_for_the_library)
{
    struct host h;
    const struct devices_report *r;

    host_open(&h);
    host_file(&h, "dev/nvidia0", "", 0600);
    host_tool(
        &h, "nvidia-smi",
        "case \"$1\" in\n"
        "*compute_cap*) echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2;;\n"
        "--query-gpu*) echo 'index, uuid, name, pci.bus_id, driver_version, memory.total "
        "[MiB], memory.used [MiB], utilization.gpu [%], temperature.gpu, power.draw [W]'\n"
        "echo '0, GPU-x, Tesla V100, 00000000:1A:00.0, 418.87, 32768 MiB, 1 MiB, 0 %, 255, "
        "[Not Supported]';;\n"
        "--query-compute*) echo 'gpu_uuid, pid, process_name, used_gpu_memory [MiB]'\n"
        "echo 'GPU-x, 5, python, 1 MiB';;\n"
        "esac");
    r = scan(&h, 20000);
    EXPECT_EQ_INT(r->vendors[0].state, DEVICES_FINE);
    EXPECT_EQ_INT(r->vendors[0].source, DEVICES_FROM_TOOL);
    EXPECT_EQ_C_STR(r->vendors[0].driver, "418.87");
    EXPECT_EQ_U32(r->n_cards, 1);
    EXPECT_EQ_C_STR(r->cards[0].model, "Tesla V100");
    EXPECT_EQ_C_STR(r->cards[0].bus_id, "0000:1a:00.0");
    EXPECT_TRUE(isnan(r->cards[0].temperature_c)); // 255 was not believed
    EXPECT_TRUE(isnan(r->cards[0].power_w));
    EXPECT_EQ_U32(r->n_processes, 1);
    EXPECT_EQ_C_STR(r->processes[0].name, "python");
    host_close(&h);
}

TEST(a_tool_that_complains_hangs_or_floods)
{
    struct host h;
    const struct devices_report *r;

    host_open(&h);
    host_file(&h, "dev/davinci0", "", 0600);
    host_file(&h, "dev/cambricon_dev0", "", 0600);
    host_file(&h, "dev/mtgpu.0", "", 0600);
    host_tool(&h, "npu-smi", "echo 'dcmi module initialize failed. ret is -8005'; exit 1");
    host_tool(&h, "cnmon", "echo started; sleep 600 & sleep 600");
    host_tool(&h, "mthreads-gmi", "head -c 9000000 /dev/zero");
    r = scan(&h, 500);
    EXPECT_EQ_INT(r->vendors[DEVICES_ASCEND].state, DEVICES_INIT_FAILED);
    EXPECT_CONTAINS(r->vendors[DEVICES_ASCEND].reason, "-8005");
    EXPECT_CONTAINS(r->vendors[DEVICES_ASCEND].fix, "HwHiAiUser");
    EXPECT_TRUE(r->vendors[DEVICES_CAMBRICON].hangs);
    EXPECT_EQ_C_STR(r->vendors[DEVICES_CAMBRICON].call, "cnmon");
    EXPECT_EQ_INT(r->vendors[DEVICES_MTHREADS].state, DEVICES_INIT_FAILED);
    EXPECT_EQ_U32(r->n_cards, 0);
    host_close(&h);
}

TEST(versions_from_the_drivers_files)
{
    struct host h;
    const struct devices_report *r;

    host_open(&h);
    host_file(&h, "dev/nvidia0", "", 0600);
    host_file(&h, "dev/davinci0", "", 0600);
    host_file(&h, "sys/module/nvidia/version", "570.124.06\n", 0600);
    host_file(&h, "usr/local/Ascend/driver/version.info",
              "ascendhal_version=7.35.19\nVersion=23.0.7\nInnerversion=V1\n", 0600);
    host_file(&h, "usr/local/Ascend/firmware/version.info", "Version=7.1.0.11.220\n", 0600);
    host_tool(&h, "npu-smi",
              "echo '| 0 910B3 | OK | 1 45 0 / 0 |'\n"
              "echo '| 0 | 0000:C1:00.0 | 1 0 / 0 1/ 2 |'");
    r = scan(&h, 20000);
    EXPECT_EQ_C_STR(r->vendors[DEVICES_NVIDIA].driver, "570.124.06"); // though nothing was loaded
    EXPECT_EQ_INT(r->vendors[DEVICES_NVIDIA].state, DEVICES_NO_LIBRARY);
    EXPECT_EQ_C_STR(r->vendors[DEVICES_ASCEND].driver, "23.0.7");
    EXPECT_EQ_U32(r->n_cards, 1);
    EXPECT_EQ_C_STR(r->cards[0].firmware, "7.1.0.11.220");
    host_close(&h);
}

TEST(json_knows_null_and_parses)
{
    struct host h;
    struct arena *arena = arena_create(1 << 22);
    const struct json_value *root = NULL;
    const struct json_value *card;
    struct error err = {0};
    struct buf out;

    host_open(&h);
    host_file(&h, "dev/mtgpu.0", "", 0600);
    host_tool(&h, "mthreads-gmi",
              "echo 'Driver Version:N/A'; echo '0 MTT \"S80\" |0000:01:00.0 |N/A 5MiB(16384MiB)'");
    scan(&h, 20000);
    buf_init(&out, 1 << 20);
    devices_write_json(report, &out);
    EXPECT_OK(json_parse(arena, buf_str(&out), NULL, &root, &err));
    card = &json_get(root, STR("devices"))->items[0];
    EXPECT_EQ_STR(json_string_or(json_get(card, STR("model")), STR("")), STR("MTT \"S80\""));
    EXPECT_EQ_I64(json_int_or(json_get(card, STR("memory_used_bytes")), 0), 5 << 20);
    EXPECT_EQ_INT(json_get(card, STR("utilization_percent"))->kind, JSON_NULL);
    EXPECT_EQ_INT(json_get(card, STR("power_w"))->kind, JSON_NULL);
    EXPECT_EQ_INT(json_get(card, STR("health"))->kind, JSON_NULL);
    EXPECT_EQ_INT(json_get(card, STR("processes"))->kind, JSON_NULL);
    EXPECT_EQ_INT(json_get(card, STR("driver"))->kind, JSON_NULL);
    buf_reset(&out);
    devices_write_prometheus(report, &out);
    EXPECT_CONTAINS(buf_c(&out), "kontor_device_memory_used_bytes{vendor=\"mthreads\",index=\"0\","
                                 "model=\"MTT \\\"S80\\\"\",uuid=\"\"} 5242880\n");
    EXPECT_TRUE(str_find(buf_str(&out), STR("kontor_device_power_watts"), 0) == SIZE_MAX);
    buf_done(&out);
    arena_destroy(arena);
    host_close(&h);
    free(report);
    report = NULL;
}
