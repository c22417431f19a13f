/* devices_meters.h - the readings of a card that become metrics: one table for text and
 * registry. */
#ifndef DEVICES_DEVICES_METERS_H
#define DEVICES_DEVICES_METERS_H

#include "base/buf.h"
#include "devices/devices.h"

#define DEVICES_METERS_COUNT 6

struct devices_meter {
    const char *name; // of the family
    const char *help;
    double (*value)(const struct devices_card *card); // NAN: unknown
};

/** Row `i` of the table, i < DEVICES_METERS_COUNT. */
const struct devices_meter *devices_meters_at(uint32_t i);
/** Append the labels of a card: vendor, index, model, uuid. */
void devices_meters_labels(const struct devices_card *card, struct buf *out);

#endif
