#include "base/json.h"
#include "devices/devices.h"

#include <inttypes.h>
#include <math.h>

static void put_key(struct buf *out, const char *key)
{
    buf_printf(out, ", \"%s\": ", key);
}

static void put_text(struct buf *out, const char *key, const char *text)
{
    put_key(out, key);
    if (text[0] == '\0') {
        buf_append_c(out, "null");
    } else {
        json_write_string(out, str_from_c(text));
    }
}

static void put_bytes(struct buf *out, const char *key, int64_t v)
{
    put_key(out, key);
    if (v < 0) {
        buf_append_c(out, "null");
    } else {
        json_write_i64(out, v);
    }
}

static void put_number(struct buf *out, const char *key, double v)
{
    put_key(out, key);
    json_write_double(out, v, false); // NAN becomes null
}

static void put_bool(struct buf *out, const char *key, bool v)
{
    put_key(out, key);
    buf_append_c(out, v ? "true" : "false");
}

static void write_vendor(const struct devices_report *r, int i, struct buf *out)
{
    static const char *const sources[] = {"", "library", "tool"};
    const struct devices_vendor_report *v = &r->vendors[i];

    buf_printf(out, "{\"vendor\": \"%s\", \"state\": \"%s\"",
               devices_vendor_name((enum devices_vendor)i),
               v->asked ? devices_state_name(v->state) : "not asked");
    put_bool(out, "hangs", v->hangs);
    put_text(out, "source", sources[v->source]);
    put_text(out, "call", v->call);
    put_text(out, "library", v->library);
    put_text(out, "tool", v->tool);
    put_text(out, "driver", v->driver);
    put_text(out, "toolkit", v->toolkit);
    put_text(out, "missing_symbols", v->missing);
    buf_printf(out, ", \"pci_functions\": %u, \"device_nodes\": %u", v->n_pci, v->n_nodes);
    put_bool(out, "module_loaded", v->module_loaded);
    put_text(out, "reason", v->reason);
    put_text(out, "fix", v->fix);
    buf_append_byte(out, '}');
}

static void write_processes(const struct devices_report *r, uint32_t card_idx, struct buf *out)
{
    bool any = false;

    put_key(out, "processes");
    if (!r->cards[card_idx].processes_known) {
        buf_append_c(out, "null");
        return;
    }
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < r->n_processes; i++) {
        if (r->processes[i].card_idx == card_idx) {
            buf_printf(out, "%s{\"pid\": %u", any ? ", " : "", r->processes[i].pid);
            put_text(out, "name", r->processes[i].name);
            put_bytes(out, "memory_bytes", r->processes[i].memory_bytes);
            buf_append_byte(out, '}');
            any = true;
        }
    }
    buf_append_byte(out, ']');
}

static void write_card(const struct devices_report *r, uint32_t i, struct buf *out)
{
    const struct devices_card *c = &r->cards[i];

    buf_printf(out, "{\"vendor\": \"%s\", \"index\": %u", devices_vendor_name(c->vendor), c->index);
    put_bytes(out, "npu", c->npu);
    put_bytes(out, "chip", c->chip);
    put_bytes(out, "node", c->node);
    put_text(out, "model", c->model);
    put_text(out, "uuid", c->uuid);
    put_text(out, "pci_bus_id", c->bus_id);
    put_text(out, "driver", c->driver);
    put_text(out, "firmware", c->firmware);
    put_text(out, "compute_capability", c->capability);
    put_bytes(out, "memory_total_bytes", c->memory_total_bytes);
    put_bytes(out, "memory_used_bytes", c->memory_used_bytes);
    put_number(out, "utilization_percent", c->utilization_percent);
    put_number(out, "temperature_c", c->temperature_c);
    put_number(out, "power_w", c->power_w);
    put_text(out, "health",
             c->health == DEVICES_HEALTH_UNKNOWN ? "" : devices_health_name(c->health));
    put_text(out, "remark", c->remark);
    write_processes(r, i, out);
    buf_append_byte(out, '}');
}

static void write_pci(const struct devices_pci *p, struct buf *out)
{
    buf_printf(out, "{\"vendor_id\": \"%04x\", \"device_id\": \"%04x\"", p->vendor_id,
               p->device_id);
    put_text(out, "name", p->vendor_name);
    put_bool(out, "supported", p->vendor >= 0);
    put_text(out, "bus_id", p->bus_id);
    put_text(out, "driver", p->driver);
    buf_append_byte(out, '}');
}

void devices_write_json(const struct devices_report *report, struct buf *out)
{
    buf_printf(out, "{\"problem\": %s, \"vendors\": [", devices_problem(report) ? "true" : "false");
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        buf_append_c(out, i == 0 ? "" : ", ");
        write_vendor(report, i, out);
    }
    buf_append_c(out, "], \"devices\": [");
    for (uint32_t i = 0; i < report->n_cards; i++) {
        buf_append_c(out, i == 0 ? "" : ", ");
        write_card(report, i, out);
    }
    buf_append_c(out, "], \"pci\": [");
    for (uint32_t i = 0; i < report->n_pci; i++) {
        buf_append_c(out, i == 0 ? "" : ", ");
        write_pci(&report->pci[i], out);
    }
    buf_append_c(out, "]}\n");
}
