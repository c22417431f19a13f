/* Two or three rows per card:
 *   GPU Name Persistence-M | Bus-Id Disp.A | ECC
 *   Fan Temp Perf Pwr:Usage/Cap | Memory-Usage | GPU-Util Compute-M.
 *   | | MIG-M.
 * The block "MIG devices:" is skipped; behind "Processes:" come rows
 *   GPU GI CI PID Type name memory. */
#include "devices/table.h"

#include <math.h>
#include <string.h>

enum section { SECTION_CARDS, SECTION_MIG, SECTION_PROCESSES };

struct nvidia_table {
    struct reading *r;
    enum section section;
    bool open; // the first row was read
    struct devices_card card;
};

/* The word behind `mark`. */
static void take_word(struct str line, const char *mark, char to[DEVICES_NAME_MAX])
{
    struct str m = str_from_c(mark);
    size_t at = str_find(line, m, 0);
    struct table_words w;

    if (at == SIZE_MAX) {
        return;
    }
    table_split(str_slice(line, at + m.len, line.len), &w);
    if (w.n > 0 && !str_eq(w.at[0], STR("|"))) {
        reading_text(to, DEVICES_NAME_MAX, w.at[0]);
    }
}

/* "0  NVIDIA H100 80GB HBM3   On": the last word is the persistence mode. */
static void first_row(struct nvidia_table *t, const struct table_cells *c,
                      const struct table_words *left)
{
    struct table_words w;
    uint32_t last = left->n;

    reading_card_init(&t->card, DEVICES_NVIDIA, (uint32_t)table_count(left->at[0]));
    if (last > 2 &&
        (str_eq(left->at[last - 1], STR("On")) || str_eq(left->at[last - 1], STR("Off")) ||
         str_eq(left->at[last - 1], STR("N/A")))) {
        last--;
    }
    if (last > 1) {
        struct str name = {left->at[1].ptr, (size_t)(left->at[last - 1].ptr +
                                                     left->at[last - 1].len - left->at[1].ptr)};

        reading_text(t->card.model, sizeof(t->card.model), name);
    }
    table_split(c->at[1], &w);
    if (w.n > 0) {
        reading_bus_id(t->card.bus_id, w.at[0]);
    }
    t->open = true;
}

static void take_memory(struct str cell, struct devices_card *card)
{
    size_t slash = str_find_byte(cell, '/', 0);

    if (slash != SIZE_MAX) {
        card->memory_used_bytes = table_mib(table_number(str_slice(cell, 0, slash), "MiB"));
        card->memory_total_bytes =
            table_mib(table_number(str_slice(cell, slash + 1, cell.len), "MiB"));
    }
}

static void second_row(struct nvidia_table *t, const struct table_cells *c,
                       const struct table_words *left)
{
    struct table_words w;

    for (uint32_t i = 0; i < left->n && !str_eq(left->at[i], STR("/")); i++) {
        if (str_ends(left->at[i], STR("C"))) {
            t->card.temperature_c = table_number(left->at[i], "C");
        } else if (str_ends(left->at[i], STR("W"))) {
            t->card.power_w = table_number(left->at[i], "W");
        }
    }
    take_memory(c->at[1], &t->card);
    table_split(c->at[2], &w);
    if (w.n > 0) {
        t->card.utilization_percent = table_number(w.at[0], "%");
    }
    if (str_find(c->at[0], STR("ERR!"), 0) != SIZE_MAX) {
        t->card.health = DEVICES_HEALTH_CRITICAL;
        reading_remark(t->card.remark, "nvidia-smi shows ERR! for this card");
    }
    memcpy(t->card.driver, t->r->driver, sizeof(t->card.driver));
    t->open = false;
    reading_add_card(t->r, &t->card);
}

/* "0 N/A N/A 20037 C ffmpeg 538MiB" */
static void process_row(struct nvidia_table *t, const struct table_words *w)
{
    uint32_t card = reading_find(t->r, (uint32_t)table_count(w->at[0]));
    int64_t pid = w->n >= 7 ? table_count(w->at[3]) : -1;

    if (pid <= 0 || card == UINT32_MAX) {
        return;
    }
    reading_add_process(t->r, card, (uint32_t)pid,
                        (struct str){w->at[5].ptr, (size_t)(w->at[w->n - 2].ptr +
                                                            w->at[w->n - 2].len - w->at[5].ptr)},
                        table_mib(table_number(w->at[w->n - 1], "MiB")));
}

static void begin(struct nvidia_table *t, enum section section)
{
    t->section = section;
    for (uint32_t i = 0; section == SECTION_PROCESSES && i < t->r->n_cards; i++) {
        t->r->cards[i].processes_known = true;
    }
}

/* Names of processes hold slashes, so the row is cut at blanks only. */
static void split_blanks(struct str cell, struct table_words *w)
{
    size_t at = 0;

    w->n = 0;
    while (at < cell.len && w->n < TABLE_WORDS_MAX) {
        size_t end = str_find_byte(cell, ' ', at);

        if (end != at) {
            w->at[w->n++] = str_slice(cell, at, end);
        }
        at = end == SIZE_MAX ? cell.len : end + 1;
    }
}

static void table_line(struct nvidia_table *t, struct str line)
{
    struct table_cells c;
    struct table_words left;

    take_word(line, "Driver Version:", t->r->driver);
    take_word(line, "CUDA Version:", t->r->toolkit);
    if (str_find(line, STR("MIG devices:"), 0) != SIZE_MAX) {
        begin(t, SECTION_MIG);
    } else if (str_find(line, STR("Processes:"), 0) != SIZE_MAX) {
        begin(t, SECTION_PROCESSES);
    }
    if (str_find_byte(line, '|', 0) == SIZE_MAX) {
        return;
    }
    table_cut(line, '|', &c);
    split_blanks(c.at[0], &left);
    if (t->section == SECTION_PROCESSES) {
        if (left.n > 0 && table_count(left.at[0]) >= 0) {
            process_row(t, &left);
        }
        return;
    }
    table_split(c.at[0], &left);
    if (t->section == SECTION_MIG || c.n != 3 || left.n == 0 ||
        str_find_byte(left.at[0], '=', 0) != SIZE_MAX) {
        return;
    }
    if (t->open) {
        second_row(t, &c, &left);
    } else if (table_count(left.at[0]) >= 0) {
        first_row(t, &c, &left);
    }
}

void table_nvidia(struct str text, struct reading *r)
{
    struct nvidia_table t = {.r = r};
    struct str line;
    size_t at = 0;

    for (uint32_t n = 0; n < TABLE_LINES_MAX && table_next_line(text, &at, &line); n++) {
        table_line(&t, line);
    }
    table_conclude(text, r);
}
