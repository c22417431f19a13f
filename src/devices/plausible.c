#include "devices/plausible.h"
#include "devices/reading.h"

#include <math.h>
#include <string.h>

#define MEMORY_BYTES_MAX ((int64_t)16 << 40) // 16 TiB on one chip
#define TEMPERATURE_MIN (-55.0)              // sensors end there
#define TEMPERATURE_MAX 150.0                // silicon is off long before; 255 is an unread sensor
#define POWER_W_MAX 5000.0

static void check_memory(struct devices_card *c)
{
    const double mib = 1048576.0;

    if (c->memory_total_bytes == 0 || c->memory_total_bytes > MEMORY_BYTES_MAX) {
        reading_remark(c->remark, "memory total %.0f MiB is not plausible",
                       (double)c->memory_total_bytes / mib);
        c->memory_total_bytes = -1;
    }
    if (c->memory_used_bytes > MEMORY_BYTES_MAX ||
        (c->memory_total_bytes >= 0 && c->memory_used_bytes > c->memory_total_bytes)) {
        reading_remark(c->remark, "memory used %.0f MiB exceeds the total%s",
                       (double)c->memory_used_bytes / mib,
                       c->vendor == DEVICES_MTHREADS ? " (is the IOMMU set as the vendor asks?)"
                                                     : "");
        c->memory_used_bytes = -1;
    }
    /* S4000 has 48 GB; with the IOMMU off the driver shows 32. */
    if (c->vendor == DEVICES_MTHREADS && strstr(c->model, "S4000") != NULL &&
        c->memory_total_bytes == (int64_t)32768 << 20) {
        reading_remark(c->remark, "an S4000 has 49152 MiB, not 32768: switch the IOMMU on");
    }
}

static void check_range(struct devices_card *c, double *value, double min, double max,
                        const char *what)
{
    if (!isnan(*value) && !(*value >= min && *value <= max)) {
        reading_remark(c->remark, "%s %g is not plausible", what, *value);
        *value = (double)NAN;
    }
}

void plausible_check(struct devices_card *card)
{
    check_memory(card);
    check_range(card, &card->utilization_percent, 0, 100, "utilisation");
    check_range(card, &card->temperature_c, TEMPERATURE_MIN, TEMPERATURE_MAX, "temperature");
    check_range(card, &card->power_w, 0, POWER_W_MAX, "power");
}
