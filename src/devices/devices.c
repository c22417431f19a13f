#include "devices/devices.h"
#include "base/check.h"
#include "devices/devices_fix.h"
#include "devices/driver_files.h"
#include "devices/pci_scan.h"
#include "devices/plausible.h"
#include "devices/probe.h"
#include "devices/tool.h"
#include "devices/vendor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_TIMEOUT_MS 5000
#define TOOL_TIMEOUT_MS 10000

static const struct {
    const char *name;
    probe_reader reader;
} vendors[DEVICES_VENDOR_COUNT] = {
    [DEVICES_NVIDIA] = {"nvidia", vendor_nvml_read},
    [DEVICES_ASCEND] = {"ascend", vendor_dcmi_read},
    [DEVICES_CAMBRICON] = {"cambricon", vendor_cndev_read},
    [DEVICES_MTHREADS] = {"mthreads", vendor_mtml_read},
};

const char *devices_vendor_name(enum devices_vendor v)
{
    return vendors[v].name;
}

enum status devices_vendor_find(struct str word, enum devices_vendor *ret_vendor, struct error *err)
{
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        if (str_eq(word, str_from_c(vendors[i].name))) {
            *ret_vendor = (enum devices_vendor)i;
            return OK;
        }
    }
    return error_set(err, E_NOT_FOUND,
                     "\"%.*s\" is no vendor; there are nvidia, ascend, cambricon, mthreads",
                     STR_ARG(word));
}

const char *devices_state_name(enum devices_state s)
{
    static const char *const names[] = {"no card", "card without library", "init failed",
                                        "no device", "fine"};

    return names[s];
}

const char *devices_health_name(enum devices_health h)
{
    static const char *const names[] = {"unknown", "ok", "warning", "alarm", "critical"};

    return names[h];
}

bool devices_abandoned(void)
{
    uint32_t n = 0;

    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        n += probe_abandoned_count((enum devices_vendor)i);
    }
    return n > 0;
}

bool devices_problem(const struct devices_report *report)
{
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        const struct devices_vendor_report *v = &report->vendors[i];

        if (v->hangs || (v->state != DEVICES_NO_CARD && v->state != DEVICES_FINE)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < report->n_cards; i++) {
        if (report->cards[i].health > DEVICES_HEALTH_OK) {
            return true;
        }
    }
    return false;
}

/* One vendor while it is asked. */
struct inquiry {
    enum devices_vendor vendor;
    const struct devices_options *options;
    const char *root;
    struct devices_vendor_report *v;
    struct reading reading;
};

static void take_texts(struct inquiry *q)
{
    struct devices_vendor_report *v = q->v;
    const struct reading *r = &q->reading;

    v->state = r->state;
    memcpy(v->call, r->call, sizeof(v->call));
    memcpy(v->library, r->library, sizeof(v->library));
    memcpy(v->missing, r->missing, sizeof(v->missing));
    memcpy(v->reason, r->reason, sizeof(v->reason));
    memcpy(v->driver, r->driver, sizeof(v->driver));
    memcpy(v->toolkit, r->toolkit, sizeof(v->toolkit));
}

static void ask_library(struct inquiry *q)
{
    const struct probe_request request = {
        .vendor = q->vendor,
        .reader = vendors[q->vendor].reader,
        .library = q->options->libraries[q->vendor],
        .call_timeout_ms =
            q->options->call_timeout_ms != 0 ? q->options->call_timeout_ms : CALL_TIMEOUT_MS,
    };

    if (probe_abandoned_count(q->vendor) > 0) {
        q->v->state = DEVICES_INIT_FAILED;
        q->v->hangs = true;
        snprintf(q->v->reason, sizeof(q->v->reason),
                 "a call of an earlier look still hangs in the library");
        return;
    }
    if (request.library == NULL && q->root[0] != '\0') {
        q->v->state = DEVICES_NO_LIBRARY;
        snprintf(q->v->reason, sizeof(q->v->reason),
                 "no library is loaded from below another root folder");
        return;
    }
    q->v->hangs = probe_run(&request, &q->reading);
    take_texts(q);
    if (q->reading.n_cards > 0) {
        q->v->source = DEVICES_FROM_LIBRARY;
    }
}

/* The tool stands in when the library gave no card.  What the library said stays readable. */
static void ask_tool(struct inquiry *q)
{
    const struct tool_request request = {
        .vendor = q->vendor,
        .root = q->root,
        .program = q->options->tools[q->vendor],
        .timeout_ms =
            q->options->tool_timeout_ms != 0 ? q->options->tool_timeout_ms : TOOL_TIMEOUT_MS,
    };
    struct devices_vendor_report *v = q->v;
    struct error err = {0};
    char before[DEVICES_TEXT_MAX];
    enum status rc = tool_read(&request, &q->reading, v->tool, &err);

    memcpy(before, v->reason, sizeof(before));
    if (rc == E_NOT_FOUND) {
        v->tool[0] = '\0';
        return;
    }
    if (rc != OK) {
        v->hangs = v->hangs || rc == E_TIMEOUT;
        snprintf(v->call, sizeof(v->call), "%s", tool_name(q->vendor));
        reading_remark(v->reason, "%s", err.text);
        return;
    }
    if (q->reading.n_cards > 0) {
        v->source = DEVICES_FROM_TOOL;
        memcpy(v->driver, q->reading.driver, sizeof(v->driver));
        memcpy(v->toolkit, q->reading.toolkit, sizeof(v->toolkit));
        v->state = DEVICES_FINE;
        snprintf(v->reason, sizeof(v->reason), "read by %s, because: %.400s", tool_name(q->vendor),
                 before);
        return;
    }
    v->state = q->reading.state;
    snprintf(v->reason, sizeof(v->reason), "%s: %.400s", tool_name(q->vendor), q->reading.reason);
    if (before[0] != '\0') {
        reading_remark(v->reason, "library: %s", before);
    }
}

static void take_cards(const struct reading *from, struct devices_report *to)
{
    uint32_t first = to->n_cards;

    for (uint32_t i = 0; i < from->n_cards && to->n_cards < DEVICES_CARDS_MAX; i++) {
        to->cards[to->n_cards] = from->cards[i];
        plausible_check(&to->cards[to->n_cards++]);
    }
    for (uint32_t i = 0; i < from->n_processes && to->n_processes < DEVICES_PROCESSES_MAX; i++) {
        struct devices_process p = from->processes[i];

        p.card_idx += first;
        if (p.card_idx < to->n_cards) {
            to->processes[to->n_processes++] = p;
        }
    }
}

static bool is_present(const struct devices_vendor_report *v)
{
    return v->n_pci > 0 || v->n_nodes > 0 || v->module_loaded;
}

static void ask_vendor(struct inquiry *q, struct devices_report *report)
{
    struct devices_vendor_report *v = q->v;
    bool named = q->options->libraries[q->vendor] != NULL || q->options->tools[q->vendor] != NULL;

    v->asked = true;
    if (!is_present(v) && !named && report->pci_known) {
        return;
    }
    if (q->options->libraries[q->vendor] != NULL || q->options->tools[q->vendor] == NULL) {
        ask_library(q);
    } else { // only a tool was named
        v->state = DEVICES_NO_LIBRARY;
        snprintf(v->reason, sizeof(v->reason), "only the tool was asked for");
    }
    if (q->reading.n_cards == 0 && v->state != DEVICES_NO_DEVICE && !q->options->no_tools) {
        ask_tool(q);
    }
    if (!is_present(v) && !named && v->state == DEVICES_NO_LIBRARY) {
        v->state = DEVICES_NO_CARD; // sysfs is hidden here, and nothing else speaks for a card
        snprintf(v->reason, sizeof(v->reason),
                 "/sys/bus/pci cannot be read, and there is neither "
                 "a device node, a module, a library nor a tool");
    }
    take_cards(&q->reading, report);
    snprintf(v->fix, sizeof(v->fix), "%s", devices_fix_text(q->vendor, v));
}

void devices_scan(const struct devices_options *options, struct devices_report *report)
{
    struct inquiry *q = calloc(1, sizeof(*q));

    CHECK(q != NULL);
    memset(report, 0, sizeof(*report));
    q->options = options;
    q->root = options->root != NULL ? options->root : "";
    pci_scan_run(q->root, report);
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        if (options->vendors == 0 || (options->vendors >> i & 1) != 0) {
            memset(&q->reading, 0, sizeof(q->reading));
            q->vendor = (enum devices_vendor)i;
            q->v = &report->vendors[i];
            ask_vendor(q, report);
        }
    }
    driver_files_read(q->root, report);
    free(q);
}
