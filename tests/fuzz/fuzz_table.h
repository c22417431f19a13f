/* fuzz_table.h - what every table parser promises, whatever the bytes are. */
#ifndef TESTS_FUZZ_FUZZ_TABLE_H
#define TESTS_FUZZ_FUZZ_TABLE_H

#include "base/check.h"
#include "devices/plausible.h"
#include "devices/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static inline void fuzz_table_check_text(const char *text, size_t cap)
{
    size_t n = strnlen(text, cap);

    CHECK(n < cap);
    for (size_t i = 0; i < n; i++) {
        CHECK(text[i] >= 0x20 && text[i] < 0x7f);
    }
}

static inline void fuzz_table_check(struct reading *r)
{
    CHECK(r->n_cards <= READING_CARDS_MAX && r->n_processes <= READING_PROCESSES_MAX);
    CHECK((r->n_cards > 0) == (r->state == DEVICES_FINE));
    fuzz_table_check_text(r->driver, sizeof(r->driver));
    fuzz_table_check_text(r->reason, sizeof(r->reason));
    for (uint32_t i = 0; i < r->n_cards; i++) {
        struct devices_card *c = &r->cards[i];

        CHECK(c->memory_total_bytes >= -1 && c->memory_used_bytes >= -1);
        fuzz_table_check_text(c->model, sizeof(c->model));
        fuzz_table_check_text(c->uuid, sizeof(c->uuid));
        fuzz_table_check_text(c->bus_id, sizeof(c->bus_id));
        plausible_check(c);
        CHECK(c->memory_total_bytes < 0 || c->memory_used_bytes <= c->memory_total_bytes);
        CHECK(isnan(c->utilization_percent) ||
              (c->utilization_percent >= 0 && c->utilization_percent <= 100));
        fuzz_table_check_text(c->remark, sizeof(c->remark));
    }
    for (uint32_t i = 0; i < r->n_processes; i++) {
        CHECK(r->processes[i].card_idx < r->n_cards && r->processes[i].pid > 0);
        fuzz_table_check_text(r->processes[i].name, sizeof(r->processes[i].name));
    }
}

static inline int fuzz_table_run(table_parser parser, const uint8_t *bytes, size_t n_bytes)
{
    struct reading *r = calloc(1, sizeof(*r));

    CHECK(r != NULL);
    parser((struct str){(const char *)bytes, n_bytes}, r);
    fuzz_table_check(r);
    free(r);
    return 0;
}

#endif
