/* Two or three rows per card, without bars at the ends:
 *   ID Name | PCIe | %GPU used(total)
 *   Device-Type [Perf] | lanes | Temp MPC
 *   [| | ECC mode]
 * then, behind "Processes:", rows "ID PID name memory". */
#include "devices/table.h"

#include <math.h>
#include <string.h>

struct mtt_table {
    struct reading *r;
    bool open; // the first row of the last card was read, the second is due
    bool in_processes;
};

static void take_version(struct reading *r, struct str line)
{
    struct str mark = STR("Driver Version:");
    size_t at = str_find(line, mark, 0);

    if (at != SIZE_MAX) {
        reading_text(r->driver, sizeof(r->driver), str_slice(line, at + mark.len, line.len));
    }
}

/* "44302MiB(32768MiB)": used(total) */
static void take_memory(struct str word, struct devices_card *card)
{
    size_t bracket = str_find_byte(word, '(', 0);
    struct str total = str_slice(word, bracket == SIZE_MAX ? word.len : bracket + 1, word.len);

    if (bracket == SIZE_MAX) {
        return;
    }
    if (str_ends(total, STR(")"))) {
        total.len--;
    }
    card->memory_used_bytes = table_mib(table_number(str_slice(word, 0, bracket), "MiB"));
    card->memory_total_bytes = table_mib(table_number(total, "MiB"));
}

static void first_row(struct mtt_table *t, const struct table_cells *c,
                      const struct table_words *left)
{
    struct devices_card card;
    struct table_words w;

    reading_card_init(&card, DEVICES_MTHREADS, (uint32_t)table_count(left->at[0]));
    if (left->n > 1) {
        struct str name = {left->at[1].ptr,
                           (size_t)(c->at[0].ptr + c->at[0].len - left->at[1].ptr)};

        reading_text(card.model, sizeof(card.model), name);
    }
    reading_bus_id(card.bus_id, c->at[1]);
    table_split(c->at[2], &w);
    for (uint32_t i = 0; i < w.n; i++) {
        if (str_ends(w.at[i], STR("%"))) {
            card.utilization_percent = table_number(w.at[i], "%");
        } else {
            take_memory(w.at[i], &card);
        }
    }
    memcpy(card.driver, t->r->driver, sizeof(card.driver));
    t->open = reading_add_card(t->r, &card);
}

static void second_row(struct mtt_table *t, const struct table_cells *c)
{
    struct table_words w;

    table_split(c->at[2], &w);
    if (w.n > 0 && str_ends(w.at[0], STR("C"))) {
        t->r->cards[t->r->n_cards - 1].temperature_c = table_number(w.at[0], "C");
    }
    t->open = false;
}

static void process_row(struct mtt_table *t, const struct table_words *w)
{
    uint32_t card = w->n > 2 ? reading_find(t->r, (uint32_t)table_count(w->at[0])) : UINT32_MAX;
    int64_t pid = w->n > 2 ? table_count(w->at[1]) : -1;
    bool has_memory;
    uint32_t last;

    if (pid <= 0 || card == UINT32_MAX) {
        return;
    }
    has_memory = w->n > 3 && str_ends(w->at[w->n - 1], STR("MiB"));
    last = w->n - (has_memory ? 1 : 0);
    t->r->cards[card].processes_known = true;
    reading_add_process(t->r, card, (uint32_t)pid,
                        (struct str){w->at[2].ptr, (size_t)(w->at[last - 1].ptr +
                                                            w->at[last - 1].len - w->at[2].ptr)},
                        has_memory ? table_mib(table_number(w->at[last], "MiB")) : -1);
}

static void begin_processes(struct mtt_table *t)
{
    t->in_processes = true;
    for (uint32_t i = 0; i < t->r->n_cards; i++) {
        t->r->cards[i].processes_known = true;
    }
}

static void table_line(struct mtt_table *t, struct str line)
{
    struct table_cells c;
    struct table_words left;

    take_version(t->r, line);
    if (str_starts(str_trim(line), STR("Processes:"))) {
        begin_processes(t);
        return;
    }
    if (t->in_processes) {
        table_split(line, &left);
        if (left.n > 0 && table_count(left.at[0]) >= 0) {
            process_row(t, &left);
        }
        return;
    }
    table_cut(line, '|', &c);
    if (c.n < 3) {
        return;
    }
    table_split(c.at[0], &left);
    if (left.n > 0 && table_count(left.at[0]) >= 0) {
        first_row(t, &c, &left);
    } else if (t->open) {
        second_row(t, &c);
    }
}

void table_gmi(struct str text, struct reading *r)
{
    struct mtt_table t = {.r = r};
    struct str line;
    size_t at = 0;

    for (uint32_t n = 0; n < TABLE_LINES_MAX && table_next_line(text, &at, &line); n++) {
        table_line(&t, line);
    }
    table_conclude(text, r);
}
