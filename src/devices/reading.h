/* reading.h - what one vendor's library or tool said, before it is judged.
 *
 * Filled by the vendor_* readers (in a helper thread) and the table_* parsers; devices.c checks the
 * values and puts them into the report.  Pure data; owned by one thread at a time.
 */
#ifndef DEVICES_READING_H
#define DEVICES_READING_H

#include "base/str.h"
#include "devices/devices.h"

#define READING_CARDS_MAX 64
#define READING_PROCESSES_MAX 256
#define READING_CARD_PROCESSES_MAX 64 // asked for per card

struct reading {
    enum devices_state state;
    char call[64];                  // the call that failed, ""
    char library[256];              // path or name that was loaded, ""
    char driver[DEVICES_NAME_MAX];  // ""
    char toolkit[DEVICES_NAME_MAX]; // ""
    char missing[DEVICES_TEXT_MAX]; // symbols not found, separated by blanks
    char reason[DEVICES_TEXT_MAX];
    uint32_t n_cards;
    struct devices_card cards[READING_CARDS_MAX];
    uint32_t n_processes;
    struct devices_process processes[READING_PROCESSES_MAX]; // card_idx counts this reading's cards
};

/** A card of which nothing is known yet. */
void reading_card_init(struct devices_card *card, enum devices_vendor vendor, uint32_t index);
/** Append a copy; false, and nothing happens, when the reading is full. */
bool reading_add_card(struct reading *r, const struct devices_card *card);
/** Append a process of the card at `card_idx`; dropped when full. */
void reading_add_process(struct reading *r, uint32_t card_idx, uint32_t pid, struct str name,
                         int64_t memory_bytes);
/** Index of the card whose vendor number is `index`, or UINT32_MAX. */
uint32_t reading_find(const struct reading *r, uint32_t index);

/** Copy foreign text: blanks trimmed, bytes outside printable ASCII replaced by '?', cut to cap -
 *  1, NUL terminated.  NA, N/A, [N/A] and "-" become "". */
void reading_text(char *to, size_t cap, struct str text);
/** The same for a fixed field of `n_bytes` that need not be terminated. */
void reading_field(char *to, size_t cap, const char *field, size_t n_bytes);
/** "00000000:0F:00.0" -> "0000:0f:00.0"; anything that is no PCI address becomes "". */
void reading_bus_id(char to[32], struct str text);
void reading_bus_numbers(char to[32], uint32_t domain, uint32_t bus, uint32_t device, uint32_t fn);
/** Append "text" to a list of remarks, separated by "; ". */
void reading_remark(char to[DEVICES_TEXT_MAX], const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
