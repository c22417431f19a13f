/* devices_sampler.h - cards read again and again in a thread of their own, for a server.
 *
 * The answers of devices_sampler_utilization come from the last look and never wait for a vendor.
 */
#ifndef DEVICES_DEVICES_SAMPLER_H
#define DEVICES_DEVICES_SAMPLER_H

#include "base/metrics.h"
#include "devices/devices.h"

struct devices_sampler;

/**
 * Look once, in the caller's thread; when there is a card, declare its series (kontor_device_*) in
 * `metrics` and start the thread that looks again every `period_ms`.
 *
 * options   copied, its strings borrowed until destroy
 * metrics   may be NULL; else outlives the sampler
 * Returns NULL when there is no card to read: then nothing runs.  Start-up only.
 */
struct devices_sampler *devices_sampler_create(const struct devices_options *options,
                                               uint32_t period_ms, struct metrics *metrics);
/** Utilisation per card in percent, NAN where unknown; at most `cap` values, returns how many.
 *  Any thread; never blocks on a vendor. */
uint32_t devices_sampler_utilization(struct devices_sampler *s, double *ret_percent, uint32_t cap);
/** Stop; waits for a look under way, at most its deadlines.  NULL accepted. */
void devices_sampler_destroy(struct devices_sampler *s);

#endif
