/* table_printer.h - the tables of the vendors' tools, written from their column layouts with random
 * cards, widths, units, unknown cells and cuts; what a parser must then read is the reading. */
#ifndef TESTS_SUPPORT_TABLE_PRINTER_H
#define TESTS_SUPPORT_TABLE_PRINTER_H

#include "base/buf.h"
#include "devices/reading.h"

enum table_printer_kind {
    TABLE_PRINTER_NVIDIA,
    TABLE_PRINTER_NVIDIA_CSV,
    TABLE_PRINTER_NPU,
    TABLE_PRINTER_CNMON,
    TABLE_PRINTER_GMI,
};

#define TABLE_PRINTER_KINDS 5

/**
 * One random table of that kind.
 *
 * seed   the same seed gives the same table
 * out    the text
 * want   the cards and processes that are in it, in order; texts and figures as printed
 */
void table_printer_print(enum table_printer_kind kind, uint64_t seed, struct buf *out,
                         struct reading *want);

#endif
