#include "devices/devices_meters.h"
#include "base/check.h"
#include "base/json.h"
#include "base/metrics.h"

#include <math.h>

static double bytes(int64_t v)
{
    return v < 0 ? (double)NAN : (double)v;
}

static double total(const struct devices_card *c)
{
    return bytes(c->memory_total_bytes);
}

static double used(const struct devices_card *c)
{
    return bytes(c->memory_used_bytes);
}

static double utilization(const struct devices_card *c)
{
    return c->utilization_percent;
}

static double temperature(const struct devices_card *c)
{
    return c->temperature_c;
}

static double power(const struct devices_card *c)
{
    return c->power_w;
}

static double health(const struct devices_card *c)
{
    return c->health == DEVICES_HEALTH_UNKNOWN ? (double)NAN : (double)(c->health - 1);
}

static const struct devices_meter meters[DEVICES_METERS_COUNT] = {
    {"kontor_device_memory_total_bytes", "Memory of the card.", total},
    {"kontor_device_memory_used_bytes", "Memory in use on the card.", used},
    {"kontor_device_utilization_percent", "Share of time the card computed.", utilization},
    {"kontor_device_temperature_celsius", "Temperature of the chip.", temperature},
    {"kontor_device_power_watts", "Power drawn.", power},
    {"kontor_device_health", "0 ok, 1 warning, 2 alarm, 3 critical.", health},
};

const struct devices_meter *devices_meters_at(uint32_t i)
{
    CHECK(i < DEVICES_METERS_COUNT);
    return &meters[i];
}

void devices_meters_labels(const struct devices_card *card, struct buf *out)
{
    buf_printf(out, "vendor=\"%s\",index=\"%u\",model=\"", devices_vendor_name(card->vendor),
               card->index);
    metrics_escape_label(out, str_from_c(card->model));
    buf_append_c(out, "\",uuid=\"");
    metrics_escape_label(out, str_from_c(card->uuid));
    buf_append_byte(out, '"');
}

static void write_family(const struct devices_report *report, const struct devices_meter *m,
                         struct buf *out)
{
    bool any = false;

    for (uint32_t i = 0; i < report->n_cards; i++) {
        double v = m->value(&report->cards[i]);

        if (isnan(v)) {
            continue;
        }
        if (!any) {
            buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", m->name, m->help, m->name);
            any = true;
        }
        buf_printf(out, "%s{", m->name);
        devices_meters_labels(&report->cards[i], out);
        buf_append_c(out, "} ");
        json_write_double(out, v, false);
        buf_append_byte(out, '\n');
    }
}

void devices_write_prometheus(const struct devices_report *report, struct buf *out)
{
    buf_append_c(out, "# HELP kontor_device_vendor_state 0 no card, 1 card without library, 2 init "
                      "failed, 3 no device, 4 fine.\n"
                      "# TYPE kontor_device_vendor_state gauge\n");
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        if (report->vendors[i].asked) {
            buf_printf(out, "kontor_device_vendor_state{vendor=\"%s\"} %d\n",
                       devices_vendor_name((enum devices_vendor)i), (int)report->vendors[i].state);
        }
    }
    buf_append_c(out, "# HELP kontor_device_vendor_hangs A call of the vendor's library or tool "
                      "did not come back.\n"
                      "# TYPE kontor_device_vendor_hangs gauge\n");
    for (int i = 0; i < DEVICES_VENDOR_COUNT; i++) {
        if (report->vendors[i].asked) {
            buf_printf(out, "kontor_device_vendor_hangs{vendor=\"%s\"} %d\n",
                       devices_vendor_name((enum devices_vendor)i), report->vendors[i].hangs);
        }
    }
    for (uint32_t i = 0; i < DEVICES_METERS_COUNT; i++) {
        write_family(report, &meters[i], out);
    }
}
