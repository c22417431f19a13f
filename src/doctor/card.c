#include "doctor/card.h"
#include "base/check.h"

#include <stdio.h>

#define TIB_GB 1099.511627776 // one TiB in 10^9 bytes

static const struct card cards[] = {
    {"910b1", "Ascend 910B1", "ascend", 64, 0, 1.6 * TIB_GB, 353.9, true, "simulator"},
    {"910b2", "Ascend 910B2", "ascend", 64, 0, 1.6 * TIB_GB, 353.9, true, "simulator"},
    {"910b3", "Ascend 910B3", "ascend", 64, 0, 1.6 * TIB_GB, 294.9, true, "simulator"},
    {"910b4", "Ascend 910B4", "ascend", 32, 0, 0.8 * TIB_GB, 245.8, true, "simulator"},
    {"910b4-1", "Ascend 910B4-1", "ascend", 64, 0, 1.6 * TIB_GB, 245.8, true, "simulator"},
    {"910c-die", "Ascend 910C, one die", "ascend", 64, 0, 1.6 * TIB_GB, 245.8, true, "simulator"},
    {"910c", "Ascend 910C, both dies", "ascend", 128, 0, 3200, 491.6, true, "vendor"},
    {"310p", "Ascend 310P, one die", "ascend", 24, 21.5, 204, 70, false, "vendor"},
    {"300i-duo", "Atlas 300I Duo 96 GB, both dies", "ascend", 96, 86, 408, 140, false, "vendor"},
    {"mlu370-x8", "Cambricon MLU370-X8", "cambricon", 48, 49.02, 614.4, 96, true, "press"},
    {"mlu370-x8-chip", "Cambricon MLU370-X8, one chip", "cambricon", 24, 24.51, 307.2, 48, true,
     "press"},
    {"mlu370-x4", "Cambricon MLU370-X4", "cambricon", 24, 24.44, 307.2, 96, true, "unverified"},
    {"mlu370-s4", "Cambricon MLU370-S4", "cambricon", 24, 0, 307.2, 72, true, "unverified"},
    {"mlu590", "Cambricon MLU590", "cambricon", 80, 0, 0, 0, true, "unverified"},
    {"s3000", "Moore Threads MTT S3000", "mthreads", 32, 0, 448, 0, false, "unverified"},
    {"s4000", "Moore Threads MTT S4000", "mthreads", 48, 0, 768, 98, true, "vendor"},
    {"s5000", "Moore Threads MTT S5000", "mthreads", 80, 85.9, 1600, 0, true, "tool"},
    {"a100", "NVIDIA A100 80 GB SXM", "nvidia", 80, 0, 2039, 312, true, "vendor"},
    {"a100-pcie", "NVIDIA A100 80 GB PCIe", "nvidia", 80, 0, 1935, 312, true, "vendor"},
    {"h100", "NVIDIA H100 SXM", "nvidia", 80, 0, 3350, 989, true, "vendor"},
    {"h100-pcie", "NVIDIA H100 PCIe", "nvidia", 80, 0, 2000, 756, true, "vendor"},
    {"h200", "NVIDIA H200 SXM", "nvidia", 141, 0, 4800, 989, true, "vendor"},
    {"h20", "NVIDIA H20", "nvidia", 96, 0, 4000, 148, true, "press"},
    {"l20", "NVIDIA L20", "nvidia", 48, 0, 864, 119.5, true, "press"},
};

/* Names people use for a family mean its common board. */
static const struct {
    const char *alias;
    const char *name;
} aliases[] = {
    {"910b", "910b3"},
    {"mlu370", "mlu370-x8"},
    {"a100-80g", "a100"},
    {"mtt-s4000", "s4000"},
};

uint32_t card_count(void)
{
    return ARRAY_COUNT(cards);
}

const struct card *card_at(uint32_t idx)
{
    return idx < ARRAY_COUNT(cards) ? &cards[idx] : NULL;
}

static struct str resolve(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(aliases); i++) {
        if (str_eq_nocase(name, str_from_c(aliases[i].alias))) {
            return str_from_c(aliases[i].name);
        }
    }
    return name;
}

enum status card_find(struct str name, const struct card **ret_card, struct error *err)
{
    struct str wanted = resolve(name);
    char list[512] = "";
    size_t used = 0;
    size_t best = SIZE_MAX;
    const char *near = cards[0].name;

    for (size_t i = 0; i < ARRAY_COUNT(cards); i++) {
        size_t d = str_distance(wanted, str_from_c(cards[i].name));

        if (str_eq_nocase(wanted, str_from_c(cards[i].name))) {
            *ret_card = &cards[i];
            return OK;
        }
        if (d < best) {
            best = d;
            near = cards[i].name;
        }
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ",
                                 cards[i].name);
        CHECK(used < sizeof(list));
    }
    return error_set(err, E_NOT_FOUND, "there is no card \"%.*s\" (nearest: %s); cards: %s",
                     STR_ARG(name), near, list);
}
