/* table.h - the printed tables of nvidia-smi, npu-smi, cnmon and mthreads-gmi, read tolerantly.
 *
 * Fallback where the library cannot be loaded.  Nothing depends on columns of the terminal: lines
 * are cut at '|' (or ','), cells at blanks.  A cut table gives the cards that are whole so far; NA,
 * N/A, "-" and empty are unknown.  Pure: text in, reading out; never fails, whatever the bytes are.
 * A parser sets state FINE when it found a card, NO_DEVICE when the tool says so, INIT_FAILED with
 * the tool's own words as reason when it printed an error, else INIT_FAILED "no table".
 */
#ifndef DEVICES_TABLE_H
#define DEVICES_TABLE_H

#include "devices/reading.h"

#define TABLE_LINES_MAX 20000

typedef void (*table_parser)(struct str text, struct reading *r);

/** `nvidia-smi`: the table for people, with its processes. */
void table_nvidia(struct str text, struct reading *r);
/** `nvidia-smi --query-gpu=... --format=csv`, columns found by the header line's names. */
void table_nvidia_csv(struct str text, struct reading *r);
/** `nvidia-smi --query-compute-apps=... --format=csv`: adds processes to cards with that bus id or
 *  UUID. */
void table_nvidia_apps(struct str text, struct reading *r);
/** `npu-smi info` of any driver from 23.0 to 26.0, A2, A3 and 310P. */
void table_npu(struct str text, struct reading *r);
/** `cnmon` 1.x, 4.x, 5.x. */
void table_cnmon(struct str text, struct reading *r);
/** `mthreads-gmi` 1.x and 2.x. */
void table_gmi(struct str text, struct reading *r);

/* For the parsers: */

#define TABLE_CELLS_MAX 256 // a csv of all fields has about 190
#define TABLE_WORDS_MAX 32

struct table_cells {
    struct str at[TABLE_CELLS_MAX]; // trimmed
    uint32_t n;
};

struct table_words {
    struct str at[TABLE_WORDS_MAX];
    uint32_t n;
};

/** The next line without its end, or false at the end of the text. */
bool table_next_line(struct str text, size_t *at, struct str *ret_line);
/** Cut at `separator`; with '|' the empty pieces outside the first and last bar are left out. */
void table_cut(struct str line, char separator, struct table_cells *ret);
/** Cut at blanks; a '/' between figures is a word of its own, N/A stays whole. */
void table_split(struct str cell, struct table_words *ret);
/** "88%", "65C", "3.70", "44302MiB" with that unit or none: its value; NAN for anything else. */
double table_number(struct str word, const char *unit);
/** The same for a whole number below 2^31; -1 otherwise. */
int64_t table_count(struct str word);
/** MiB to bytes; -1 for NAN and negative figures. */
int64_t table_mib(double mib);
/** Set state and reason when no card was found: `text` holds the tool's words. */
void table_conclude(struct str text, struct reading *r);

#endif
