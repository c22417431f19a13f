#include "devices/devices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MIN 40
#define LINE_MAX_BYTES 512

/* Wrapped at blanks; every line after the first is indented by `indent`. */
static void put_wrapped(struct buf *out, const char *text, uint32_t indent, uint32_t columns)
{
    struct str s = str_from_c(text);
    size_t room = columns - indent;
    size_t at = 0;

    while (s.len - at > room) {
        size_t end = at + room;

        while (end > at && s.ptr[end] != ' ') {
            end--;
        }
        if (end == at) { // one word wider than the line
            end = str_find_byte(s, ' ', at);
            if (end == SIZE_MAX) {
                break;
            }
        }
        buf_append(out, s.ptr + at, end - at);
        buf_printf(out, "\n%*s", (int)indent, "");
        at = end + 1;
    }
    buf_append_str(out, str_slice(s, at, s.len));
    buf_append_byte(out, '\n');
}

static void write_vendor(const struct devices_report *r, int i, uint32_t columns, struct buf *out)
{
    const struct devices_vendor_report *v = &r->vendors[i];
    char line[LINE_MAX_BYTES];

    if (!v->asked) {
        return;
    }
    buf_printf(out, "%-10s %s%s", devices_vendor_name((enum devices_vendor)i),
               devices_state_name(v->state), v->hangs ? ", hangs" : "");
    if (v->hangs && v->call[0] != '\0') {
        buf_printf(out, " in %s", v->call);
    }
    if (v->driver[0] != '\0') {
        buf_printf(out, ", driver %s", v->driver);
    }
    if (v->toolkit[0] != '\0') {
        buf_printf(out, ", CUDA up to %s", v->toolkit);
    }
    buf_append_byte(out, '\n');
    if (v->state == DEVICES_NO_CARD) {
        return;
    }
    snprintf(line, sizeof(line), "           %u on PCI, %u device node%s, module %s", v->n_pci,
             v->n_nodes, v->n_nodes == 1 ? "" : "s", v->module_loaded ? "loaded" : "not loaded");
    buf_append_c(out, line);
    buf_append_byte(out, '\n');
    if (v->reason[0] != '\0') {
        buf_append_c(out, "           ");
        put_wrapped(out, v->reason, 11, columns);
    }
    if (v->fix[0] != '\0') {
        buf_append_c(out, "      fix: ");
        put_wrapped(out, v->fix, 11, columns);
    }
}

static void known_or_dash(char *to, size_t cap, double v, const char *fmt_unit)
{
    if (isnan(v)) {
        snprintf(to, cap, "-");
    } else {
        snprintf(to, cap, "%.0f%s", v, fmt_unit);
    }
}

static void memory_text(char to[32], const struct devices_card *c)
{
    char used[16] = "-";

    if (c->memory_used_bytes >= 0) {
        snprintf(used, sizeof(used), "%.1f", (double)c->memory_used_bytes / 1073741824.0);
    }
    if (c->memory_total_bytes >= 0) {
        snprintf(to, 32, "%s/%.1f", used, (double)c->memory_total_bytes / 1073741824.0);
    } else {
        snprintf(to, 32, "%s/-", used);
    }
}

static void write_card(const struct devices_report *r, uint32_t idx, uint32_t columns,
                       struct buf *out)
{
    const struct devices_card *c = &r->cards[idx];
    char util[16];
    char temperature[16];
    char power[16];
    char memory[32];
    char id[32];

    if (c->npu >= 0) { // as npu-smi counts: board and chip on it
        snprintf(id, sizeof(id), "%d/%d", c->npu, c->chip);
    } else {
        snprintf(id, sizeof(id), "%u", c->index);
    }
    known_or_dash(util, sizeof(util), c->utilization_percent, "%");
    known_or_dash(temperature, sizeof(temperature), c->temperature_c, "C");
    known_or_dash(power, sizeof(power), c->power_w, "W");
    memory_text(memory, c);
    buf_printf(out, "%-9s %-4s %-15.15s %-12s %11s %4s %4s %5s %.8s\n",
               devices_vendor_name(c->vendor), id, c->model[0] != '\0' ? c->model : "-",
               c->bus_id[0] != '\0' ? c->bus_id : "-", memory, util, temperature, power,
               c->health == DEVICES_HEALTH_UNKNOWN ? "-" : devices_health_name(c->health));
    if (c->remark[0] != '\0') {
        buf_append_c(out, "              ");
        put_wrapped(out, c->remark, 14, columns);
    }
    for (uint32_t i = 0; i < r->n_processes; i++) {
        const struct devices_process *p = &r->processes[i];

        if (p->card_idx == idx) {
            buf_printf(out, "              process %u%s%.40s", p->pid,
                       p->name[0] != '\0' ? " " : "", p->name);
            if (p->memory_bytes >= 0) {
                buf_printf(out, " %.1f GiB", (double)p->memory_bytes / 1073741824.0);
            }
            buf_append_byte(out, '\n');
        }
    }
}

static void write_unsupported(const struct devices_report *r, struct buf *out)
{
    for (uint32_t i = 0; i < r->n_pci; i++) {
        if (r->pci[i].vendor < 0) {
            buf_printf(out, "%-10s recognised, not supported (PCI %04x:%04x at %s)\n",
                       r->pci[i].vendor_name, r->pci[i].vendor_id, r->pci[i].device_id,
                       r->pci[i].bus_id);
        }
    }
}

void devices_write_text(const struct devices_report *report, uint32_t columns, struct buf *out)
{
    if (columns < COLUMNS_MIN) {
        columns = COLUMNS_MIN;
    }
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        write_vendor(report, i, columns, out);
    }
    write_unsupported(report, out);
    if (report->n_cards == 0) {
        return;
    }
    buf_printf(out, "\n%-9s %-4s %-15s %-12s %11s %4s %4s %5s %s\n", "vendor", "id", "model", "PCI",
               "GiB used", "util", "temp", "power", "health");
    for (uint32_t i = 0; i < report->n_cards; i++) {
        write_card(report, i, columns, out);
    }
}
