/* card.h - accelerator cards for sizing: memory, bandwidth, arithmetic.
 *
 * Dense figures as vendors or public logs state them; `source` says how far to trust each.  None of
 * these cards was measured by this project.  Immutable table; any thread.
 */
#ifndef DOCTOR_CARD_H
#define DOCTOR_CARD_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct card {
    const char *name;     // "910b3"
    const char *title;    // "Ascend 910B3"
    const char *vendor;   // "ascend", "cambricon", "mthreads", "nvidia"
    double memory_gb;     // 10^9 bytes; 0: unknown
    double usable_gb;     // what a process finds, where tools showed it; 0: memory_gb
    double bandwidth_gbs; // 10^9 bytes/s; 0: unknown
    double tflops_16;     // BF16 where the card has it, else FP16; 0: unknown
    bool bf16;
    const char *source; // "vendor", "tool", "simulator", "press", "unverified"
};

/** Number of cards in the table. */
uint32_t card_count(void);
/** One of them; NULL past the end. */
const struct card *card_at(uint32_t idx);
/** By name, or an alias such as "910b" (the 64 GB, 313-class board).  Errors: NOT_FOUND (nearest,
 * all). */
MUST_USE enum status card_find(struct str name, const struct card **ret_card, struct error *err);

#endif
