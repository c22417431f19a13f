/* Two rows per card:
 *   Card VF Name Firmware | Bus-Id, or Inited and Driver | Util Ecc-Error
 *   Fan Temp Pwr:Usage/Cap | Memory-Usage | SR-IOV, mode or virtual memory
 * then, behind "Processes:", rows "Card VF PID Command-Line Memory". */
#include "devices/table.h"

#include <math.h>
#include <string.h>

struct mlu_table {
    struct reading *r;
    bool open; // the first row was read
    bool in_processes;
    struct devices_card card;
};

/* "v5.10.10" behind `mark`, without the v. */
static void take_version(struct str line, const char *mark, char to[DEVICES_NAME_MAX])
{
    struct str m = str_from_c(mark);
    size_t at = str_find(line, m, 0);
    struct table_words w;

    if (at == SIZE_MAX) {
        return;
    }
    table_split(str_slice(line, at + m.len, line.len), &w);
    if (w.n > 0 && w.at[0].len > 1 && w.at[0].ptr[0] == 'v') {
        reading_text(to, DEVICES_NAME_MAX, str_slice(w.at[0], 1, w.at[0].len));
    }
}

static bool is_version(struct str word)
{
    return word.len > 1 && word.ptr[0] == 'v' && word.ptr[1] >= '0' && word.ptr[1] <= '9';
}

/* "0 / MLU370-X4 v1.1.6": number, virtual function, name, firmware. */
static void take_name(const struct table_words *w, struct devices_card *card)
{
    uint32_t last = w->n;

    if (last > 3 && is_version(w->at[last - 1])) {
        last--;
        reading_text(card->firmware, sizeof(card->firmware),
                     str_slice(w->at[last], 1, w->at[last].len));
    }
    if (last > 2) {
        struct str name = {w->at[2].ptr,
                           (size_t)(w->at[last - 1].ptr + w->at[last - 1].len - w->at[2].ptr)};

        reading_text(card->model, sizeof(card->model), name);
    }
}

static void first_row(struct mlu_table *t, const struct table_cells *c,
                      const struct table_words *left)
{
    struct table_words w;

    reading_card_init(&t->card, DEVICES_CAMBRICON, (uint32_t)table_count(left->at[0]));
    take_name(left, &t->card);
    reading_bus_id(t->card.bus_id, c->at[1]);
    table_split(c->at[1], &w);
    if (w.n == 2 && is_version(w.at[1])) { // "On v4.20.11"
        reading_text(t->r->driver, sizeof(t->r->driver), str_slice(w.at[1], 1, w.at[1].len));
    }
    table_split(c->at[2], &w);
    if (w.n > 0) {
        t->card.utilization_percent = table_number(w.at[0], "%");
    }
    t->open = true;
}

/* "0% 32C 30 W/ 150 W": the word in front of the first W. */
static void take_power(const struct table_words *w, struct devices_card *card)
{
    for (uint32_t i = 1; i < w->n; i++) {
        if (str_eq(w->at[i], STR("W"))) {
            card->power_w = table_number(w->at[i - 1], NULL);
            return;
        }
        if (str_ends(w->at[i], STR("W"))) {
            card->power_w = table_number(w->at[i], "W");
            return;
        }
        if (str_eq(w->at[i], STR("/"))) {
            return;
        }
    }
}

/* "0 MiB / 23308 MiB" */
static void take_memory(struct str cell, struct devices_card *card)
{
    size_t slash = str_find_byte(cell, '/', 0);

    if (slash != SIZE_MAX) {
        card->memory_used_bytes = table_mib(table_number(str_slice(cell, 0, slash), "MiB"));
        card->memory_total_bytes =
            table_mib(table_number(str_slice(cell, slash + 1, cell.len), "MiB"));
    }
}

static void second_row(struct mlu_table *t, const struct table_cells *c,
                       const struct table_words *left)
{
    for (uint32_t i = 0; i < left->n && i < 2; i++) {
        if (str_ends(left->at[i], STR("C"))) {
            t->card.temperature_c = table_number(left->at[i], "C");
        }
    }
    take_power(left, &t->card);
    take_memory(c->at[1], &t->card);
    if (str_find(c->at[2], STR("Exclusive"), 0) != SIZE_MAX) {
        reading_remark(t->card.remark, "compute mode Exclusive: one process only");
    }
    memcpy(t->card.driver, t->r->driver, sizeof(t->card.driver));
    t->open = false;
    reading_add_card(t->r, &t->card);
}

static void process_row(struct mlu_table *t, const struct table_words *w)
{
    uint32_t card = reading_find(t->r, (uint32_t)table_count(w->at[0]));
    int64_t pid = w->n > 2 ? table_count(w->at[2]) : -1;
    bool apart = w->n > 5 && str_eq(w->at[w->n - 1], STR("MiB")); // "123 MiB" or "123MiB"
    uint32_t last = w->n - (apart ? 2 : 1);

    if (pid <= 0 || card == UINT32_MAX || w->n < 5) {
        return;
    }
    t->r->cards[card].processes_known = true;
    reading_add_process(t->r, card, (uint32_t)pid,
                        (struct str){w->at[3].ptr, (size_t)(w->at[last - 1].ptr +
                                                            w->at[last - 1].len - w->at[3].ptr)},
                        table_mib(table_number(w->at[last], "MiB")));
}

static void processes_known(struct reading *r)
{
    for (uint32_t i = 0; i < r->n_cards; i++) {
        r->cards[i].processes_known = true;
    }
}

static void table_line(struct mlu_table *t, struct str line)
{
    struct table_cells c;
    struct table_words left;

    if (str_find(line, STR("CNMON"), 0) != SIZE_MAX) {
        take_version(line, "Driver ", t->r->driver);
    }
    if (str_find(line, STR("Processes:"), 0) != SIZE_MAX) {
        t->in_processes = true;
        processes_known(t->r);
    }
    if (str_find_byte(line, '|', 0) == SIZE_MAX) {
        return;
    }
    table_cut(line, '|', &c);
    table_split(c.at[0], &left);
    if (left.n == 0) {
        return;
    }
    if (t->in_processes) {
        if (table_count(left.at[0]) >= 0) {
            process_row(t, &left);
        }
    } else if (c.n == 3 && t->open && str_find_byte(left.at[0], '=', 0) == SIZE_MAX) {
        second_row(t, &c, &left);
    } else if (c.n == 3 && table_count(left.at[0]) >= 0) {
        first_row(t, &c, &left);
    }
}

void table_cnmon(struct str text, struct reading *r)
{
    struct mlu_table t = {.r = r};
    struct str line;
    size_t at = 0;

    for (uint32_t n = 0; n < TABLE_LINES_MAX && table_next_line(text, &at, &line); n++) {
        table_line(&t, line);
    }
    table_conclude(text, r);
}
