#include "devices/tool.h"
#include "base/check.h"
#include "devices/table.h"
#include "devices/tool_run.h"

#include <stdio.h>
#include <string.h>

#define OUTPUT_BYTES_MAX (1 << 20)
#define WORDS_MAX 6

/* One way to ask; the first whose answer holds a card is taken. */
struct way {
    const char *words[WORDS_MAX]; // behind the program's path
    table_parser parser;
    const char *more[WORDS_MAX]; // a second run that adds to the first; none: NULL
    table_parser more_parser;
};

#define APPS                                                                                       \
    {"--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv"},                \
        table_nvidia_apps

/* An unknown field makes the whole call fail, so there is one with fewer. */
static const struct way nvidia[] = {
    {{"--query-gpu=index,uuid,name,pci.bus_id,driver_version,vbios_version,memory.total,"
      "memory.used,utilization.gpu,temperature.gpu,power.draw,compute_cap,mig.mode.current",
      "--format=csv"},
     table_nvidia_csv,
     APPS},
    {{"--query-gpu=index,uuid,name,pci.bus_id,driver_version,memory.total,memory.used,"
      "utilization.gpu,temperature.gpu,power.draw",
      "--format=csv"},
     table_nvidia_csv,
     APPS},
    {{NULL}, table_nvidia, {NULL}, NULL},
};

static const struct way ascend[] = {{{"info"}, table_npu, {NULL}, NULL}};
static const struct way cambricon[] = {{{NULL}, table_cnmon, {NULL}, NULL}};
static const struct way mthreads[] = {{{NULL}, table_gmi, {NULL}, NULL}};

static const struct {
    const char *name;
    const struct way *ways;
    uint32_t n_ways;
} tools[DEVICES_VENDOR_COUNT] = {
    [DEVICES_NVIDIA] = {"nvidia-smi", nvidia, ARRAY_COUNT(nvidia)},
    [DEVICES_ASCEND] = {"npu-smi", ascend, ARRAY_COUNT(ascend)},
    [DEVICES_CAMBRICON] = {"cnmon", cambricon, ARRAY_COUNT(cambricon)},
    [DEVICES_MTHREADS] = {"mthreads-gmi", mthreads, ARRAY_COUNT(mthreads)},
};

const char *tool_name(enum devices_vendor v)
{
    return tools[v].name;
}

static enum status ask(const char *path, const char *const *words, table_parser parser,
                       uint32_t timeout_ms, struct reading *r, struct error *err)
{
    const char *argv[WORDS_MAX + 2] = {path};
    struct buf out;
    int exit_code = 0;
    enum status rc;

    for (size_t i = 0; i < WORDS_MAX; i++) {
        argv[i + 1] = words[i];
    }
    buf_init(&out, OUTPUT_BYTES_MAX);
    rc = tool_run(argv, timeout_ms, &out, &exit_code, err);
    if (rc == OK) {
        parser(buf_str(&out), r);
    }
    buf_done(&out);
    return rc;
}

enum status tool_read(const struct tool_request *q, struct reading *ret, char ret_path[256],
                      struct error *err)
{
    enum status rc = OK;

    if (q->program != NULL) {
        snprintf(ret_path, 256, "%s", q->program);
    } else if (!tool_run_find(q->root, tools[q->vendor].name, ret_path)) {
        return error_set(err, E_NOT_FOUND, "%s is not installed", tools[q->vendor].name);
    }
    for (uint32_t i = 0; i < tools[q->vendor].n_ways; i++) {
        const struct way *way = &tools[q->vendor].ways[i];

        memset(ret, 0, sizeof(*ret));
        rc = ask(ret_path, way->words, way->parser, q->timeout_ms, ret, err);
        if (rc != OK) {
            return rc;
        }
        if (ret->n_cards > 0 && way->more_parser != NULL) {
            return ask(ret_path, way->more, way->more_parser, q->timeout_ms, ret, err);
        }
        if (ret->n_cards > 0 || ret->state == DEVICES_NO_DEVICE) {
            return OK;
        }
    }
    return rc;
}
